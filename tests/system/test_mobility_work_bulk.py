# SPDX-License-Identifier: Apache-2.0
"""Parts, stocks, equipments and locations through the real daemon: each operation once, then what goes wrong."""

import json

import pytest

from busbar_harness import wait_until

ROUTES = {  # operation -> (topic, body)
    "spare_part.create": ("erp/part/new", {
        "externalReference": "${.ref}", "name": "${.name}", "unitPrice": "${.price}", "stock": "${.stock}"}),  # MW-E01
    "spare_part.set_stock": ("erp/stock/{part}", {"id": "${part}", "quantity": "${.}"}),  # MW-E02
    "spare_part.update": ("erp/part/{part}/set", "${.}"),  # MW-E03
    "equipment.create": ("erp/equipment/new", {"name": "${.name}", "itemCode": "${.code}", "tags": ["erp"]}),  # MW-E04
    "equipment.update": ("erp/equipment/{code}/set", {"id": "${code}", "description": "${.description}"}),  # MW-E05
    "location.create": ("erp/location/new", {"name": "${.name}"}),  # MW-E06
    "spare_part.relocate": ("erp/part/{part}/move", {  # MW-E07
        "sparePartId": "${part}", "source": {"locationName": "${.from}"}, "target": {"locationName": "${.to}"}}),
}


def routes(*operations):
    return [{"name": operation.replace(".", "-").replace("_", "-"), "from": ROUTES[operation][0],
             "to": f"mw.{operation}", "body": ROUTES[operation][1]} for operation in operations or ROUTES]


def stores(sandbox):
    return sandbox.control("GET", "stores")


def written(sandbox):
    """What was sent beside the settings: (method, path, body)."""
    return [(r["method"], r["path"].removeprefix("/partners/v1/"), json.loads(r["body"]))
            for r in sandbox.requests() if r["method"] != "GET"]


@pytest.fixture
def known(sandbox, busbar):
    """A daemon that has read the network's settings, its currency with them."""
    def make(*operations, **sections):
        daemon = busbar(routes=routes(*operations), **sections)
        wait_until(lambda: sandbox.requests("/partners/v1/network/settings"), 10, "the settings")
        return daemon
    return make


def external(value):
    return {"type": "externalReference", "value": value}


def test_each_operation_arrives(known, sandbox, publisher):
    known()
    steps = [
        ("erp/location/new", {"name": "Store A"}, ("POST", "locations/create/bulk", [{"name": "Store A"}])),
        ("erp/location/new", {"name": "Store B"}, ("POST", "locations/create/bulk", [{"name": "Store B"}])),
        ("erp/part/new", '{"ref": "BRG-1", "name": "Bearing", "price": 19.90, "stock": 4}',
         ("POST", "spare-parts", [{"externalReference": "BRG-1", "name": "Bearing", "stock": {"quantity": 4},
                                   "unitPrice": {"amount": 1990, "currency": "EUR"}}])),
        ("erp/stock/BRG-1", 7, ("PUT", "spare-parts/stock", [{"id": external("BRG-1"), "quantity": 7}])),
        ("erp/stock/4711", 9, ("PUT", "spare-parts/stock", [{"id": external("4711"), "quantity": 9}])),  # MW-C17
        ("erp/part/BRG-1/set", {"id": "BRG-1", "unitPrice": "0.29", "gtin": None, "description": "deep groove"},
         ("POST", "spare-parts/attributes", [{"id": external("BRG-1"), "unitPrice": {"amount": 29, "currency": "EUR"},
                                              "gtin": None, "description": "deep groove"}])),  # MW-C13, MW-C14
        ("erp/equipment/new", {"name": "Press 7", "code": "P-7"},
         ("POST", "equipments", [{"name": "Press 7", "itemCode": "P-7", "tags": ["erp"]}])),
        ("erp/equipment/P-7/set", {"description": "The old one"},
         ("POST", "equipment/attributes", [{"id": {"type": "external", "value": "P-7"},
                                            "description": "The old one"}])),
        ("erp/part/BRG-1/move", {"from": "Store A", "to": "Store B"},
         ("POST", "spare-parts/relocate/bulk", [{"sparePartId": external("BRG-1"),
                                                 "source": {"locationName": "Store A"},
                                                 "target": {"locationName": "Store B"}}])),
    ]
    for n, (topic, payload, expected) in enumerate(steps, 1):
        publisher.publish(topic, payload)
        wait_until(lambda: len(written(sandbox)) == n, 10, f"the request for {topic}")
        assert written(sandbox)[-1] == expected
    held = stores(sandbox)
    assert held["stock"] == {"BRG-1": 7, "4711": 9} and held["places"] == {"BRG-1": "Store B"}
    assert held["equipments"][0]["description"] == "The old one" and len(held["parts"]) == 1
    assert held["parts"][0]["unitPrice"] == {"amount": 29, "currency": "EUR"}


def test_accepted_is_not_confirmed(known, sandbox, publisher):  # MW-C05, MW-C06, U13
    daemon = known("spare_part.set_stock")
    publisher.publish("erp/stock/A", 1)
    wait_until(lambda: stores(sandbox)["stock"], 10)
    (delivery,) = wait_until(lambda: daemon.deliveries(state="delivered"), 10)
    assert daemon.json("queue", "show", delivery["id"])["unconfirmed"] is True


def test_a_part_is_no_work_order(known, sandbox, publisher, subscribe):
    orders = subscribe("busbar/orders/#")
    daemon = known("equipment.create")
    publisher.publish("erp/equipment/new", {"name": "Press 7", "code": "P-7"})
    wait_until(lambda: daemon.deliveries(state="delivered"), 10)
    assert orders.seen() == []


WRONG = {  # name -> (operation, topic, payload, pointers)
    "part": ("spare_part.create", "erp/part/new", {"ref": "B", "name": "Be", "price": "1.005", "stock": 1.5},
             ["/name", "/unitPrice", "/stock"]),
    "stock": ("spare_part.set_stock", "erp/stock/A", -1, ["/quantity"]),
    "update": ("spare_part.update", "erp/part/A/set", {"name": None, "gtin": "x"}, ["/id", "/name", "/gtin"]),
    "equipment": ("equipment.create", "erp/equipment/new", {"name": "", "code": 7}, ["/name", "/itemCode"]),
    "location": ("location.create", "erp/location/new", {"name": "-A"}, ["/name"]),
    "move": ("spare_part.relocate", "erp/part/A/move", {"from": "Store A", "to": ""}, ["/target/locationName"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_would_be_refused_is_a_dead_letter_with_its_pointers(known, sandbox, publisher, name):
    operation, topic, payload, pointers = WRONG[name]
    daemon = known(operation)
    publisher.publish(topic, payload)
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    error = daemon.json("queue", "show", dead["id"])["error"]
    assert error["class"] == "validation"
    assert [field["pointer"] for field in error["rejected_fields"]] == pointers
    assert written(sandbox) == []


def test_what_they_refuse_has_its_pointers_and_no_index(known, sandbox, publisher):  # MW-C20, U12
    sandbox.configure(spare_parts=["A"])
    daemon = known("spare_part.set_stock")
    publisher.publish("erp/stock/B", 1)
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    error = daemon.json("queue", "show", dead["id"])["error"]
    assert (error["class"], error["code"]) == ("identity", "unknown_spare_part")
    assert [field["pointer"] for field in error["rejected_fields"]] == ["/id"]


def test_a_plan_without_the_call_holds_the_operation(known, sandbox, publisher):  # MW-C07
    sandbox.configure(plan="starter")
    daemon = known("spare_part.set_stock", "equipment.create")
    publisher.publish("erp/stock/A", 1)
    wait_until(lambda: any(method == "PUT" for method, _, _ in written(sandbox)), 10)
    publisher.publish("erp/equipment/new", {"name": "Press 7", "code": "P-7"})
    wait_until(lambda: stores(sandbox)["equipments"], 10)
    assert daemon.deliveries(state="rejected") == [] and stores(sandbox)["stock"] == {}


def test_a_create_whose_answer_was_lost_is_left_to_a_person(known, sandbox, publisher):  # settled 16
    daemon = known("equipment.create", "spare_part.set_stock")
    for path in ("equipments", "spare-parts/stock"):
        sandbox.fail("reset", times=1, after=True, path=f"/partners/v1/{path}")
    publisher.publish("erp/equipment/new", {"name": "Press 7", "code": "P-7"})
    (parked,) = wait_until(lambda: daemon.deliveries(state="rejected"), 20)
    assert daemon.json("queue", "show", parked["id"])["error"]["code"] == "uncertain_outcome"
    publisher.publish("erp/stock/A", 1)  # a stock is set: again does no harm
    wait_until(lambda: daemon.deliveries(state="delivered"), 20)
    assert len(stores(sandbox)["equipments"]) == 1 and stores(sandbox)["stock"] == {"A": 1}


def test_a_price_keeps_its_text_all_the_way(known, sandbox, publisher):  # settled 24, MW-C13
    known("spare_part.create")
    publisher.publish("erp/part/new", '{"ref": "A", "name": "Gold ring", "price": 90071992547409.93, "stock": 0}')
    (part,) = wait_until(lambda: stores(sandbox)["parts"], 10)
    assert part["unitPrice"]["amount"] == 9007199254740993  # 2^53 + 1: a double has no such number


@pytest.mark.parametrize("body, complaint", [
    ({"id": "${part}"}, "/quantity is required"),
    ({"id": "${part}", "quantity": -1}, "/quantity must be a whole number"),
    ({"id": "${part}", "quantity": "${.}", "qantity": 1}, "did you mean quantity?")])
def test_check_looks_at_the_body(busbar, body, complaint):
    daemon = busbar(routes=[{"name": "stock", "from": "erp/stock/{part}", "to": "mw.spare_part.set_stock",
                             "body": body}], start=False)
    assert complaint in daemon.cli("check", expect=1).stderr


def test_check_says_that_a_new_part_is_unverified(busbar):  # U9, settled 25
    daemon = busbar(routes=routes("spare_part.create"), start=False)
    assert "spare_part.create is unverified" in daemon.cli("check").stderr
