# SPDX-License-Identifier: Apache-2.0
"""Plans that Mobility Work holds and busbar triggers, from end to end. How the call looks is a guess; what must not
happen around it is not."""

import json
import re

import pytest

from busbar_harness import command_route, wait_until

READINGS = "plant/l1/m1/vibration"


def on_command(**members):
    return {"name": "plan", "from": "erp/{machine}/moved", "to": "mw.maintenance_plan.trigger",
            "body": {"planId": "${.plan}"}, **members}


def on_reading(**trigger):
    return {"name": "plan", "from": "plant/{line}/{asset}/vibration", "to": "mw.maintenance_plan.trigger",
            "trigger": {"above": 7, "clear": 4, "key": "${asset}", **trigger}, "body": {"planId": "PLAN-1"}}


def calls(sandbox):
    return [r["path"] for r in sandbox.requests() if "maintenance-plans" in r["path"]]


def counts(daemon):
    (route,) = [r for r in daemon.json("routes", "list")["items"] if r["name"] == "plan"]
    return route["messages"]


def story(daemon, delivery):
    return daemon.json("queue", "show", delivery["id"])


def settled(daemon, state, count=1):
    """What routes made and came to this; what webhooks did is not looked at."""
    return wait_until(lambda: len(found := [d for d in daemon.deliveries(state=state) if d["route"]]) == count and found, 15,
                      f"{count} {state}")


# ---- what a plan is

def test_a_controller_triggers_the_plan_and_mobility_work_makes_the_task(busbar, sandbox, publisher):
    """MW-P01, MW-P07, MW-P08, MW-P11: the plan's task is Mobility Work's; its life comes back like any other's."""
    daemon = busbar([on_reading()], life={"scheduled": 0, "started": 0.1, "completed": 0.2})
    publisher.publish(READINGS, "7.5")
    (task,) = wait_until(sandbox.tasks, 10, "the task")
    assert task["plan"] == "PLAN-1" and task["body"] == {"metadata": {}}, "the call said nothing of the task"
    (order,) = wait_until(lambda: [o for o in daemon.json("orders", "list")["items"]
                                   if o["source_work_order_id"] == task["id"]], 10, "the task's record")
    (delivery,) = settled(daemon, "delivered")
    assert order["common_work_order_id"] == story(daemon, delivery)["order"], "the record leads to the call"
    assert "/maintenance-plans/PLAN-1/trigger" in story(daemon, delivery)["request"], "and the call to the plan"
    wait_until(lambda: daemon.json("orders", "show", order["common_work_order_id"])["common_status"] == "completed", 10,
               "the ordinary life of a task")


def test_each_call_is_one_task_and_nothing_else_makes_one(busbar, sandbox, publisher):
    """MW-P04, MW-P06, MW-P09: not a date, not the end of the task before; and no limit that Mobility Work keeps."""
    daemon = busbar([on_command()], life={"scheduled": 0, "started": None, "completed": None})
    wait_until(lambda: sandbox.requests("/partners/v1/network/settings"), 10, "the start")
    assert sandbox.tasks() == [] and calls(sandbox) == []
    for n in range(3):
        publisher.publish("erp/m1/moved", {"plan": "PLAN-1"})  # the task before is still open
        settled(daemon, "delivered", n + 1)
        assert len(sandbox.tasks()) == n + 1
    assert len(calls(sandbox)) == 3


def test_when_to_trigger_is_decided_here(busbar, sandbox, publisher):
    """MW-P05, MW-P20: of a thousand readings, those in the band included, the crossings alone are calls."""
    daemon = busbar([on_reading(cooldown="0s")])
    for value in [6, 7, *[7.1, 5, 6.9, 8] * 250, 4, 3.9, 6.9, 7.2]:
        publisher.send(READINGS, str(value))
    publisher.flush()
    settled(daemon, "delivered", 2)
    wait_until(lambda: counts(daemon)["received"] == 1006, 10, "all readings")
    assert len(sandbox.tasks()) == len(calls(sandbox)) == 2


def test_a_flood_is_held_back_here(busbar, sandbox, publisher):  # MW-P09, MW-P21: an hour, unless the route says another
    daemon = busbar([on_reading()])
    for _ in range(20):
        publisher.send(READINGS, "9")
        publisher.send(READINGS, "1")
    publisher.publish("plant/l1/m2/vibration", "9")  # another machine has its own
    wait_until(lambda: counts(daemon)["received"] == 41, 10, "all readings")
    settled(daemon, "delivered", 2)
    assert counts(daemon)["suppressed"] == 19 and len(sandbox.tasks()) == 2


# ---- where it comes from

def test_a_file_of_readings_is_a_source(busbar, sandbox, publisher, tmp_path):  # MW-P12
    """What a script reads out of a file, line by line."""
    file = tmp_path / "readings.csv"
    file.write_text("".join(f"2026-01-0{day};hall 2;{value}\n" for day, value in enumerate(["3,1", "6,9", "7,3", "7,9"], 1)))
    daemon = busbar([{**on_reading(value="${.speed}"), "format": {
        "type": "csv", "columns": ["day", None, "speed"], "separator": ";", "decimal": ","}}])
    for line in file.read_text().splitlines():
        publisher.publish(READINGS, line)
    (delivery,) = settled(daemon, "delivered")
    assert story(daemon, delivery)["message"]["payload"] == "2026-01-03;hall 2;7,3" and len(sandbox.tasks()) == 1


def test_a_script_may_call(busbar, sandbox):  # MW-P12
    daemon = busbar([on_command()])
    daemon.cli("routes", "fire", "plan", "--topic", "erp/m7/moved", "--payload", '{"plan": "PLAN-2"}')
    (task,) = wait_until(sandbox.tasks, 10, "the task")
    assert task["plan"] == "PLAN-2"


def test_a_business_event_triggers(busbar, sandbox, publisher):  # MW-P13: moved, reconfigured, put back into service
    route = on_command(body=None, body_jq='{planId: {moved: "PLAN-1", restarted: "PLAN-2"}[.event]}')
    del route["body"]
    daemon = busbar([route])
    for event in ("moved", "restarted", "painted"):
        publisher.publish("erp/m1/moved", {"event": event})
    settled(daemon, "delivered", 2)
    settled(daemon, "rejected")  # no plan for that
    assert [t["plan"] for t in sandbox.tasks()] == ["PLAN-1", "PLAN-2"]


# ---- what must not happen

UNSAFE = ["../tasks", "..", "a/b", "PLAN-1/", "%2e%2e%2ftasks", "PLAN%2f1", "", " ", "a?b", "a#b", "ä", "x" * 65, None, [1],
          {"id": 1}, 1.5, True]


def test_a_plan_is_one_safe_segment_of_the_path(busbar, sandbox, publisher):  # MW-P02
    daemon = busbar([on_command()])
    for plan in UNSAFE:
        publisher.send("erp/m1/moved", {"plan": plan})
    publisher.publish("erp/m1/moved", {"plan": "4711"})
    settled(daemon, "delivered")
    dead = settled(daemon, "rejected", len(UNSAFE))
    assert {(d["error"]["class"], d["error"]["code"]) for d in dead} == {("validation", "invalid_plan_id")}
    fields = [json.dumps(d["error"]["rejected_fields"]) for d in dead]
    assert all("/planId" in field for field in fields)
    assert calls(sandbox) == ["/partners/v1/maintenance-plans/4711/trigger"]
    assert {r["path"] for r in sandbox.requests()} == {*calls(sandbox), "/partners/v1/network/settings"}


def test_that_it_is_unverified_is_said_at_start(busbar):  # MW-P30
    daemon = busbar([on_command()])
    assert "maintenance_plan.trigger is unverified" in daemon.log.read_text()


def test_the_request_is_the_sites_to_change(busbar, sandbox, publisher):  # MW-P30: path, method, body and success
    daemon = busbar([on_command()], target={
        "plan_path": "/partners/v1/tasks?plan={planId}", "plan_method": "PUT",
        "plan_body": {"plan": "{planId}", "from": "{topic}", "mark": "{id}"}, "plan_success": [405]})
    publisher.publish("erp/m1/moved", {"plan": "PLAN-1"})
    (delivery,) = settled(daemon, "delivered")  # the stand-in has no such call: its 405 is the success we asked for
    request = story(daemon, delivery)["request"]
    assert request.startswith(f"PUT {sandbox.url}/partners/v1/tasks?plan=PLAN-1\n")
    assert f'{{"plan":"PLAN-1","from":"erp/m1/moved","mark":"{delivery["id"]}"}}' in request


def test_who_may_not_is_told_what_is_needed(busbar, sandbox, publisher):  # MW-P10
    daemon = busbar([on_command(), command_route()])
    sandbox.fail("status", status=403, path="/partners/v1/maintenance-plans")
    publisher.publish("erp/m1/moved", {"plan": "PLAN-1"})
    (hold,) = wait_until(lambda: daemon.json("targets", "list")["items"][0]["holds"], 10, "the hold")
    assert hold["operation"] == "maintenance_plan.trigger"
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    settled(daemon, "delivered")  # other operations go on
    (waiting,) = daemon.deliveries(route="plan")
    assert "administrator" in story(daemon, waiting)["error"]["owner_action"]
    assert "Starter, Premium or On demand" in story(daemon, waiting)["error"]["owner_action"]


@pytest.mark.parametrize("policy, tasks", [(None, 1), ("park", 1), ("retry", 2)])
def test_a_lost_answer_is_a_matter_of_policy(busbar, sandbox, publisher, policy, tasks):  # MW-P26
    daemon = busbar([on_reading()], target={"on_uncertain": policy})
    sandbox.fail("reset", after=True, times=1, path="/partners/v1/maintenance-plans")
    publisher.publish(READINGS, "8")
    (delivery,) = settled(daemon, "delivered" if policy == "retry" else "rejected")
    if policy != "retry":
        assert delivery["error"]["code"] == "uncertain_outcome"
    assert len(sandbox.tasks()) == tasks
    publisher.publish(READINGS, "1")
    publisher.publish(READINGS, "8")  # it counts as a trigger: the cooldown runs
    wait_until(lambda: counts(daemon)["suppressed"] == 1, 10, "the cooldown")
    assert len(sandbox.tasks()) == tasks


@pytest.mark.parametrize("status", [502, 504])
def test_the_same_call_goes_again_after_any_5xx(busbar, sandbox, publisher, status):  # MW-C08, MW-P06
    """The vendor asks for it, so a gateway's is no uncertain outcome, though a lost answer is one and parks."""
    daemon = busbar([on_reading()])
    sandbox.fail("status", status=status, times=1, path="/partners/v1/maintenance-plans")
    publisher.publish(READINGS, "8")
    (delivery,) = settled(daemon, "delivered")
    assert len(sandbox.tasks()) == 1
    sent = [(r["path"], r["body"]) for r in sandbox.requests() if "maintenance-plans" in r["path"]]
    assert len(sent) == 2 and sent[0] == sent[1], "byte for byte"


def test_each_trigger_is_in_the_audit(busbar, sandbox, publisher):  # MW-P28
    """Time, cause (topic, value, rule), plan, status and Request-Id, of what was done and of what was refused."""
    daemon = busbar([on_reading(cooldown="0s"), on_command(name="unknown")])
    publisher.publish(READINGS, "7.5")
    publisher.publish("erp/m1/moved", {"plan": "PLAN-9"})
    settled(daemon, "delivered")
    settled(daemon, "rejected")
    for state, route, topic, value, plan, status in (("delivered", "plan", READINGS, 7.5, "PLAN-1", "201"),
                                                     ("rejected", "unknown", "erp/m1/moved", {"plan": "PLAN-9"}, "PLAN-9", "404")):
        (delivery,) = daemon.deliveries(state=state)
        row, *fired = daemon.json("audit", "--id", delivery["id"])["items"]
        assert [each["what"] for each in fired] == (["fire"] if route == "plan" else []), "what the rule decided"
        told = story(daemon, delivery)
        assert (row["who"], row["what"], row["route"], row["operation"], row["outcome"]) == (
            "busbar", "attempt", route, "maintenance_plan.trigger", state)
        request_id = re.search(r"^request-id: (\S+)$", told["response"], re.MULTILINE)[1]
        assert row["at"] >= told["accepted"] and f"HTTP {status}, request {request_id}" in row["detail"]
        assert (told["topic"], told["message"]["payload"]) == (topic, value)
        assert f"/maintenance-plans/{plan}/trigger" in told["request"]
    assert "PLAN-9" in row["detail"], "what was refused names its plan"
