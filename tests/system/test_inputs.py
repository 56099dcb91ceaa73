# SPDX-License-Identifier: Apache-2.0
"""Inputs as plants have them, through the real daemon (config/INPUTS.md)."""

from busbar_harness import wait_until


def route(name, topic, **more):
    body = {"equipment": "${.s}", "description": "inspect", "startDateTime": "${now}", "endDateTime": "${now+2h}",
            "allDay": False, "assignees": ["a@example.com"]}
    return {"name": name, "from": topic, "to": "mw.task.schedule", "body": body, **more}


def assert_ledger(daemon, received):
    """Settled 17: received is the sum of what became of it."""
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_received_total") == received
    assert metrics.sum("busbar_messages_total") == received


def test_each_reading_is_a_delivery_of_its_own(busbar, sandbox, publisher):
    readings = route("readings", "plant/{line}/readings", each="${.readings}",
                     trigger={"value": "${.c}", "above": 85, "key": "${line}/${.s}"})
    daemon = busbar([readings])
    payload = {"readings": [{"s": f"m{i}", "c": 80 + i} for i in range(10)] + [{"s": "odd"}]}
    publisher.publish("plant/l1/readings", payload)
    wait_until(lambda: len(sandbox.tasks()) == 4, 10)
    assert sorted(t["body"]["equipment"]["value"] for t in sandbox.tasks()) == ["m6", "m7", "m8", "m9"]
    delivered = wait_until(lambda: [d for d in [daemon.deliveries(state="delivered")] if len(d) == 4], 10)[0]
    assert len({d["id"] for d in delivered}) == 4
    assert_ledger(daemon, 11)
    assert daemon.metrics().sum("busbar_messages_total", outcome="ignored") == 7
    daemon.kill()
    daemon.start()
    publisher.publish("plant/l1/readings", payload)
    publisher.publish("plant/l1/readings", {"readings": []})
    wait_until(lambda: daemon.metrics().sum("busbar_messages_received_total") == 12, 10)
    assert daemon.metrics().sum("busbar_messages_total", outcome="suppressed") == 4, "each key's state was kept"
    assert_ledger(daemon, 12)


def test_one_reading_that_cannot_be_mapped_is_a_dead_letter_and_is_mended(busbar, sandbox, publisher):
    daemon = busbar([route("csv", "plant/{line}/csv", format="csv", each="${.}")])
    publisher.publish("plant/l1/csv", "m1,m2")
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 2, 10)
    dead = daemon.deliveries(state="rejected")[-1]
    assert daemon.json("queue", "show", dead["id"])["message"]["payload"] == "m1"
    daemon.terminate()
    daemon.config["routes"][0]["body"]["equipment"] = "${.}"
    daemon.write()
    daemon.start()
    daemon.cli("queue", "edit", dead["id"])
    wait_until(sandbox.tasks, 10)
    assert [t["body"]["equipment"]["value"] for t in sandbox.tasks()] == ["m1"]
