# SPDX-License-Identifier: Apache-2.0
"""The door: the vectors of the contract, and what is refused with which status and leaves no event."""

import hmac
import json
import socket
import time

import pytest

from busbar_harness import SECRET, http_call, sign, wait_until

NONCE = "752c14ea195c460bac3c3b7896975ee9fd15eeb7"
STARTED = b'{"_event":"TaskWasStarted","taskId":"32828f62"}'
VECTORS = {  # times are from 2022, so the tolerance is off for them
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
def test_vector(busbar, subscribe, vector):  # MW-S01..S05
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


def pairs(age=0, when=None, nonce=NONCE, signature=None, signed="{t}.{nonce}.{body}", algorithm="sha256", body=None):
    """The header, made by hand: each rule of the signature can be broken alone."""
    when = int(time.time()) - age if when is None else when
    text = signed.format(t=when, nonce=nonce, body=(webhook("x") if body is None else body).decode())
    made = hmac.new(SECRET.encode(), text.encode(), algorithm).hexdigest()
    return {"t": when, "nonce": nonce, "signature": signature(made) if signature else made}


def header(given, order=("t", "nonce", "signature"), more=""):
    return {"X-MW-Signature": ",".join(f"{name}={given[name]}" for name in order) + more}


TAKEN = {  # made when they are sent. MW-S02, U1: pairs by their names, unknown ones ignored
    "as-documented": lambda: header(pairs()),
    "another-order": lambda: header(pairs(), ("signature", "t", "nonce")),
    "an-unknown-pair": lambda: header(pairs(), more=",v=2"),
    "a-short-nonce": lambda: header(pairs(nonce="7")),
    "beside-an-api-key": lambda: {**header(pairs()), "Api-Key": "t=1,nonce=2,signature=3"},  # MW-S01
    "a-clock-that-is-late": lambda: header(pairs(age=200)),  # MW-S06
    "a-clock-that-is-early": lambda: header(pairs(age=-200)),
}


def test_what_the_signature_allows_is_taken(door):  # MW-S01, MW-S02, MW-S06
    assert {name: door.hook(webhook("x"), secret=None, headers=make()).status for name, make in TAKEN.items()} \
        == dict.fromkeys(TAKEN, 200)
    door.nothing_but(["x"])  # one event, however often it comes


BROKEN = {  # each rule of the signature broken alone
    "unsigned": lambda: {},
    "empty": lambda: {"X-MW-Signature": ""},
    "no-pairs": lambda: {"X-MW-Signature": "Bearer 12345"},
    "under-api-key": lambda: {"Api-Key": header(pairs())["X-MW-Signature"]},  # MW-S01
    "no-t": lambda: header(pairs(), ("nonce", "signature")),  # MW-S02
    "no-nonce": lambda: header(pairs(), ("t", "signature")),
    "no-signature": lambda: header(pairs(), ("t", "nonce")),
    "t-twice": lambda: header(pairs(), more=",t=1"),  # U1
    "t-no-number": lambda: header(pairs(when="soon")),
    "t-in-ms": lambda: header(pairs(when=int(time.time() * 1000))),
    "semicolons": lambda: {"X-MW-Signature": header(pairs())["X-MW-Signature"].replace(",", ";")},
    "nonce-first": lambda: header(pairs(signed="{nonce}.{t}.{body}")),  # MW-S03
    "no-dots": lambda: header(pairs(signed="{t}{nonce}{body}")),
    "body-alone": lambda: header(pairs(signed="{body}")),
    "other-nonce": lambda: header({**pairs(), "nonce": "0" * 40}),
    "sha1": lambda: header(pairs(algorithm="sha1")),  # MW-S04
    "sha512": lambda: header(pairs(algorithm="sha512")),
    "upper-case": lambda: header(pairs(signature=str.upper)),
    "cut": lambda: header(pairs(signature=lambda made: made[:-2])),
    "longer": lambda: header(pairs(signature=lambda made: made + "00")),
    "nothing": lambda: header(pairs(signature=lambda made: "")),
    "of-another-secret": lambda: {"X-MW-Signature": sign("other", webhook("x"))},
    "of-another-time": lambda: header({**pairs(age=9), "t": int(time.time())}),
    "of-another-body": lambda: header(pairs(body=webhook("y"))),  # MW-S05
    "of-the-same-json": lambda: header(pairs(body=json.dumps(json.loads(webhook("x")), indent=1).encode())),
    "other-header": lambda: {"X-Signature": header(pairs())["X-MW-Signature"]},  # MW-S01
    "too-old": lambda: header(pairs(age=4000)),  # MW-S06
    "too-new": lambda: header(pairs(age=-4000)),
}


def test_what_breaks_a_rule_of_the_signature_is_refused(door):  # MW-S01..S06
    assert {name: door.hook(webhook("x"), secret=None, headers=make()).status for name, make in BROKEN.items()} \
        == dict.fromkeys(BROKEN, 401)
    door.nothing_but([])
    assert door.metrics().sum("busbar_webhooks_total", target="mw") == len(BROKEN) + 1  # the marker
    assert door.metrics().sum("busbar_webhooks_total", target="mw", outcome="accepted") == 1


REFUSED = {  # signed well
    "no-json": b"_event=TaskWasStarted",
    "no-object": b'["TaskWasStarted"]',
    "no-event": b'{"taskId":"1"}',
    "event-no-text": b'{"_event":7}',
    "cut-json": b'{"_event":"TaskWasStarted"',
}


def test_what_is_no_event_is_refused(door):  # MW-W00, settled 21
    assert {name: door.hook(body).status for name, body in REFUSED.items()} == dict.fromkeys(REFUSED, 400)
    door.nothing_but([])


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
