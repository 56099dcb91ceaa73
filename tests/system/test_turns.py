# SPDX-License-Identifier: Apache-2.0
"""Nothing spins: where there is nothing to do but wait, the main loop sleeps. Its turns are counted (busbar_turns_total), so
that the machine's pace is no matter.

A second at rest has a turn for the upkeep, one for the watchdog's alarm, and a few for each of the two scrapes. A look every
10 ms makes 100 of it, a wait that returns at once thousands."""

import errno
import http.client
import json
import os
import random
import signal
import socket
import ssl
import sys
import time

import pytest

from busbar_harness import ROOT, SECRET, Metrics, hot_route, listens, sign, wait_until
from test_backlog import multiply
from test_batches import accepted, stock_route
from test_doors import tls  # noqa: F401
from test_hold import flood, held
from test_isolation import children, rogue, route  # noqa: F401

sys.path.insert(0, str(ROOT / "tests" / "disk"))
from disk import Disk  # noqa: E402

QUIET = 60  # turns a second
LOOKING = 2.5 * 100  # where the door looks every 10 ms
FOR_A_MESSAGE = 5  # turns, until the target has it and the broker its event
BACKLOG = 20000  # five times the queue's window
SCHEDULE = "task.schedule"


def turns(daemon):
    return daemon.metrics().sum("busbar_turns_total")


def in_a_second(daemon):
    before, began = turns(daemon), time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1, 60, "a second")
    return (turns(daemon) - before) / (time.monotonic() - began)


def is_quiet(daemon, most=QUIET):
    """The least of three seconds: what there was still to do is over then, what spins is not."""
    counts = []
    while len(counts) < 3 and min(counts, default=most) >= most:
        counts.append(in_a_second(daemon))
    print("turns a second:", *(f"{count:.0f}" for count in counts))
    assert 0 < min(counts) < most, counts
    return True


def still_open(daemon):
    metrics = daemon.metrics()
    return sum(metrics.sum("busbar_deliveries", state=state, target="mw") for state in ("pending", "retrying"))


def shown(daemon):
    return next(t for t in daemon.json("targets", "list")["items"] if t["name"] == "mw")


@pytest.fixture
def silent():
    """The port of a server that takes connections and what comes over them, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def black_hole(silent, **settings):
    return {"url": f"http://127.0.0.1:{silent}", "timeout": "60s", "concurrency": 4, **settings}


# ---- the target

def test_idle(busbar):
    is_quiet(busbar())


@pytest.mark.parametrize("what", [(), ("--operation", SCHEDULE)], ids=["the target", "an operation"])
def test_held(busbar, publisher, what):
    daemon = busbar()
    daemon.cli("targets", "hold", "mw", *what)
    flood(publisher, 200)
    wait_until(lambda: still_open(daemon) == 200, 10, "the queue")
    is_quiet(daemon)


def test_paused(busbar, sandbox, publisher):
    """It said when it wants to be asked again."""
    daemon = busbar()
    sandbox.fail("status", status=429, retry_after=3600)
    flood(publisher, 200)
    wait_until(lambda: sandbox.counts()["statuses"].get("429") and shown(daemon)["running"] == 0, 10, "the pause")
    assert is_quiet(daemon) and still_open(daemon) == 200


def test_limited(busbar, sandbox, publisher):
    daemon = busbar(target={"rate": "1/1m"})
    flood(publisher, 50)
    wait_until(sandbox.tasks, 10, "the first")
    assert is_quiet(daemon) and still_open(daemon) >= 48


def test_away(busbar, sandbox, publisher):
    """The breaker is open, all that failed waits for its next attempt."""
    daemon = busbar()
    sandbox.kill()
    flood(publisher, 200)
    wait_until(lambda: daemon.metrics().sum("busbar_target_breaker_open", target="mw") == 1, 20, "the breaker")
    assert is_quiet(daemon) and still_open(daemon) == 200


def test_black_hole(busbar, silent, publisher):
    """As many requests under way as may be, and a queue behind them."""
    daemon = busbar(target=black_hole(silent))
    flood(publisher, 200)
    wait_until(lambda: shown(daemon)["running"] == 4 and still_open(daemon) == 200, 10, "all places are taken")
    is_quiet(daemon)


def test_draining(busbar, sandbox, publisher):
    """What is under way has ten seconds to end; what falls due meanwhile is not begun."""
    daemon = busbar(target={"timeout": "60s"})
    sandbox.fail("hang", times=1, path="/partners/v1/tasks")
    sandbox.fail("status", status=503, path="/partners/v1/tasks")
    flood(publisher, 200)
    wait_until(lambda: daemon.metrics().sum("busbar_target_breaker_open", target="mw") == 1, 20, "the breaker")
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "draining" in daemon.tail(), 10, "the drain")
    assert is_quiet(daemon) and daemon.runs()


def test_writes_spent(busbar, sandbox, publisher):
    daemon = busbar(target={"max_writes": "10/1h"})
    flood(publisher, 200)
    wait_until(lambda: held(daemon) and shown(daemon)["running"] == 0, 10, "no more of them")
    assert is_quiet(daemon) and len(sandbox.tasks()) == 10


def test_batch_waits(busbar, sandbox, publisher):
    daemon = busbar([stock_route(batch={"wait": "60s"})])
    for n in range(200):
        publisher.send(f"erp/stock/P{n}", n)
    wait_until(lambda: accepted(daemon) == 200, 10, "the batch")
    assert is_quiet(daemon) and not sandbox.requests("/partners/v1/spare-parts/stock")


def test_triggers_wait(busbar, publisher):
    daemon = busbar([hot_route(**{"for": "60s", "cooldown": "60s"})])
    for n in range(200):
        publisher.send(f"plant/l1/m{n}/temperature", {"celsius": 91})
    wait_until(lambda: daemon.metrics().sum("busbar_messages_received_total") == 200, 10, "the readings")
    is_quiet(daemon)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["held", "operation held", "away", "black hole"])
@pytest.mark.parametrize("lanes", [1, BACKLOG])
def test_backlog_beyond_the_window(tmp_path, busbar, sandbox, silent, publisher, state, lanes):
    daemon = busbar(store={"path": str(tmp_path / "busbar.db")},
                    target=black_hole(silent) if state == "black hole" else None)
    daemon.cli("targets", "hold", "mw", *(("--operation", SCHEDULE) if state == "operation held" else ()))
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: still_open(daemon) == 1, 10)
    daemon.kill()
    multiply(tmp_path / "busbar.db", BACKLOG, lanes)
    daemon.start()
    if state == "away":
        sandbox.kill()
    if state in ("away", "black hole"):
        daemon.cli("targets", "resume", "mw")
    if state == "away":
        wait_until(lambda: daemon.metrics().sum("busbar_target_breaker_open", target="mw") == 1, 20, "the breaker")
    if state == "black hole":
        wait_until(lambda: shown(daemon)["running"] == min(lanes + 2, 4), 10, "with the first, and what it asks at start")
    assert is_quiet(daemon) and still_open(daemon) == BACKLOG


# ---- the broker

def test_broker_away(busbar, broker, sandbox, publisher):
    """With news that wait for it."""
    daemon = busbar()
    broker.stop()
    wait_until(lambda: not daemon.ready(), 10, "not ready")
    sandbox.send("TaskWasStarted", count=50)
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="bus", state="pending") > 0, 10, "news")
    is_quiet(daemon)


def test_broker_that_says_nothing(busbar, silent):
    daemon = busbar(start=False, bus={"url": f"mqtt://127.0.0.1:{silent}"})
    daemon.start(ready=False)
    wait_until(lambda: listens(daemon.admin_port), 10, "up")
    is_quiet(daemon)


# ---- a plugin in a process of its own

def cpu_ticks(pid):
    """Hundredths of a second; 0 of one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    except FileNotFoundError:
        return 0


def test_isolated_plugin_loops(rogue, publisher):  # noqa: F811
    daemon = rogue(isolate_timeout="30s")
    publisher.publish("do/bad", {"do": "loop"})
    (child,) = children(daemon.process.pid)
    wait_until(lambda: cpu_ticks(child) > 10, 60, "a tenth of a second of it")
    assert is_quiet(daemon) and children(daemon.process.pid) == [child]


def test_isolated_plugin_at_the_brink(rogue, publisher):  # noqa: F811
    """Its processor time is all but used up, and no more is used: it has ten times as long by the clock."""
    daemon = rogue([route(key="${.n}")], isolate_timeout="1s")
    for n in range(10):  # on a busy machine the clock may end one sooner: it stands behind all others
        publisher.publish("do/bad", {"do": "brink", "n": n})
    child = wait_until(lambda: next((c for c in children(daemon.process.pid) if cpu_ticks(c) > 95), None), 120, "the brink")
    assert is_quiet(daemon) and children(daemon.process.pid) == [child]


def test_isolated_plugin_in_its_restart_pause(rogue):  # noqa: F811
    """Each end without an answer between doubles the pause."""
    daemon = rogue()
    for n in range(7):
        (child,) = wait_until(lambda: children(daemon.process.pid), 20, "a child")
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: daemon.metrics().sum("busbar_plugin_restarts_total") == n + 1, 10, "its end")
    assert is_quiet(daemon) and not children(daemon.process.pid), "3.2 s"


# ---- the store

@pytest.mark.parametrize("what", ["what is due", "what was answered"])
def test_disk_that_takes_nothing(tmp_path, busbar, sandbox, publisher, what):
    """Attempts whose count, or whose verdict, cannot be stored, and messages that the broker keeps."""
    disk = Disk(tmp_path / "store", tmp_path / "aside", random.Random(1))
    daemon = busbar(start=False, store={"path": str(disk.folder / "busbar.db")})
    plain = daemon.environment
    daemon.environment = lambda: {**plain(), **disk.environment()}
    daemon.start()
    if what == "what is due":
        sandbox.kill()
    else:
        sandbox.fail("delay", seconds=2, path="/partners/v1/tasks")
    flood(publisher, 200)
    if what == "what is due":
        wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="mw", state="retrying") > 0, 20, "attempts")
    else:
        wait_until(lambda: shown(daemon)["running"] == 7, 20, "one of each machine")
    disk.control.set(write_errno=errno.ENOSPC)
    flood(publisher, 200)
    wait_until(lambda: daemon.metrics().sum("busbar_store_trouble") == 1 and not daemon.ready(), 20, "the trouble")
    if what == "what was answered":
        wait_until(lambda: sandbox.counts()["tasks"] == 7, 20, "the answers")
    is_quiet(daemon)


def test_full_store(busbar, publisher):
    daemon = busbar(store={"path": "busbar.db", "durability": "crash", "max_size": "1MiB"})
    daemon.cli("targets", "hold", "mw")
    flood(publisher, 3000)
    wait_until(lambda: not daemon.ready(), 20, "full")
    is_quiet(daemon)


# ---- the doors

def webhook(head, body=b""):
    return b"POST /hooks/mw HTTP/1.1\r\nHost: busbar\r\nContent-Type: application/json\r\n" + head + body


UNFINISHED = {
    "nothing": b"", "half a line": b"POST /hooks/mw HT", "half the headers": webhook(b"Content-Le"),
    "half the body": webhook(b"Content-Length: 100\r\n\r\n", b'{"_event":'),
    "half a chunk": webhook(b"Transfer-Encoding: chunked\r\n\r\n", b'64\r\n{"_event":'),
    "between two chunks": webhook(b"Transfer-Encoding: chunked\r\n\r\n", b'1\r\n{\r\n'),
    "half a chunk's size": webhook(b"Transfer-Encoding: chunked\r\n\r\n", b"6"),
}


@pytest.mark.parametrize("shape", UNFINISHED)
def test_half_open_request(busbar, shape):
    daemon = busbar()
    with socket.create_connection(("127.0.0.1", daemon.hook_port)) as client:
        client.sendall(UNFINISHED[shape])
        is_quiet(daemon)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)  # neither answered nor closed meanwhile


def knock(connection):
    body = json.dumps({"_event": "TaskWasStarted", "_idempotencyKey": "1", "taskId": "t"}).encode()
    connection.request("POST", "/hooks/mw", body, {"Content-Type": "application/json", "X-MW-Signature": sign(SECRET, body)})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200


def test_kept_alive_connection(busbar):
    daemon = busbar()
    connection = http.client.HTTPConnection("127.0.0.1", daemon.hook_port)
    knock(connection)
    is_quiet(daemon)
    knock(connection)
    connection.close()


def test_full_door(busbar):
    """It looks for who waits outside."""
    daemon = busbar(start=False)
    daemon.config["http"].update(max_connections=8, max_connections_per_ip=8)
    daemon.write()
    daemon.start()
    clients = [socket.create_connection(("127.0.0.1", daemon.hook_port)) for _ in range(8)]
    is_quiet(daemon, LOOKING)
    for client in clients:
        client.close()


@pytest.fixture
def behind_tls(busbar, tls):  # noqa: F811
    """A daemon that is scraped over TLS, and the context to speak to it."""
    context = ssl.create_default_context(cafile=tls["cert"])
    daemon = busbar(start=False)
    daemon.config["http"]["tls"] = tls
    daemon.write()

    def metrics():
        connection = http.client.HTTPSConnection("127.0.0.1", daemon.admin_port, context=context)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return Metrics(text)

    daemon.metrics = metrics
    daemon.start(ready=False)
    wait_until(lambda: listens(daemon.admin_port) and metrics().sum("busbar_bus_connected") == 1, 20, "up")
    return daemon, context


def test_kept_alive_connection_over_tls(behind_tls):
    daemon, context = behind_tls
    connection = http.client.HTTPSConnection("127.0.0.1", daemon.hook_port, context=context)
    knock(connection)
    is_quiet(daemon)
    knock(connection)
    connection.close()


@pytest.mark.parametrize("shape", ["half a hello", "nothing", "half the headers", "half the body", "half a chunk"])
def test_half_open_request_over_tls(behind_tls, shape):
    daemon, context = behind_tls
    with socket.create_connection(("127.0.0.1", daemon.hook_port)) as raw:
        if shape == "half a hello":
            raw.sendall(b"\x16\x03\x01\x02\x00\x01")
            is_quiet(daemon, LOOKING)  # libmicrohttpd would be run again and again
            return
        with context.wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(UNFINISHED[shape])
            is_quiet(daemon)


# ---- at work

def test_carrying_takes_a_few_turns_a_message(busbar, sandbox, subscribe, publisher):
    daemon, count = busbar(), 3000
    before = turns(daemon)
    flood(publisher, count)
    wait_until(lambda: sandbox.counts()["tasks"] == count, 120, "all of them")
    wait_until(lambda: still_open(daemon) == 0, 10, "their verdicts")
    taken = (turns(daemon) - before) / count
    print(f"{taken:.2f} turns a message")
    assert 0 < taken < FOR_A_MESSAGE
