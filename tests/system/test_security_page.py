# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md: its commands run on a daemon and say what stands there, its files exist, its picture is whole."""

import os
import re
import subprocess
import xml.etree.ElementTree as tree

import pytest

from busbar_harness import BINARY, ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def run(command):
    return subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(BINARY.parent.name != "release", reason="another build is not hardened")
def test_the_commands_that_show_the_hardening(busbar):
    pid = str(busbar().process.pid)
    shown = [cell.replace("\\|", "|").replace("$(pidof busbar)", pid) for cell in re.findall(r"\| `([^`]+)`", PAGE)]
    grep = [command for command in shown if "/proc/" in command]
    assert len(grep) >= 2
    status = run(next(command for command in grep if "status" in command)).stdout
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert re.search(r"Max core file size\s+0\s+0", run(next(command for command in grep if "limits" in command)).stdout)
    if os.geteuid() == 0:
        assert run(f"grep -c wx /proc/{pid}/maps").stdout == "0\n"
    hardened = run(next(command for command in shown if command.startswith("tests/lint/hardened")))
    assert hardened.returncode == 0 and hardened.stdout == ""


def test_what_it_names_is_there():
    for path in re.findall(r"`((?:tests|deploy|core)/[a-z_/.-]+)`|\]\(([a-z]+/[a-z_/.-]+)\)", PAGE):
        name = (path[0] or path[1]).split()[0]
        assert (ROOT / name).exists(), name
    assert "](SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_picture_is_readable_and_whole():
    root = tree.parse(ROOT / "deploy" / "threats.svg").getroot()
    words = " ".join(root.itertext())
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    for word in ("broker", "target system", "admin", "anybody else", "HMAC", "TLS 1.2", "plugins", "store", "max_writes",
                 "Trusted:", "Not trusted:", "prefers-color-scheme: dark"):
        assert word in words, word
