# SPDX-License-Identifier: Apache-2.0
"""The plugin ABI's promise: today's header holds all of the frozen one where it was, a plugin made against that loads and
works, in source and as a binary of those days, and the page leaves out nothing of the header.
"""

import hashlib
import json
import platform
import re
import subprocess
import sys

import pytest

from busbar_harness import BINARY, ROOT

sys.path.insert(0, str(ROOT / "tests" / "abi"))
import header  # noqa: E402

ABI = ROOT / "tests" / "abi"
PAGE = ROOT / "plugins" / "ABI.md"
FROZEN = (ABI / "plugin-1.h").read_text()
TODAY = header.HEADER.read_text()

# Held by value inside others, or in arrays without a size: these do not grow.
FINAL = {"bb_str", "bb_header", "bb_request", "bb_error", "bb_auth", "bb_signature", "bb_hook", "bb_work_order", "bb_mapping"}


def breaches(frozen, today):
    """What of the frozen header is no more as it was."""
    was, now = header.parse(frozen), header.parse(today)
    found = []
    for struct, (_, rows) in was[0].items():
        before = [declaration for _, declaration, _ in rows]
        after = [declaration for _, declaration, _ in now[0].get(struct, ("", []))[1]]
        if after[: len(before)] != before:
            found.append(struct)
        elif struct in FINAL and len(after) > len(before):
            found.append(f"{struct} is final")
    for enum, (_, rows) in was[1].items():
        after = {name: value for name, value, _ in now[1].get(enum, ("", []))[1]}
        found += [name for name, value, _ in rows if after.get(name) != value]
    found += [name for name, (value, _) in was[2].items() if now[2].get(name, ("",))[0] != value]
    return found


# ---- the header

def test_the_header_of_today_holds_the_frozen_one():
    structs, enums, defines = header.parse(FROZEN)
    assert len(structs) > 16 and len(enums) > 5 and len(defines) > 9
    assert sum(len(rows) for _, rows in structs.values()) > 120
    assert set(structs) >= FINAL
    assert breaches(FROZEN, TODAY) == []


@pytest.mark.parametrize("old, new, breach", [
    ("    size_t offset; ", "    int offset; ", "bb_option"),  # another type
    ("    int64_t cache_ms; ", "    int64_t fresh_ms; ", "bb_request"),  # another name
    ("    BB_DONE,     /*", "    BB_LATER,\n    BB_DONE,     /*", "BB_DONE"),  # an enum renumbered
    ("#define BB_PARK 16u", "#define BB_PARK 512u", "BB_PARK"),  # a flag of another value
    ("#define BB_AT_START 64u", "#define BB_ON_START 64u", "BB_AT_START"),  # one that is gone
    ("    const char *order_id; /* common", "    int order;\n    const char *order_id; /* common", "bb_message"),  # in the middle
    ("    bool unconfirmed; ", "    /* bool unconfirmed; */ ", "bb_out"),  # gone
    ("    const char *sla_due_at; /* RFC 3339 */\n", "    const char *sla_due_at;\n    int more;\n", "bb_work_order is final"),
    ("uint64_t n);", "int64_t n);", "bb_host"),  # a function that takes something else
])
def test_a_change_that_breaks_plugins_is_found(old, new, breach):
    changed = re.sub(re.escape(old).replace(r"\ ", r"\s+"), lambda _: new, TODAY, count=1)
    assert changed != TODAY
    assert breach in breaches(FROZEN, changed)


def test_what_grows_at_its_end_breaks_nothing():
    grown = re.sub(r"(^struct bb_plugin \{\n.*?)(^\};)", r"\1    int more;\n\2", TODAY, count=1, flags=re.MULTILINE | re.DOTALL)
    grown = grown.replace("#define BB_WORK_ORDER 128u", "#define BB_MORE 256u\n#define BB_WORK_ORDER 128u")
    grown = re.sub(r"(    BB_PROVIDER_UNAVAILABLE)( /\*)", r"\1,\n    BB_MORE_CLASS\2", grown)
    assert grown.count("MORE") == 2 and grown.count("int more;") == 1
    assert breaches(FROZEN, grown) == []


def test_compiled_offsets_are_compared_of_every_member():
    """tests/unit/test_loader.c compares what members.def lists."""
    listed = (ABI / "members.def").read_text()
    assert listed.endswith("*/\n" + header.member_rows(FROZEN))


def test_what_is_frozen_stays():
    """A new digest here means: plugins that exist do not load any more."""
    digests = {name: hashlib.sha256((ABI / name).read_bytes()).hexdigest()
               for name in ("plugin-1.h", "first.c", "first.case", "first-x86_64.so")}
    assert digests == {
        "plugin-1.h": "06f63713355cf7c85e7b6edee283c8ee85affd07def2a21e12bc48d0ffdfe171",
        "first.c": "98bd82757ac30f9535344d5a982da6ddbb9edaaff2f1fca6d8cdf51c7f0fcebc",
        "first.case": "32bfcfc01e4a6d12836af5db1b287b9ee6769b6dbc020d6f1f5b054864d8baf1",
        "first-x86_64.so": "407bd74939fe2b976903f95673106a9038ee41cabbbf6414575a6b40d1d1cfb7",
    }


# ---- the plugin of the first days

def first():
    binary = pytest.param(ABI / "first-x86_64.so", id="binary", marks=pytest.mark.skipif(
        platform.machine() != "x86_64", reason=f"the binary of the first days is for x86_64, not {platform.machine()}"))
    return [binary, pytest.param(BINARY.parent / "tests" / "plugins" / "first.so", id="rebuilt")]


def busbar(*arguments):
    return subprocess.run([str(BINARY), "plugins", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("plugin", first())
def test_the_first_plugin_keeps_the_rules(plugin):
    done = busbar("check", plugin, "--json")
    assert json.loads(done.stdout)["complaints"] == [] and done.returncode == 0


@pytest.mark.parametrize("plugin", first())
def test_the_first_plugin_holds_its_conversations(plugin):
    done = busbar("test", plugin, ABI / "first.case")
    assert done.returncode == 0 and "10 cases, 0 failed" in done.stdout, done.stdout


def test_the_first_plugin_uses_the_whole_header():
    source = (ABI / "first.c").read_text()
    structs, _, _ = header.parse(FROZEN)
    for struct in ("bb_host", "bb_plugin", "bb_operation"):
        names = {name for names, _, _ in structs[struct][1] for name in names} - {"size", "context"}
        assert sorted(name for name in names if not re.search(rf"[.>]{name}\b", source)) == [], struct


# ---- the page

def test_the_reference_is_that_of_the_header():
    """Made by tests/abi/header.py --write."""
    made = PAGE.read_text().partition(header.START)[2]
    assert made == "\n" + header.reference(TODAY)


def test_everything_of_the_header_says_what_it_means():
    structs, enums, defines = header.parse(TODAY)
    silent = [f"{struct}.{names[0]}" for struct, (_, rows) in structs.items() for names, _, meaning in rows if not meaning]
    silent += [name for _, rows in enums.values() for name, _, meaning in rows if not meaning]
    silent += [name for name, (_, meaning) in defines.items() if not meaning and name != "BB_EXPORT"]
    assert silent == []


def test_the_parser_leaves_out_nothing():
    """Counted by other means: each line of a struct that ends in ; or in the ; before a comment."""
    text = re.sub(r"/\*.*?\*/", "", TODAY, flags=re.DOTALL)
    bodies = dict(re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL))
    structs, enums, defines = header.parse(TODAY)
    assert {name: body.count(";") for name, body in bodies.items()} == {name: len(rows) for name, (_, rows) in structs.items()}
    values = set(re.findall(r"\bBB_\w+\b", text)) - {"BB_ITEMS"}
    assert values == {name for _, rows in enums.values() for name, _, _ in rows} | set(defines)


def test_the_page_has_each_rule_of_the_check():
    rules = re.findall(r'^\s+\[RULE_\w+\] =\s+\{"(\w+)",', (ROOT / "core" / "conform_rules.c").read_text(), re.MULTILINE)
    headings = re.findall(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE)
    assert len(rules) > 20 and rules == headings[: len(rules)] and len(headings) == len(set(headings))


def test_what_is_final_is_said():
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith("| what is final"))
    assert set(re.findall(r"`(bb_\w+)`", row)) == FINAL


def test_commands_of_the_page_run():
    environment = {"PATH": f"{BINARY.parent}:/usr/bin:/bin"}
    commands = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert commands
    for command in commands:
        done = subprocess.run(["bash", "-euc", command], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and json.loads(done.stdout)["ok"] is True, done.stdout + done.stderr
