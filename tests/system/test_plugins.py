# SPDX-License-Identifier: Apache-2.0
"""`busbar plugins`: what an author of a plugin touches, from an empty folder to passing cases."""

import json
import os
import subprocess

import pytest

from busbar_harness import BINARY, ROOT

TEST_PLUGINS = BINARY.parent / "tests" / "plugins"


def plugins(*arguments, cwd=None):
    environment = dict(os.environ, BUSBAR_PLUGIN_PATH=str(TEST_PLUGINS))
    return subprocess.run([str(BINARY), "plugins", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          check=False, cwd=cwd, env=environment)


@pytest.fixture(autouse=True)
def built():
    assert BINARY.exists(), f"{BINARY} is not built"


def test_list_shows_good_and_broken():
    items = {item["name"]: item for item in json.loads(plugins("list", "--json").stdout)["items"]}
    assert items["mobility_work"]["title"] == "Mobility Work" and items["mobility_work"]["error"] is None
    assert "needs ABI 2, this busbar speaks 1" in items["newer_abi"]["error"]
    assert "needs ABI 2" in plugins("list").stdout


def test_show_names_options_and_operations():
    shown = json.loads(plugins("show", "good", "--json").stdout)
    assert {option["name"]: option["type"] for option in shown["options"]}["api_key"] == "secret"
    create = next(each for each in shown["operations"] if each["name"] == "thing.create")
    assert create["flags"] == ["writes", "creates", "can_lookup"] and create["default_budget"] == "24/1d"
    text = plugins("show", "good").stdout
    assert "header Api-Key from api_key" in text and "cooldown 1h, budget 24/1d per /plan" in text


def test_show_prints_the_mapping_tables():  # FV-15
    assert json.loads(plugins("show", "good", "--json").stdout)["statuses"] == {
        "open": "requested", "done": "completed", "over": "completed"}
    shown = json.loads(plugins("show", "assetic", "--json").stdout)
    assert shown["statuses"]["WMATL"] == "blocked" and shown["priorities"] == {}
    text = plugins("show", "good").stdout
    assert "statuses (a target's `map: {status: ...}` adds to them and wins)" in text
    assert any(line.split() == ["over", "completed"] for line in text.splitlines())


def test_show_of_what_is_not_there_names_every_place():
    done = plugins("show", "gone")
    assert done.returncode == 1 and f"{TEST_PLUGINS}/gone.so" in done.stderr


@pytest.mark.parametrize("name, rule, seen", [
    ("crash", "crash", "thing.create with 1 message {}: it crashed"), ("sloppy", "settle", "there is no message 7"),
    ("slow", "time", "ms of CPU time"), ("wrong_magic", "descriptor", "its magic is"),
    ("no_symbol", "descriptor", "exports no busbar_plugin"), ("faults/io", "io", "it made the system call openat")])
def test_check_says_rule_and_fault_and_what_would_be_right(name, rule, seen):
    file = TEST_PLUGINS / f"{name}.so"
    done = plugins("check", file)
    said = done.stdout.partition("warning: ")[0].splitlines()
    assert done.returncode == 1 and len(said) == 2, done.stdout
    assert said[0].startswith(f"{rule}: ") and seen in said[0]
    assert said[1].startswith("    right: ") and said[1].endswith(f" (ABI.md#{rule})")
    done = plugins("check", file, "--json")
    as_json = json.loads(done.stdout)
    assert done.returncode == 1 and as_json["ok"] is False and as_json["system_calls_watched"] is True
    assert [each["rule"] for each in as_json["complaints"]] == [rule] and seen in as_json["complaints"][0]["seen"]


def test_check_passes_good_ones():
    for name in ("good", "old_plugin", "mobility_work"):
        assert plugins("check", name).returncode == 0, name


def test_check_warns_of_what_has_no_place_in_a_plugin():
    file = TEST_PLUGINS / "faults" / "io-signal.so"
    said = plugins("check", file).stdout
    assert "warning: io: it calls signal(): " in said and "warning: descriptor: it calls itself fault: " in said
    warnings = json.loads(plugins("check", file, "--json").stdout)["warnings"]
    assert [each["rule"] for each in warnings] == ["io", "descriptor"]


def test_check_shows_no_log_of_the_plugin():
    done = plugins("check", TEST_PLUGINS / "faults" / "io-prints.so")
    assert done.stdout.startswith("io: it wrote to stdout or stderr: sending 2 bytes\n") and done.stderr == ""


def test_check_takes_options():
    done = plugins("check", "good", "site=nowhere")
    assert done.returncode == 1 and "there is no site nowhere" in done.stdout
    assert plugins("check", "good", "site").returncode == 2


def test_test_names_file_and_line(tmp_path):
    case = tmp_path / "bad.case"
    case.write_text("option api_key k\noption site s\ncase wrong\noperation thing.create\nmessage {}\n"
                    "expect send GET /things\n")
    done = plugins("test", "good", case)
    assert done.returncode == 1
    assert f"{case}:6: wrong: expected GET /things, got POST /things" in done.stdout
    assert "1 cases, 1 failed" in done.stdout


def test_check_runs_the_cases_of_a_folder(tmp_path):
    case = "option api_key k\noption site s\ncase {}\noperation thing.create\nmessage {{}}\nexpect {}\n"
    (tmp_path / "a.case").write_text(case.format("good", "send POST /things"))
    done = plugins("check", "good", "--cases", tmp_path)
    assert done.returncode == 0 and "keeps the rules" in done.stdout and "1 cases, 0 failed" in done.stdout, done
    (tmp_path / "b.case").write_text(case.format("bad", "done"))
    done = plugins("check", "good", "--cases", tmp_path)
    assert done.returncode == 1 and "b.case:6: bad: expected done, got send POST" in done.stdout
    done = plugins("check", "good", "--cases", tmp_path / "gone")
    assert done.returncode == 1 and "holds no .case file" in done.stderr


def test_cases_are_all_documented():
    page = (ROOT / "plugins" / "CASES.md").read_text()
    source = "".join((ROOT / "core" / name).read_text() for name in ("cases.c", "cases_expect.c"))
    words = [line.split('"')[1] for line in source.splitlines() if line.startswith('    {"') and ", line_" in line
             or line.startswith('    {"expect')]
    assert len(words) > 35
    assert [word for word in words if f"`{word}" not in page] == []
