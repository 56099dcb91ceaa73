# SPDX-License-Identifier: Apache-2.0
"""The log and standard output: who does not read does not stop busbar, and what could not be written is no success."""

import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import tty

import pytest

from busbar_harness import BINARY, ROOT, command_route, wait_until

SAID = "lines of the log were lost, nobody read them"
WRONG = "routes:\n" + "".join(f"  - {{name: r{n}, wrong_key_number_{n}: 1}}\n" for n in range(400))


def a_pipe():
    return os.pipe()


def a_fifo(folder):
    os.mkfifo(folder / "fifo")
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    return reader, os.open(folder / "fifo", os.O_WRONLY)


def a_socket():
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


def a_terminal():
    reader, writer = pty.openpty()
    tty.setraw(writer)
    return reader, writer


KINDS = {"pipe": lambda folder: a_pipe(), "fifo": a_fifo, "socket": lambda folder: a_socket(),
         "terminal": lambda folder: a_terminal()}


def run_with(daemon, stderr):
    daemon.process = subprocess.Popen([str(BINARY), "run", "-c", str(daemon.file)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=stderr, env=daemon.environment(), cwd=daemon.folder)


def fill(daemon):
    """Reloads of a wrong file until a line is lost. It stays wrong, for reloads that are still under way: a good one would
    begin to count anew."""
    before = daemon.metrics().sum("busbar_log_lost_total")
    daemon.file.write_text(daemon.file.read_text().partition("routes:")[0] + WRONG)

    def again():
        daemon.process.send_signal(signal.SIGHUP)
        return daemon.metrics().sum("busbar_log_lost_total") > before
    wait_until(again, 60, "lost lines")


def read_until(reader, words):
    os.set_blocking(reader, False)
    text = b""

    def whole():
        return words in text and b"\n" in text[text.find(words):]

    def more():
        nonlocal text
        with contextlib.suppress(BlockingIOError):
            while not whole() and (some := os.read(reader, 1 << 20)):
                text += some
        return whole()
    wait_until(more, 60, words)
    return text.decode()


def unread(busbar):
    """A daemon whose log is full, and the end where nobody reads it."""
    daemon = busbar([command_route()], start=False)
    reader, writer = a_pipe()
    run_with(daemon, writer)
    os.close(writer)
    daemon.wait_ready()
    fill(daemon)
    return daemon, reader


@pytest.mark.parametrize("kind", KINDS)
def test_who_does_not_read_the_log_does_not_stop_the_daemon(busbar, sandbox, publisher, tmp_path, kind):
    daemon = busbar([command_route()], start=False)
    reader, writer = KINDS[kind](tmp_path)
    run_with(daemon, writer)
    shared = os.get_blocking(writer)
    daemon.wait_ready()
    good = shutil.copy(daemon.file, tmp_path / "good.yaml")
    assert shared and os.get_blocking(writer), "the others who write there want to wait"
    fill(daemon)
    assert daemon.get("/healthz").status == 200
    publisher.publish("plant/l1/m7/job", {"celsius": 1})
    wait_until(sandbox.tasks, 10, "a task")
    assert "mw" in daemon.cli("status", "-c", str(good), config=False).stdout
    os.close(writer)

    text = read_until(reader, SAID.encode())
    lines = text[:text.rindex("\n")].splitlines()
    told = next(line for line in lines if SAID in line)
    if kind != "terminal":
        whole = [json.loads(line) for line in lines]
        assert whole[0]["message"] == "starting"
        assert 0 < int(json.loads(told)["lines"]) <= daemon.metrics().sum("busbar_log_lost_total")
    fill(daemon)
    assert daemon.terminate() == 0
    os.close(reader)


def test_a_reload_tells_what_nobody_read_before_it(busbar):
    daemon, reader = unread(busbar)
    lost = daemon.metrics().sum("busbar_log_lost_total")
    started = daemon.api("GET", "status").json["started"]
    daemon.write()
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.ready() and daemon.api("GET", "status").json["started"] != started, 30, "a reload")
    assert daemon.metrics().sum("busbar_log_lost_total") >= lost
    text = read_until(reader, SAID.encode() + b'","lines":"')
    assert '"message":"the new configuration is wrong"' in text
    assert daemon.terminate() == 0
    os.close(reader)


def test_the_last_lines_wait_a_moment_for_their_reader(busbar):
    daemon, reader = unread(busbar)
    daemon.process.send_signal(signal.SIGTERM)
    read_until(reader, SAID.encode())  # behind all that was kept
    assert daemon.process.wait(20) == 0
    os.close(reader)


COMMANDS = [["--help"], ["--version"], ["queue", "--help"], ["status"], ["status", "--json"], ["targets", "list"],
            ["targets", "list", "--json"], ["routes", "list"], ["routes", "list", "--json"], ["queue", "list"],
            ["queue", "list", "--json"], ["orders", "list"], ["orders", "list", "--json"], ["audit"], ["audit", "--json"],
            ["check"], ["check", "--defaults"], ["handoff"], ["store", "check"], ["plugins", "list"],
            ["plugins", "list", "--json"], ["plugins", "show", "mobility_work"],
            ["plugins", "test", str(BINARY.parent / "plugins" / "http.so"), *map(str, sorted((ROOT / "plugins" / "http" / "cases").glob("*.case"))[:3])],
            ["try", "--topic", "plant/l1/m7/job", "--payload", '{"celsius": 1}'],
            ["try", "--topic", "plant/l1/m7/job", "--payload", '{"celsius": 1}', "--json"]]
NO_FILE = {"--help", "--version", "plugins"}


def call(daemon, words, **options):
    command = [str(BINARY), *words] + ([] if NO_FILE & {words[0], words[-1]} else ["-c", str(daemon.file)])
    return subprocess.run(command, stderr=subprocess.PIPE, env=daemon.environment(), cwd=daemon.folder, check=False,
                          timeout=60, **options)




def test_what_could_not_be_written_is_no_success(busbar, sandbox, publisher):
    daemon = busbar([command_route()])
    publisher.publish("plant/l1/m7/job", {"celsius": 1})
    wait_until(sandbox.tasks, 10, "a task")
    for words in COMMANDS:
        done = call(daemon, words, stdout=subprocess.PIPE)
        assert done.returncode == 0 and done.stdout, (words, done)
        with open("/dev/full", "wb") as full:
            done = call(daemon, words, stdout=full)
        assert done.returncode == 1 and b"busbar: cannot write standard output" in done.stderr, (words, done)


def test_a_reader_that_left_hears_nothing_more(busbar):
    """With SIGPIPE ignored too, as under some shells' parents: else the signal ends it."""
    daemon = busbar([command_route()])
    for keep in (False, True):
        for words in (["status"], ["queue", "list", "--json"], ["plugins", "show", "mobility_work"]):
            reader, writer = os.pipe()
            os.close(reader)
            done = call(daemon, words, stdout=writer, restore_signals=not keep)
            os.close(writer)
            assert done.returncode in ((0,) if keep else (0, -signal.SIGPIPE)) and done.stderr == b"", (words, done)


def test_what_is_missing_of_the_standard_streams_is_dev_null(busbar):
    daemon = busbar([command_route()], start=False)
    daemon.process = subprocess.Popen(["sh", "-c", f'exec "{BINARY}" run -c "{daemon.file}" <&- >&- 2>&-'],
                                      env=daemon.environment(), cwd=daemon.folder)
    daemon.wait_ready()
    links = [os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}") for fd in range(3)]
    assert links == ["/dev/null"] * 3, links
    assert daemon.terminate() == 0
