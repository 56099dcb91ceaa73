# SPDX-License-Identifier: Apache-2.0
"""Assetic through the real daemon: an alarm becomes a work order, and what becomes of it comes back."""

import json

import pytest
import yaml

import assetic_samples as samples
from assetic import API_USER, ASSET, CRAFT, EMPLOYEE, WORK_TYPES
from assetic_orders import changed, full_order, wall
from busbar_harness import KEY, configuration, wait_until

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
def daemon(tmp_path, broker, assetic, make_busbar):
    """daemon(routes, **settings of the target)"""

    def make(routes, **settings):
        target = {"plugin": "assetic", "url": assetic.url, "user": "api.user", "token": KEY, "time_zone": "UTC0",
                  "mode": "write_back", "poll": "1s", "map": {"priority": {1: "critical", 2: "high"}}, "defaults": DEFAULTS,
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
def test_a_reading_becomes_a_valid_order(daemon, assetic, publisher, status):  # AS-E01, AS-C03, AS-R12
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


NAMED = {"/AssetId": "P-101", "/CreatorId": None, "/RequestorId": "Pat O'Neil", "/WorkOrderType": {"Code": "FA"},
         "/Labours/0/PlannedGroupCraftId": {"Resource": "Pat O'Neil", "WorkGroup": "Roads"},
         "/MaintenanceMaterials/0/BillOfMaterialId": "Bitumen", "/MaintenanceServices/0/ServiceActivityId": "Sweeping"}


# AS-E02, AS-E03, AS-E04, AS-E05, AS-E06, AS-E07, AS-E08, AS-E09, AS-E10, A-U14
def test_lookups_are_asked_once(daemon, assetic, publisher):
    daemon([COMMAND], defaults={})
    for _ in range(3):
        publisher.publish("order", changed(full_order("PREP"), NAMED))
    wait_until(lambda: len(assetic.orders()) == 3, 10, "three orders")
    for path in ("worktype", "fcrcategorisation", "resource", f"resource/{EMPLOYEE}/craft", "billofmaterial",
                 "serviceactivity", "unittype", "assets/P-101"):
        assert len(assetic.asked(f"/api/v2/{path}")) == 1, path
    assert len(assetic.asked("/api/v2/auth")) <= 2, "once when the target opened, once for the orders"
    assert all(r["path"].startswith("/api/v2/") for r in assetic.items("requests"))  # AS-C01


def test_a_list_is_read_to_its_last_page(daemon, assetic, publisher):  # AS-C05, AS-C06, AS-E02
    filler = [{**WORK_TYPES[1], "Id": n, "Name": f"Type {n}", "Code": f"T{n}"} for n in range(1000, 1500)]
    assetic.configure(work_types=filler + WORK_TYPES)
    daemon([COMMAND])
    publisher.publish("order", {**full_order("PREP"), "WorkOrderType": {"Code": "FA"}})
    assert one_order(assetic)["WorkOrderType"] == {"Id": 7}
    assert [r["path"] for r in assetic.asked("/api/v2/worktype")] == [
        f"/api/v2/worktype?requestParams.page={page}&requestParams.pageSize=500" for page in (1, 2)]


def test_the_vendor_s_samples_become_orders(daemon, assetic, publisher):  # AS-T01, AS-T02, AS-M23
    daemon([COMMAND], late_statuses=True, defaults={})
    publisher.publish("order", samples.PREP)
    publisher.publish("order", samples.INPRG)
    wait_until(lambda: len(assetic.orders()) == 2, 10, "both orders")
    prep, inprg = sorted(assetic.orders(), key=lambda order: order["Status"], reverse=True)
    for order, text in ((prep, samples.PREP), (inprg, samples.INPRG)):
        for name, value in json.loads(text).items():  # of a key that stands twice, the last
            assert order[name] == value, name
    assert all(prep[name] == [] for name in ("Labours", "MaintenanceMaterials", "MaintenanceServices", "SupportingInformation"))
    assert inprg["MaintenanceMaterials"] and inprg["MaintenanceServices"]
    assert [r["note"] for r in assetic.asked(ORDERS) if r["method"] == "POST"] == [None, None], "each key is sent once"


def test_a_key_twice_is_refused_where_it_is_ours(daemon):  # AS-T02
    running = daemon([COMMAND])
    running.terminate()
    running.config["routes"] = []
    text = yaml.safe_dump(running.config, sort_keys=False).replace("routes: []", "")
    body = samples.INPRG.replace("\n", " ")
    running.file.write_text(f"{text}\nroutes:\n  - {{name: order, from: order, to: at.work_order.create, body: {body}}}\n")
    said = running.cli("check", expect=None)
    assert said.returncode != 0
    for key in ("MaintenanceMaterials", "MaintenanceServices"):
        assert f"key '{key}' stands twice" in said.stdout + said.stderr


def test_the_site_s_own_description_is_compared(daemon, assetic, publisher):  # AS-C04
    running = daemon([{"name": "check", "from": "check", "to": "at.contract.check", "body": {"document": "/apidocs"}}])
    publisher.publish("check", {})
    wait_until(lambda: running.deliveries(state="delivered", route="check"), 10, "nothing is missing")
    apidocs = assetic.control("GET", "config")["apidocs"]
    del apidocs["paths"]["/api/v2/document"]
    del apidocs["definitions"]["WorkOrder"]["properties"]["ExternalId"], apidocs["definitions"]["WorkOrder"]["properties"]["AssetId"]
    assetic.configure(apidocs=apidocs)
    publisher.publish("check", {})
    (delivery,) = rejected(running)
    assert (delivery["error"]["class"], delivery["error"]["code"]) == ("validation", "contract_differs")
    assert pointers(delivery) == ["/definitions/WorkOrder/properties/AssetId", "/definitions/WorkOrder/properties/ExternalId",
                                  "/paths/~1api~1v2~1document/post"]


@pytest.mark.parametrize("action, rule", [("reset", {"after": True}), ("hang", {"after": True}), ("truncate", {}),
                                          ("garbage", {}), ("nonsense", {})])
def test_a_lost_answer_makes_one_order(daemon, assetic, publisher, action, rule):  # A-U11: the order is there
    running = daemon([SENSOR], timeout="1s")
    assetic.fail(action, times=1, method="POST", path=ORDERS, **rule)
    publisher.publish("plant/P-101/temperature", "91")
    wait_until(lambda: running.deliveries(state="delivered", route="bearing-hot"), 15, "the delivery")
    (order,) = assetic.orders()
    assert running.api("GET", "orders").json["items"][0]["source_work_order_id"] == order["Id"]
    assert len([r for r in assetic.asked(ORDERS) if r["method"] == "POST"]) == 1
    assert any("ExternalId~eq~" in r["path"] for r in assetic.asked(ORDERS))


def test_one_who_is_still_at_work_is_not_asked_too_early(daemon, assetic, publisher):  # A-U11: a lookup before it is made finds nothing
    """The vendor takes its time, and busbar is killed and back before the order is there."""
    running = daemon([SENSOR], retry={"first": "4s", "max": "8s", "attempts": 20, "max_age": "7d"})
    assetic.fail("delay", seconds=2, times=1, method="POST", path=ORDERS)
    publisher.publish("plant/P-101/temperature", "91")
    wait_until(lambda: assetic.control("GET", "fail")["items"][0]["used"], 10, "the order on its way")
    running.kill()
    running.start()
    wait_until(lambda: running.deliveries(state="delivered", route="bearing-hot"), 20, "the order, found")
    assert len(assetic.orders()) == 1
    assert len([r for r in assetic.asked(ORDERS) if r["method"] == "POST"]) == 1


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


def test_an_attachment_waits_for_the_order_that_busbar_makes(daemon, assetic, publisher):  # A-U18, FV-09d
    """By busbar's own id, before Assetic has the order: what is known of it is its delivery."""
    running = daemon([SENSOR, ATTACH])
    assetic.fail("status", status=503, method="POST", path=ORDERS)
    publisher.publish("plant/P-101/temperature", "91")
    ours = wait_until(lambda: running.json("orders", "list")["items"], 10, "its record")[0]["common_work_order_id"]
    publisher.publish("attach", {"work_order": ours, "name": "trend.png", "content": "aGVsbG8="})
    waiting = wait_until(lambda: running.deliveries(route="attach", state="retrying"), 10, "it waits")[0]
    assert waiting["error"]["code"] in ("work_order_not_there", "http_503") and assetic.items("documents") == []
    assetic.forgive()
    order = one_order(assetic)
    (document,) = wait_until(lambda: assetic.items("documents"), 15, "the document")
    assert document["ParentId"] == order["Id"] and running.deliveries(state="rejected") == []


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
