# SPDX-License-Identifier: Apache-2.0
"""A message that kills the process ends as a dead letter, not as a crash loop."""

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
