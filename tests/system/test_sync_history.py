# SPDX-License-Identifier: Apache-2.0
"""What became of each write, for people: the sync history of an order, the audit's filters, error records (FV-07, FV-16)."""

import json

import pytest

from busbar_harness import wait_until

CREATE = {"name": "create", "from": "orders/{n}/create", "to": "desk.work_order.create",
          "body": {"asset_ref": "${n}", "priority": "high"}}
MOVE = {"name": "move", "from": "orders/move", "to": "desk.work_order.move"}

FAILURES = {  # what the target answers -> how the first attempt ends: class, code, outcome, sync state; the sync.failed
    400: ("validation", "http_400", "rejected", "rejected", 1),
    401: ("authentication", "http_401", "pending", "pending", 0),
    403: ("authorization", "http_403", "pending", "pending", 0),
    404: ("identity", "http_404", "rejected", "rejected", 1),
    409: ("conflict", "http_409", "rejected", "rejected", 1),
    503: ("provider_unavailable", "http_503", "retrying", "retrying", 1),
    None: ("provider_unavailable", "answer_lost", "retrying", "retrying", 1),
}


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_write_is_in_the_history_of_its_order(desk_busbar, desk, publisher, subscribe, status):
    """FV-09e, FV-07a..f, FV-16: class, attempt and what comes next; sync.failed once for each final failure."""
    error_class, code, outcome, sync_state, failures = FAILURES[status]
    events = subscribe("busbar/events/#", "busbar/alerts")
    daemon = desk_busbar([CREATE])
    desk.usual = (status, {"why": "the test"})
    publisher.publish("orders/p1/create", "{}")
    order = wait_until(lambda: daemon.json("orders", "list")["items"], 10)[0]["common_work_order_id"]
    rows = wait_until(lambda: daemon.json("audit", "--order", order)["items"], 10)
    first = rows[-1]
    assert (first["what"], first["outcome"], first["sync_state"]) == ("attempt", outcome, sync_state)
    assert (first["class"], first["code"], first["attempt"], first["mode"]) == (error_class, code, 1, "write_back")
    assert first["owner_action"] and first["order"] == order
    assert (first["next_at"] is not None) == (outcome == "retrying")
    if outcome == "retrying":  # attempts: 3
        wait_until(lambda: daemon.deliveries(state="rejected"), 10)
        rows = daemon.json("audit", "--order", order)["items"]
        assert [(r["attempt"], r["sync_state"]) for r in rows] == [(3, "rejected"), (2, "retrying"), (1, "retrying")]
        assert rows[0]["next_at"] is None and rows[0]["outcome"] == "rejected"
    if outcome == "pending":
        events.wait("busbar/alerts")  # held: not the message's fault, so no failure of it
    assert daemon.json("orders", "show", order)["sync_state"] == rows[0]["sync_state"]
    shown = daemon.cli("orders", "show", order).stdout
    assert "--- history" in shown and error_class in shown and outcome in shown
    if failures:
        (failed,) = events.payloads("busbar/events/desk/sync/failed")
        assert failed["data"]["error"]["class"] == error_class and failed["subject"] == order
    assert len(events.seen("busbar/events/desk/sync/failed")) == failures
    assert len(events.seen("busbar/events/desk/mapping/exception")) == (1 if error_class == "identity" else 0)


ERROR_RECORD = {"class", "code", "message", "provider_http_status", "provider_request_id", "rejected_fields",
                "provider_response", "retry_state", "owner_action", "work_order", "at"}  # the contract's, section 6


def test_an_error_record_is_whole_wherever_it_is_read(desk_busbar, desk, publisher, subscribe):  # FV-02, FV-07c
    events = subscribe("busbar/events/desk/sync/failed")
    daemon = desk_busbar([CREATE])
    desk.answers = [(503, None)]
    desk.usual = (422, {"why": "no such part"})
    publisher.publish("orders/p1/create", "{}")
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    story = daemon.json("queue", "show", dead["id"])
    told = events.wait("busbar/events/desk/sync/failed") and events.payloads()[0]["data"]
    for error in (story["error"], daemon.api("GET", f"deliveries/{dead['id']}").json["error"], told["error"]):
        assert ERROR_RECORD <= set(error)
        assert (error["class"], error["code"], error["provider_http_status"]) == ("validation", "http_422", 422)
        assert error["retry_state"] == {"attempt": 2, "next_at": None, "final": True}
        assert error["work_order"] == dead["order"] and error["provider_request_id"] == "r-2"
        assert "no such part" in error["provider_response"] and error["owner_action"] and error["at"]
        assert error["rejected_fields"] == []
    assert ERROR_RECORD - set(dead["error"]) == {"provider_response"}, "a list goes without answers"
    assert told["work_order"]["common_work_order_id"] == dead["order"]
    assert told["work_order"]["sync_state"] == "rejected" and told["work_order"]["asset_ref"] == "p1"


def test_a_waiting_delivery_says_when_it_is_tried_again(desk_busbar, desk, publisher):  # FV-07f
    daemon = desk_busbar([CREATE], retry={"first": "1h", "max": "2h", "attempts": 3})
    desk.usual = (503, None)
    publisher.publish("orders/p1/create", "{}")
    (waiting,) = wait_until(lambda: daemon.deliveries(state="retrying"), 10)
    state = waiting["error"]["retry_state"]
    assert state == {"attempt": 1, "next_at": waiting["due"], "final": False}
    (row,) = daemon.json("audit", "--order", waiting["order"])["items"]
    assert row["next_at"] == waiting["due"]


def test_the_audit_is_filtered(desk_busbar, desk, publisher):  # FV-16
    daemon = desk_busbar([CREATE])
    desk.answers = [(400, None)]
    publisher.publish("orders/p1/create", "{}")
    wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    publisher.publish("orders/p2/create", "{}")
    wait_until(lambda: daemon.deliveries(state="delivered"), 10)
    daemon.cli("targets", "hold", "desk")
    (dead,), (done,) = daemon.deliveries(state="rejected"), daemon.deliveries(state="delivered")

    def whats(*filters):
        return [(r["what"], r["delivery"]) for r in daemon.json("audit", *filters)["items"]]

    assert whats("--outcome", "failed") == [("attempt", dead["id"])]
    assert whats("--outcome", "ok") == [("hold", None), ("attempt", done["id"])]
    assert whats("--class", "validation") == [("attempt", dead["id"])] and whats("--class", "conflict") == []
    assert whats("--target", "desk", "--outcome", "ok", "--order", done["order"]) == [("attempt", done["id"])]
    assert whats("--target", "nobody") == []
    first = daemon.api("GET", f"audit?outcome=ok&limit=1").json
    assert first["items"][0]["what"] == "hold"
    assert daemon.api("GET", f"audit?outcome=ok&cursor={first['next']}").json["items"][0]["delivery"] == done["id"]
    history = daemon.api("GET", f"orders/{done['order']}/history").json
    assert [r["delivery"] for r in history["items"]] == [done["id"]] and history["next"] is None
    assert daemon.api("GET", "orders/nobody/history").status == 404
    assert daemon.api("GET", "audit?outcome=maybe").status == 400 and daemon.api("GET", "audit?class=x").status == 400
    daemon.cli("audit", "--outcome", "maybe", expect=1)


def webhook(daemon, **members):
    assert daemon.hook(json.dumps({"event": "changed", **members}).encode(), target="desk", secret=None).status == 200


def test_imports_are_in_the_history_too(desk_busbar, publisher):  # FV-16, FV-05a, FV-04
    daemon = desk_busbar([])
    webhook(daemon, id="e1", order="T-9", status="open")
    webhook(daemon, id="e2", order="T-9", status="done")  # a leap: the owner is right
    order = wait_until(lambda: [o for o in daemon.json("orders", "list")["items"] if o["common_status"] == "completed"],
                       10)[0]["common_work_order_id"]
    rows = daemon.json("audit", "--order", order)["items"]
    assert sorted((r["what"], r["outcome"], r["sync_state"]) for r in rows) == [
        ("import", "delivered", "imported"), ("import", "delivered", "synchronized"),
        ("import", "warning", "synchronized")]
    assert "requested to completed is no step" in next(r["detail"] for r in rows if r["outcome"] == "warning")


def test_an_order_turns_stale_and_is_confirmed(desk_busbar, desk, publisher, subscribe):  # FV-05b, FV-05c, FV-05f, F-U11
    orders = subscribe("busbar/orders/desk/+")
    daemon = desk_busbar([CREATE], freshness="300ms")
    desk.usual = (202, {"id": "T-1"})
    publisher.publish("orders/p1/create", "{}")
    (stale,) = wait_until(lambda: [o for o in orders.payloads() if o["sync_state"] == "stale"], 10)
    assert stale["last_synced_at"] is None and orders.payloads()[0]["sync_state"] == "pending"
    webhook(daemon, id="e1", order="T-1", status="planned")
    confirmed = wait_until(lambda: [o for o in orders.payloads() if o["sync_state"] == "synchronized"], 10)[0]
    assert confirmed["last_synced_at"] and confirmed["common_status"] == "assigned"
    what = [r["what"] for r in daemon.json("audit", "--order", stale["common_work_order_id"])["items"]]
    assert what[-3:] == ["import", "stale", "attempt"]


def test_write_back_moves_an_order_within_its_lifecycle(desk_busbar, desk, publisher, subscribe):  # FV-08d, FV-09c
    events = subscribe("busbar/events/#")
    daemon = desk_busbar([CREATE, MOVE])
    publisher.publish("orders/p1/create", "{}")
    order = wait_until(lambda: [o for o in daemon.json("orders", "list")["items"] if o["source_work_order_id"]],
                       10)[0]["common_work_order_id"]

    def move(status, name=order):
        publisher.publish("orders/move", json.dumps({"work_order": name, "status": status}))

    for status in ("assigned", "in_progress", "completed", "closed"):
        move(status)
        wait_until(lambda s=status: daemon.json("orders", "show", order)["common_status"] == s, 10, status)
    assert [path for _, path, _ in desk.sent("PATCH")] == ["/orders/T-1"] * 4
    record = daemon.json("orders", "show", order)
    assert (record["source_status"], record["sync_state"]) == ("filed", "synchronized"), "the word that the table sends"
    types = [e["type"] for e in events.payloads("busbar/events/desk/work_order/#")]
    assert sorted(types) == sorted(["work_order.created", "work_order.updated", "work_order.updated",
                                    "work_order.completed", "work_order.closed"])
    move("in_progress", "T-1")  # by the target's own id, and not from here
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    assert (dead["error"]["class"], dead["error"]["code"]) == ("conflict", "illegal_transition")
    assert dead["error"]["message"] == "the work order is closed, which may become reopened, not in_progress"
    move("closed", "T-2")
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 2, 10)
    assert daemon.deliveries(state="rejected")[0]["error"]["code"] == "unknown_work_order"
    assert len(desk.sent("PATCH")) == 4, "what is refused is not sent"
    (row,) = daemon.json("audit", "--order", order, "--outcome", "failed")["items"]
    assert (row["class"], row["code"], row["mode"]) == ("conflict", "illegal_transition", "write_back")


def test_handoff_creates_and_does_no_more(desk_busbar, desk, publisher):  # FV-08c
    daemon = desk_busbar([CREATE, MOVE], mode="handoff")
    publisher.publish("orders/p1/create", "{}")
    order = wait_until(lambda: [o for o in daemon.json("orders", "list")["items"] if o["source_work_order_id"]], 10)[0]
    publisher.publish("orders/move", json.dumps({"work_order": "T-1", "status": "assigned"}))
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    assert (dead["error"]["class"], dead["error"]["code"]) == ("authorization", "mode_refuses")
    assert desk.sent("PATCH") == []
    (row,) = daemon.json("audit", "--id", dead["id"])["items"]
    assert (row["what"], row["outcome"], row["mode"]) == ("attempt", "rejected", "handoff")
    assert daemon.json("orders", "show", order["common_work_order_id"])["sync_state"] == "synchronized", "untouched"


def test_an_order_waits_for_its_id(desk_busbar, desk, publisher):  # FV-01c
    daemon = desk_busbar([CREATE, MOVE], retry={"first": "50ms", "max": "100ms", "attempts": 100})
    desk.usual = (202, None)
    publisher.publish("orders/p1/create", "{}")
    order = wait_until(lambda: daemon.json("orders", "list")["items"], 10)[0]["common_work_order_id"]
    publisher.publish("orders/move", json.dumps({"work_order": order, "status": "assigned"}))
    (waiting,) = wait_until(lambda: [d for d in daemon.deliveries(state="retrying") if d["attempts"] > 1], 10)
    assert waiting["error"]["code"] == "work_order_not_known_yet" and desk.sent("PATCH") == []
    desk.usual = (200, None)
    webhook(daemon, id="e1", order="T-7", mark=order, status="open")
    wait_until(lambda: desk.sent("PATCH"), 10)
    assert desk.sent("PATCH")[0][1] == "/orders/T-7"


CREATE_ALL = {"name": "create", "from": "orders/{n}/create", "to": "desk.work_order.create_all", "body": {"n": "${n}"},
              "batch": {"max": 3, "wait": "1h"}}
CREATED, UPDATED = "busbar/events/desk/work_order/created", "busbar/events/desk/work_order/updated"


def test_each_order_of_a_batch_has_the_id_that_the_target_gave_it(desk_busbar, desk, publisher, subscribe):
    """As GUIDE.md says of batches: by an event for each, which is published once; what was refused has none."""
    events = subscribe("busbar/events/#")
    daemon = desk_busbar([CREATE_ALL])
    desk.answers = [(503, None), (201, [{"id": "A-0"}, {"why": "no"}, {"id": "A-2"}])]
    for n in range(3):
        publisher.publish(f"orders/p{n}/create", "{}")
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    events.wait(CREATED, 2)
    sent = desk.sent("POST")[-1][2]
    assert [each["body"]["n"] for each in sent] == ["p0", "p1", "p2"] and dead["id"] == sent[1]["mark"]
    records = {o["common_work_order_id"]: o for o in daemon.json("orders", "list")["items"]}
    orders = {d["id"]: records[d["order"]] for d in daemon.deliveries()}
    assert [orders[each["mark"]]["source_work_order_id"] for each in sent] == ["A-0", None, "A-2"]
    assert [orders[each["mark"]]["sync_state"] for each in sent] == ["synchronized", "rejected", "synchronized"]
    created = events.payloads(CREATED)
    assert {(e["subject"], e["data"]["work_order"]["source_work_order_id"]) for e in created} == {
        (orders[sent[0]["mark"]]["common_work_order_id"], "A-0"), (orders[sent[2]["mark"]]["common_work_order_id"], "A-2")}
    assert len(created) == 2 and not events.seen(UPDATED)


def test_an_order_of_a_batch_that_a_webhook_told_first_is_not_created_twice(desk_busbar, desk, publisher, subscribe):
    events = subscribe("busbar/events/#")
    daemon = desk_busbar([{**CREATE_ALL, "batch": {"max": 2, "wait": "1h"}}])
    desk.answers = [(201, [{"id": "A-0"}, {"id": "A-1"}])]
    desk.gate.clear()
    for n in range(2):
        publisher.publish(f"orders/p{n}/create", "{}")
    wait_until(lambda: desk.sent("POST"), 10)
    mark = desk.sent("POST")[0][2][0]["mark"]
    webhook = {"event": "order.made", "id": "e-1", "order": "A-0", "status": "open", "mark": mark}
    assert daemon.hook(json.dumps(webhook).encode(), target="desk", secret=None).status == 200
    events.wait(UPDATED)
    desk.gate.set()
    wait_until(lambda: len(daemon.deliveries(state="delivered")) >= 3, 10)
    events.wait(UPDATED, 2)
    (created,) = events.payloads(CREATED)
    assert created["data"]["work_order"]["source_work_order_id"] == "A-1"
    told = [e["data"]["work_order"]["source_work_order_id"] for e in events.payloads(UPDATED)]
    assert told == ["A-0", "A-0"] and len(daemon.json("orders", "list")["items"]) == 2
