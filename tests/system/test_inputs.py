# SPDX-License-Identifier: Apache-2.0
"""Inputs as plants have them, through the real daemon (config/INPUTS.md)."""

import json

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


def test_an_unknown_asset_is_an_identity_error(busbar, sandbox, publisher, subscribe, tmp_path):  # FV-06g
    events = subscribe("busbar/events/#")
    table = tmp_path / "assets.csv"
    table.write_text("tag,mw\nl1-m1,equipment-1\nl1-m2,\n")
    job = route("job", "plant/{line}/{asset}/job", asset="${line}-${asset}")
    job["body"]["equipment"] = "${asset.mw}"
    daemon = busbar([job], assets={"file": str(table)})
    publisher.publish("plant/l1/m1/job", {})
    publisher.publish("plant/l1/m2/job", {})
    publisher.publish("plant/l1/m3/job", {})
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 2, 10)
    wait_until(lambda: len(sandbox.tasks()) == 1, 10)
    unknown, empty = daemon.deliveries(state="rejected")  # newest first
    assert unknown["error"]["class"] == "identity" and unknown["error"]["code"] == "unknown_asset"
    assert unknown["error"]["message"] == "asset 'l1-m3' is not in the asset map"
    assert empty["error"]["message"] == "asset 'l1-m2' has no mw in the asset map"
    wait_until(lambda: len(events.seen("busbar/events/mw/mapping/exception")) == 2, 10)
    told = [json.loads(e.payload) for e in events.seen("busbar/events/mw/mapping/exception")]
    assert [e["type"] for e in told] == ["mapping.exception"] * 2
    record = told[1]["data"]["error"]
    assert record["class"] == "identity" and record["code"] == "unknown_asset" and record["delivery"] == unknown["id"]
    assert record["retry_state"]["final"] is True and "asset map" in record["owner_action"]
    assert len({e["id"] for e in told}) == 2

    table.write_text("tag,mw\nl1-m1,equipment-1\nl1-m3,equipment-3\n")  # mended
    daemon.terminate()
    daemon.start()
    daemon.cli("queue", "edit", unknown["id"])
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)
    assert sorted(t["body"]["equipment"]["value"] for t in sandbox.tasks()) == ["equipment-1", "equipment-3"]
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_received_total") == metrics.sum("busbar_messages_total")


def test_a_broken_asset_map_is_named_with_its_line(busbar, tmp_path):
    table = tmp_path / "assets.csv"
    table.write_text("tag,mw\nl1-m1,1\nl1-m1,2\n")
    job = route("job", "plant/{line}/job", asset="${line}")
    daemon = busbar([job], assets={"file": str(table)}, start=False)
    done = daemon.cli("check", expect=1)
    assert f"{table}:3:1: error: tag 'l1-m1' stands twice, first in line 2" in done.stdout + done.stderr


def test_late_and_measured_in_another_unit(busbar, sandbox, publisher):
    hot = route("hot", "plant/{asset}/f", time="${.ts}", late="10s",
                trigger={"value": "${.f}", "unit": {"from": "[degF]", "to": "Cel"}, "above": 100, "key": "${asset}"})
    hot["body"] |= {"equipment": "${asset}", "description": "${value} at ${time}"}
    daemon = busbar([hot])
    for ts, value in ((1700000000, 212), (1699999980, 250), (1699999995, 213.8)):
        publisher.publish("plant/m1/f", {"ts": ts, "f": value})
    wait_until(sandbox.tasks, 10)
    assert [t["body"]["description"] for t in sandbox.tasks()] == ["101 at 2023-11-14T22:13:15+00:00"]
    metrics = daemon.metrics()
    assert metrics.sum("busbar_decisions_total", reason="late") == 1
    assert_ledger(daemon, 3)
