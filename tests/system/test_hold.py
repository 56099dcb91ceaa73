# SPDX-License-Identifier: Apache-2.0
"""A refused credential holds the target: its data is kept, someone is told, one resume gets it through."""

from busbar_harness import KEY, command_route, wait_until


def flood(publisher, count, start=0):
    for n in range(start, start + count):
        publisher.send(f"plant/l1/m{n % 7}/job", {"celsius": n})
    publisher.flush()


def held(daemon):
    return daemon.metrics().sum("busbar_target_held", target="mw") == 1


def test_a_401_holds_the_target_until_resumed(busbar, sandbox, publisher, subscribe):  # FV-07a, settled 14
    alerts = subscribe("busbar/alerts/#", "busbar/alerts")
    daemon = busbar()
    flood(publisher, 10)
    wait_until(lambda: len(sandbox.tasks()) == 10, 10)
    sandbox.configure(key="another-key")
    flood(publisher, 100, 10)
    wait_until(lambda: held(daemon), 10, "held")
    wait_until(alerts.seen, 10, "an alarm on the bus")

    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="mw", state="pending")
               + daemon.metrics().sum("busbar_deliveries", target="mw", state="retrying") == 100, 10, "all kept")
    asked = sandbox.counts()["statuses"]["401"]
    assert asked <= 32 + 1, "a held target is not asked again and again"
    (target,) = [t for t in daemon.json("targets", "list")["items"] if t["name"] == "mw"]
    assert target["holds"]
    kept = daemon.deliveries(target="mw", state="pending")
    assert kept and all(delivery["attempts"] == 0 for delivery in kept), "a held delivery uses no attempt"

    daemon.kill()  # the hold and the data outlive the process
    daemon.start()
    assert held(daemon)
    assert sandbox.counts()["statuses"]["401"] <= asked + 1

    sandbox.configure(key=KEY)
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: sandbox.counts()["distinct"] == 110, 20, "everything after one resume")
    assert sandbox.counts()["twice"] == [] and not held(daemon)
    assert daemon.deliveries(state="rejected") == []


def test_a_403_holds_the_operation_alone(busbar, sandbox, publisher):  # FV-07b, settled 14
    plan = {"name": "plan", "from": "plant/+/inspect", "to": "mw.maintenance_plan.trigger", "body": {"planId": "PLAN-1"}}
    daemon = busbar([command_route(), plan])
    sandbox.fail("status", status=403, path="/partners/v1/maintenance-plans")
    publisher.publish("plant/l1/inspect", {})
    wait_until(lambda: sandbox.counts()["statuses"].get("403"), 10, "the refusal")
    wait_until(lambda: held_operation(daemon), 10, "the operation held")
    flood(publisher, 5)
    wait_until(lambda: len(sandbox.tasks()) == 5, 10, "the other operation's tasks")
    sandbox.forgive()
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: len(sandbox.tasks()) == 6, 10, "the plan after the resume")


def held_operation(daemon):
    (target,) = [t for t in daemon.json("targets", "list")["items"] if t["name"] == "mw"]
    return "maintenance_plan.trigger" in [hold["operation"] for hold in target["holds"]]


def test_a_redirect_holds_the_target(busbar, sandbox, publisher):  # U22: never followed with the key
    daemon = busbar()
    sandbox.fail("status", status=302, headers={"Location": "http://127.0.0.1:9/"}, path="/partners/v1/tasks")
    flood(publisher, 3)
    wait_until(lambda: held(daemon), 10)
    sandbox.forgive()
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: len(sandbox.tasks()) == 3, 10)


def test_an_operator_may_hold_and_resume(busbar, sandbox, publisher):
    daemon = busbar()
    daemon.cli("targets", "hold", "mw")
    flood(publisher, 3)
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="mw", state="pending") == 3, 10)
    assert sandbox.tasks() == []
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: len(sandbox.tasks()) == 3, 10)
    daemon.cli("targets", "hold", "nobody", expect=1)


def test_a_wrong_key_at_start_is_seen_before_any_message(busbar, sandbox):  # MW-E09 as health check
    sandbox.configure(key="another-key")
    daemon = busbar()
    wait_until(lambda: held(daemon), 10)


def test_a_target_that_is_away_says_why(busbar, sandbox, publisher):
    daemon = busbar()
    sandbox.kill()
    for n in range(8):
        publisher.publish(f"plant/l1/m{n}/job", {"celsius": n})
    wait_until(lambda: "away" in daemon.cli("targets", "list").stdout, 20, "away")
    assert "onnect" in daemon.json("targets", "list")["items"][0]["reason"]
    sandbox.start()
    wait_until(lambda: daemon.json("targets", "list")["items"][0]["reason"] is None, 30, "up again")
