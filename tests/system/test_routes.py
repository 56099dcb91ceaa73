# SPDX-License-Identifier: Apache-2.0
"""busbar routes: which there are and what became of their messages; one fired by hand."""

import json

import pytest

from busbar_harness import command_route, hot_route, http_call, wait_until

PLAN = {"name": "plan", "from": "erp/inspect", "to": "mw.maintenance_plan.trigger", "body": {"planId": "PLAN-1"}}
HOT = "plant/l1/m1/temperature"
LIMIT = 1024


def routes(daemon):
    return {route["name"]: route for route in daemon.json("routes", "list")["items"]}


def fire(daemon, route, *arguments, **options):
    return daemon.cli("routes", "fire", route, *arguments, **options)


def ends(daemon, state, count=1):
    """Deliveries of a state, once there are so many."""
    return wait_until(lambda: len(found := daemon.deliveries(state=state)) == count and found, 10, f"{count} {state}")


def balances(daemon):
    """Both ledgers of every route."""
    metrics = daemon.metrics()
    for route in routes(daemon):
        assert metrics.sum("busbar_messages_received_total", route=route) \
            == metrics.sum("busbar_messages_total", route=route), metrics.text
        began = metrics.sum("busbar_deliveries_accepted_total", route=route) \
            + metrics.sum("busbar_deliveries_carried", route=route)
        ended = metrics.sum("busbar_deliveries_total", route=route)
        still = sum(metrics.sum("busbar_deliveries", route=route, state=s) for s in ("draft", "pending", "retrying"))
        assert began == ended + still, metrics.text
    return metrics


def test_routes_are_listed_with_their_counts(busbar, sandbox, publisher):
    daemon = busbar([hot_route(), command_route(), PLAN], target={"mode": {"default": "write_back",
                                                                           "maintenance_plan.trigger": "draft"}})
    for celsius in (20, 91, 92, 93):
        publisher.publish(HOT, {"celsius": celsius})
    publisher.publish("plant/l1/m1/job", {})  # its body needs .celsius
    ends(daemon, "delivered")
    seen = routes(daemon)
    assert seen["bearing-hot"]["messages"] == {"received": 4, "ignored": 1, "suppressed": 2, "invalid": 0, "duplicate": 0,
                                               "waiting": 0, "accepted": 1}
    assert seen["job"]["messages"]["invalid"] == 1
    assert [(seen[n]["to"], seen[n]["mode"], seen[n]["state"]) for n in ("bearing-hot", "plan")] == [
        ("mw.task.schedule", "write_back", "up"), ("mw.maintenance_plan.trigger", "draft", "up")]
    daemon.cli("targets", "hold", "mw", "--operation", "task.schedule")
    seen = routes(daemon)
    assert (seen["bearing-hot"]["state"], seen["plan"]["state"]) == ("held", "up")
    table = daemon.cli("routes", "list").stdout
    assert table.startswith("ROUTE") and "plant/{line}/{asset}/temperature" in table and "held" in table


def test_a_route_is_fired_by_hand(busbar, sandbox):  # MW-P27
    daemon = busbar([PLAN])
    said = fire(daemon, "plan").stdout  # its filter names one topic
    (task,) = wait_until(sandbox.tasks, 10, "the task")
    assert task["plan"] == "PLAN-1"
    (delivery,) = ends(daemon, "delivered")
    assert said == f"plan fired: {delivery['id']}\n"
    story = daemon.json("queue", "show", delivery["id"])
    assert (story["route"], story["topic"], story["lane"]) == ("plan", "erp/inspect", "erp/inspect")
    fired = [line for line in story["history"] if line["what"] == "fire"]
    assert [(f["who"], f["route"], f["operation"], f["outcome"], f["detail"]) for f in fired] == [
        ("operator", "plan", "maintenance_plan.trigger", "pending", "erp/inspect")]
    metrics = balances(daemon)
    assert metrics.sum("busbar_messages_total", route="plan", outcome="accepted") == 1


def test_a_fired_payload_is_mapped_as_any_other(busbar, sandbox, tmp_path):  # MW-P27
    daemon = busbar([hot_route(), command_route(name="raw", topic="erp/{machine}/raw", body={
        **hot_route()["body"], "equipment": "${machine}", "description": "${.text} at ${key}"}, key="${.lane}")])
    fire(daemon, "bearing-hot", "--topic", HOT, "--payload", '{"celsius": 20}')
    (task,) = wait_until(sandbox.tasks, 10, "the task")
    assert task["body"]["description"] == "Bearing at 20 °C on m1"
    file = tmp_path / "payload.json"
    file.write_text(json.dumps({"text": "äöü " * 3, "lane": "north"}), encoding="utf-8")
    fire(daemon, "raw", "-t", "erp/P 7/raw", "--payload-file", str(file))
    fire(daemon, "raw", "-t", "erp/P 7/raw", "--payload-file", "-", stdin=file.read_text(encoding="utf-8"))
    wait_until(lambda: len(sandbox.tasks()) == 3, 10, "both")
    assert {t["body"]["description"] for t in sandbox.tasks()[1:]} == {"äöü " * 3 + " at north"}
    assert [d["lane"] for d in daemon.deliveries(route="raw")] == ["north", "north"]


def test_user_properties_are_fired_along_and_kept(busbar, sandbox):  # MW-P27
    daemon = busbar([command_route(body={**hot_route()["body"], "equipment": "${user.machine}", "description": "Inspect"})])
    sandbox.configure(unknown_equipments=["m7"])
    arguments = ("-t", "plant/l1/m1/job", "-p", "{}")
    assert "no user property machine" in fire(daemon, "job", *arguments, expect=1).stderr
    assert '"value":"m7"' in fire(daemon, "job", *arguments, "--user", '{"machine": "m7"}', "--dry-run").stdout
    fire(daemon, "job", *arguments, "--user", '{"machine": "m7", "shift": "ä"}')
    (dead,) = ends(daemon, "rejected")
    assert daemon.json("queue", "show", dead["id"])["message"]["user"] == {"machine": "m7", "shift": "ä"}
    sandbox.configure(unknown_equipments=[])
    daemon.cli("queue", "edit", dead["id"])  # mapped again, with the properties that it came with
    (task,) = wait_until(sandbox.tasks, 10, "the task")
    assert task["body"]["equipment"] == {"type": "external", "value": "m7"}
    assert "JSON object" in fire(daemon, "job", *arguments, "--user", "machine=m7", expect=2).stderr
    answer = http_call(daemon.admin_port, "POST", "/api/v1/routes/job/fire?topic=plant%2Fl1%2Fm1%2Fjob&user=3", b"{}")
    assert answer.status == 400


def test_firing_leaves_the_trigger_as_it_is(busbar, sandbox, publisher):  # MW-P27
    daemon = busbar([hot_route(cooldown="1h")])
    hot = ("--topic", HOT, "--payload", '{"celsius": 91}')
    fire(daemon, "bearing-hot", *hot)
    publisher.publish(HOT, {"celsius": 91})  # still armed: it fires, and begins the cooldown
    ends(daemon, "delivered", 2)
    fire(daemon, "bearing-hot", *hot)  # tripped and cooling down: by hand it goes all the same
    ends(daemon, "delivered", 3)
    publisher.publish(HOT, {"celsius": 70})
    publisher.publish(HOT, {"celsius": 91})
    wait_until(lambda: routes(daemon)["bearing-hot"]["messages"]["suppressed"] == 1, 10, "the cooldown's end")
    counts = routes(daemon)["bearing-hot"]["messages"]
    assert (counts["received"], counts["accepted"], counts["ignored"], counts["suppressed"]) == (5, 3, 1, 1)
    balances(daemon)


@pytest.mark.parametrize("mode, state", [("read", "rejected"), ("draft", "draft"), ("handoff", "delivered")])
def test_modes_hold_for_what_is_fired(busbar, sandbox, mode, state):  # MW-P27, FV-08
    daemon = busbar([PLAN], target={"mode": mode})
    fire(daemon, "plan")
    ends(daemon, state)
    assert len(sandbox.tasks()) == (state == "delivered")
    balances(daemon)


def test_a_dry_run_shows_and_does_nothing(busbar, sandbox):  # MW-P27
    daemon = busbar([PLAN, hot_route()])
    shown = fire(daemon, "plan", "--dry-run").stdout
    assert f"POST {sandbox.url}/partners/v1/maintenance-plans/PLAN-1/trigger" in shown and "Api-Key: ***" in shown
    told = json.loads(fire(daemon, "bearing-hot", "--dry-run", "--json", "-t", HOT, "-p", '{"celsius": 3}').stdout)
    (decision,) = told["decisions"]
    assert (decision["outcome"], decision["reason"], decision["lane"]) == ("accepted", "manual", "l1/m1")
    assert "Bearing at 3 " in decision["request"]
    assert daemon.deliveries() == [] and daemon.json("audit")["items"] == []
    daemon.kill()
    assert "PLAN-1" in fire(daemon, "plan", "--dry-run").stdout, "it needs no daemon"


REFUSED = {  # arguments, words
    "no-route": (["none"], "no such route: none"),
    "no-name": (["../deliveries"], "no such route"),
    "no-topic": (["bearing-hot", "-p", '{"celsius": 9}'], "does not fit the route's filter: plant/{line}"),
    "other-topic": (["bearing-hot", "-t", "plant/l1", "-p", '{"celsius": 9}'], "does not fit the route's filter"),
    "wildcard": (["bearing-hot", "-t", "plant/+/m1/temperature", "-p", '{"celsius": 9}'], "does not fit"),
    "no-value": (["bearing-hot", "-t", HOT, "-p", "{}"], "celsius"),
    "no-json": (["bearing-hot", "-t", HOT, "-p", "{"], "no JSON"),
    "too-large": (["bearing-hot", "-t", HOT, "-p", json.dumps({"celsius": 1, "pad": "x" * LIMIT})], "bus.max_payload"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fired_is_refused_and_counts_nowhere(busbar, broker, name):
    arguments, words = REFUSED[name]
    daemon = busbar([hot_route()], bus={"url": broker.url, "max_payload": LIMIT})
    assert words in fire(daemon, *arguments, expect=1).stderr
    if name != "too-large":  # try and its like have no cap
        assert fire(daemon, *arguments, "--dry-run", expect=1).returncode == 1
    assert daemon.deliveries() == [] and daemon.json("audit")["items"] == []
    assert routes(daemon)["bearing-hot"]["messages"]["received"] == 0


def test_the_api_fires_with_bytes_as_they_are(busbar, sandbox):
    daemon = busbar([hot_route(), PLAN])
    answer = http_call(daemon.admin_port, "POST", "/api/v1/routes/bearing-hot/fire?topic=plant%2Fl1%2Fm9%2Ftemperature",
                       b'{"celsius": 1e2}')
    assert answer.status == 200, answer.body
    assert daemon.json("queue", "show", answer.json["id"])["message"]["payload"] == {"celsius": 100.0}
    for path, status in (("none", 404), ("bearing-hot", 409)):
        assert http_call(daemon.admin_port, "POST", f"/api/v1/routes/{path}/fire", b"{}").status == status
    assert http_call(daemon.admin_port, "GET", "/api/v1/routes/plan/fire").status == 405


def test_without_the_daemon(busbar):
    daemon = busbar([PLAN], start=False)
    assert "daemon" in fire(daemon, "plan", expect=1).stderr
    assert "usage" in daemon.cli("routes", expect=2).stderr
    assert "not both" in fire(daemon, "plan", "-p", "x", "--payload-file", "y", expect=2).stderr
    assert "cannot read" in fire(daemon, "plan", "--payload-file", "none.json", expect=1).stderr
