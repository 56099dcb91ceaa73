# SPDX-License-Identifier: Apache-2.0
"""The mandatory matrix of Assetic's work orders, every cell: a whole order is made once at each status; without a
member that the status demands, the daemon refuses it with the member's pointer and sends nothing, and the stand-in
refuses it when it is sent straight."""

import base64
import json
import types

import pytest

import busbar_harness as harness
from assetic import STATUSES
from assetic_orders import FILLED_IN, MATRIX, NEVER, full_order, holder, wall, without, field_of
from busbar_harness import KEY, http_call, wait_until

ORDERS = "/api/v2/workorder"
CELLS = [pytest.param(pointer, demanded, refused, id=f"{row} {pointer}") for row, pointer, demanded, refused in MATRIX]


def statuses_of(pointer):
    """Without a status an order is at PREP: one whose resources are assigned, or done, does not fit that."""
    return STATUSES[:5] if pointer == "/Status" else STATUSES


def variants():
    """name: order"""
    for status in STATUSES:
        yield f"whole.{status}", full_order(status)
        codeless = {**full_order(status), "WorkOrderType": {"Id": 6}}  # asks for no failure and no cause
        yield f"codeless.{status}", without(without(codeless, "/FailureSubCodeId"), "/CauseSubCodeId")
    for _, pointer, _, _ in MATRIX:
        for status in statuses_of(pointer):
            yield f"{pointer.replace('/', '.')}.{status}", without(full_order(status), pointer)


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    sandbox = harness.AsseticSandbox(tmp_path_factory.mktemp("assetic"), {})
    sandbox.start()
    yield sandbox
    sandbox.kill()


@pytest.fixture(scope="module")
def played(tmp_path_factory, standin):
    """Every variant once through the daemon: what became of each by its name, and what the stand-in was sent."""
    folder, logs, started = tmp_path_factory.mktemp("matrix"), {}, []
    try:
        broker = harness.Broker(folder, logs)
        started.append(broker)
        broker.start()
        target = {"plugin": "assetic", "url": standin.url, "user": "api.user", "token": KEY, "time_zone": "UTC0",
                  "mode": "write_back", "poll": "1h", "late_statuses": True, "concurrency": 8}
        route = {"name": "order", "from": "order/+", "to": "at.work_order.create", "body": "${.}"}
        daemon = harness.Busbar(folder, logs, harness.configuration(folder, broker, {"at": target}, [route]))
        started.append(daemon)
        daemon.start()
        sent = dict(variants())
        publisher = harness.Publisher(broker.port)
        for name, order in sent.items():
            publisher.send(f"order/{name}", order)
        publisher.flush()
        wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", target="at", route="order") == len(sent), 60,
                   "an end of each")
        publisher.close()
        deliveries = {}
        for state in ("delivered", "rejected"):
            deliveries |= {d["topic"].removeprefix("order/"): d for d in daemon.deliveries(state=state, limit=500)}
        posts = [r for r in standin.asked(ORDERS) if r["method"] == "POST"]
        yield types.SimpleNamespace(sent=sent, deliveries=deliveries, posts=posts, orders=standin.orders())
    finally:
        for process in reversed(started):
            process.kill()


def made(played, name):
    """The one order of a variant."""
    delivery = played.deliveries[name]
    assert delivery["state"] == "delivered", delivery["error"]
    (order,) = [o for o in played.orders if o["ExternalId"] == delivery["id"]]
    assert len([r for r in played.posts if json.loads(r["body"])["ExternalId"] == delivery["id"]]) == 1
    return order


@pytest.mark.parametrize("status", STATUSES)
def test_a_whole_order_is_made_once_at_every_status(played, status):  # AS-E01, AS-M01, AS-C09
    order = made(played, f"whole.{status}")
    for name, value in played.sent[f"whole.{status}"].items():
        assert order[name] == value, name


# AS-M02, AS-M03, AS-M04, AS-M05, AS-M06, AS-M10, AS-M11, AS-M12, AS-M13, AS-M14, AS-M16, AS-M17, AS-M18, AS-M19,
# AS-M20, AS-M21, AS-M22
@pytest.mark.parametrize("pointer, demanded, refused", [cell for cell in CELLS if cell.values[2] != NEVER])
def test_the_daemon_refuses_what_the_matrix_demands(played, pointer, demanded, refused):
    for n, status in enumerate(STATUSES):
        name = f"{pointer.replace('/', '.')}.{status}"
        delivery = played.deliveries[name]
        if n < refused:
            assert made(played, name)["Status"] == status
            continue
        error = delivery["error"]
        assert (delivery["state"], error["class"], error["code"]) == ("rejected", "validation", "invalid_work_order"), status
        assert [field["pointer"] for field in error["rejected_fields"]] == [pointer], status
        assert error["http_status"] is None and delivery["attempts"] == 1, "it said so itself"
        assert not any(delivery["id"] in r["body"] for r in played.posts), "nothing wrong was sent"


# AS-M01, AS-M07, AS-M08, AS-M09, AS-M14, AS-M15, AS-M23
@pytest.mark.parametrize("pointer", [pointer for _, pointer, _, refused in MATRIX if refused == NEVER] + ["/Labours"])
def test_the_daemon_fills_in_what_it_knows(played, pointer):
    for status in STATUSES[:1] if pointer == "/Labours" else statuses_of(pointer):
        order = made(played, f"{pointer.replace('/', '.')}.{status}")
        at, name = holder(order, pointer)
        if pointer == "/PointString":
            assert name not in at
        elif pointer == "/Scheduling/TargetStart":
            assert wall(-0.1) <= at[name] <= wall()
        else:
            assert at[name] == FILLED_IN[pointer], status


@pytest.mark.parametrize("status", STATUSES)
def test_no_codes_where_the_work_type_asks_for_none(played, status):  # AS-M11, AS-M12, AS-F02
    order = made(played, f"codeless.{status}")
    assert not {"FailureSubCodeId", "CauseSubCodeId"} & set(order)


# AS-M01, AS-M02, AS-M03, AS-M04, AS-M05, AS-M06, AS-M07, AS-M08, AS-M09, AS-M10, AS-M11, AS-M12, AS-M13, AS-M14,
# AS-M15, AS-M16, AS-M17, AS-M18, AS-M19, AS-M20, AS-M21, AS-M22, AS-M23
@pytest.mark.parametrize("pointer, demanded, refused", CELLS)
def test_sandbox_assetic_demands_what_the_matrix_demands(standin, pointer, demanded, refused):
    basic = base64.b64encode(f"api.user:{KEY}".encode()).decode()
    for n, status in enumerate(STATUSES):
        answer = http_call(standin.port, "POST", ORDERS, without(full_order(status), pointer), {"Authorization": f"Basic {basic}"})
        assert answer.status == (400 if n >= demanded else 201), (status, answer.body)
        if n >= demanded and pointer != "/Status":
            assert set(answer.json["ModelState"]) == {f"workOrder.{field_of(pointer)}"}, status
        elif n >= demanded:
            assert "workOrder.Status" in answer.json["ModelState"]
