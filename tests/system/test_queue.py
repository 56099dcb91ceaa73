# SPDX-License-Identifier: Apache-2.0
"""Dead letters: seen with request, response and reason; retried, edited, discarded."""

import json

import pytest

from busbar_harness import KEY, TASK_BODY, command_route, wait_until


@pytest.fixture
def dead(busbar, sandbox, publisher):
    """A daemon with one dead letter (the equipment is not known to the target) and one good delivery."""
    daemon = busbar()
    sandbox.configure(unknown_equipments=["m-lost"])
    publisher.publish("plant/l1/m-lost/job", {"celsius": 1})
    publisher.publish("plant/l1/m-good/job", {"celsius": 2})
    wait_until(lambda: daemon.deliveries(state="rejected") and sandbox.tasks(), 10, "the dead letter")
    return daemon


def letter(daemon):
    (delivery,) = daemon.deliveries(state="rejected")
    return daemon.json("queue", "show", delivery["id"])


def test_a_dead_letter_tells_everything(dead):  # FV-07d, MW-C20, MW-C09
    shown = letter(dead)
    error = shown["error"]
    assert shown["state"] == "rejected" and shown["attempts"] == 1
    assert (shown["route"], shown["target"], shown["operation"]) == ("job", "mw", "task.schedule")
    assert error["class"] == "identity" and error["provider_http_status"] == 400 and error["provider_request_id"]
    assert error["rejected_fields"][0]["pointer"] == "/equipment"
    assert error["owner_action"] and "m-lost" in json.dumps(shown["request"])
    assert "equipment.unknown" in json.dumps(shown["response"])
    assert KEY not in json.dumps(shown)
    for filters in ({"target": "mw"}, {"route": "job"}, {"state": "rejected"}):
        assert shown["id"] in [d["id"] for d in dead.deliveries(**filters)]
    assert dead.deliveries(state="rejected", target="bus") == []


def test_a_dead_letter_can_be_retried(dead, sandbox):
    shown = letter(dead)
    sandbox.configure(unknown_equipments=[])
    dead.cli("queue", "retry", shown["id"])
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)
    wait_until(lambda: dead.json("queue", "show", shown["id"])["state"] == "delivered", 5)
    marker = [t["body"]["metadata"]["busbarId"] for t in sandbox.tasks()][1]
    assert marker == shown["id"], "the id is the same in every attempt"


def test_all_dead_letters_can_be_retried(dead, sandbox, publisher):
    for n in range(5):
        publisher.send("plant/l1/m-lost/job", {"celsius": n})
    publisher.flush()
    wait_until(lambda: len(dead.deliveries(state="rejected")) == 6, 10)
    sandbox.configure(unknown_equipments=[])
    dead.cli("queue", "retry", "--all")
    wait_until(lambda: len(sandbox.tasks()) == 7, 10)
    wait_until(lambda: dead.deliveries(state="rejected") == [], 5)


def test_a_retry_in_vain_is_a_dead_letter_again(dead, subscribe):
    failures = subscribe("busbar/events/mw/mapping/exception")
    shown = letter(dead)
    for n in (1, 2):
        dead.cli("queue", "retry", shown["id"])
        wait_until(lambda: len(dead.json("queue", "show", shown["id"])["history"]) == 1 + 2 * n, 10, "the retry and what came of it")
        wait_until(lambda: dead.deliveries(state="rejected"), 10, "the dead letter again")
    assert dead.cli("status", "--ready").stdout == "ready\n"
    # The first refusal's event may have come before the subscriber, or after.
    wait_until(lambda: len({event["id"] for event in failures.payloads()}) >= 2, 10, "an event of each refusal")
    assert len({event["id"] for event in failures.payloads()}) == len(failures.payloads())


def test_a_dead_letter_can_be_discarded(dead, sandbox):
    shown = letter(dead)
    dead.cli("queue", "discard", shown["id"])
    assert dead.json("queue", "show", shown["id"])["state"] == "discarded"
    dead.cli("queue", "retry", "no-such-id", expect=1)
    assert len(sandbox.tasks()) == 1


def test_a_dead_letter_can_be_edited(dead, sandbox, tmp_path):  # settled 26
    shown = letter(dead)
    body = {**shown["body"], "equipment": {"type": "external", "value": "m-found"}}
    dead.cli("queue", "edit", shown["id"], "--body", json.dumps(body))
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)
    assert sandbox.tasks()[1]["body"]["equipment"]["value"] == "m-found"


def test_dead_letters_can_be_mapped_again_through_the_current_route(dead, sandbox):  # settled 26
    shown = letter(dead)
    assert dead.terminate() == 0
    dead.config["routes"] = [command_route(body={**TASK_BODY, "equipment": {"type": "external", "value": "m-${line}"}})]
    dead.write()
    dead.start()
    dead.cli("queue", "edit", shown["id"])
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)
    assert sandbox.tasks()[1]["body"]["equipment"]["value"] == "m-l1"


def test_what_breaks_the_contract_is_never_sent(busbar, sandbox, publisher):  # MW-E08, local validation
    body = {**TASK_BODY, "equipment": "${.equipment}", "description": "${.description}"}
    daemon = busbar([command_route(body=body)])
    good = {"equipment": "m-1", "description": "fine"}
    for wrong in ({"description": "ab"}, {"description": "x" * 3001}, {"equipment": ""}, {"equipment": None},
                  {"equipment": 1.5}):
        publisher.send("plant/l1/m1/job", {**good, **wrong})
    publisher.send("plant/l1/m1/job", good)
    publisher.flush()
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 5 and sandbox.tasks(), 10)
    assert len(sandbox.requests("/partners/v1/tasks")) == 1
    for delivery in daemon.deliveries(state="rejected"):
        error = daemon.json("queue", "show", delivery["id"])["error"]
        assert error["class"] == "validation" and error.get("provider_http_status") in (None, 0)
        assert error["rejected_fields"][0]["pointer"] in ("/description", "/equipment")


def test_a_message_that_cannot_be_mapped_is_a_dead_letter(busbar, sandbox, publisher):
    daemon = busbar()
    publisher.send("plant/l1/m1/job", {"fahrenheit": 1})
    publisher.send("plant/l1/m1/job", b"\xff\xfe no JSON")
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total", outcome="invalid") == 2, 10)
    assert all(d["route"] == "job" for d in daemon.deliveries(state="rejected"))
    assert daemon.deliveries(state="rejected") and sandbox.requests("/partners/v1/tasks") == []


def test_a_poison_message_does_not_stop_its_lane(dead, sandbox, publisher):
    publisher.publish("plant/l1/m-lost/job", {"celsius": 3})
    sandbox.configure(unknown_equipments=[])
    publisher.publish("plant/l1/m-lost/job", {"celsius": 4})
    wait_until(lambda: any("4 °C" in t["body"]["description"] for t in sandbox.tasks()), 10)


def test_the_queue_can_be_read_while_the_daemon_is_down(dead):  # settled 27
    shown = letter(dead)
    dead.kill()
    assert dead.deliveries(state="rejected")[0]["id"] == shown["id"]
    for words in (("retry", shown["id"]), ("retry", "--all"), ("discard", "--all", "--target", "none")):
        refused = dead.cli("queue", *words, expect=1)
        assert refused.stderr.count("\n") == 1 and refused.stdout == "", "a write without a daemon says once why it cannot be"


def test_filters_hold_together_while_the_daemon_is_down(dead):
    dead.kill()
    assert len(dead.deliveries(target="mw", route="job", state="rejected")) == 1
    assert dead.deliveries(target="mw", route="job", state="pending") == []


def test_lists_are_paged(busbar, sandbox, publisher):  # settled 28
    daemon = busbar()
    for n in range(25):
        publisher.send("plant/l1/m1/job", {"celsius": n})
    publisher.flush()
    wait_until(lambda: len(sandbox.tasks()) == 25, 10)
    seen, path = [], "deliveries?limit=10"
    while path:
        page = daemon.api("GET", path).json
        assert len(page["items"]) <= 10
        seen += [d["id"] for d in page["items"]]
        path = f"deliveries?limit=10&cursor={page['next']}" if page["next"] else None
    assert len(seen) == len(set(seen)) == 25


def test_a_broken_sensor_does_not_fill_the_store(busbar, sandbox, publisher):  # settled 12
    daemon = busbar([command_route(key="${.n}")])
    for _ in range(2):  # within one minute or two: at most 10 whole ones each
        for n in range(500):
            publisher.send("plant/l1/m1/job", {"celsius": n})  # no .n: cannot be mapped
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total", outcome="invalid") == 1000, 10)
    letters = daemon.deliveries(state="rejected")
    assert 10 <= len(letters) <= 20
    shown = [daemon.json("queue", "show", d["id"]) for d in letters]
    assert sum(1 + d["repeats"] for d in shown) == 1000, "counted exactly"
    assert all(d["error"]["code"] == "mapping_failed" for d in shown)
    metrics = daemon.metrics()
    ended = {v: metrics.sum("busbar_deliveries_total", route="job", verdict=v) for v in ("rejected", "merged")}
    assert ended["rejected"] == len(letters) and ended["merged"] == 1000 - len(letters)
    assert metrics.sum("busbar_deliveries_accepted_total", route="job") == 1000


def test_what_was_never_mapped_is_edited_not_retried(busbar, sandbox, publisher):
    daemon = busbar([command_route(key="${.n}")])
    publisher.publish("plant/l1/m1/job", {"celsius": 1})  # no .n
    wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    (dead,) = daemon.deliveries(state="rejected")
    refused = daemon.cli("queue", "retry", dead["id"], expect=1)
    assert "queue edit" in refused.stderr
    kept = daemon.json("queue", "show", dead["id"])
    assert kept["state"] == "rejected" and kept["error"]["code"] == "mapping_failed", "its reason stays"
    assert sandbox.tasks() == []
