# SPDX-License-Identifier: Apache-2.0
"""Tasks of Mobility Work through the real daemon, beside those of the main job (test_main_job.py)."""

import pytest

from busbar_harness import hot_route, wait_until

ALARM = {"name": "bearing-hot", "from": "plant/{line}/{asset}/temperature", "trigger": {"above": 85, "clear": 80},
         "to": "mw.work_order.create",
         "body": {"asset_ref": "${asset}", "priority": "high", "location": "${line}",
                  "title": "Bearing at ${value} °C on ${asset}"}}


def test_a_portable_work_order_becomes_a_task(busbar, sandbox, publisher):  # MW-E08, MW-C04, MW-C15, MW-C17
    daemon = busbar(routes=[ALARM], target={"defaults": {"assignees": ["maintenance@example.com"]}, "task_duration": "2h"},
                    life={"scheduled": 0, "completed": 0.1})
    publisher.publish("plant/l1/P-101/temperature", "91")
    (task,) = wait_until(sandbox.tasks, 10, "the task")
    (delivery,) = wait_until(lambda: daemon.deliveries(state="delivered", route="bearing-hot"), 10, "the delivery")
    start, end = task["body"].pop("startDateTime"), task["body"].pop("endDateTime")
    assert start[:13] != end[:13] and start[13:] == end[13:] and start.endswith("+00:00"), "two hours later"
    assert task["body"] == {
        "equipment": {"type": "external", "value": "P-101"}, "allDay": False,
        "description": "Bearing at 91 °C on P-101\n\nLocation: l1\nPriority: high",
        "assignees": [{"type": "email", "value": "maintenance@example.com"}],
        "metadata": {"busbarId": delivery["id"], "busbarOrder": delivery["order"]}}

    def record():
        (order,) = daemon.json("orders", "list")["items"]
        return order if order["common_status"] == "completed" else None

    order = wait_until(record, 10, "the order's completion")
    assert order["source_work_order_id"] == task["id"] and order["asset_ref"] == "P-101"
    assert order["common_work_order_id"] == delivery["order"]


def test_a_refusal_names_the_common_word(busbar, sandbox, publisher):  # MW-C20, FV-07d
    daemon = busbar(routes=[ALARM], target={"defaults": {"assignees": [3]}})
    sandbox.configure(unknown_equipments=["P-404"])
    publisher.publish("plant/l1/P-404/temperature", "91")
    (delivery,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the refusal")
    assert delivery["error"]["code"] == "unknown_equipment"
    assert [field["pointer"] for field in delivery["error"]["rejected_fields"]] == ["/asset_ref"]


@pytest.mark.parametrize("answer", [{"page": "<html>Sign in</html>"}, {"body": None}, {"page": ""}], ids=["page", "null", "nothing"])
def test_what_is_no_answer_of_mobility_work_s_makes_no_task(busbar, sandbox, publisher, answer):  # MW-C05
    """A captive portal answers for a while, by 200. One task in the end, and until then none is said to be there."""
    daemon = busbar(routes=[hot_route(until="closed")])
    sandbox.fail("status", status=200, path="/partners/v1/tasks", **answer)
    publisher.publish("plant/l1/P-101/temperature", {"celsius": 91})
    (waits,) = wait_until(lambda: daemon.deliveries(state="retrying"), 10, "another attempt")
    assert waits["error"]["code"] == "odd_answer" and waits["uncertain"] is True
    (order,) = daemon.json("orders", "list")["items"]
    assert order["sync_state"] != "synchronized"
    sandbox.forgive()
    (delivery,) = wait_until(lambda: daemon.deliveries(state="delivered", route="bearing-hot"), 10, "the delivery")
    (task,) = sandbox.tasks()
    assert task["body"]["metadata"]["busbarId"] == delivery["id"] == waits["id"]
    (order,) = daemon.json("orders", "list")["items"]
    assert order["sync_state"] == "synchronized"


def test_a_page_is_left_to_a_person_where_no_task_may_be_made_twice(busbar, sandbox, publisher):
    daemon = busbar(routes=[dict(hot_route(), on_uncertain="park")])
    sandbox.fail("status", status=200, path="/partners/v1/tasks", page="<html>Sign in</html>")
    publisher.publish("plant/l1/P-101/temperature", {"celsius": 91})
    (parked,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the parked delivery")
    assert parked["error"]["code"] == "uncertain_outcome" and sandbox.tasks() == []
