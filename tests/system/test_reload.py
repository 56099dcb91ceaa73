# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: a new configuration without a gap, and a wrong one without harm (settled 34)."""

import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from busbar_harness import free_port, http_call, wait_until
from flood import each_became_one_task, flood, numbered


def lines(daemon, message):
    return [json.loads(line) for line in daemon.tail(100_000).splitlines()
            if line.startswith("{") and json.loads(line).get("message") == message]


def hang_up(daemon, good):
    """SIGHUP, and what is said of it when it is over."""
    said = "ready" if good else "SIGHUP: the old configuration stays in force"
    before = len(lines(daemon, said))
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(lines(daemon, said)) > before or not daemon.runs(), 30, said)
    assert daemon.runs(), daemon.tail()


def test_a_changed_file_is_in_force_and_the_process_stays(busbar, sandbox, publisher):
    daemon = busbar([numbered()])
    pid, started = daemon.process.pid, daemon.api("GET", "status").json["started"]
    daemon.config["routes"][0]["from"] = "elsewhere/{line}/{asset}/job"
    daemon.write()
    hang_up(daemon, good=True)
    publisher.send("plant/l1/m1/job", {"n": 1})
    publisher.publish("elsewhere/l1/m1/job", {"n": 2})
    wait_until(sandbox.tasks, 10, "a task")
    assert [task["body"]["description"] for task in sandbox.tasks()] == ["command 2"], "no longer subscribed to plant/"
    assert daemon.process.pid == pid and daemon.api("GET", "status").json["started"] != started
    assert daemon.terminate() == 0


def test_a_wrong_file_changes_nothing_and_says_where(busbar, sandbox, publisher):
    daemon = busbar([numbered()])
    started = daemon.api("GET", "status").json["started"]
    good = daemon.file.read_text()
    daemon.file.write_text(good.replace("mw.task.schedule", "mw.task.schedul"))
    hang_up(daemon, good=False)
    (problem,) = lines(daemon, "the new configuration is wrong")
    assert f"{daemon.file}:" in problem["problem"] and "did you mean 'task.schedule'" in problem["problem"]
    daemon.file.write_text("routes: [")
    hang_up(daemon, good=False)
    daemon.file.unlink()
    hang_up(daemon, good=False)
    assert len(lines(daemon, "the new configuration is wrong")) >= 3
    publisher.publish("plant/l1/m1/job", {"n": 1})
    wait_until(sandbox.tasks, 10, "a task by the old configuration")
    assert daemon.api("GET", "status").json["started"] == started


def test_nothing_is_lost_or_doubled_by_fifty_reloads_in_a_flood(busbar, sandbox, publisher, full):
    reloads = 50 if full else 12
    daemon = busbar([numbered()])
    good = daemon.file.read_text()
    with flood(publisher, 100) as sent:
        for n in range(reloads):
            daemon.file.write_text(good if n % 2 else good.replace("task.schedule", f"task.schedule{n}"))
            hang_up(daemon, good=n % 2 == 1)
    each_became_one_task(daemon, sandbox, sent)
    wrong = [line["problem"] for line in lines(daemon, "the new configuration is wrong")]
    assert len(wrong) == reloads // 2 and all("task.schedule" in problem for problem in wrong)
    print(f"{reloads} reloads, {len(sent)} messages: none lost, none doubled")


def test_the_doors_stay_open(busbar, sandbox, publisher):
    """A webhook that comes while nobody is there waits in the listening socket; no connection is refused."""
    daemon = busbar([numbered()])
    over, statuses = threading.Event(), []

    def knock():
        n = 0
        while not over.is_set():
            n += 1
            body = json.dumps({"_event": "TaskWasStarted", "_idempotencyKey": f"k{n}", "networkId": "x"}).encode()
            try:
                statuses.append(daemon.hook(body).status)
            except ConnectionRefusedError:
                statuses.append("refused")
            except (ConnectionError, OSError):
                statuses.append("cut")  # the vendor sends it again

    knocking = threading.Thread(target=knock)
    knocking.start()
    for _ in range(5):
        hang_up(daemon, good=True)
    over.set()
    knocking.join()
    assert "refused" not in statuses and set(statuses) <= {200, "cut"}, collections.Counter(statuses)
    assert statuses.count(200) > 20 and statuses.count("cut") <= 5, collections.Counter(statuses)


def test_a_new_address_is_listened_on_and_the_old_one_given_up(busbar, sandbox):
    daemon = busbar([numbered()])
    old, new = daemon.hook_port, free_port()
    daemon.config["http"]["webhooks"] = f"127.0.0.1:{new}"
    daemon.write()
    hang_up(daemon, good=True)
    assert http_call(new, "GET", "/hooks/mw").status == 405
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old), 2)


def test_a_wider_address_with_the_same_port_is_listened_on(busbar, sandbox):
    """What the old process listened on must not be in the way of the new."""
    daemon = busbar([numbered()])
    daemon.config["http"]["webhooks"] = f"0.0.0.0:{daemon.hook_port}"
    daemon.write()
    hang_up(daemon, good=True)
    assert http_call(daemon.hook_port, "GET", "/hooks/mw").status == 405


def test_an_address_that_is_taken_changes_nothing(busbar, sandbox, publisher):
    daemon = busbar([numbered()])
    old = daemon.hook_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon.config["http"]["webhooks"] = f"127.0.0.1:{port}"
        daemon.write()
        hang_up(daemon, good=False)
        (problem,) = lines(daemon, "the new configuration is wrong")
        assert f"127.0.0.1:{port}" in problem["reason"] and "in use" in problem["reason"]
        assert http_call(old, "GET", "/hooks/mw").status == 405
    hang_up(daemon, good=True)  # free now
    assert http_call(port, "GET", "/hooks/mw").status == 405


def test_a_store_that_cannot_be_opened_changes_nothing(busbar, sandbox, publisher):
    daemon = busbar([numbered()])
    other = pathlib.Path(daemon.config["store"]["path"]).with_name("other.db")
    other.write_text("no database at all, " * 100)
    other.chmod(0o600)
    daemon.config["store"]["path"] = str(other)
    daemon.write()
    hang_up(daemon, good=False)
    (problem,) = lines(daemon, "the new configuration is wrong")
    assert str(other) in problem["reason"] and "not a database" in problem["reason"]
    publisher.publish("plant/l1/m1/job", {"n": 1})
    wait_until(sandbox.tasks, 10, "a task by the old configuration")


def test_who_moves_says_goodbye_where_it_was(busbar, broker, subscribe):
    status = subscribe("busbar/status/#")
    daemon = busbar([numbered()])
    status.wait("busbar/status/edge-01", 1)
    daemon.config["instance"] = "edge-02"
    daemon.write()
    hang_up(daemon, good=True)
    status.wait("busbar/status/edge-02", 1)
    assert [payload["status"] for payload in status.payloads("busbar/status/edge-01")] == ["online", "offline"]
    assert status.payloads("busbar/status/edge-02")[-1]["status"] == "online"


def make_certificate(folder, name, host="localhost"):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", f"/CN={host}"], check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


def test_a_certificate_that_is_half_renewed_changes_nothing(busbar, sandbox, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("LOUD: no openssl to make a certificate with")
    (cert, _), (_, other) = make_certificate(tmp_path, "new"), make_certificate(tmp_path, "old")
    daemon = busbar([numbered()])
    daemon.config["http"]["tls"] = {"cert": str(cert), "key": str(other)}
    daemon.write()
    hang_up(daemon, good=False)
    (problem,) = lines(daemon, "the new configuration is wrong")
    assert f"{daemon.file}:" in problem["problem"] and "belong together" in problem["problem"]
    assert daemon.api("GET", "status").status == 200
    daemon.config["http"]["tls"]["key"] = str(cert.with_suffix(".key"))
    daemon.write()
    hang_up(daemon, good=True)


def test_the_command_line_finds_a_daemon_whose_certificate_names_its_public_host(busbar, sandbox, tmp_path):
    """And the health check of the image, which is a command too."""
    if shutil.which("openssl") is None:
        pytest.skip("LOUD: no openssl to make a certificate with")
    cert, key = make_certificate(tmp_path, "public", "busbar.plant.example")
    daemon = busbar([numbered()])
    daemon.config["http"]["tls"] = {"cert": str(cert), "key": str(key)}
    daemon.write()
    hang_up(daemon, good=True)
    assert daemon.cli("status", "--ready").stdout == "ready\n"
    make_certificate(tmp_path, "public", "busbar.plant.example")  # another one than the daemon serves with
    assert "gives no answer" in daemon.cli("status", "--ready", expect=1).stdout


def test_the_bus_is_not_told_that_we_are_gone(busbar, broker, subscribe):
    status = subscribe("busbar/status/edge-01")
    daemon = busbar([numbered()])
    status.wait("busbar/status/edge-01", 1)
    hang_up(daemon, good=True)
    status.wait("busbar/status/edge-01", 2)
    assert {payload["status"] for payload in status.payloads()} == {"online"}
    assert daemon.terminate() == 0
    status.wait("busbar/status/edge-01", 3)
    assert status.payloads()[-1]["status"] == "offline"


EARLY = """\
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
int isatty(int fd) /* what the daemon asks first of all */
{
    const char *number = getenv("EARLY_SIGNAL");
    (void)fd;
    if (number != NULL)
        kill(getpid(), atoi(number));
    unsetenv("EARLY_SIGNAL"); /* once, also where the program becomes itself anew */
    return 0;
}
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anybody_listens_waits(busbar, tmp_path, number):
    """In the first lines of `busbar run`: a SIGHUP is a reload once it runs, a SIGTERM a clean end."""
    source, library = tmp_path / "early.c", tmp_path / "early.so"
    source.write_text(EARLY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    daemon = busbar(start=False)
    plain = daemon.environment
    daemon.environment = lambda: {**plain(), "LD_PRELOAD": str(library), "EARLY_SIGNAL": str(int(number))}
    if number == signal.SIGHUP:
        daemon.start()
        wait_until(lambda: len(lines(daemon, "starting")) == 2 and daemon.ready(), 20, "the reload")
        assert daemon.terminate() == 0 and len(lines(daemon, "reloading")) == 1
    else:
        daemon.start(ready=False)
        assert daemon.process.wait(20) == 0 and lines(daemon, "stopping"), daemon.tail()


def test_systemd_is_told(busbar, sandbox, tmp_path, monkeypatch):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        daemon = busbar([numbered()])

        def hear(word):
            while True:
                for line in listener.recv(4096).decode().splitlines():
                    if line == word:
                        return

        for word in ("READY=1", "STATUS=ready", "WATCHDOG=1", "WATCHDOG=1"):
            hear(word)
        os.kill(daemon.process.pid, signal.SIGHUP)
        for word in ("RELOADING=1", "READY=1", "STATUS=ready"):
            hear(word)
        daemon.process.send_signal(signal.SIGTERM)
        hear("STOPPING=1")
        assert daemon.process.wait(20) == 0
