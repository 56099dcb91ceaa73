# SPDX-License-Identifier: Apache-2.0
"""What whoever gets into the daemon does not get: core/confine.c, seen from inside (a plugin that tries) and outside."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys

import pytest

from busbar_harness import BINARY, ROOT, Process, command_route, configuration, wait_until
from test_isolation import children, rogue_target, route
from test_reload import hang_up, lines

BURGLAR = BINARY.parent / "tests" / "plugins" / "burglar.so"
pytestmark = pytest.mark.skipif(BINARY.parent.name in ("asan", "tsan", "coverage"),
                                reason="builds that look into the process are not confined")


def facts(daemon, name="status"):
    with open(f"/proc/{daemon.process.pid}/{name}", encoding="utf-8") as file:
        return file.read()


def fact(daemon, name):
    return re.search(rf"^{name}:\s*(.*)$", facts(daemon), re.MULTILINE)[1]


@pytest.fixture
def burgled(busbar, tmp_path):
    """burgled(): a daemon with the burglar for a target, its store in a folder of its own."""

    def make():
        (tmp_path / "store").mkdir()
        there = tmp_path / "there"
        there.write_text("it is there")
        daemon = busbar([command_route(), {"name": "burgle", "from": "burgle", "to": "burglar.thing.create", "body": {}}],
                        start=False, store={"path": str(tmp_path / "store" / "busbar.db"), "durability": "crash"})
        daemon.config["targets"]["burglar"] = {
            "plugin": str(BURGLAR), "url": "https://test.example", "mode": "write_back", "program": "/bin/sh",
            "beside": str(tmp_path / "store" / "new"), "elsewhere": str(tmp_path / "new"), "there": str(there)}
        daemon.write()
        daemon.start()
        return daemon

    return make


def burgle(daemon, publisher):
    """What the burglar says came of it: what -> done, or an error's name."""
    before = len(daemon.deliveries(state="rejected"))
    publisher.publish("burgle", {})
    wait_until(lambda: len(daemon.deliveries(state="rejected")) > before, 10, "the burglar's report")
    said = daemon.deliveries(state="rejected")[0]["error"]["message"]
    return dict(part.split(": ") for part in said.split("; "))


CAUGHT = {"write beside the store": "done", "write elsewhere": "EACCES", "truncate elsewhere": "EACCES",
          "read elsewhere": "done", "start a program": "EACCES", "memory to write and run": "EPERM",
          "memory to run": "EPERM", "memory to write": "done", "trace": "EPERM", "mount": "EPERM", "keys": "EPERM",
          "namespace": "EPERM", "io_uring": "EPERM"}


def test_who_gets_in_gets_no_further(burgled, publisher, tmp_path):
    daemon = burgled()
    (said,) = lines(daemon, "confined")
    assert said["system_calls"] == "limited" and fact(daemon, "NoNewPrivs") == "1" and fact(daemon, "Seccomp") == "2"
    caught = burgle(daemon, publisher)
    if said["writes"] != str(tmp_path / "store"):  # a kernel without Landlock: said, and all else holds
        assert "Landlock" in said["writes"]
        caught |= {what: "EACCES" for what in ("write elsewhere", "truncate elsewhere", "start a program")}
    assert caught == CAUGHT
    maps = facts(daemon, "maps").splitlines()
    assert not [line for line in maps if "wx" in line.split()[1]], "memory that can be written and executed"


def test_it_stays_so_over_more_reloads_than_landlock_has_layers(burgled, publisher):
    daemon = burgled()
    for _ in range(18):
        hang_up(daemon, good=True)
    assert len(lines(daemon, "confined")) == 1
    assert {what: came for what, came in burgle(daemon, publisher).items() if came != CAUGHT[what]} in (
        {}, {what: "done" for what in ("write elsewhere", "truncate elsewhere", "start a program")})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.deliveries(state="delivered"), 10, "and it works")


def test_a_reload_cannot_move_the_store(burgled, tmp_path):
    daemon = burgled()
    if "Landlock" in lines(daemon, "confined")[0]["writes"]:
        pytest.skip("LOUD: a kernel without Landlock")
    daemon.config["store"]["path"] = str(tmp_path / "busbar.db")
    daemon.write()
    hang_up(daemon, good=False)
    (problem,) = lines(daemon, "the new configuration is wrong")
    assert "a reload cannot move the store" in problem["problem"] and "restart" in problem["problem"]
    assert daemon.terminate() == 0
    daemon.start()  # a restart can
    assert (tmp_path / "busbar.db").exists()


def test_a_switch_for_debuggers_says_so(busbar, monkeypatch):
    monkeypatch.setenv("BUSBAR_UNCONFINED", "1")
    daemon = busbar()
    assert lines(daemon, "not confined") and fact(daemon, "Seccomp") == "0"


@pytest.fixture
def as_nobody(tmp_path, broker, sandbox, make_busbar):
    """A daemon that root starts and that becomes nobody; its folder is open to it."""
    if os.geteuid() != 0:
        pytest.skip("LOUD: not root: whom it becomes is not seen")
    for folder in [tmp_path, *tmp_path.parents, *BINARY.parents]:
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    if not all(folder.stat().st_mode & 0o001 for folder in BINARY.parents):
        pytest.skip(f"LOUD: {BINARY} lies where nobody may look: it could not start itself anew")
    store = tmp_path / "own"
    store.mkdir()
    os.chown(store, pwd.getpwnam("nobody").pw_uid, -1)
    config = configuration(tmp_path, broker, {}, [], user="nobody", store={"path": str(store / "busbar.db")})
    return make_busbar(config)


def test_root_becomes_the_user_that_is_named(as_nobody, tmp_path):
    nobody = pwd.getpwnam("nobody")
    assert fact(as_nobody, "Uid").split() == [str(nobody.pw_uid)] * 4
    assert fact(as_nobody, "Gid").split() == [str(nobody.pw_gid)] * 4
    assert set(fact(as_nobody, "Groups").split()) <= {str(nobody.pw_gid)}
    assert int(fact(as_nobody, "CapEff"), 16) == 0 and int(fact(as_nobody, "CapPrm"), 16) == 0
    assert (tmp_path / "own" / "busbar.db").stat().st_uid == nobody.pw_uid
    assert not lines(as_nobody, "runs as root")
    hang_up(as_nobody, good=True)
    assert fact(as_nobody, "Uid").split() == [str(nobody.pw_uid)] * 4


def test_a_user_that_is_not_there_is_no_start(busbar):
    if os.geteuid() != 0:
        pytest.skip("LOUD: not root")
    daemon = busbar(start=False)
    daemon.config["user"] = "nobody-of-that-name"
    daemon.write()
    daemon.start(ready=False)
    assert daemon.process.wait(20) == 1
    (said,) = lines(daemon, "cannot give up root's rights")
    assert "nobody-of-that-name" in said["reason"]


def test_root_that_stays_root_is_warned_about(busbar):
    if os.geteuid() != 0:
        pytest.skip("LOUD: not root")
    assert "user:" in lines(busbar(), "runs as root")[0]["action"]


def test_its_memory_is_nobodys(as_nobody, tmp_path):
    """Not even its own user's: no tracing, no environment, no core dump."""
    pid = as_nobody.process.pid
    nobody = ["setpriv", "--reuid=nobody", f"--regid={pwd.getpwnam('nobody').pw_gid}", "--clear-groups"]
    for name in ("environ", "mem", "maps", "auxv"):
        done = subprocess.run([*nobody, "cat", f"/proc/{pid}/{name}"], capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "Permission denied" in done.stderr, f"/proc/PID/{name} can be read"
    if shutil.which("gcore"):
        done = subprocess.run([*nobody, "gcore", "-o", str(tmp_path / "own" / "core"), str(pid)], capture_output=True,
                              text=True, check=False, timeout=60)
        assert done.returncode != 0 and not list((tmp_path / "own").glob("core*")), done.stdout + done.stderr
    assert re.search(r"Max core file size\s+0\s+0\s", facts(as_nobody, "limits"))
    as_nobody.process.send_signal(signal.SIGSEGV)
    status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert status.si_code == os.CLD_KILLED, "not CLD_DUMPED"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="LOUD: no systemd-analyze to say what the unit allows")
def test_the_units_own_filter_leaves_it_what_it_needs(busbar, sandbox, publisher, monkeypatch):
    """Its isolated plugins too: the next one after it was killed, one that is put behind all others, that of a reload."""
    daemon = busbar([command_route(), route()], start=False)
    daemon.config["targets"]["mw"]["isolate"] = True
    daemon.config["targets"]["rogue"] = rogue_target(sandbox)
    daemon.write()
    monkeypatch.setattr(daemon, "launch", lambda command, stdout=None: Process.launch(
        daemon, [sys.executable, str(ROOT / "tests" / "system" / "unit_filter.py"), *command], stdout))
    daemon.start()
    assert lines(daemon, "confined")[0]["system_calls"] == "limited", "its own comes on top"
    publisher.publish("do/bad", {"do": "loop"})
    wait_until(lambda: daemon.deliveries(state="rejected", target="rogue"), 30, "a dead letter")
    for child in children(daemon.process.pid):
        os.kill(child, signal.SIGKILL)
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) == 1, 20, "the task")
    hang_up(daemon, good=True)
    publisher.publish("plant/l1/m1/job", {"celsius": 2})
    wait_until(lambda: len(sandbox.tasks()) == 2, 20, "the task after the reload")
    assert daemon.terminate() == 0
