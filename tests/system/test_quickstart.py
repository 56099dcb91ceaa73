# SPDX-License-Identifier: Apache-2.0
"""The first thing that a newcomer runs."""

import os
import re
import signal
import subprocess

import pytest

from busbar_harness import ROOT, wait_until

pytestmark = pytest.mark.xdist_group("quickstart")  # both build in one folder


def children_of(folder_prefix):
    """Processes whose command line names a demo's folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if folder_prefix in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def test_quickstart_once():
    done = subprocess.run([str(ROOT / "deploy/quickstart"), "--once"], capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "54 readings, 3 tasks, 9 events"
    assert "Bearing at 86.4 °C on press-1 (hall-1)" in done.stdout and "work_order/completed" in done.stdout
    assert "\033[" not in done.stdout, "colours into a pipe"


def test_quickstart_runs_until_interrupted(tmp_path):
    environment = dict(os.environ, TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1")
    with open(tmp_path / "output", "wb") as output:
        process = subprocess.Popen([str(ROOT / "deploy/quickstart")], stdout=output, stderr=subprocess.STDOUT,
                                   env=environment)
    try:
        wait_until(lambda: b"  task " in (tmp_path / "output").read_bytes(), 120, "a task on the screen")
        assert children_of(str(tmp_path).encode())
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    assert re.search(rb"\d+ readings, \d+ tasks, \d+ events\n$", (tmp_path / "output").read_bytes())
    assert children_of(str(tmp_path).encode()) == [], "processes left behind"
    assert list(tmp_path.glob("busbar-demo-*")) == []


def test_quickstart_says_what_it_takes():
    done = subprocess.run([str(ROOT / "deploy/quickstart"), "--forever"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--once" in done.stderr
