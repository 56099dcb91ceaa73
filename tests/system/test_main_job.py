# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end: a reading becomes a task, the task's webhooks become events on the bus."""

import json
import re

from busbar_harness import KEY, NETWORK_ID, Subscriber, command_route, hot_route, http_call, wait_until

CONTRACT_FIELDS = {  # FV-01
    "common_work_order_id", "provider_id", "source_work_order_id", "asset_ref", "source_status", "common_status",
    "priority", "source_priority", "sla_due_at", "sync_state", "last_synced_at"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def one_task(sandbox):
    return wait_until(sandbox.tasks, 10, "a task")[0]


def test_a_reading_over_the_threshold_becomes_one_task(busbar, sandbox, publisher):  # MW-E08, MW-P20
    daemon = busbar([hot_route()])
    for celsius in (70, 84.9, 85, 90.5, 91, 86):
        publisher.send("plant/l1/m7/temperature", {"celsius": celsius})
    publisher.flush()
    task = one_task(sandbox)["body"]
    assert task["equipment"] == {"type": "external", "value": "m7"}  # MW-C17
    assert task["description"] == "Bearing at 90.5 °C on m7"
    assert RFC3339.fullmatch(task["startDateTime"]) and RFC3339.fullmatch(task["endDateTime"])  # MW-C15
    assert task["allDay"] is False
    assert task["assignees"] == [{"type": "email", "value": "maintenance@example.com"}]  # MW-C17: typed where possible
    assert task["metadata"]["busbarId"]
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total") == 6, 5, "six messages counted")
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_total", route="bearing-hot", outcome="accepted") == 1
    assert metrics.sum("busbar_messages_total", route="bearing-hot", outcome="ignored") \
        + metrics.sum("busbar_messages_total", route="bearing-hot", outcome="suppressed") == 5
    assert len(sandbox.tasks()) == 1


def test_a_key_fires_again_after_it_was_clear(busbar, sandbox, publisher):  # MW-P20
    busbar([hot_route()])
    for celsius in (90, 84, 90, 79, 90):  # 84 is inside the band: no new task
        publisher.send("plant/l1/m7/temperature", {"celsius": celsius})
    publisher.send("plant/l1/m8/temperature", {"celsius": 99})
    publisher.flush()
    wait_until(lambda: len(sandbox.tasks()) >= 3, 10)
    assert sorted(t["body"]["equipment"]["value"] for t in sandbox.tasks()) == ["m7", "m7", "m8"]


def test_a_retained_reading_does_not_fire(busbar, sandbox, publisher):  # MW-P24
    publisher.publish("plant/l1/m7/temperature", {"celsius": 99}, retain=True)
    daemon = busbar([hot_route()])
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total", outcome="ignored") >= 1, 10, "ignored")
    assert sandbox.tasks() == []


def test_a_trigger_remembers_over_a_restart(busbar, sandbox, publisher):  # MW-P25
    daemon = busbar([hot_route()])
    publisher.publish("plant/l1/m7/temperature", {"celsius": 90})
    one_task(sandbox)
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", target="mw", verdict="delivered") == 1, 5)
    daemon.kill()
    daemon.start()
    publisher.publish("plant/l1/m7/temperature", {"celsius": 91})
    publisher.publish("plant/l1/m9/temperature", {"celsius": 91})
    wait_until(lambda: len(sandbox.tasks()) >= 2, 10)
    assert [t["body"]["equipment"]["value"] for t in sandbox.tasks()] == ["m7", "m9"]


def test_the_request_is_what_the_vendor_asks_for(busbar, sandbox, publisher):  # MW-C02, C03, C04
    daemon = busbar([hot_route()])
    publisher.publish("plant/l1/m7/temperature", {"celsius": 90})
    one_task(sandbox)
    (record,) = sandbox.requests("/partners/v1/tasks")
    assert record["method"] == "POST" and record["headers"]["content-type"] == "application/json"
    assert re.fullmatch(r"busbar/\S+ Factory Inc\.", record["headers"]["user-agent"])
    assert record["body"] == json.dumps(json.loads(record["body"]), separators=(",", ":"), ensure_ascii=False)
    assert "emailToCreator" not in record["body"]
    assert KEY not in daemon.tail(10000)
    assert KEY.encode() not in (daemon.folder.parent / "busbar.db").read_bytes()


def test_settings_are_asked_for_at_start(busbar, sandbox):  # MW-E09
    busbar([hot_route()])
    wait_until(lambda: sandbox.requests("/partners/v1/network/settings"), 10, "the network settings")


def test_webhooks_come_back_as_events(busbar, sandbox, publisher, subscribe):  # MW-W01..W05, FV-06, FV-01
    events = subscribe("busbar/events/#")
    busbar([hot_route()], life={"scheduled": 0})
    publisher.publish("plant/l1/m7/temperature", {"celsius": 90})
    task = one_task(sandbox)
    (message,) = events.wait("busbar/events/mw/work_order/created")
    assert message.properties.ContentType == "application/cloudevents+json"
    created = json.loads(message.payload)
    assert created["specversion"] == "1.0" and created["id"] and RFC3339.fullmatch(created["time"])
    assert created["type"] == "work_order.created" and created["source"] == "/busbar/edge-01/mw"
    order = created["data"]["work_order"]
    assert set(order) == CONTRACT_FIELDS
    assert created["subject"] == order["common_work_order_id"]
    assert order["provider_id"] == "mw" and order["source_work_order_id"] == task["id"]
    assert order["asset_ref"] == "m7" and order["common_status"] == "assigned"  # FV-04
    assert order["source_status"] == "TaskWasScheduled" and order["sync_state"] == "synchronized"
    raw = created["data"]["provider"]["raw"]
    assert created["data"]["provider"]["event"] == "TaskWasScheduled" and raw["networkId"] == NETWORK_ID

    for event, topic, status in (("TaskWasStarted", "updated", "in_progress"),
                                 ("ActivityWasAddedOnTask", "updated", "in_progress"),
                                 ("TaskWasCompleted", "completed", "completed")):
        key = sandbox.tell(task["id"], event)
        wait_until(lambda key=key: [p for p in events.payloads()
                                    if p["data"]["provider"]["raw"].get("_idempotencyKey") == key], 10, event)
        last = events.payloads()[-1]
        assert last["type"] == f"work_order.{topic}" and last["data"]["provider"]["event"] == event
        assert last["data"]["work_order"]["common_status"] == status
        assert last["subject"] == created["subject"], "one task is one work order"
    assert len({e["id"] for e in events.payloads()}) == 4


def test_the_order_topic_is_retained_and_newest(busbar, broker, sandbox, publisher):
    busbar([hot_route()], life={"scheduled": 0})
    publisher.publish("plant/l1/m7/temperature", {"celsius": 90})
    task = one_task(sandbox)

    def status():
        late = Subscriber(broker.port, "busbar/orders/mw/+")
        try:
            late.wait("busbar/orders/mw/+", 1, 5)
            message = late.seen()[0]  # what was retained; an update may follow at once
            record = json.loads(message.payload)
            if not message.retain:  # it came while we subscribed: that is news, not what was kept
                return {"source_work_order_id": None, "common_status": None}
            assert message.topic == f"busbar/orders/mw/{record['common_work_order_id']}"
            return record
        finally:
            late.close()

    wait_until(lambda: status()["source_work_order_id"] == task["id"], 10, "the task's id in the order")
    sandbox.tell(task["id"], "TaskWasCanceled")  # MW-W03
    wait_until(lambda: status()["common_status"] == "canceled", 10, "canceled")
    assert set(status()) == CONTRACT_FIELDS


def test_spare_part_events_pass_through(busbar, sandbox, subscribe):  # MW-W06..W11, MW-W90
    events = subscribe("busbar/events/#")
    busbar([hot_route()])
    names = ["SparePartWasOutOfStock", "SparePartStockWasUnderMinThreshold", "SparePartWasManuallyRecounted",
             "SparePartWasRestocked", "SparePartWasConsumed", "SparePartConsumptionWasCanceled"]
    keys = {sandbox.send(name)[0]: name for name in names}
    (renamed,) = sandbox.send("SparePartStockWasUnderMinThresholdPayload")  # MW-W07: two spellings, one event
    keys[renamed] = "SparePartStockWasUnderMinThreshold"
    events.wait("busbar/events/mw/#", 7)
    for event in events.payloads():
        provider = event["data"]["provider"]
        assert event["type"] == f"provider.mobility_work.{keys.pop(provider['raw']['_idempotencyKey'])}"
        assert event["data"]["work_order"] is None and "subject" not in event
    assert keys == {}
    topics = {m.topic for m in events.seen()}
    assert "busbar/events/mw/provider/mobility_work/SparePartWasConsumed" in topics


def test_an_unknown_event_is_taken_and_passed_on(busbar, subscribe):
    events = subscribe("busbar/events/#")
    daemon = busbar([hot_route()])
    assert daemon.hook(b'{"_event":"TaskWasPainted","colour":"red"}').status == 200
    events.wait("busbar/events/mw/provider/mobility_work/TaskWasPainted")


def test_a_foreign_task_becomes_an_order_too(busbar, sandbox, subscribe):
    events = subscribe("busbar/events/#", "busbar/orders/#")
    busbar([hot_route()])
    sandbox.send("TaskWasStarted", body={"taskId": "32828f62"})
    events.wait("busbar/orders/mw/+")
    order = events.payloads("busbar/events/mw/#")[0]["data"]["work_order"]
    assert order["source_work_order_id"] == "32828f62" and order["common_status"] == "in_progress"


def test_a_plan_is_triggered(busbar, sandbox, publisher):  # MW-P30, MW-P02, MW-P08
    route = {"name": "plan", "from": "plant/+/inspect", "to": "mw.maintenance_plan.trigger",
             "body": {"planId": "${.plan}"}}
    busbar([route])
    publisher.publish("plant/l1/inspect", {"plan": "PLAN-1"})
    assert one_task(sandbox)["plan"] == "PLAN-1"
    publisher.publish("plant/l1/inspect", {"plan": "../tasks"})  # no call leaves the plan's path
    publisher.publish("plant/l1/inspect", {"plan": "PLAN-2"})
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)
    assert {r["path"] for r in sandbox.requests()} <= {
        "/partners/v1/network/settings", "/partners/v1/maintenance-plans/PLAN-1/trigger",
        "/partners/v1/maintenance-plans/PLAN-2/trigger"}


def test_status_topic_tells_online_and_offline(busbar, broker, subscribe):
    status = subscribe("busbar/status/edge-01")
    daemon = busbar([hot_route()])

    def says(word):
        seen = status.seen()
        return seen and word in seen[-1].payload.decode()

    wait_until(lambda: says("online"), 5, "online")
    assert "version" in status.seen()[-1].payload.decode()
    assert daemon.terminate() == 0
    wait_until(lambda: says("offline"), 5, "offline after SIGTERM")
    daemon.start()
    wait_until(lambda: says("online"), 5, "online again")
    daemon.kill()
    wait_until(lambda: says("offline"), 5, "the last will after kill -9")


def test_health_ready_and_metrics(busbar, broker):
    daemon = busbar([hot_route()])
    assert daemon.get("/healthz").status == 200 and daemon.get("/readyz").status == 200
    metrics = daemon.metrics()
    assert metrics.sum("busbar_bus_connected") == 1 and metrics.has("busbar_store_bytes")
    broker.kill()
    wait_until(lambda: daemon.get("/readyz").status == 503, 10, "not ready without a broker")
    assert daemon.get("/healthz").status == 200
    broker.start()
    daemon.wait_ready()


def test_metrics_please_promtool(busbar, sandbox, publisher):
    import shutil
    import subprocess

    import pytest

    if not shutil.which("promtool"):
        pytest.skip("LOUD: promtool is not installed (package prometheus)")
    daemon = busbar([hot_route()])
    publisher.publish("plant/l1/m7/temperature", {"celsius": 90})
    one_task(sandbox)
    done = subprocess.run(["promtool", "check", "metrics"], input=daemon.metrics().text, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_both_ledgers_balance(busbar, sandbox, publisher):  # settled 17
    routes = [hot_route(), command_route(body={"equipment": "${.asset}", "description": "${.text}",
                                               "startDateTime": "${now}", "endDateTime": "${now+1h}", "allDay": False,
                                               "assignees": ["a@example.com"]})]
    daemon = busbar(routes)
    sandbox.configure(unknown_equipments=["m-unknown"])
    for n in range(50):
        publisher.send(f"plant/l1/m{n % 5}/temperature", {"celsius": 60 + n})
        publisher.send(f"plant/l1/m{n % 5}/job", {"asset": f"asset-{n}", "text": "grease it"})
    publisher.send("plant/l1/m1/job", {"asset": "m-unknown", "text": "grease it"})  # refused by the target
    publisher.send("plant/l1/m1/job", {"text": "no asset"})  # cannot be mapped
    publisher.send("plant/l1/m1/temperature", {"fahrenheit": 3})  # no value
    publisher.flush()

    def quiet():
        m = daemon.metrics()
        return m.sum("busbar_messages_total") == 103 and m.sum("busbar_deliveries", state="pending") == 0 \
            and m.sum("busbar_deliveries", state="retrying") == 0

    wait_until(quiet, 20, "a quiet moment")
    metrics = daemon.metrics()
    for route, received in (("bearing-hot", 51), ("job", 52)):
        parts = {o: metrics.sum("busbar_messages_total", route=route, outcome=o)
                 for o in ("ignored", "suppressed", "accepted", "invalid", "duplicate", "waiting")}
        assert sum(parts.values()) == received, parts
        ended = {v: metrics.sum("busbar_deliveries_total", route=route, verdict=v)
                 for v in ("delivered", "rejected", "expired", "discarded", "merged")}
        opened = sum(metrics.sum("busbar_deliveries", route=route, state=s) for s in ("draft", "pending", "retrying"))
        assert parts["accepted"] + parts["invalid"] == sum(ended.values()) + opened, (parts, ended, opened)
    assert metrics.sum("busbar_messages_total", route="job", outcome="invalid") == 1
    assert metrics.sum("busbar_deliveries_total", route="job", verdict="rejected") == 2
    assert len(sandbox.tasks()) == 50 + 5


def test_a_target_in_mode_read_is_never_written_to(busbar, sandbox, publisher):  # FV-08a
    daemon = busbar(target={"mode": "read"})
    publisher.publish("plant/l1/m7/job", {"celsius": 90})
    wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the refusal")
    (refused,) = daemon.deliveries(state="rejected")
    assert refused["error"]["class"] == "authorization"
    assert sandbox.requests("/partners/v1/tasks") == []


def test_the_admin_api_describes_itself(busbar):
    daemon = busbar()
    document = daemon.get("/api/v1/openapi.json")
    assert document.status == 200 and document.json["openapi"].startswith("3.")
    missing = http_call(daemon.admin_port, "GET", "/api/v1/deliveries/nope")
    assert missing.status == 404 and missing.headers["Content-Type"].startswith("application/problem+json")


def test_a_lost_session_is_told(busbar, broker, sandbox, publisher, subscribe):  # settled 8
    daemon = busbar()
    assert daemon.metrics().sum("busbar_bus_session_lost_total") == 0, "the first connect is no loss"
    assert daemon.terminate() == 0
    broker.forget()
    alerts = subscribe("busbar/alerts")
    daemon.start()
    (message,) = alerts.wait("busbar/alerts")
    alert = json.loads(message.payload)
    assert alert["alert"] == "bus_session_lost" and alert["reason"]
    assert message.properties.ContentType == "application/json", "no CloudEvent"
    assert daemon.metrics().sum("busbar_bus_session_lost_total") == 1
