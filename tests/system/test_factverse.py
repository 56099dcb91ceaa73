# SPDX-License-Identifier: Apache-2.0
"""FactVerse through the real daemon: its work orders, the work on them, documents, and what its webhooks tell."""

import json

import pytest

from busbar_harness import KEY, SECRET, configuration, http_call, wait_until
from mobility_work import sign

ORDERS = "/work-orders"
SENSOR = {"name": "bearing-hot", "from": "plant/{asset}/temperature", "trigger": {"above": 85, "clear": 80},
          "to": "fv.work_order.create",
          "body": {"asset_ref": "${asset}", "priority": "high", "title": "Bearing at ${value} °C on ${asset}"}}


def command(operation):
    """Whoever publishes on do/<operation> gives its body."""
    return {"name": operation.replace(".", "-").replace("_", "-"), "from": f"do/{operation}", "to": f"fv.{operation}",
            "body": "${.}"}


READS = [command(operation) for operation in ("work_order.read", "work_order.search", "task.list")]
WRITES = [command(f"work_order.{verb}")
          for verb in ("update", "assign", "comment", "attach", "complete", "close", "reopen", "cancel")] + [
    command(operation) for operation in ("attachment.add", "task.progress", "task.issue", "task.evidence", "task.closeout")]


@pytest.fixture
def daemon(tmp_path, broker, factverse, make_busbar):
    """daemon(routes, hooks=True, **settings of the target)"""

    def make(routes, hooks=True, **settings):
        target = {"plugin": "factverse", "url": factverse.url, "provider_id": "fv", "tenant": "north", "token": KEY,
                  "webhook_secret": SECRET, "mode": "write_back",
                  "retry": {"first": "100ms", "max": "500ms", "attempts": 20, "max_age": "7d"}, **settings}
        running = make_busbar(configuration(tmp_path, broker, {"fv": target}, routes))
        if hooks:
            factverse.configure(webhook_url=f"http://127.0.0.1:{running.hook_port}/hooks/fv")
        return running

    return make


def one_order(factverse):
    return wait_until(factverse.orders, 10, "an order")[0]


def record_of(running, order):
    """Our record of one of FactVerse's orders; None: there is none yet."""
    records = running.api("GET", "orders?limit=500").json["items"]
    return next((r for r in records if r["source_work_order_id"] == order["source_work_order_id"]), None)


def rejected(running, deadline=10):
    wait_until(lambda: running.deliveries(state="rejected"), deadline, "a refusal")
    (delivery,) = running.deliveries(state="rejected")
    return running.json("queue", "show", delivery["id"])


def delivered(running, route, deadline=10):
    return wait_until(lambda: running.deliveries(state="delivered", route=route), deadline, f"{route} delivered")


def posted(factverse, path=None):
    return [r for r in factverse.requests(path) if r["method"] != "GET"]


def hook(running, envelope, secret=SECRET):
    body = json.dumps(envelope).encode()
    return http_call(running.hook_port, "POST", "/hooks/fv", body,
                     {"Content-Type": "application/json", "X-FactVerse-Signature": sign(secret, body)})


def envelope(event, event_id, **order):
    return {"event": event, "event_id": event_id, "occurred_at": "2026-01-01T00:00:00Z", "provider_id": "fv",
            "work_order": {"common_work_order_id": "FV/1", "provider_id": "fv", "source_work_order_id": "WO-1",
                           "asset_ref": "P-101", "source_status": "Open", "common_status": "requested",
                           "sync_state": "imported", **order}}


# ---- an order of ours


def test_a_reading_becomes_a_work_order(daemon, factverse, publisher, subscribe):  # FV-01, FV-02, FV-06a, FV-10
    events = subscribe("busbar/events/fv/work_order/#")
    running = daemon([SENSOR])
    publisher.publish("plant/P-101/temperature", "91")
    order = one_order(factverse)
    assert (order["title"], order["asset_ref"]) == ("Bearing at 91 °C on P-101", "P-101")
    assert (order["priority"], order["source_priority"]) == ("high", "High")
    (delivery,) = delivered(running, "bearing-hot")
    shown = running.json("queue", "show", delivery["id"])
    assert shown["order"] == order["common_work_order_id"]
    (request,) = posted(factverse)
    assert request["headers"]["idempotency-key"] == order["common_work_order_id"]
    assert request["headers"]["x-tenant"] == "north" and KEY not in running.tail(10000)
    record = wait_until(lambda: record_of(running, order), 10, "the record")
    assert record["common_work_order_id"] == order["common_work_order_id"] and record["asset_ref"] == "P-101"
    assert record["provider_id"] == "fv" == order["provider_id"]
    assert events.payloads("busbar/events/fv/work_order/created")[0]["subject"] == order["common_work_order_id"]
    wait_until(lambda: record_of(running, order)["source_status"] == "Requested", 10, "what its webhook tells")
    assert (record_of(running, order)["priority"], record_of(running, order)["source_priority"]) == ("high", "High")
    assert len(events.payloads("busbar/events/fv/work_order/created")) == 1, "created once, whoever tells it"


@pytest.mark.parametrize("fault", [{"action": "reset", "after": True}, {"action": "status", "status": 502, "after": True}])
def test_a_lost_answer_makes_one_order(daemon, factverse, publisher, fault):  # F-U9, FV-07f
    running = daemon([SENSOR], hooks=False)
    factverse.fail(times=1, method="POST", path=ORDERS, **fault)
    publisher.publish("plant/P-101/temperature", "91")
    delivered(running, "bearing-hot", 15)
    (order,) = factverse.orders()
    assert record_of(running, order)["common_work_order_id"] == order["common_work_order_id"]
    assert len(posted(factverse)) == 1, "it was looked for, not sent again"
    assert factverse.requests(f"{ORDERS}/{order['common_work_order_id']}")


def test_an_order_that_was_never_taken_is_sent_again(daemon, factverse, publisher):  # F-U9
    running = daemon([SENSOR], hooks=False)
    factverse.fail("reset", times=1, method="POST", path=ORDERS)
    publisher.publish("plant/P-101/temperature", "91")
    delivered(running, "bearing-hot", 15)
    first, second = posted(factverse)
    assert first["body"] == second["body"] and len(factverse.orders()) == 1


def test_an_asset_that_nobody_knows(daemon, factverse, publisher):  # FV-07d
    running = daemon([SENSOR])
    factverse.configure(assets=["P-102"])
    publisher.publish("plant/P-101/temperature", "91")
    error = rejected(running)["error"]
    assert (error["class"], error["code"]) == ("identity", "unknown_asset")
    assert [field["pointer"] for field in error["rejected_fields"]] == ["/asset_ref"]


def test_a_bad_route_is_found_before_it_runs(daemon):
    running = daemon([SENSOR])
    running.terminate()
    running.config["routes"] = [{**SENSOR, "body": {"asset_ref": "${asset}", "titel": "hot"}}]
    running.write()
    said = running.cli("check", expect=None)
    assert said.returncode != 0 and "did you mean title?" in said.stdout + said.stderr


# ---- orders of others


def test_every_event_arrives_in_its_shape(daemon, factverse, subscribe):  # FV-06a..e, FV-06g, FV-01
    events = subscribe("busbar/events/fv/#")
    running = daemon([SENSOR])
    steps = [("work_order.created", "requested", "Open"), ("work_order.updated", "assigned", "Assigned"),
             ("work_order.completed", "completed", "Completed"), ("work_order.closed", "closed", "Closed"),
             ("attachment.added", "closed", "Closed"), ("mapping.exception", "closed", "Closed")]
    for n, (event, common, source) in enumerate(steps):
        assert hook(running, envelope(event, f"e-{n}", common_status=common, source_status=source)).status == 200
        topic = "busbar/events/fv/" + event.replace(".", "/")
        (message,) = events.wait(topic)
        told = json.loads(message.payload)
        assert told["specversion"] == "1.0" and told["type"] == event and told["time"].startswith("2026-01-01T00:00:00")
        order = told["data"]["work_order"]
        assert told["subject"] == order["common_work_order_id"]
        assert {name: order[name] for name in ("source_work_order_id", "asset_ref", "common_status", "source_status")} == {
            "source_work_order_id": "WO-1", "asset_ref": "P-101", "common_status": common, "source_status": source}
        assert told["data"]["provider"]["event"] == event and told["data"]["provider"]["raw"]["event_id"] == f"e-{n}"
    assert len(running.api("GET", "orders").json["items"]) == 1
    assert hook(running, envelope("work_order.closed", "e-3", common_status="closed", source_status="Closed")).status == 200
    assert hook(running, {"event": "sync.failed", "event_id": "e-8", "provider_id": "fv"}).status == 200
    events.wait("busbar/events/fv/provider/factverse/sync/failed")
    assert len(events.seen("busbar/events/fv/work_order/closed")) == 1, "the same event_id is the same event"


def test_an_order_of_others_lives_as_one_record(daemon, factverse, subscribe):  # FV-01e, FV-06a, FV-06b
    events = subscribe("busbar/events/fv/work_order/#")
    running = daemon([SENSOR])
    order = factverse.control("POST", "order", {"priority": "low", "source_priority": "P4"})
    events.wait("busbar/events/fv/work_order/created")
    factverse.change(order["common_work_order_id"], common_status="in_progress", source_status="unterwegs")
    events.wait("busbar/events/fv/work_order/updated")
    record = record_of(running, order)
    assert (record["source_status"], record["common_status"]) == ("unterwegs", "in_progress"), "its word, verbatim"
    assert (record["source_priority"], record["priority"]) == ("P4", "low")
    assert len({e["subject"] for e in events.payloads()}) == 1


def test_a_webhook_that_is_not_ours(daemon, factverse):  # FV-07a, FV-09a
    running = daemon([SENSOR])
    assert hook(running, envelope("work_order.created", "e-1"), secret="another").status == 401
    foreign = envelope("work_order.created", "e-2")
    foreign["provider_id"] = foreign["work_order"]["provider_id"] = "sap"
    assert hook(running, foreign).status == 200
    error = rejected(running)["error"]
    assert (error["class"], error["code"]) == ("identity", "foreign_provider")
    assert running.api("GET", "orders").json["items"] == []


# ---- reading


def test_a_read_shows_its_own_scope_alone(daemon, factverse, publisher, subscribe):  # FV-09a: 2 tenants x 2 providers, FV-12
    events = subscribe("busbar/events/fv/#")
    running = daemon(READS, hooks=False)
    made = {(tenant, provider): factverse.control("POST", "order", {"tenant": tenant, "provider_id": provider,
                                                                     "title": f"{tenant}-{provider}"})
            for tenant in ("north", "south") for provider in ("fv", "sap")}
    publisher.publish("do/work_order.search", {"common_status": "requested"})
    delivered(running, "work-order-search")
    publisher.publish("do/work_order.read", {"work_order": made["north", "fv"]["source_work_order_id"]})
    delivered(running, "work-order-read")
    told = events.payloads("busbar/events/fv/work_order/#")
    assert {e["data"]["provider"]["raw"]["title"] for e in told} == {"north-fv"}
    for scope in (("north", "sap"), ("south", "fv"), ("south", "sap")):
        publisher.publish("do/work_order.read", {"work_order": made[scope]["source_work_order_id"]})
    wait_until(lambda: len(running.deliveries(state="rejected")) == 3, 10, "three refusals")
    for delivery in running.deliveries(state="rejected"):
        shown = running.json("queue", "show", delivery["id"])
        assert shown["error"]["class"] == "identity" and shown["error"]["provider_http_status"] == 404
        assert "south" not in json.dumps(shown["response"]) and "sap" not in json.dumps(shown["response"])
    assert [r["source_work_order_id"] for r in running.api("GET", "orders").json["items"]] == [
        made["north", "fv"]["source_work_order_id"]]


def test_a_list_is_read_over_its_pages(daemon, factverse, publisher, subscribe):  # FV-11, FV-12
    events = subscribe("busbar/events/fv/#")
    factverse.configure(page_size=2)
    daemon(READS, hooks=False)
    for n in range(5):
        factverse.control("POST", "order", {"asset_ref": f"P-{n}", "assignee": "pat"})
    publisher.publish("do/work_order.search", {})
    created = events.wait("busbar/events/fv/work_order/created", 5)
    assert {json.loads(m.payload)["data"]["work_order"]["asset_ref"] for m in created} == {f"P-{n}" for n in range(5)}
    publisher.publish("do/task.list", {"assignee": "pat"})
    tasks = events.wait("busbar/events/fv/provider/factverse/task", 5)
    assert {json.loads(m.payload)["data"]["provider"]["raw"]["assignee"] for m in tasks} == {"pat"}
    assert len(events.seen("busbar/events/fv/work_order/created")) == 5


def test_a_poll_tells_what_changed_and_goes_on_where_it_was(daemon, factverse, subscribe):  # FV-06b, FV-12
    events = subscribe("busbar/events/fv/work_order/#")
    running = daemon([SENSOR], hooks=False, poll_changes=True, poll="1s", poll_overlap="0s")
    wait_until(lambda: [r for r in factverse.requests() if "updated_since" in r["path"]], 10, "a poll")
    order = factverse.control("POST", "order", {})
    events.wait("busbar/events/fv/work_order/created")
    running.kill()
    factverse.change(order["common_work_order_id"], common_status="assigned", source_status="Assigned")
    running.start()
    (updated,) = events.wait("busbar/events/fv/work_order/updated")
    assert json.loads(updated.payload)["data"]["work_order"]["common_status"] == "assigned"
    created = {event["id"] for event in events.payloads("busbar/events/fv/work_order/created")}
    assert len(created) == 1, "a kill may publish it again, as the same event"


# ---- what changes an order


@pytest.fixture
def known(daemon, factverse, publisher):
    """known(hooks=True): a daemon with all routes, and an order that it made, requested and confirmed"""

    def make(hooks=True, **settings):
        running = daemon([SENSOR, *WRITES], hooks, **settings)
        publisher.publish("plant/P-101/temperature", "91")
        delivered(running, "bearing-hot")
        return running, one_order(factverse)

    return make


def tell(running, publisher, operation, order, **body):
    """A command about our order, named by busbar's id; answers when it is delivered."""
    route = operation.replace(".", "-").replace("_", "-")
    before = len(running.deliveries(state="delivered", route=route))
    publisher.publish(f"do/{operation}", {"work_order": order["common_work_order_id"], **body})
    wait_until(lambda: len(running.deliveries(state="delivered", route=route)) > before, 10, f"{operation} delivered")


def test_an_order_goes_its_whole_way(known, factverse, publisher, subscribe):  # FV-04, FV-08d, FV-10
    orders = subscribe("busbar/orders/fv/#")
    running, order = known()
    steps = [("assign", "assigned", {"assignee": "pat"}), ("complete", "completed", {"note": "new bearing"}),
             ("close", "closed", {}), ("reopen", "reopened", {"note": "hot again"}), ("cancel", "canceled", {})]
    for verb, status, body in steps:
        tell(running, publisher, f"work_order.{verb}", order, **body)
        (theirs,) = factverse.orders()
        assert theirs["common_status"] == status and theirs["source_status"] == status.capitalize()
        record = wait_until(lambda s=status: [r for r in [record_of(running, order)] if r["common_status"] == s], 10, status)[0]
        assert record["sync_state"] == "synchronized" and record["common_work_order_id"] == order["common_work_order_id"]
    assert (theirs["assignee"], theirs["revision"]) == ("pat", 6)
    assert all(r["path"].startswith(f"{ORDERS}/{order['source_work_order_id']}/") for r in posted(factverse)[1:])
    wait_until(lambda: orders.payloads()[-1]["common_status"] == "canceled", 10, "the record on the bus")
    seen = list(dict.fromkeys(record["common_status"] for record in orders.payloads()))
    assert seen == ["requested", *(status for _, status, _ in steps)]
    assert running.deliveries(state="rejected") == []


def test_a_change_goes_against_the_revision_that_was_seen(known, factverse, publisher):  # F-U8, FV-10
    running, order = known(hooks=False)
    tell(running, publisher, "work_order.update", order, title="Bearing very hot", priority="critical")
    tell(running, publisher, "work_order.comment", order, text="seen on camera 4")
    (theirs,) = factverse.orders()
    assert (theirs["title"], theirs["priority"], theirs["source_priority"]) == ("Bearing very hot", "critical", "Critical")
    assert [r["headers"].get("if-match") for r in posted(factverse)] == [None, '"1"', '"2"']
    assert [note["text"] for note in factverse.items("notes")] == ["seen on camera 4"]


def test_what_somebody_else_changed_is_not_overwritten(known, factverse, publisher):  # FV-07e, FV-09e, F-U8
    running, order = known(hooks=False)
    factverse.change(order["common_work_order_id"], title="Not the bearing", common_status="triaged")
    publisher.publish("do/work_order.update", {"work_order": order["common_work_order_id"], "title": "Bearing very hot"})
    dead = rejected(running)
    assert (dead["error"]["class"], dead["error"]["code"], dead["attempts"]) == ("conflict", "revision", 1)
    assert '(412); the work order is now triaged, revision "2"' in dead["error"]["message"]
    assert factverse.orders()[0]["title"] == "Not the bearing"
    running.cli("queue", "retry", dead["id"])  # somebody looked, and wants it all the same
    wait_until(lambda: factverse.orders()[0]["title"] == "Bearing very hot", 10, "the change")
    assert factverse.orders()[0]["common_status"] == "triaged"


def test_a_webhook_is_how_a_change_is_seen(known, factverse, publisher, subscribe):  # F-U8
    events = subscribe("busbar/events/fv/work_order/updated")
    running, order = known()
    factverse.change(order["common_work_order_id"], common_status="triaged", source_status="Triaged")
    wait_until(lambda: record_of(running, order)["common_status"] == "triaged", 10, "the webhook")
    tell(running, publisher, "work_order.update", order, title="Bearing very hot")
    assert posted(factverse)[-1]["headers"]["if-match"] == '"2"'
    ids = {name: order[name] for name in ("common_work_order_id", "source_work_order_id")}
    late = envelope("work_order.updated", "late", **ids, common_status="blocked", source_status="Blocked", revision=1)
    assert hook(running, late).status == 200
    told = wait_until(lambda: [e for e in events.payloads() if "late" in json.dumps(e["data"]["provider"])], 10, "what was late")
    assert told[0]["data"]["work_order"]["common_status"] == record_of(running, order)["common_status"] == "triaged"


def test_an_order_that_nobody_knows_is_not_asked_for(known, factverse, publisher):  # FV-07d, FV-09d
    running, _ = known()
    publisher.publish("do/attachment.add", {"work_order": "no-such-order", "document_ref": "ecm:4711"})
    assert rejected(running)["error"]["class"] == "identity"
    assert len(posted(factverse)) == 1 and factverse.items("attachments") == []


@pytest.mark.parametrize("verb", ["close", "reopen"])
def test_a_step_that_the_lifecycle_does_not_allow_is_not_sent(known, factverse, publisher, verb):  # FV-04, FV-07e, FV-08d, FV-09c
    running, order = known()
    publisher.publish(f"do/work_order.{verb}", {"work_order": order["common_work_order_id"]})
    assert rejected(running)["error"]["class"] == "conflict"
    assert len(posted(factverse)) == 1 and factverse.orders()[0]["common_status"] == "requested"


def test_a_document_waits_for_its_upload_and_is_never_lost(known, factverse, publisher, subscribe):  # FV-06e, FV-09d, FV-13
    events = subscribe("busbar/events/fv/attachment/added")
    running, order = known(hooks=False)
    factverse.fail("status", status=503, method="POST", path=f"{ORDERS}/{order['source_work_order_id']}/attachments")
    publisher.publish("do/attachment.add", {"work_order": order["common_work_order_id"], "document_ref": "ecm:4711",
                                            "document_type": "photo"})
    waiting = wait_until(lambda: running.deliveries(state="retrying", route="attachment-add"), 10, "the link waits")[0]
    assert waiting["error"]["class"] == "provider_unavailable" and factverse.items("attachments") == []
    running.kill()
    running.start()
    factverse.forgive()
    delivered(running, "attachment-add", 15)
    (record,) = factverse.items("attachments")
    assert (record["document_ref"], record["common_work_order_id"]) == ("ecm:4711", order["common_work_order_id"])
    assert record["source_work_order_id"] == order["source_work_order_id"]
    (added,) = events.wait("busbar/events/fv/attachment/added")
    added = json.loads(added.payload)
    assert added["subject"] == order["common_work_order_id"]
    assert added["data"]["provider"]["raw"]["document_ref"] == "ecm:4711"
    assert len(factverse.orders()) == 1 and running.deliveries(state="rejected") == []


def test_the_work_on_an_order_is_told(known, factverse, publisher):  # FV-11, FV-13
    running, order = known()
    tell(running, publisher, "work_order.assign", order, assignee="pat")
    tell(running, publisher, "task.progress", order, percent=40, common_status="in_progress", note="bearing out")
    tell(running, publisher, "task.issue", order, title="shaft worn", priority="medium")
    tell(running, publisher, "task.evidence", order, document_ref="ecm:4712", document_type="photo")
    assert factverse.orders()[0]["common_status"] == "in_progress"
    tell(running, publisher, "task.closeout", order, resolution_note="new bearing", root_cause="no grease")
    (theirs,) = factverse.orders()
    assert (theirs["common_status"], theirs["resolution_note"]) == ("completed", "new bearing")
    assert [(n["kind"], n.get("percent"), n.get("title")) for n in factverse.items("notes")] == [
        ("assign", None, None), ("progress", 40, None), ("issues", None, "shaft worn"), ("closeout", None, None)]
    assert [(a["kind"], a["document_ref"]) for a in factverse.items("attachments")] == [("evidence", "ecm:4712")]
    wait_until(lambda: record_of(running, order)["common_status"] == "completed", 10, "the record")


def test_an_order_of_others_is_changed_by_either_id(known, factverse, publisher):  # FV-01c, FV-10
    running, _ = known()
    theirs = factverse.control("POST", "order", {"common_status": "assigned", "source_status": "Assigned"})
    record = wait_until(lambda: record_of(running, theirs), 10, "the record")
    tell(running, publisher, "work_order.complete", record)
    publisher.publish("do/work_order.close", {"work_order": theirs["source_work_order_id"]})
    wait_until(lambda: factverse.orders()[1]["common_status"] == "closed", 10, "closed by its own id")
    assert record["common_work_order_id"] != theirs["common_work_order_id"], "busbar's own id of it"
    assert json.loads(posted(factverse)[-1]["body"])["common_work_order_id"] == theirs["common_work_order_id"]


def test_a_command_whose_answer_was_lost_is_done_once(known, factverse, publisher):  # F-U9
    running, order = known(hooks=False)
    factverse.fail("reset", after=True, times=1, method="POST", path=f"{ORDERS}/{order['source_work_order_id']}/comments")
    tell(running, publisher, "work_order.comment", order, text="seen on camera 4")
    assert len(factverse.items("notes")) == 1
    first, second = posted(factverse)[1:]
    assert first["headers"]["idempotency-key"] == second["headers"]["idempotency-key"]


def test_what_happens_while_the_order_is_open_is_added_to_it(daemon, factverse, publisher):  # MW-P23
    """until: closed with while_open: one order, a comment for each further crossing, also over a kill -9; then a new one."""
    route = {**SENSOR, "trigger": {"above": 85, "clear": 80, "cooldown": "0s", "until": "closed", "while_open": {
        "to": "work_order.comment", "body": {"text": "${value} °C again on ${asset}"}}}}
    running = daemon([route, command("work_order.cancel")])

    def cross(celsius):
        publisher.publish("plant/P-101/temperature", str(celsius))
        publisher.publish("plant/P-101/temperature", "70")

    def comments():
        return [json.loads(r["body"])["text"] for r in posted(factverse) if r["path"].endswith("/comments")]

    cross(90)
    order = one_order(factverse)
    cross(91)
    wait_until(lambda: comments() == ["91 °C again on P-101"], 10, "the first comment")
    running.kill()
    running.start()
    cross(92)
    wait_until(lambda: comments()[-1] == "92 °C again on P-101", 10, "the second")
    assert len(factverse.orders()) == 1
    decided = running.metrics()
    assert decided.sum("busbar_decisions_total", reason="noted") == 1, "since the kill"
    assert {d["operation"] for d in running.deliveries(state="delivered", route="bearing-hot")} == {
        "work_order.create", "work_order.comment"}
    publisher.publish("do/work_order.cancel", {"work_order": order["common_work_order_id"]})
    delivered(running, "work-order-cancel")
    cross(93)
    wait_until(lambda: len(factverse.orders()) == 2, 10, "a new order")
    assert len(comments()) == 2


def test_while_open_names_an_operation_on_an_existing_order(daemon, tmp_path):
    running = daemon([SENSOR])
    for to, words in (("work_order.create", "no operation 'work_order.create' on an existing work order"),
                      ("nothing.at_all", "no operation 'nothing.at_all'")):
        running.config["routes"][0]["trigger"] = {"above": 85, "until": "closed", "while_open": {"to": to, "body": {}}}
        running.write()
        assert words in running.cli("check", expect=1).stderr
    running.config["routes"][0]["trigger"] = {"above": 85, "while_open": {"to": "work_order.comment", "body": {}}}
    running.write()
    assert "'while_open' belongs to 'until: closed'" in running.cli("check", expect=1).stderr
