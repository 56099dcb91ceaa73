# SPDX-License-Identifier: Apache-2.0
"""deploy/OPERATING.md: its commands run and print what stands there. Blocks as in test_readme.py; `busbar` in a table runs
against the live daemon, and so do the blocks marked `live`, for which BUSBAR_PID is the daemon's."""

import re

import pytest

import test_readme as readme
from busbar_harness import ROOT, wait_until
from test_readme import live, shell  # noqa: F401 (a fixture)

PAGE = ROOT / "deploy" / "OPERATING.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ROWS = [c for line in TEXT.splitlines() if line.startswith("|") for c in re.findall(r"`(busbar [a-z]+[^`]*)`", line)]


def blocks(kind):
    return [text for language, info, text in BLOCKS if (language, info) == ("sh", kind)]


def test_secrets_are_files(tmp_path):
    readme.lay_out(tmp_path)
    (tmp_path / "mw-webhook").write_text("s")
    (tmp_path / "mw-webhook").chmod(0o600)
    (block,) = blocks("")
    (promised,) = [text for language, info, text in BLOCKS if (language, info) == ("text", "output")]
    readme.prints(shell(block, tmp_path), promised.splitlines())


def test_commands_on_a_running_daemon(live):  # noqa: F811
    for text in blocks("live"):
        shell(text, live.folder, BUSBAR_PID=str(live.process.pid))
        wait_until(live.ready, 20, "ready again")
    assert (live.folder / "copy.db").exists() and live.runs()


@pytest.mark.parametrize("command", sorted(set(ROWS)))
def test_commands_of_the_tables(live, command):  # noqa: F811
    if "resume" in command:
        live.cli("targets", "hold", "mw")
    shell(command.replace("NAME", "mw"), live.folder)
