# SPDX-License-Identifier: Apache-2.0
"""Every text of json_corpus.py as a payload and as a webhook: taken as it is, or refused with its reason; none is lost, and
nothing ends."""

import json
import math

import pytest

from busbar_harness import http_call, wait_until
from json_corpus import corpus
from test_inputs import assert_ledger

CASES = corpus()


def same(left, right):
    """Equal, to the kind of its numbers: what is beyond a double is as it is beside another such."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, float) and isinstance(right, float):
        return left == right or math.isnan(left) and math.isnan(right)
    return type(left) is type(right) and left == right


def test_the_corpus_is_what_it_says():
    """Held against another reader, which takes more: NaN, Infinity, halves of surrogate pairs, names with a NUL, any depth."""
    assert len(CASES) >= 318 and {name[0] for name in CASES} == set("yni")
    lenient = {name for name, (text, _) in CASES.items() if name[0] == "n" and (b"NaN" in text or b"Infinity" in text)}
    for name, (text, _) in CASES.items():
        if name[0] == "y":
            json.loads(text)
        elif name[0] == "n" and name not in lenient:
            with pytest.raises((ValueError, RecursionError)):
                json.loads(text)


def test_as_payloads(desk_busbar, desk, publisher):
    route = {"name": "raw", "from": "corpus/{case}", "format": "json", "to": "desk.work_order.create",
             "body": {"case": "${case}", "raw": "${.}"}}
    daemon = desk_busbar([route], concurrency=8)
    for name, (text, _) in CASES.items():
        publisher.send(f"corpus/{name}", text)
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total") == len(CASES), 30, "every payload to be counted")
    taken = {name for name, (_, reason) in CASES.items() if reason is None}
    wait_until(lambda: len(desk.sent("POST")) >= len(taken), 30, "what was taken to arrive")
    came = {body["case"]: body["raw"] for _, _, body in desk.sent("POST")}
    assert came.keys() == taken
    for name, raw in came.items():
        assert same(raw, json.loads(CASES[name][0])), name
    dead = daemon.api("GET", "deliveries?state=rejected&limit=1000").json["items"]
    assert {d["topic"].removeprefix("corpus/") for d in dead} < CASES.keys() - taken
    assert sum(1 + d["repeats"] for d in dead) == len(CASES) - len(taken)  # after ten of one reason, the rest is counted on one
    for letter in dead:
        name = letter["topic"].removeprefix("corpus/")
        message = letter["error"]["message"]
        assert "the payload is no JSON: it " in message and CASES[name][1] in message, (name, message)
        assert daemon.api("GET", f"deliveries/{letter['id']}").json["id"] == letter["id"]  # which shows it, whatever it is
    assert_ledger(daemon, len(CASES))
    assert daemon.metrics().sum("busbar_messages_total", outcome="accepted") == len(taken)
    assert daemon.runs() and daemon.ready()


def test_as_webhooks(busbar, subscribe):  # MW-W00
    events = subscribe("busbar/events/#")
    daemon = busbar()
    taken = set()
    for name, (text, reason) in CASES.items():
        bare = daemon.hook(text)
        body = b'{"_event":"SparePartWasConsumed","_idempotencyKey":"%s","x":%s}' % (name.encode(), text)
        held = daemon.hook(body)
        assert bare.status == 400 and bare.json["error"], name  # JSON or not, none of them names its event
        if name == "i_structure_64_deep":
            reason = "too deep"  # in an object it is 65 deep
        assert held.status == (200 if reason is None else 400), (name, held.body)
        if reason is None:
            taken.add(name)
        else:
            assert reason in held.json["error"], (name, held.body)
    wait_until(lambda: len(events.seen("busbar/events/mw/#")) >= len(taken), 30, "the events of what was taken")
    told = [e["data"]["provider"]["raw"] for e in events.payloads("busbar/events/mw/#")]
    assert sorted(raw["_idempotencyKey"] for raw in told) == sorted(taken)
    for raw in told:
        assert same(raw["x"], json.loads(CASES[raw["_idempotencyKey"]][0])), raw["_idempotencyKey"]
    metrics = daemon.metrics()
    assert metrics.sum("busbar_webhooks_total") == 2 * len(CASES)
    assert metrics.sum("busbar_webhooks_total", outcome="accepted") == len(taken)
    assert metrics.sum("busbar_webhooks_total", outcome="bad_json") + metrics.sum("busbar_webhooks_total", outcome="no_event") \
        == 2 * len(CASES) - len(taken)


def test_as_bodies_of_the_api(desk_busbar, desk):
    """`queue edit` with a body, and what an operator gives by hand: refused with a reason, the letter stays as it was."""
    daemon = desk_busbar([{"name": "raw", "from": "x", "to": "desk.work_order.create", "body": {}}])
    desk.usual = (422, {"error": "no"})
    assert http_call(daemon.admin_port, "POST", "/api/v1/routes/raw/fire?topic=x", b"{}").status == 200
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    for name, (text, reason) in CASES.items():
        if reason is None or not text:  # none at all: mapped again
            continue
        answer = http_call(daemon.admin_port, "POST", f"/api/v1/deliveries/{dead['id']}/edit", text)
        assert answer.status == 409 and answer.json["detail"], (name, answer.body)
    assert [d["id"] for d in daemon.deliveries(state="rejected")] == [dead["id"]] and len(desk.sent()) == 1
