# SPDX-License-Identifier: Apache-2.0
"""The target goes away in mid-flood: nothing is lost, order stays per lane, the other target is not delayed."""

import contextlib
import sqlite3
import statistics
import time

import pytest

import busbar_harness as harness
from busbar_harness import command_route, wait_until


def two_targets(tmp_path, broker, sandbox, other, make_busbar):
    body = {"equipment": "${asset}", "description": "job ${.n} of ${asset}", "startDateTime": "${now}",
            "endDateTime": "${now+1h}", "allDay": False, "assignees": ["maintenance@example.com"],
            "metadata": {"sent": "${.sent}"}}
    targets = {"mw": harness.mw_target(sandbox), "other": harness.mw_target(other)}
    routes = [command_route("first", "plant/{line}/{asset}/job", "mw.task.schedule", key="${asset}", body=body),
              command_route("second", "plant/{line}/{asset}/job", "other.task.schedule", key="${asset}", body=body)]
    return make_busbar(harness.configuration(tmp_path, broker, targets, routes))


def order_of(tasks):
    """Per asset, the job numbers by their first appearance."""
    lanes = {}
    for task in tasks:
        words = task["body"]["description"].split()
        lane = lanes.setdefault(words[3], [])
        if int(words[1]) not in lane:
            lane.append(int(words[1]))
    return lanes


@pytest.mark.slow
def test_an_outage_loses_nothing_and_delays_nobody_else(tmp_path, broker, sandbox, make_sandbox, make_busbar,
                                                        publisher, full):
    down, busy = (30, 10) if full else (6, 3)
    assets, rounds = 20, 30
    other = make_sandbox()
    daemon = two_targets(tmp_path, broker, sandbox, other, make_busbar)

    def publish(first, last):
        for n in range(first, last):
            for a in range(assets):
                publisher.send(f"plant/l1/a{a}/job", {"n": n, "sent": time.time()})
        publisher.flush()

    publish(0, rounds // 3)
    wait_until(lambda: sandbox.counts()["tasks"] > assets, 20, "the flood began")
    sandbox.control("POST", "down")
    went = time.time()
    publish(rounds // 3, 2 * rounds // 3)
    wait_until(lambda: other.counts()["distinct"] == assets * (2 * rounds // 3), down, "the other target's tasks")
    assert time.time() - went < down, "the other target waited for the dead one"
    publish(2 * rounds // 3, rounds)
    wait_until(lambda: time.time() - went >= down, down + 1, "the end of the outage")

    sandbox.fail("status", status=503, retry_after=1)
    sandbox.control("POST", "up")
    wait_until(lambda: sandbox.counts()["statuses"].get("503", 0) > 0, 30, "the stand-in is asked again")
    until = time.time() + busy
    wait_until(lambda: time.time() >= until, busy + 1, "the busy time")
    sandbox.forgive()

    total = assets * rounds
    wait_until(lambda: sandbox.counts()["distinct"] == total, 60, "every job")
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", target="mw", verdict="delivered") == total, 20)
    for tasks in (sandbox.tasks(), other.tasks()):
        lanes = order_of(tasks)
        assert len(lanes) == assets
        for asset, lane in lanes.items():
            assert lane == list(range(rounds)), f"{asset} out of order or lost: {lane}"
    waits = sorted(t["time"] - float(t["body"]["metadata"]["sent"]) for t in other.tasks())
    print(f"other target: median {statistics.median(waits):.3f} s, worst {waits[-1]:.3f} s")
    assert waits[int(len(waits) * 0.99)] < down / 3, "the other target was delayed"
    assert daemon.metrics().sum("busbar_deliveries_total", target="mw", verdict="expired") == 0
    assert daemon.metrics().sum("busbar_deliveries_total", target="mw", verdict="rejected") == 0


def retry_gaps(sandbox, status="503"):
    """Seconds between a refused request and the next one of the same job."""
    gaps, refused = [], {}
    for request in sandbox.requests("/partners/v1/tasks"):
        if request["body"] in refused:
            gaps.append(request["time"] - refused.pop(request["body"]))
        if str(request["status"]) == status:
            refused[request["body"]] = request["time"]
    return gaps


def test_retry_after_in_seconds_is_kept(busbar, sandbox, publisher):  # MW-C08, U14
    busbar()
    sandbox.fail("status", status=503, retry_after=2, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) == 1, 15)
    (gap,) = retry_gaps(sandbox)
    assert 1.95 <= gap < 5


def test_retry_after_as_a_date_is_kept(busbar, sandbox, publisher):
    busbar()
    sandbox.fail("status", status=429, retry_after_date=3, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) == 1, 15)
    (gap,) = retry_gaps(sandbox, "429")
    assert 1.9 <= gap < 6  # the date has whole seconds


def test_a_retry_sends_the_same_bytes(busbar, sandbox, publisher):  # MW-C08: the exact same call
    busbar()
    sandbox.fail("status", status=500, times=2, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) == 1, 15)
    sent = [r["body"] for r in sandbox.requests("/partners/v1/tasks")]
    assert len(sent) == 3 and len(set(sent)) == 1


def test_a_lost_answer_is_recognised_by_its_marker(busbar, sandbox, publisher):  # U16
    busbar()
    sandbox.fail("reset", after=True, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: sandbox.counts()["tasks"] == 2, 15, "the retry after the lost answer")
    counts = sandbox.counts()
    assert counts["distinct"] == 1 and len(counts["twice"]) == 1


def test_a_webhook_settles_what_lost_its_answer(busbar, sandbox, publisher):  # U16
    retry = {"first": "60s", "max": "60s", "attempts": 8, "max_age": "7d"}
    daemon = busbar([command_route()], target={"retry": retry}, life={"scheduled": 0.2})
    sandbox.fail("reset", after=True, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", target="mw", route="job", verdict="delivered") == 1,
               10, "the task's own webhook says that it is there")
    (delivery,) = daemon.deliveries(route="job")
    story = daemon.json("queue", "show", delivery["id"])
    assert story["state"] == "delivered" and [h["what"] for h in story["history"]].count("confirm") == 1
    assert sandbox.counts()["tasks"] == 1, "it was not sent again"


def test_an_uncertain_plan_is_parked(busbar, sandbox, publisher):  # MW-P26, P-U3: a lost answer is not tried again
    daemon = busbar([{"name": "plan", "from": "plant/+/inspect", "to": "mw.maintenance_plan.trigger",
                      "body": {"planId": "PLAN-1"}}])
    sandbox.fail("reset", after=True, times=1, path="/partners/v1/maintenance-plans")
    publisher.publish("plant/l1/inspect", {})
    wait_until(lambda: daemon.deliveries(state="rejected"), 15, "the parked delivery")
    (parked,) = daemon.deliveries(state="rejected")
    assert parked["error"]["code"] == "uncertain_outcome" and sandbox.counts()["tasks"] == 1


def test_a_poor_answer_ends_in_a_verdict(busbar, sandbox, publisher):
    """Truncated, garbled, not even HTTP: each job ends, and none stops the others."""
    daemon = busbar([command_route(key="${.n}")])
    for action in ("truncate", "garbage", "nonsense"):
        sandbox.fail(action, times=1, path="/partners/v1/tasks")
    for n in range(6):
        publisher.send("plant/l1/m1/job", {"n": n, "celsius": n})
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", target="mw", verdict="delivered") == 6, 20)
    assert sandbox.counts()["distinct"] == 6


def test_the_attempts_run_out(busbar, sandbox, publisher):
    retry = {"first": "50ms", "max": "50ms", "attempts": 3, "max_age": "7d"}
    daemon = busbar([command_route()], target={"retry": retry})
    sandbox.fail("status", status=500, contains="m1", path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.deliveries(state="rejected") or daemon.deliveries(state="expired"), 20, "the end")
    assert len(sandbox.requests("/partners/v1/tasks")) == 3


def test_a_clock_that_was_set_back_delays_nothing(tmp_path, busbar, sandbox, publisher):
    """A host without a battery wakes up in the past: what is due in its future is due now."""
    daemon = busbar([command_route()])
    daemon.cli("targets", "hold", "mw")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(daemon.deliveries, 10, "the delivery")
    assert daemon.terminate() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "busbar.db")) as store, store:
        day = 24 * 3600 * 1000
        store.execute("UPDATE deliveries SET due_ms = due_ms + ?, accepted_ms = accepted_ms + ?", (day, day))
    daemon.start()
    daemon.cli("targets", "resume", "mw")
    wait_until(sandbox.tasks, 10, "the task")
