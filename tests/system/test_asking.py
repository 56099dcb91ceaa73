# SPDX-License-Identifier: Apache-2.0
"""The command line beside a daemon that hangs, and beside one whose file has mistakes by now."""

import signal
import time
from pathlib import Path

import pytest

from busbar_harness import command_route, wait_until


@pytest.fixture
def stopped(busbar, publisher, sandbox):
    """A daemon that did some work, with a dead letter, and hangs."""
    daemon = busbar()
    sandbox.configure(unknown_equipments=["m-lost"])
    publisher.publish("plant/l1/m-lost/job", {"celsius": 1})
    wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the dead letter")
    daemon.process.send_signal(signal.SIGSTOP)
    yield daemon
    daemon.process.send_signal(signal.SIGCONT)


def test_a_daemon_that_hangs_is_not_called_down(stopped):
    pid = stopped.process.pid
    started = time.monotonic()
    shown = stopped.cli("status", expect=1)
    assert 4 < time.monotonic() - started < 10
    assert f"busbar runs (pid {pid}) but does not answer" in shown.stdout and "rejected 1" in shown.stdout
    assert f"runs (pid {pid}) but does not answer at 127.0.0.1:{stopped.admin_port} within 5 s" in shown.stderr
    for words in (("queue", "list"), ("audit",), ("targets", "list"), ("routes", "list"), ("queue", "retry", "--all")):
        told = stopped.cli(*words, expect=None)
        assert f"runs (pid {pid}) but does not answer" in told.stderr and "down" not in told.stderr + told.stdout, told
        assert told.returncode == (0 if words in (("queue", "list"), ("audit",)) else 1), told
    assert "m-lost" in stopped.cli("queue", "list").stdout


def test_what_was_asked_of_a_daemon_that_hangs_is_not_done_behind_ones_back(stopped):
    refused = stopped.cli("targets", "hold", "mw", expect=1)
    assert "may still be done: look with `busbar audit`" in refused.stderr, refused.stderr
    stopped.process.send_signal(signal.SIGCONT)
    wait_until(stopped.ready, 10)
    assert [target["state"] for target in stopped.json("targets", "list")["items"]] == ["up"]
    assert "hold" not in [row["what"] for row in stopped.json("audit")["items"]]


def test_a_daemon_that_is_down_is_called_down(busbar):
    """Its lock file still has a number in it."""
    daemon = busbar()
    daemon.kill()
    assert Path(daemon.config["store"]["path"] + ".lock").read_text().strip().isdigit()
    shown = daemon.cli("status")
    assert "the daemon is down" in shown.stdout and shown.stderr == ""
    assert "the daemon is down: start" in daemon.cli("targets", "resume", "mw", expect=1).stderr


def test_a_mistake_in_the_file_does_not_blind_who_asks(busbar):
    daemon = busbar()
    good = daemon.file.read_text()
    daemon.file.write_text(good.replace("routes:", "rotes:") + "colour: blue\n")
    daemon.cli("check", expect=1)
    assert daemon.cli("status", "--ready").stdout == "ready\n"
    for words in (("status",), ("queue", "list"), ("targets", "list"), ("routes", "list"), ("targets", "hold", "mw")):
        assert daemon.cli(*words).stderr == "", words
    daemon.kill()
    assert daemon.cli("queue", "list").stderr == ""
    assert "edge-01" in daemon.cli("status").stdout


def test_no_other_secret_than_the_token_is_opened(busbar):
    daemon = busbar(start=False)
    key, token = daemon.folder / "key", daemon.folder / "token"
    key.write_text("k")
    token.write_text("an-admin-token-of-some-length")
    for secret in (key, token):
        secret.chmod(0o600)
    daemon.config["targets"]["mw"]["api_key"] = "${file:key}"
    daemon.config["http"]["admin_token"] = "${file:token}"
    daemon.write()
    daemon.start()
    key.unlink()
    daemon.cli("check", expect=1)
    assert daemon.cli("status").stderr == ""
    token.unlink()
    refused = daemon.cli("status", expect=1)
    assert "secret file" in refused.stderr and "token' cannot be read" in refused.stderr, refused.stderr
