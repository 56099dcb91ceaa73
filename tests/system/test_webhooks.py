# SPDX-License-Identifier: Apache-2.0
"""The door: the vectors of the contract, and what is refused with which status and leaves no event."""

import json
import socket
import time

import pytest

from busbar_harness import SECRET, http_call, sign, wait_until

NONCE = "752c14ea195c460bac3c3b7896975ee9fd15eeb7"
STARTED = b'{"_event":"TaskWasStarted","taskId":"32828f62"}'
VECTORS = {  # MW-S02..S06; times are from 2022, so the tolerance is off for them
    "V1": (SECRET, STARTED, "f0e9c19139d417b9905421b7bf593a109451d5ed720ff2090eb884b06d976965", 200),
    "V2": (SECRET, '{"_event":"TaskWasStarted","taskId":"été-1"}'.encode(),
           "9ac8581870f67c6b63862d2a03dc1c021d787bc1e0b5722979463af82ca7c235", 200),
    # V3 is genuine, but an empty body is no JSON object: the signature passes, the door says 400 (settled 21).
    "V3": (SECRET, b"", "e504e5de8d88713e13000f33206b653e6b5b67a9c3da84c8405e56201ab5492c", 400),
    "V4": ("k" * 100, STARTED, "021fd9ce40914d4f3b76648f1f2f042e2a798fd92a48dc7147ee27b37f9f19b8", 200),
}


@pytest.fixture
def door(busbar, subscribe):
    """A daemon with its events; door.quiet() proves that nothing but the marker event came out."""
    events = subscribe("busbar/events/#")
    daemon = busbar()
    daemon.events = events

    def nothing_but(keys):
        marker = f"marker-{time.time()}"
        assert daemon.hook(json.dumps({"_event": "SparePartWasConsumed", "_idempotencyKey": marker}).encode()).status \
            == 200
        wait_until(lambda: marker in found(), 10, "the marker event")  # later than all that came before
        assert found() == [*keys, marker]

    def found():
        return [e["data"]["provider"]["raw"].get("_idempotencyKey") for e in events.payloads()]

    daemon.nothing_but = nothing_but
    return daemon


@pytest.mark.parametrize("vector", VECTORS)
def test_vector(busbar, subscribe, vector):
    secret, body, signature, status = VECTORS[vector]
    events = subscribe("busbar/events/#")
    daemon = busbar(target={"webhook_secret": secret, "webhook_tolerance": "0s"})
    header = {"X-MW-Signature": f"t=1660338149,nonce={NONCE},signature={signature}"}
    answer = daemon.hook(body, secret=None, headers=header)
    assert answer.status == status, answer.body
    if status == 200:
        events.wait("busbar/events/mw/#")
    for wrong in (signature[:-1] + ("0" if signature[-1] != "0" else "1"), signature.upper(), signature[:-2], ""):
        header = {"X-MW-Signature": f"t=1660338149,nonce={NONCE},signature={wrong}"}
        assert daemon.hook(body, secret=None, headers=header).status == 401, wrong


def webhook(key, **members):
    return json.dumps({"_event": "SparePartWasConsumed", "_idempotencyKey": key, **members}).encode()


def test_a_genuine_webhook_is_taken_once(door):
    body, when = webhook("a"), int(time.time())
    assert [door.hook(body, when=when, nonce=NONCE).status for _ in range(3)] == [200, 200, 200]  # a replay: no effect
    assert door.hook(body).status == 200  # the same under a new nonce: the vendor's retry
    door.nothing_but(["a"])


def test_one_key_of_two_events_is_two_events(door):  # settled 20: the vendor's samples share one key
    for event in ("SparePartWasConsumed", "SparePartWasRestocked"):
        assert door.hook(json.dumps({"_event": event, "_idempotencyKey": "same"}).encode()).status == 200
    door.nothing_but(["same", "same"])


def test_without_a_key_the_body_is_the_key(door):  # U5
    for _ in range(2):
        assert door.hook(b'{"_event":"SparePartWasConsumed","quantity":1}').status == 200
    assert door.hook(b'{"_event":"SparePartWasConsumed","quantity":2}').status == 200
    door.nothing_but([None, None])


REFUSED = {  # name -> (body, headers or None: signed well, status)
    "unsigned": (webhook("x"), {}, 401),
    "wrong-secret": (webhook("x"), {"X-MW-Signature": sign("other", webhook("x"))}, 401),
    "changed-byte": (webhook("y"), {"X-MW-Signature": sign(SECRET, webhook("x"))}, 401),
    "pretty-printed-later": (json.dumps(json.loads(webhook("x")), indent=1).encode(),
                             {"X-MW-Signature": sign(SECRET, webhook("x"))}, 401),  # MW-S05: the raw bytes count
    "under-api-key": (webhook("x"), {"Api-Key": sign(SECRET, webhook("x"))}, 401),  # MW-S01
    "stale": (webhook("x"), {"X-MW-Signature": sign(SECRET, webhook("x"), int(time.time()) - 4000)}, 401),  # U2
    "from-the-future": (webhook("x"), {"X-MW-Signature": sign(SECRET, webhook("x"), int(time.time()) + 4000)}, 401),
    "no-time": (webhook("x"), {"X-MW-Signature": sign(SECRET, webhook("x")).partition(",")[2]}, 401),
    "time-changed": (webhook("x"), {"X-MW-Signature": sign(SECRET, webhook("x"), 1).replace(
        "t=1,", f"t={int(time.time())},")}, 401),
    "empty-header": (webhook("x"), {"X-MW-Signature": ""}, 401),
    "garbage-header": (webhook("x"), {"X-MW-Signature": "Bearer 12345"}, 401),
    "doubled-pair": (webhook("x"), {"X-MW-Signature": sign(SECRET, webhook("x")) + ",t=1"}, 401),  # U1
    "no-json": (b"_event=TaskWasStarted", None, 400),
    "no-object": (b'["TaskWasStarted"]', None, 400),
    "no-event": (b'{"taskId":"1"}', None, 400),
    "event-no-text": (b'{"_event":7}', None, 400),
    "cut-json": (b'{"_event":"TaskWasStarted"', None, 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(door, name):
    body, headers, status = REFUSED[name]
    answer = door.hook(body, secret=SECRET if headers is None else None, headers=headers)
    assert answer.status == status, answer.body
    door.nothing_but([])
    assert door.metrics().sum("busbar_webhooks_total", target="mw") \
        > door.metrics().sum("busbar_webhooks_total", target="mw", outcome="accepted")


def test_a_refusal_does_not_burn_the_nonce(door):  # U3
    body, when = webhook("a"), int(time.time())
    bad = sign(SECRET, body, when, NONCE)[:-4] + "0000"
    assert door.hook(body, secret=None, headers={"X-MW-Signature": bad}).status == 401
    assert door.hook(body, when=when, nonce=NONCE).status == 200
    door.nothing_but(["a"])


def test_other_paths_and_methods(door):  # settled 21
    body = webhook("x")
    assert door.hook(body, target="nobody").status == 404
    assert http_call(door.hook_port, "POST", "/", body).status == 404
    assert http_call(door.hook_port, "GET", "/metrics").status in (404, 405)
    assert door.hook(b"", method="GET").status == 405
    assert door.hook(body, method="PUT").status == 405
    door.nothing_but([])


def test_a_body_that_is_too_large(door):  # 413, U21
    body = webhook("x", filler="y" * (1 << 20))
    head = f"POST /hooks/mw HTTP/1.1\r\nHost: x\r\nX-MW-Signature: {sign(SECRET, body)}\r\nContent-Length: {len(body)}"
    assert raw(door.hook_port, head.encode() + b"\r\n\r\n", body) == 413
    door.nothing_but([])


def test_a_length_that_is_too_large_is_refused_before_the_body(door):
    assert raw(door.hook_port, b"POST /hooks/mw HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n") == 413
    door.nothing_but([])


def raw(port, request, body=b"", timeout=10):
    """Bytes as they are; answers the status. A server may answer and close before it read the body."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(request)
        try:
            connection.sendall(body)
        except BrokenPipeError:
            pass
        answer = b""
        while b"\r\n" not in answer:
            part = connection.recv(4096)
            if not part:
                break
            answer += part
    return int(answer.split()[1]) if answer else None


def test_a_body_without_length(door):  # 411
    assert raw(door.hook_port, b"POST /hooks/mw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") in (400, 411)
    door.nothing_but([])


def test_a_head_that_is_too_large(door):  # 431
    head = b"POST /hooks/mw HTTP/1.1\r\nHost: x\r\n" + b"X-Filler: " + b"y" * 200_000 + b"\r\n\r\n"
    try:
        assert raw(door.hook_port, head) in (431, None)
    except ConnectionError:
        pass  # closed while we still wrote: refused as well
    door.nothing_but([])


def test_a_secret_per_event_and_rotation(busbar, subscribe):  # settled 20
    events = subscribe("busbar/events/#")
    daemon = busbar(target={"webhook_secret": ["new-secret", "old-secret"]})
    assert daemon.hook(webhook("a"), secret="old-secret").status == 200
    assert daemon.hook(webhook("b"), secret="new-secret").status == 200
    assert daemon.hook(webhook("c"), secret=SECRET).status == 401
    events.wait("busbar/events/mw/#", 2)


def test_unsigned_only_when_allowed(busbar, subscribe):  # U4
    events = subscribe("busbar/events/#")
    daemon = busbar(target={"webhook_secret": None, "allow_unsigned": True})
    assert daemon.hook(webhook("a"), secret=None).status == 200
    events.wait("busbar/events/mw/#", 1)


def test_the_door_stays_open_without_a_broker(busbar, broker, subscribe):  # settled 21
    daemon = busbar()
    broker.kill()
    wait_until(lambda: daemon.get("/readyz").status == 503, 10)
    assert daemon.hook(webhook("a")).status == 200
    broker.start()
    events = subscribe("busbar/events/#")
    events.wait("busbar/events/mw/#", 1, 30)


def test_the_answer_is_quick(door):  # U7: within 2 s, also when the target is slow
    times = []
    for n in range(50):
        start = time.monotonic()
        assert door.hook(webhook(f"k{n}")).status == 200
        times.append(time.monotonic() - start)
    assert max(times) < 2
