# SPDX-License-Identifier: Apache-2.0
"""Mobility Work's documentation against the real daemon: what is refused before it is sent, the samples, what is kept of
each call. The same tables go to the stand-in in test_sandbox_mobility_work.py and test_sandbox_stores.py."""

import contextlib
import json

import pytest

from busbar_harness import KEY, SECRET, Broker, Busbar, Publisher, Sandbox, configuration, mw_target, wait_until
from mobility_work_contract import (BULK, GOOD, LEFT, MENDED, REFUSAL, REQUESTS, SETTINGS, VIOLATIONS, WEBHOOKS, WRONG_KEY,
                                    violated)

CASES = [(operation, n, *violation) for operation in GOOD for n, violation in enumerate(VIOLATIONS[operation])]
IDS = [f"{case[0]}-{case[2]}-{case[1]}" for case in CASES]
SETTINGS_PATH = "/partners/v1/network/settings"


def all_routes():
    """contract/<operation>/# is that operation's, the message is the body."""
    return [{"name": operation.replace(".", "-").replace("_", "-"), "from": f"contract/{operation}/#",
             "to": f"mw.{operation}", "body": "${.}"} for operation in GOOD]


def one_body(operation, member, value, n):
    """The violation; stocks of one part would be one delivery, so each has a part of its own."""
    body = violated(operation, member, value)
    if operation == "spare_part.set_stock" and member != "id":
        body["id"] = {"type": "externalReference", "value": f"BRG-{n}"}
    return body


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """All violations at once; what became of each: topic -> its delivery."""
    folder = tmp_path_factory.mktemp("contract")
    with contextlib.ExitStack() as house:
        broker = house.enter_context(Broker(folder / "broker", {}))
        sandbox = house.enter_context(Sandbox(folder / "sandbox", {}, "--secret", SECRET, "--life", "scheduled=never"))
        config = configuration(folder, broker, {"mw": mw_target(sandbox)}, all_routes())
        daemon = house.enter_context(Busbar(folder / "busbar", {}, config))
        wait_until(lambda: sandbox.requests(SETTINGS_PATH), 10, "the settings, and the currency with them")
        publisher = house.enter_context(contextlib.closing(Publisher(broker.port)))
        publisher.publish("contract/location.create/store", {"name": "Store B"})  # of the good relocations
        wait_until(lambda: sandbox.control("GET", "stores")["locations"], 10, "the location")
        for operation, n, member, value, *_ in CASES:
            publisher.send(f"contract/{operation}/{n}", one_body(operation, member, value, n))
        publisher.flush()

        def ended():
            found = {d["topic"]: d for state in ("delivered", "rejected")
                     for d in daemon.deliveries(state=state, limit=500) if d["direction"] == "out"}
            return found if len(found) > len(CASES) else None

        found = wait_until(ended, 60, "a verdict of each violation")
        yield {topic: daemon.json("queue", "show", found[topic]["id"]) for topic in found}


# MW-E01..E08, MW-C07, MW-C13, MW-C15, MW-C17 and MW-C20: each constraint of the documentation
@pytest.mark.parametrize("operation, n, member, value, pointer, key, ours", [(*case, None)[:7] for case in CASES], ids=IDS)
def test_a_violation_is_refused_where_it_is(verdicts, operation, n, member, value, pointer, key, ours):
    shown = verdicts[f"contract/{operation}/{n}"]
    if ours == MENDED:
        assert shown["state"] == "delivered", shown["error"]
        return
    error = shown["error"]
    assert shown["state"] == "rejected"
    assert [field["pointer"] for field in error["rejected_fields"]] == [pointer if ours in (None, LEFT) else ours]
    if ours == LEFT:
        assert error["class"] in ("validation", "identity") and error["code"] in ("400044", "unknown_location")
        assert error["rejected_fields"][0]["key"] == f"error.payload.{key}"
    else:
        assert error["class"] == "validation" and error["code"].startswith("invalid_"), "refused before it was sent"


# ---- samples


def written(sandbox):
    return [(r["method"], r["path"].removeprefix("/partners/v1/"), json.loads(r["body"]), r["status"])
            for r in sandbox.requests() if r["method"] != "GET"]


@pytest.fixture
def daemon(busbar, sandbox):
    daemon = busbar(routes=all_routes())
    wait_until(lambda: sandbox.requests(SETTINGS_PATH), 10, "the settings")
    return daemon


def test_each_request_as_printed_is_taken(daemon, sandbox, publisher):  # MW-E02, MW-E03, MW-E05, MW-E08, MW-C14, MW-C17
    for name, (operation, body) in REQUESTS.items():
        items = body if operation in BULK else [body]
        for item in items:
            before = len(written(sandbox))
            publisher.publish(f"contract/{operation}/{name}", item)
            method, path, sent, status = wait_until(lambda: written(sandbox)[before:], 10, name)[0]
            assert (method, path) == GOOD[operation][:2] and status in (201, 202), name
            given = {**item, **({"id": sent[0]["id"]} if operation in BULK else {
                "equipment": sent["equipment"], "assignees": sent["assignees"], "metadata": sent["metadata"]})}
            assert (sent[0] if operation in BULK else sent) == given, name  # but for the identifiers as it stands
            for identifier in [sent[0]["id"]] if operation in BULK else [sent["equipment"], *sent["assignees"]]:
                assert set(identifier) == {"type", "value"}, "always typed"
    first, second = (body for _, path, body, _ in written(sandbox) if path == "spare-parts/stock")
    assert first == second, "a simple identifier is the typed one"
    first, second = (body for _, path, body, _ in written(sandbox) if path == "equipment/attributes")
    assert first == second == [{"id": {"type": "native", "value": 2507}}]
    tasks = [body for _, path, body, _ in written(sandbox) if path == "tasks"]
    assert tasks[0]["assignees"] == tasks[1]["assignees"] and tasks[2]["metadata"]["internalIdentifier"] == 1234


def test_the_refusal_as_printed_is_read(daemon, sandbox, publisher):  # MW-C20, MW-C07, FV-07d
    sandbox.fail("status", status=400, times=1, path="/partners/v1/tasks", body=REFUSAL)
    publisher.publish("contract/task.schedule/1", GOOD["task.schedule"][2])
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the dead letter")
    error = dead["error"]
    assert (error["class"], error["code"], error["provider_http_status"]) == ("identity", "unknown_equipment", 400)
    assert {field["pointer"]: field["key"] for field in error["rejected_fields"]} == {
        pointer: each["messageKey"] for pointer, (each,) in REFUSAL["extended_message"]["property_errors"].items()}
    for text in ("The request payload is not valid.", "jason.doe@example.com", '"min":3'):
        assert text in error["message"]


def test_a_wrong_key_as_printed_holds_the_target(busbar, sandbox, publisher):  # MW-C07, MW-C02, FV-07a
    sandbox.fail("status", status=401, body=WRONG_KEY, path="/partners/v1/tasks", times=1)
    daemon = busbar(routes=all_routes())
    publisher.publish("contract/task.schedule/1", GOOD["task.schedule"][2])
    (hold,) = wait_until(lambda: [h for t in daemon.json("targets", "list")["items"] for h in t["holds"]], 10, "the hold")
    assert "Invalid Api Key." in hold["reason"] and not hold["operation"]
    assert daemon.deliveries(state="rejected") == []


@pytest.mark.parametrize("body", WEBHOOKS, ids=[body["_event"] for body in WEBHOOKS])
def test_each_webhook_as_printed_goes_on_as_it_came(daemon, subscribe, body):  # MW-W00..W11, MW-W90
    events = subscribe("busbar/events/mw/#")
    raw = json.dumps(body, separators=(",", ":"))
    assert daemon.hook(raw.encode()).status == 200
    (message,) = events.wait("busbar/events/mw/#")
    event = json.loads(message.payload)
    provider = event["data"]["provider"]
    assert (provider["event"], provider["raw"]) == (body["_event"], body)
    assert raw in message.payload.decode(), "byte for byte"
    about = body.get("taskId", body.get("id"))
    assert (event["data"]["work_order"] or {}).get("source_work_order_id") == about
    assert event["type"].startswith("work_order." if about else f"provider.mobility_work.{body['_event']}")
    assert "undocumented_webhook" not in daemon.get("/metrics").body.decode(), "they are as documented"


def test_the_settings_tell_whose_webhooks_and_which_currency(busbar, sandbox, publisher, subscribe):  # MW-E09
    events = subscribe("busbar/events/mw/#")
    sandbox.fail("status", status=200, body={**SETTINGS, "currency": "JPY"}, path=SETTINGS_PATH, times=1)
    daemon = busbar(routes=all_routes())
    publisher.publish("contract/spare_part.update/1", {"id": "A", "unitPrice": "500"})  # no cents in Japan
    (part,) = wait_until(lambda: sandbox.control("GET", "stores")["parts"], 10, "the price")
    assert part["unitPrice"] == {"amount": 500, "currency": "JPY"}
    (asked,) = sandbox.requests(SETTINGS_PATH)
    assert asked["body"] == "" and asked["headers"]["user-agent"].endswith(" Factory Inc.")  # MW-C04
    foreign, ours = WEBHOOKS[9], {**WEBHOOKS[9], "networkId": SETTINGS["networkId"]}
    for body in (foreign, ours):
        assert daemon.hook(json.dumps(body).encode()).status == 200
    events.wait("busbar/events/mw/provider/#")
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the foreign one")
    assert dead["error"]["code"] == "foreign_network" and dead["direction"] == "in"
    assert [e["data"]["provider"]["raw"]["networkId"] for e in events.payloads("busbar/events/mw/provider/#")] \
        == [SETTINGS["networkId"]]


# ---- common rules


def test_calls_answers_and_webhooks_are_kept_without_secrets(busbar, sandbox, publisher):  # MW-C11, MW-C09, MW-C02
    daemon = busbar(life={"scheduled": 0})
    sandbox.fail("status", status=503, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 90})
    (out,) = wait_until(lambda: daemon.deliveries(state="delivered", route="job"), 10, "the delivery")
    (hook,) = wait_until(lambda: [d for d in daemon.deliveries(state="delivered") if d["direction"] == "in"], 10, "it")
    call, came = daemon.json("queue", "show", out["id"]), daemon.json("queue", "show", hook["id"])
    failed, made = sandbox.requests("/partners/v1/tasks")
    head, _, body = call["request"].partition("\n\n")
    assert head.startswith("POST ") and "/partners/v1/tasks" in head and body == made["body"] == failed["body"]  # MW-C08
    assert call["response"].startswith("HTTP 201") and made["request_id"] in call["response"]
    told = [(entry["outcome"], entry["detail"]) for entry in call["history"]]
    assert [outcome for outcome, _ in told] == ["delivered", "retrying"]
    for (_, detail), request in zip(told, (made, failed)):
        assert f"HTTP {request['status']}, request {request['request_id']}" in detail
    assert came["body"]["taskId"] == sandbox.tasks()[0]["id"] and came["topic"] == "TaskWasScheduled"
    assert [entry["what"] for entry in came["history"]] == ["import"]
    audit = daemon.json("audit", "--since", "1h")["items"]
    assert {(a["delivery"], a["outcome"]) for a in audit} == {
        (out["id"], "retrying"), (out["id"], "delivered"), (hook["id"], "delivered")}
    (asked,) = sandbox.requests(SETTINGS_PATH)  # what is asked at start leaves no delivery: the log tells
    assert [json.loads(line)["request"] for line in daemon.tail(10000).splitlines() if "network.settings" in line] \
        == [asked["request_id"]]
    kept = json.dumps([call, came, audit]) + daemon.tail(10000)
    assert "Api-Key: ***" in call["request"] and KEY not in kept and SECRET not in kept


def test_a_sandbox_network_is_a_target_with_its_own_key(tmp_path, broker, make_sandbox, make_busbar, publisher):  # MW-C12
    networks = {"mw": make_sandbox("--key", KEY), "trial": make_sandbox("--key", "trial-key", "--network", "Trial Inc.")}
    targets = {"mw": mw_target(networks["mw"]),
               "trial": mw_target(networks["trial"], api_key="trial-key", network_name="Trial Inc.")}
    body = {"name": "${.}"}
    make_busbar(configuration(tmp_path, broker, targets, [
        {"name": name, "from": f"{name}/equipment", "to": f"{name}.equipment.create", "body": body} for name in targets]))
    for name in targets:
        publisher.publish(f"{name}/equipment", json.dumps(f"Press of {name}"))
    for name, network in networks.items():
        held = wait_until(lambda network=network: network.control("GET", "stores")["equipments"], 10, name)
        assert [equipment["name"] for equipment in held] == [f"Press of {name}"]
        assert {r["status"] for r in network.requests()} == {200, 202}, "each with its own key"
        agents = {r["headers"]["user-agent"].split(" ", 1)[1] for r in network.requests()}
        assert agents == {targets[name]["network_name"]}  # MW-C04


PRICES = {  # what the message says -> cents, or None: refused; never through a float
    "0.10": 10, '"1234.56"': 123456, "19.99": 1999, "1e2": 10000, "0.29": 29, "1.10": 110, "4.35": 435, "8.20": 820,
    "2.675e1": 2675, "90071992547409.93": 9007199254740993, "35": 3500, '"35.00"': 3500, "35.000": 3500, "0": 0,
    "1.005": None, '"0.001"': None, "1e-3": None, "-1": None, '"35,00"': None, '"EUR 3"': None, "true": None,
    "1e17": None, '""': None, "[1]": None}


def test_a_price_is_converted_exactly_on_its_whole_way(daemon, sandbox, publisher):  # MW-C13, settled 24
    for n, text in enumerate(PRICES):
        publisher.send(f"contract/spare_part.update/{n}", f'{{"id": "P-{n}", "unitPrice": {text}}}')
    publisher.flush()
    good = {f"P-{n}": cents for n, cents in enumerate(PRICES.values()) if cents is not None}
    bad = {f"contract/spare_part.update/{n}" for n, cents in enumerate(PRICES.values()) if cents is None}

    def ended():
        dead = daemon.deliveries(state="rejected", limit=500)
        return dead if len(dead) == len(bad) and len(sandbox.control("GET", "stores")["parts"]) == len(good) else None

    dead = wait_until(ended, 20, "a verdict of each price")
    parts = sandbox.control("GET", "stores")["parts"]
    assert {part["externalReference"]: part["unitPrice"]["amount"] for part in parts} == good
    assert {d["topic"] for d in dead} == bad
    for letter in dead:
        (field,) = letter["error"]["rejected_fields"]
        assert field["pointer"] == "/unitPrice" and letter["error"]["class"] == "validation"


def test_absent_null_and_a_value_are_three_things(daemon, sandbox, publisher):  # MW-C14
    parts = ({"id": "A", "description": "deep groove", "gtin": "12345678", "costCenter": "CC", "minimumStock": 2},
             {"id": "A", "description": None, "gtin": "87654321", "minimumStock": None})
    equipments = ({"id": "P-7", "description": "hydraulic", "gtin": "12345678", "costCenter": "CC-1", "tags": ["hot"]},
                  {"id": "P-7", "description": None, "gtin": "87654321", "tags": None})
    for n, (part, equipment) in enumerate(zip(parts, equipments)):
        publisher.publish("contract/spare_part.update/A", part)
        publisher.publish("contract/equipment.update/P-7", equipment)
        wait_until(lambda n=n: len(daemon.deliveries(state="delivered")) == 2 * n + 2, 10, "both updates")
    stores = sandbox.control("GET", "stores")
    assert stores["parts"] == [{"externalReference": "A", "gtin": "87654321", "costCenter": "CC"}]
    assert stores["equipments"] == [{"itemCode": "P-7", "gtin": "87654321", "costCenter": "CC-1"}]


def test_parts_of_one_code_are_all_hit(daemon, sandbox, publisher):  # MW-C16
    for n, name in enumerate(("Bearing, left", "Bearing, right")):
        publisher.publish(f"contract/spare_part.create/{n}", {**GOOD["spare_part.create"][2], "name": name})
    wait_until(lambda: len(sandbox.control("GET", "stores")["parts"]) == 2, 10, "two parts of one code")
    publisher.publish("contract/spare_part.update/1", {"id": "BRG-1", "costCenter": "CC"})
    publisher.publish("contract/spare_part.set_stock/1", {"id": "BRG-1", "quantity": 7})
    wait_until(lambda: len(daemon.deliveries(state="delivered")) == 4, 10, "both updates")
    stores = sandbox.control("GET", "stores")
    assert [(part["name"], part["costCenter"]) for part in stores["parts"]] == [
        ("Bearing, left", "CC"), ("Bearing, right", "CC")]
    assert stores["stock"] == {"BRG-1": 7}
    assert len([path for _, path, _, _ in written(sandbox) if path == "spare-parts/stock"]) == 1, "one item for both"


def test_what_a_202_accepted_is_pending_until_a_webhook_confirms_it(busbar, sandbox, publisher):  # MW-C06, MW-C05, FV-05b
    daemon = busbar()
    sandbox.fail("status", status=202, after=True, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 90})
    (delivery,) = wait_until(lambda: daemon.deliveries(state="delivered", route="job"), 10, "the delivery")
    assert delivery["unconfirmed"] is True

    def sync_state():
        (order,) = daemon.json("orders", "list")["items"]
        return order["sync_state"]

    assert sync_state() == "pending"
    sandbox.tell(sandbox.tasks()[0]["id"], "TaskWasScheduled")
    wait_until(lambda: sync_state() == "synchronized", 10, "the confirmation")
