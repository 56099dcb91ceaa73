# SPDX-License-Identifier: Apache-2.0
"""Whoever does not belong stays out of the webhook door, and does not hold it shut for others. The attacks are in doors.py and
door_shapes.py, `tests/doors` prints their table at length; how long a genuine webhook waits is told there and not judged here,
where only a machine that is busy with other tests would be measured: here each must be answered."""

import ssl
import subprocess
import time

import pytest

import doors
from busbar_harness import BINARY, ROOT, listens, wait_until
from door_shapes import ask, fits, post, shapes

PATIENCE_MS = 15000  # a genuine webhook is answered at all
MEMORY = 160 << 20  # 512 places of 32 KiB, 32 MiB of bodies that are not whole, twice for what grows; and the store's pages


@pytest.fixture
def tls(tmp_path):
    """Settings of a listener with a certificate of its own."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key),
                    "-out", str(cert)], check=True, capture_output=True)
    key.chmod(0o600)
    return {"cert": str(cert), "key": str(key)}


@pytest.fixture
def tls_busbar(busbar, tls):
    daemon = busbar(start=False)
    daemon.config["http"]["tls"] = tls
    daemon.config["http"]["admin"] = None  # its probes speak plain HTTP
    daemon.write()
    daemon.start(ready=False)
    daemon.wait_up(lambda: listens(daemon.hook_port), 30, "does not listen")
    return daemon


def wrap(raw):
    return doors.trusting().wrap_socket(raw, server_hostname="localhost")


def test_shapes_that_no_honest_sender_uses(busbar, subscribe):  # settled 21
    events = subscribe("busbar/events/#")
    daemon = busbar()
    wrong, taken = [], 0
    for shape in shapes():
        statuses, closed, _, data = ask(daemon.hook_port, shape.request)
        taken += statuses.count(200)
        if not fits(statuses, shape.answers):
            wrong.append(f"{shape.name}: {statuses} instead of {shape.answers}: {data[:200]!r}")
        if statuses and statuses[-1] >= 400 and not closed:
            wrong.append(f"{shape.name}: refused, and what follows is read on")
    assert not wrong, "\n".join(wrong)
    wait_until(lambda: len(events.seen("busbar/events/mw/#")) == taken, 10, "an event for each 200")
    keys = [event["data"]["provider"]["raw"]["_idempotencyKey"] for event in events.payloads("busbar/events/mw/#")]
    assert not [key for key in keys if key.startswith("smuggled")]
    assert daemon.metrics().sum("busbar_webhooks_total", outcome="accepted") == taken


def judge(daemon, row):
    print(row.line())
    assert daemon.runs(), row.name
    assert not row.missed, (row.name, row.missed[:3])
    assert row.cut <= 1 + len(row.times) // 20, f"{row.name}: {row.cut} of {len(row.times)} were cut"
    assert row.times and row.of(1) < PATIENCE_MS, row.line()
    assert row.rss - row.rss_before < MEMORY, row.line()


@pytest.mark.slow
def test_attacks_hold_nobody_up(busbar, full):
    daemon = busbar()
    print("\n" + doors.HEADLINE)
    for name, run in doors.ATTACKS.items():
        judge(daemon, doors.attack(daemon, name, run, 20 if full else 2))
    wait_until(lambda: doors.Watch(daemon.process.pid).fds_before < 40, 20, "the attackers' descriptors to be closed")


@pytest.mark.slow
def test_attacks_over_tls_hold_nobody_up(tls_busbar, full):
    print("\n" + doors.HEADLINE)
    for name, run in {**doors.TLS_ATTACKS,
                      "shapes (door_shapes.py)": doors.ATTACKS["shapes (door_shapes.py)"]}.items():
        judge(tls_busbar, doors.attack(tls_busbar, f"{name}, over TLS", run, 20 if full else 2, tls=True))


IN_A_ROW = 60
NO_BEATS_S = 10  # the reactor looks around once a second, whatever comes: who waits for that would need several times as long


def test_what_was_heard_is_answered_in_the_same_turn(busbar):
    """Duplicates set off nothing that would wake the reactor: one in a row with others is answered all the same."""
    daemon = busbar()
    assert ask(daemon.hook_port, doors.genuine("again"))[0] == [200]
    statuses, _, seconds, _ = ask(daemon.hook_port, post("again") * (IN_A_ROW - 1) + doors.genuine("again"), wait=NO_BEATS_S)
    assert statuses == [200] * IN_A_ROW and seconds < NO_BEATS_S


def test_what_was_heard_over_tls_is_answered_in_the_same_turn(tls_busbar):
    start = time.monotonic()
    assert [ask(tls_busbar.hook_port, doors.genuine("again"), wrap)[0] for _ in range(IN_A_ROW)] == [[200]] * IN_A_ROW
    assert time.monotonic() - start < NO_BEATS_S


@pytest.mark.slow
def test_a_refusal_is_cheap(busbar):
    """A flood with bad signatures costs the door no more than as many genuine webhooks would."""
    daemon = busbar()
    cost = {}
    for name in ("genuine webhooks", "bad signatures", "unsigned"):
        run = {**doors.ATTACKS, **doors.COMPARED}[name]
        row = doors.attack(daemon, name, run, 3)
        cost[name] = row.cpu / (row.answered + len(row.times)) * 10000
    print({name: f"{seconds:.2f} s of processor for 10,000" for name, seconds in cost.items()})
    assert cost["bad signatures"] < 1.5 * cost["genuine webhooks"]
    assert cost["unsigned"] < 1.5 * cost["genuine webhooks"]


def test_a_flood_leaves_the_daemon_its_own_files(busbar, broker, sandbox, publisher):
    """With few descriptors to have, the doors get by with fewer: broker, store and targets go on."""
    daemon = busbar(start=False)
    daemon.launch(["prlimit", "--nofile=340:340", str(BINARY), "run", "-c", str(daemon.file)])
    daemon.wait_ready()
    assert "fewer connections than http.max_connections" in daemon.log.read_text()
    row = doors.attack(daemon, "idle connections", doors.ATTACKS["idle connections"], 2)
    judge(daemon, row)
    held = doors.Target(daemon.hook_port, 0, 200)
    connections = [held.connect() for _ in range(200)]
    broker.stop()
    wait_until(lambda: daemon.get("/readyz").status == 503, 10)
    broker.start()
    wait_until(daemon.ready, 30)
    publisher.client.reconnect()
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(sandbox.tasks, 20)
    assert "Too many open files" not in daemon.log.read_text()
    for connection in connections:
        connection.close()


def test_the_limit_of_files_is_raised_as_far_as_it_may(busbar):
    daemon = busbar(start=False)
    daemon.launch(["prlimit", "--nofile=200:5000", str(BINARY), "run", "-c", str(daemon.file)])
    daemon.wait_ready()
    with open(f"/proc/{daemon.process.pid}/limits", encoding="ascii") as limits:
        (line,) = [line for line in limits if line.startswith("Max open files")]
    assert int(line.split()[3]) == 2 * 512 + 256
    assert "fewer connections" not in daemon.log.read_text()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_from_1_2_on(tls_busbar, subscribe):
    for version, good in {"TLSv1": False, "TLSv1_1": False, "TLSv1_2": True, "TLSv1_3": True}.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = getattr(ssl.TLSVersion, version)
        context.set_ciphers("ALL:@SECLEVEL=0")  # what refuses is the other side
        request = post(version)
        if good:
            statuses, *_ = ask(tls_busbar.hook_port, request, lambda raw: context.wrap_socket(raw, server_hostname="localhost"))
            assert statuses == [200], version
        else:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                ask(tls_busbar.hook_port, request, lambda raw: context.wrap_socket(raw, server_hostname="localhost"))
    assert ask(tls_busbar.hook_port, post("plain"))[0] in ([], [400])  # plain HTTP on a TLS port


def test_tls_is_not_negotiated_again(tls_busbar):
    """A handshake is the dear part: a client may not ask for it again and again on one connection."""
    client = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{tls_busbar.hook_port}"], input=b"R\nR\nR\n",
                            capture_output=True, timeout=60, check=False)
    assert client.stderr.count(b"RENEGOTIATING") == 1 and b"verify return" in client.stderr.split(b"RENEGOTIATING")[0]
    assert b"verify return" not in client.stderr.split(b"RENEGOTIATING")[1]  # no second handshake came about
    assert ask(tls_busbar.hook_port, post("after"), wrap)[0] == [200]


def test_the_table_is_printed():
    done = subprocess.run([str(ROOT / "tests" / "doors"), "--seconds", "1", "--only", "unsigned"], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert doors.HEADLINE in done.stdout and "| unsigned |" in done.stdout and "doors: " in done.stdout
