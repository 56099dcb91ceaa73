# SPDX-License-Identifier: Apache-2.0
"""Assetic through the real daemon: an alarm becomes a work order, and what becomes of it comes back."""

import json

import pytest

from assetic import API_USER, ASSET, CRAFT, STATUSES
from assetic_orders import MATRIX, full_order, wall, without
from busbar_harness import KEY, AsseticSandbox, configuration, wait_until

ORDERS, DOCUMENTS = "/api/v2/workorder", "/api/v2/document"
DEFAULTS = {
    "EstimatedDuration": 3, "LocationDescription": "Plant 1", "WorkOrderType": {"Code": "CM"}, "RemedyCodeId": 3,
    "Labours": [{"PlannedGroupCraftId": {"Resource": "Pat O'Neil", "WorkGroup": "Roads", "Craft": "Fitter"},
                 "HoursRequired": 1, "QuantityRequired": 2}]}
SENSOR = {"name": "bearing-hot", "from": "plant/{asset}/temperature", "trigger": {"above": 85, "clear": 80},
          "to": "at.work_order.create",
          "body": {"asset_ref": "${asset}", "priority": "high", "title": "Bearing at ${value} °C on ${asset}"}}
COMMAND = {"name": "order", "from": "order", "to": "at.work_order.create", "body": "${.}"}
ATTACH = {"name": "attach", "from": "attach", "to": "at.attachment.add", "body": "${.}"}


@pytest.fixture
def assetic(tmp_path, logs):
    folder = tmp_path / "assetic"
    folder.mkdir()
    sandbox = AsseticSandbox(folder, logs)
    sandbox.start()
    yield sandbox
    sandbox.kill()


@pytest.fixture
def daemon(tmp_path, broker, assetic, make_busbar):
    """daemon(routes, **settings of the target)"""

    def make(routes, **settings):
        target = {"plugin": "assetic", "url": assetic.url, "user": "api.user", "token": KEY, "time_zone": "UTC0",
                  "mode": "write_back", "poll": "1s", "priorities": {"critical": 1, "high": 2}, "defaults": DEFAULTS,
                  "retry": {"first": "100ms", "max": "500ms", "attempts": 20, "max_age": "7d"}, **settings}
        return make_busbar(configuration(tmp_path, broker, {"at": target}, routes))

    return make


def one_order(assetic):
    return wait_until(assetic.orders, 10, "an order")[0]


def rejected(daemon, count=1, deadline=10):
    wait_until(lambda: len(daemon.deliveries(state="rejected", limit=500)) >= count, deadline, f"{count} refusals")
    return daemon.deliveries(state="rejected", limit=500)


def pointers(delivery):
    fields = delivery["error"]["rejected_fields"]
    fields = json.loads(fields) if isinstance(fields, str) else fields
    return [field["pointer"] for field in fields]


@pytest.mark.parametrize("status", ["PREP", "WAPPR"])
def test_a_reading_becomes_a_valid_order(daemon, assetic, publisher, status):  # AS-E01, AS-E02..E10, AS-M, AS-C03
    running = daemon([SENSOR], status=status)
    publisher.publish("plant/P-101/temperature", "91")
    order = one_order(assetic)
    assert (order["Status"], order["AssetId"], order["PriorityId"]) == (status, ASSET, 2)
    assert order["BriefDescription"] == "Bearing at 91 °C on P-101"
    assert (order["CreatorId"], order["RequestorId"], order["WorkOrderType"]) == (API_USER, API_USER, {"Id": 6})
    assert order["Labours"][0]["PlannedGroupCraftId"] == CRAFT
    (delivery,) = wait_until(lambda: running.deliveries(state="delivered", route="bearing-hot"), 10, "the delivery")
    assert delivery["id"] == order["ExternalId"]
    record = running.api("GET", "orders").json["items"][0]
    assert (record["source_work_order_id"], record["asset_ref"]) == (order["Id"], "P-101")
    assert KEY not in running.tail(10000)


def test_lookups_are_asked_once(daemon, assetic, publisher):  # A-U14
    daemon([{**SENSOR, "trigger": {"above": 85, "clear": 80, "cooldown": "0s"}}])
    for celsius in (90, 70, 90, 70, 90):
        publisher.publish("plant/P-101/temperature", str(celsius))
    wait_until(lambda: len(assetic.orders()) == 3, 10, "three orders")
    for path in ("/api/v2/assets/P-101", "/api/v2/worktype", "/api/v2/fcrcategorisation", "/api/v2/resource"):
        assert len(assetic.asked(path)) == 1, path


def test_a_lost_answer_makes_one_order(daemon, assetic, publisher):  # A-U11
    running = daemon([SENSOR])
    assetic.fail("reset", after=True, times=1, method="POST", path=ORDERS)
    publisher.publish("plant/P-101/temperature", "91")
    wait_until(lambda: running.deliveries(state="delivered", route="bearing-hot"), 15, "the delivery")
    (order,) = assetic.orders()
    assert running.api("GET", "orders").json["items"][0]["source_work_order_id"] == order["Id"]
    assert len([r for r in assetic.asked(ORDERS) if r["method"] == "POST"]) == 1
    assert any("ExternalId~eq~" in r["path"] for r in assetic.asked(ORDERS))


def test_an_order_that_was_never_taken_is_sent_again(daemon, assetic, publisher):  # A-U11
    daemon([SENSOR])
    assetic.fail("reset", times=1, method="POST", path=ORDERS)
    publisher.publish("plant/P-101/temperature", "91")
    one_order(assetic)
    assert len([r for r in assetic.asked(ORDERS) if r["method"] == "POST"]) == 2


def test_an_order_made_behind_an_error_is_found(daemon, assetic, publisher):  # A-U11
    running = daemon([SENSOR])
    assetic.fail("status", status=502, after=True, times=1, method="POST", path=ORDERS)
    publisher.publish("plant/P-101/temperature", "91")
    wait_until(lambda: running.deliveries(state="delivered", route="bearing-hot"), 15, "the delivery")
    assert len(assetic.orders()) == 1


def test_what_was_remembered_is_asked_anew_after_a_refusal(daemon, assetic, publisher):  # A-U14
    daemon([{**SENSOR, "trigger": {"above": 85, "clear": 80, "cooldown": "0s"}}])
    publisher.publish("plant/P-101/temperature", "91")
    one_order(assetic)
    moved = "7216b184-62b0-e611-946c-06edd62954d7"
    assetic.configure(assets={"P-101": moved})
    for celsius in ("70", "91"):
        publisher.publish("plant/P-101/temperature", celsius)
    wait_until(lambda: len(assetic.orders()) == 2, 10, "the second order")
    assert assetic.orders()[1]["AssetId"] == moved


def test_every_status_from_a_full_payload(daemon, assetic, publisher):  # AS-M, AS-R, issue: each once
    daemon([COMMAND], late_statuses=True, defaults={})
    for status in STATUSES:
        publisher.publish("order", full_order(status))
    wait_until(lambda: len(assetic.orders()) == len(STATUSES), 20, "nine orders")
    assert [o["Status"] for o in assetic.orders()] == STATUSES


def test_the_mandatory_matrix(daemon, assetic, publisher):  # AS-M02 .. AS-M22: every cell
    running = daemon([COMMAND], late_statuses=True, defaults={}, concurrency=8, poll="1h")
    wanted, taken = {}, 0
    for pointer, since in MATRIX.items():
        for n, status in enumerate(STATUSES):
            order = without(full_order(status), pointer)
            order["PointString"] = f"{len(wanted) + taken}.5 -37.5"
            publisher.send("order", order)
            if n >= since:
                wanted[f"{pointer} at {status}"] = pointer
            else:
                taken += 1
    publisher.flush()
    refusals = rejected(running, len(wanted), 60)
    wait_until(lambda: len(assetic.orders()) == taken, 60, f"{taken} orders")
    assert len(refusals) == len(wanted)
    assert all(r["error"]["class"] == "validation" and r["error"]["code"] == "invalid_work_order" for r in refusals)
    expected = list(wanted.values())
    assert sorted(p for r in refusals for p in pointers(r)) == sorted(expected)
    assert all(r["status"] == 201 for r in assetic.asked(ORDERS) if r["method"] == "POST"), "nothing wrong was sent"


def test_violations_are_told_with_their_pointers(daemon, assetic, publisher):  # AS-R, AS-E10, AS-F01, FV-07c, FV-07d
    running = daemon([COMMAND], late_statuses=True)
    order = full_order("PREP")
    for change, pointer, error_class, code in [
            ({"AssetId": "P-999"}, "/AssetId", "identity", "unknown_asset"),
            ({"WorkOrderType": {"Code": "XX"}}, "/WorkOrderType", "identity", "unknown_work_type"),
            ({"RequestorId": "Nobody"}, "/RequestorId", "identity", "unknown_resource"),
            ({"RemedyCodeId": 23}, "/RemedyCodeId", "identity", "mixed_definitions"),
            ({"PriorityId": 9}, "/PriorityId", "validation", "invalid_work_order"),
            ({"native": {"PointString": "here"}}, "/native/PointString", "validation", "invalid_work_order")]:
        before = {d["id"] for d in running.deliveries(state="rejected")}
        publisher.publish("order", {**order, **change})
        wait_until(lambda seen=before: len(running.deliveries(state="rejected")) > len(seen), 10, code)
        (delivery,) = [d for d in running.deliveries(state="rejected") if d["id"] not in before]
        assert (delivery["error"]["class"], delivery["error"]["code"]) == (error_class, code)
        assert pointers(delivery) == [pointer]
    assert assetic.orders() == []


def test_what_only_assetic_knows_is_told_too(daemon, assetic, publisher):  # AS-C08, AS-R01
    running = daemon([COMMAND])
    publisher.publish("order", {**full_order("PREP"), "RequestorId": "Crane"})
    (delivery,) = rejected(running)
    assert (delivery["error"]["class"], delivery["error"]["http_status"]) == ("validation", 400)
    assert pointers(delivery) == ["/RequestorId"] and "Employee" in delivery["error"]["message"]


def test_changes_come_back_as_events(daemon, assetic, publisher, subscribe):  # AS-X01, A-U21, FV-04, FV-06
    events = subscribe("busbar/events/#")
    daemon([SENSOR])
    publisher.publish("plant/P-101/temperature", "91")
    order = one_order(assetic)
    events.wait("busbar/events/at/work_order/#", 1)
    for status, kind, common in [("APPR", "updated", "approved"), ("INPRG", "updated", "in_progress"),
                                 ("TCOMP", "completed", "completed"), ("ASSESS", "closed", "closed")]:
        assetic.set_status(order["Id"], status)
        said = wait_until(lambda s=status: [e for e in events.payloads("busbar/events/at/work_order/#")
                                            if e["data"]["work_order"]["source_status"] == s], 10, status)
        assert len(said) == 1 and said[0]["type"] == f"work_order.{kind}"
        record = said[0]["data"]["work_order"]
        assert (record["common_status"], record["source_work_order_id"]) == (common, order["Id"])
        assert (record["asset_ref"], record["priority"], record["source_priority"]) == ("P-101", "high", "2")
    ids = {e["data"]["work_order"]["common_work_order_id"] for e in events.payloads("busbar/events/at/work_order/#")}
    assert len(ids) == 1, "one record over its whole life"


def test_orders_of_others_and_unknown_statuses(daemon, assetic, subscribe):  # FV-06a, FV-06g
    events = subscribe("busbar/events/#")
    daemon([SENSOR])
    wait_until(lambda: assetic.asked(ORDERS), 10, "a poll")
    assetic.control("POST", "order", {"Status": "PREP"})
    events.wait("busbar/events/at/work_order/created")
    order = assetic.orders()[0]["Id"]
    assetic.set_status(order, "ON HOLD")
    (exception,) = events.wait("busbar/events/at/mapping/exception")
    assert json.loads(exception.payload)["data"]["work_order"]["source_status"] == "ON HOLD"


def test_a_poll_goes_on_where_it_was(daemon, assetic, publisher, subscribe):  # A-U21
    events = subscribe("busbar/events/#")
    running = daemon([SENSOR], poll_overlap="0s")  # nothing but the cursor reaches back
    publisher.publish("plant/P-101/temperature", "91")
    order = one_order(assetic)
    events.wait("busbar/events/at/work_order/#", 1)
    running.kill()
    changed = assetic.set_status(order["Id"], "APPR")["LastModified"]
    wait_until(lambda: wall() > changed, 5, "the second after")
    running.start()
    wait_until(lambda: [e for e in events.payloads("busbar/events/at/work_order/#")
                        if e["data"]["work_order"]["source_status"] == "APPR"], 10, "what happened meanwhile")
    told = [(e["data"]["work_order"]["source_status"]) for e in events.payloads("busbar/events/at/work_order/#")]
    assert told.count("APPR") == 1


def test_an_attachment_follows_its_order(daemon, assetic, publisher, subscribe):  # AS-E11, AS-D01, A-U18, FV-06e, FV-09d
    events = subscribe("busbar/events/#")
    running = daemon([SENSOR, ATTACH])
    publisher.publish("plant/P-101/temperature", "91")
    order = one_order(assetic)
    assetic.fail("status", status=503, times=2, path=DOCUMENTS)
    publisher.publish("attach", {"external_id": order["ExternalId"], "name": "trend.png", "content": "aGVsbG8="})
    wait_until(lambda: assetic.items("documents"), 15, "the document")
    (document,) = assetic.items("documents")
    assert (document["ParentId"], document["DocumentGroup"]) == (order["Id"], 7)
    (added,) = events.wait("busbar/events/at/attachment/added")
    assert json.loads(added.payload)["data"]["work_order"]["source_work_order_id"] == order["Id"]
    assert len(assetic.orders()) == 1 and running.deliveries(state="rejected") == []


def test_a_failed_attachment_leaves_its_order(daemon, assetic, publisher):  # A-U18
    running = daemon([SENSOR, ATTACH])
    publisher.publish("plant/P-101/temperature", "91")
    order = one_order(assetic)
    publisher.publish("attach", {"work_order": API_USER, "name": "a.pdf", "content": "aGVsbG8="})
    (delivery,) = rejected(running)
    assert delivery["route"] == "attach" and pointers(delivery) == ["/ParentId"]
    assert [o["Id"] for o in assetic.orders()] == [order["Id"]]


@pytest.mark.parametrize("setting, error_class", [({"key": "other"}, "authentication"), ({"forbidden": True}, "authorization")])
def test_a_wrong_token_or_role_holds_and_loses_nothing(daemon, assetic, publisher, setting, error_class):  # AS-C02, FV-07
    running = daemon([SENSOR])
    assetic.configure(**setting)
    publisher.publish("plant/P-101/temperature", "91")
    held = wait_until(lambda: [d for d in running.deliveries(route="bearing-hot") if d.get("held_reason")], 10, "held")
    assert held[0]["error"]["class"] == error_class
    assetic.configure(key=KEY, forbidden=False)
    running.cli("targets", "resume", "at")
    one_order(assetic)


def test_a_bad_route_is_found_before_it_runs(daemon, tmp_path):
    running = daemon([SENSOR])
    running.terminate()
    running.config["routes"] = [{**SENSOR, "body": {"asset": "${asset}", "titel": "hot"}}]
    running.write()
    said = running.cli("check", expect=None)
    assert said.returncode != 0 and "BriefDescription" in said.stdout + said.stderr
