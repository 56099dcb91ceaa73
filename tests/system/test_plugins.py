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


def compiled(folder, name, begins, options="", count=0):
    """A plugin whose constructor does this."""
    (folder / f"{name}.c").write_text(f"""
#include <busbar/plugin.h>
#include <stdlib.h>
#include <string.h>
static const struct bb_operation operations[] = {{{{.name = "a.b", .help = "x", .max_batch = 1}}}};
static const struct bb_option options[] = {{{{"site", BB_STRING, 0, "main", 0, "the site"}}}};
static enum bb_next step(const struct bb_host *h, void *s, const struct bb_in *in, struct bb_out *out)
{{
    if (in->message_count && memchr(in->messages[0].body.data, 'B', in->messages[0].body.len))
        abort();
    return in->response ? h->judge(in->job, in->response, out)
                        : (out->request = (struct bb_request){{.method = "GET", .path = "/x"}}, BB_SEND);
}}
__attribute__((constructor)) static void begin(void)
{{
    {begins}
}}
BB_EXPORT extern const struct bb_plugin busbar_plugin;
const struct bb_plugin busbar_plugin = {{.magic = BB_MAGIC, .abi = BB_ABI, .size = sizeof(struct bb_plugin),
    .name = "{name}", .title = "T", .version = "1", .help = "h", .default_url = "https://t.example",
    .config_size = sizeof(char *), .options = options, .option_size = sizeof options[0], .option_count = {count or 1},
    .operations = operations, .operation_size = sizeof operations[0], .operation_count = 1, .step = step}};
""")
    subprocess.run(["cc", "-std=gnu17", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{ROOT / 'include'}", "-o",
                    str(folder / f"{name}.so"), str(folder / f"{name}.c")], check=True, timeout=60)
    return folder / f"{name}.so"


def test_list_outlives_what_it_loads(tmp_path):
    compiled(tmp_path, "ends", "exit(7);")
    compiled(tmp_path, "ends_well", "exit(0);")
    compiled(tmp_path, "crashes", "*(volatile int *)8 = 1;")
    compiled(tmp_path, "counts", "", count=200)
    compiled(tmp_path, "zzz", "")
    environment = dict(os.environ, BUSBAR_PLUGIN_PATH=str(tmp_path))
    done = subprocess.run([str(BINARY), "plugins", "list", "--json"], capture_output=True, text=True, timeout=60,
                          check=False, env=environment)
    items = {item["name"]: item["error"] for item in json.loads(done.stdout)["items"]}
    assert done.returncode == 0 and items["zzz"] is None and items["mobility_work"] is None
    assert items["ends"] == "when it is loaded, it ended the process (exit status 7)"
    assert items["ends_well"] == "when it is loaded, it ended the process (exit status 0)"
    assert items["crashes"] == "when it is loaded, it crashed (Segmentation fault)"
    assert items["counts"]


def test_test_names_the_case_of_which_the_plugin_died(tmp_path):
    file, case = compiled(tmp_path, "dies", ""), tmp_path / "a.case"
    case.write_text('case good\noperation a.b\nmessage {}\nexpect send GET /x\n'
                    'case bad\noperation a.b\nmessage "B"\nexpect send GET /x\n')
    done = plugins("test", file, case)
    assert done.returncode == 1, done
    assert f"{case}:5: bad: the plugin aborted, or an exception left it\n" in done.stdout
    assert "2 cases, 1 failed" in done.stdout
    as_json = json.loads(plugins("test", file, case, "--json").stdout)
    assert as_json["ok"] is False and as_json["cases"] == 2 and as_json["failed"] == 1


def test_check_says_what_is_wrong_with_a_file(tmp_path):
    whole = (TEST_PLUGINS / "good.so").read_bytes()
    (tmp_path / "cut.so").write_bytes(whole[:3000])
    (tmp_path / "loop.so").symlink_to("loop.so")
    assert "file: " in plugins("check", "./cut.so", cwd=tmp_path).stdout
    assert "it is cut off: " in plugins("check", "./cut.so", cwd=tmp_path).stdout
    assert "Too many levels of symbolic links" in plugins("check", "./loop.so", cwd=tmp_path).stdout
    assert "did you mean ./cut.so? a path has a slash" in plugins("check", "cut.so", cwd=tmp_path).stdout


def test_new_refuses_the_name_of_a_plugin_that_is_there(tmp_path):
    done = plugins("new", "http", cwd=tmp_path)
    assert done.returncode == 2 and "there is a plugin http already, " in done.stderr and not list(tmp_path.iterdir())


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
