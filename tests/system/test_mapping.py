# SPDX-License-Identifier: Apache-2.0
"""Mapping tables: a target's words become ours by its tables, the site's lines win, and what no line maps is told."""

import json

STARTED = {"_event": "TaskWasStarted", "taskId": "t-1", "started": {}, "associatedTo": {}}


def tell(daemon, **members):
    assert daemon.hook(json.dumps({**STARTED, **members}).encode()).status == 200


def test_the_site_s_words_win_and_are_reviewed(busbar, subscribe):  # FV-04, FV-15, FV-06c, F-U13
    events = subscribe("busbar/events/#", "busbar/orders/#")
    daemon = busbar(target={"map": {"status": {"TaskWasStarted": "blocked"},
                                    "event": {"TaskWasStarted": "work_order.completed",
                                              "SparePartWasPainted": "attachment.added",
                                              "SparePartWasConsumed": "work_order.updated"}}})
    (target,) = daemon.json("targets", "list")["items"]
    assert target["map"]["status"] == {
        "TaskWasStarted": "blocked", "TaskWasScheduled": "assigned", "ActivityWasAddedOnTask": "in_progress",
        "TaskWasCompleted": "completed", "TaskWasCanceled": "canceled"}
    assert target["map"]["priority"] == {} and target["map"]["event"]["SparePartWasPainted"] == "attachment.added"
    tell(daemon)
    (event,) = events.wait("busbar/events/mw/work_order/completed")
    record = json.loads(event.payload)["data"]["work_order"]
    assert (record["source_status"], record["common_status"]) == ("TaskWasStarted", "blocked")
    (retained,) = events.wait("busbar/orders/mw/#")
    assert json.loads(retained.payload)["common_status"] == "blocked"
    tell(daemon, _event="SparePartWasPainted")
    (event,) = events.wait("busbar/events/mw/attachment/added")
    assert json.loads(event.payload)["data"]["provider"]["event"] == "SparePartWasPainted"
    tell(daemon, _event="SparePartWasConsumed")  # about no work order, so it is none of a work order's events
    events.wait("busbar/events/mw/provider/mobility_work/SparePartWasConsumed")
    tell(daemon, _event="SparePartWasSold")  # nobody named it: it passes through
    events.wait("busbar/events/mw/provider/mobility_work/SparePartWasSold")


def test_what_no_line_maps_is_told_once(desk_busbar, subscribe):  # FV-06g, FV-04
    events = subscribe("busbar/events/#")
    daemon = desk_busbar(map={"status": {"shut": "closed"}, "priority": {1: "high"}})
    for number, word in enumerate(["finished", "shut", "finished", "half-done"]):
        webhook = {"event": word, "id": f"e-{number}", "order": f"T-{number}", "priority": 1 + number // 3}
        assert daemon.hook(json.dumps(webhook).encode(), target="desk", secret=None).status == 200
    events.wait("busbar/events/desk/mapping/exception", 3)
    events.wait("busbar/events/desk/work_order/updated", 4)
    told = events.payloads("busbar/events/desk/mapping/exception")
    assert [(e["data"]["mapping"]["field"], e["data"]["mapping"]["source"]) for e in told] == [
        ("status", "finished"), ("status", "half-done"), ("priority", "2")], "each word once"
    mapping, record = told[0]["data"]["mapping"], told[0]["data"]["work_order"]
    assert '`map: {status: {"finished": ...}}`' in mapping["owner_action"]
    assert "target desk" in mapping["owner_action"] and "in_progress" in mapping["owner_action"]
    assert (record["source_status"], record["common_status"]) == ("finished", "unknown")
    assert told[0]["subject"] == record["common_work_order_id"]
    records = {o["source_work_order_id"]: o for o in daemon.json("orders", "list")["items"]}
    assert [records[f"T-{n}"]["common_status"] for n in range(4)] == ["unknown", "closed", "unknown", "unknown"]
    assert [records[f"T-{n}"]["source_priority"] for n in range(4)] == ["1", "1", "1", "2"]
    assert [records[f"T-{n}"]["priority"] for n in range(4)] == ["high", "high", "high", None]
