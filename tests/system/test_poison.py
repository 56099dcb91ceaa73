# SPDX-License-Identifier: Apache-2.0
"""A message that kills the process ends as a dead letter, not as a crash loop."""

import re

from busbar_harness import BINARY, command_route, hot_route, wait_until

CRASH = BINARY.parent / "tests" / "plugins" / "crash.so"


def supervise(daemon, lives, deadline=60):
    """Starts it again each time it died, as systemd or Kubernetes would; answers how often it died."""
    deaths = 0

    def settled():
        nonlocal deaths
        if not daemon.runs():
            deaths += 1
            assert deaths <= lives, "a crash loop"
            daemon.start(ready=False)
        return lives_on()

    def lives_on():
        return daemon.runs() and daemon.ready() and daemon.deliveries(state="rejected")

    wait_until(settled, deadline, "the poison to be dead")
    return deaths


def test_a_plugin_that_crashes_gets_its_delivery_twice(busbar, sandbox, publisher):  # settled 5
    daemon = busbar([command_route(), {"name": "bomb", "from": "bomb", "to": "crash.thing.create", "body": {}}],
                    start=False)
    daemon.config["targets"]["crash"] = {"plugin": str(CRASH), "url": sandbox.url, "mode": "write_back"}
    daemon.write()
    daemon.start()
    publisher.publish("bomb", {})
    assert supervise(daemon, 3) == 2
    (dead,) = daemon.deliveries(state="rejected")
    assert dead["route"] == "bomb" and dead["error"]["code"] == "plugin_crashed" and dead["error"]["owner_action"]
    publisher.publish("plant/l1/m1/job", {"celsius": 1})  # the others go on
    wait_until(sandbox.tasks, 10)


def test_a_rule_that_hangs_gets_its_message_twice(busbar, sandbox, publisher):  # settled 4
    trigger = {"when": "if .hang then (def f: f; f) else .celsius > 85 end", "value": None, "above": None, "clear": None}
    route = hot_route(**trigger)
    route["trigger"] = {name: value for name, value in route["trigger"].items() if value is not None}
    daemon = busbar([route])
    publisher.send("plant/l1/m6/temperature", {"celsius": 99})
    publisher.send("plant/l1/m7/temperature", {"hang": True})
    publisher.send("plant/l1/m8/temperature", {"celsius": 99})
    publisher.flush()
    assert supervise(daemon, 3, 90) == 2
    (dead,) = daemon.deliveries(state="rejected")
    assert dead["topic"] == "plant/l1/m7/temperature" and "died" in dead["error"]["message"]
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)  # before and behind it: each once
    assert sorted(t["body"]["equipment"]["value"] for t in sandbox.tasks()) == ["m6", "m8"]


def memory(daemon, what):
    return int(re.search(rf"{what}:\s+(\d+)", open(f"/proc/{daemon.process.pid}/status").read())[1]) * 1024


def peak(daemon):
    return memory(daemon, "VmHWM")


DEEP = 150_000  # below max_payload
POISON = {  # what becomes of it as a command whose body needs ${.celsius}
    "empty": (b"", "rejected"),
    "not JSON": (b"{nope", "rejected"),
    "NUL": (b'{"celsius": "a\x00b"}', "rejected"),
    "NUL, escaped": (b'{"celsius": "a\\u0000b"}', "delivered"),
    "no UTF-8": (b'{"celsius": "\xff\xfe\xc0\x80"}', "rejected"),
    "half a surrogate": (b'{"celsius": "\\ud800"}', None),
    "the deepest array": (b"[" * DEEP + b"]" * DEEP, "rejected"),
    "the deepest object": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "rejected"),
    "deep and never closed": (b"[" * DEEP, "rejected"),
    "maps to nothing": (b'{"fahrenheit": 1}', "rejected"),
    "null": (b"null", "rejected"),
    "a number beyond all": (b'{"celsius": 1e999999}', None),
    "a number of 100,000 digits": (b'{"celsius": ' + b"9" * 100_000 + b"}", None),
}


def test_no_payload_stops_those_behind_it(busbar, sandbox, publisher):
    """Each ends: done, or a dead letter with a reason. A verdict of None: either is right, hanging and dying are not."""
    daemon = busbar([command_route(topic="plant/{line}/{asset}/{number}/job", key="${number}")])
    for number, (payload, _) in enumerate(POISON.values()):
        publisher.send(f"plant/l1/m1/p{number}/job", payload)
    publisher.publish("plant/l1/m2/last/job", {"celsius": 1})
    wait_until(lambda: any(t["body"]["equipment"]["value"] == "m2" for t in sandbox.tasks()), 20, "the one behind them")
    found = {}
    for number, (name, (_, verdict)) in enumerate(POISON.items()):
        (delivery,) = wait_until(lambda: [d for d in daemon.deliveries() if d["topic"] == f"plant/l1/m1/p{number}/job"
                                          and d["state"] in ("delivered", "rejected")], 20, name)
        found[name] = delivery["state"]
        assert delivery["state"] == "delivered" or delivery["error"]["message"], name
        assert verdict in (None, delivery["state"]), (name, delivery["error"])
    print(found)
    assert daemon.metrics().sum("busbar_messages_received_total") == len(POISON) + 1
    assert peak(daemon) < 80e6


def test_payloads_of_64_mb_are_refused_and_counted(busbar, sandbox, publisher):
    """However many come."""
    daemon, many = busbar([command_route()]), 4
    for n in range(many):
        publisher.send(f"plant/l1/m{n}/job", b"[" + b"1," * (32 << 20) + b"1]")
    publisher.send("plant/l1/good/job", {"celsius": 1})
    publisher.flush()
    wait_until(sandbox.tasks, 60, "the one behind them")
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_total", outcome="invalid") == many
    assert metrics.sum("busbar_messages_received_total") == metrics.sum("busbar_messages_total") == many + 1
    dead = daemon.deliveries(state="rejected")
    assert len(dead) == many and all("larger" in letter["error"]["message"] for letter in dead)
    print(f"at most {peak(daemon) / 1e6:.0f} MB, then {memory(daemon, 'VmRSS') / 1e6:.0f} MB")
    assert peak(daemon) < 300e6, "what the MQTT library needs to read one"
    assert memory(daemon, "VmRSS") < 120e6, "of which it keeps one buffer"
    assert len(sandbox.tasks()) == 1 and daemon.ready()


def test_no_webhook_body_stops_those_behind_it(busbar, subscribe):
    events = subscribe("busbar/events/#")
    daemon = busbar()
    bodies = [payload for payload, _ in POISON.values()]
    bodies += [b'{"_event":' + payload + b"}" for payload in bodies]
    answers = [daemon.hook(body).status for body in bodies]
    print(answers)
    assert set(answers) <= {200, 400}
    assert daemon.hook(b'{"_event":"SparePartWasConsumed","_idempotencyKey":"last"}').status == 200
    events.wait("busbar/events/mw/provider/mobility_work/SparePartWasConsumed")
    assert peak(daemon) < 80e6
