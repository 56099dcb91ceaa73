# SPDX-License-Identifier: Apache-2.0
"""The stand-in's bulk calls are as strict as the contract: one violation per constraint, refused whole, with the
item's index in the pointer; what is accepted can be read back."""

import json

import pytest

from busbar_harness import KEY, SECRET, Sandbox, http_call
from mobility_work_contract import BULK, GOOD, PART_ID, VIOLATIONS, violated

PAID = ("spare-parts/stock", "equipment/attributes", "locations/create/bulk", "spare-parts/relocate/bulk")
ITEMS = {GOOD[operation][1]: (GOOD[operation][0], GOOD[operation][2]) for operation in BULK}  # path -> (method, an item)
CASES = [(GOOD[operation][1], violated(operation, member, value), pointer, key, member)
         for operation in BULK for member, value, pointer, key, *_ in VIOLATIONS[operation]]


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("standin"), {}, "--secret", SECRET) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def fresh(standin):
    standin.control("POST", "reset")
    standin.configure(spare_parts=None, unknown_equipments=[], plan="ultimate", part_price_member="unitPrice",
                      part_stock_member="stock")
    assert call(standin, "locations/create/bulk", [{"name": "Store A"}, {"name": "Store B"}]).status == 202


def call(standin, path, items, method=None, key=KEY):
    return http_call(standin.port, method or ITEMS[path][0], f"/partners/v1/{path}", items, {"Api-Key": key})


def stores(standin):
    return standin.control("GET", "stores")


@pytest.mark.parametrize("path", ITEMS)
def test_sandbox_accepts(standin, path):  # MW-C05, MW-C06, MW-C09
    answer = call(standin, path, [ITEMS[path][1]] * 3)
    assert (answer.status, answer.body) == (202, b"null") and answer.headers["Request-Id"]


@pytest.mark.parametrize("path, bad, pointer, key, member", CASES,
                         ids=[f"{c[0]}-{c[4]}-{n}" for n, c in enumerate(CASES)])
def test_sandbox_refuses(standin, path, bad, pointer, key, member):  # MW-C07, MW-C20
    before = stores(standin)
    good = ITEMS[path][1]
    answer = call(standin, path, [good] * 17 + [bad, good])
    error = answer.json
    assert answer.status == error["http_status_code"] == 400 and error["code"] == "400044"
    assert error["message"] == "The request payload is not valid."
    assert error["extended_message"]["global_errors"] == [] and error["more_info_url"] is None
    found = error["extended_message"]["property_errors"]
    assert list(found) == [f"/17{pointer}"]
    assert [each["messageKey"] for each in found[f"/17{pointer}"]] == [f"error.payload.{key}"]
    assert stores(standin) == before  # U12: refused whole


@pytest.mark.parametrize("path", ITEMS)
def test_sandbox_takes_1_to_10000(standin, path):  # MW-C10
    good = ITEMS[path][1]
    for items, key in ([], "min_items"), ([good] * 10001, "max_items"):
        answer = call(standin, path, items)
        assert answer.status == 400
        assert answer.json["extended_message"]["property_errors"][""][0]["messageKey"] == f"error.payload.{key}"
    assert call(standin, path, [good] * 10000).status == 202


@pytest.mark.parametrize("path", ITEMS)
def test_sandbox_wants_an_array_and_its_method(standin, path):
    method, good = ITEMS[path]
    assert call(standin, path, good).json["extended_message"]["global_errors"][0]["parameters"] == {"expected": "array"}
    assert call(standin, path, [good], key="wrong").status == 401
    assert call(standin, path, [7]).json["extended_message"]["property_errors"]["/0"]
    other = "POST" if method == "PUT" else "PUT"
    assert call(standin, path, [good], method=other).status == 405
    assert http_call(standin.port, method, f"/partners/v1/{path}/", [good], {"Api-Key": KEY}).status == 404


@pytest.mark.parametrize("path", ITEMS)
def test_sandbox_knows_plans(standin, path):  # MW-C07: E02, E05, E06, E07 are Premium and Ultimate
    standin.configure(plan="starter")
    assert call(standin, path, [ITEMS[path][1]]).status == (403 if path in PAID else 202)


def test_sandbox_counts_code_points(standin):  # U19
    assert call(standin, "equipments", [{"name": "é" * 255}]).status == 202
    assert call(standin, "locations/create/bulk", [{"name": "Étage"}]).status == 202  # U20


def test_sandbox_keeps_parts(standin):  # MW-E01, MW-E03, MW-C14
    good = ITEMS["spare-parts"][1]
    call(standin, "spare-parts", [{**good, "description": "deep groove", "gtin": "12345678"}])
    call(standin, "spare-parts/attributes", [{"id": "BRG-1", "description": None, "name": "Bearing 6204"}])
    call(standin, "spare-parts/attributes", [{"id": PART_ID, "externalReference": "BRG-2", "unitPrice": None}])
    call(standin, "spare-parts/attributes", [{"id": "BRG-2", "tags": [{"add": "hot"}]}])
    assert stores(standin)["parts"] == [{"externalReference": "BRG-2", "name": "Bearing 6204", "gtin": "12345678",
                                         "stock": {"quantity": 4}, "tags": [{"add": "hot"}]}]


def test_sandbox_keeps_the_last_stock(standin):  # MW-E02: replaces, no delta
    call(standin, "spare-parts/stock", [{"id": "A", "quantity": 5}, {"id": PART_ID, "quantity": 7},
                                        {"id": "A", "quantity": 3}])
    assert stores(standin)["stock"] == {"A": 3, "BRG-1": 7}


def test_sandbox_keeps_equipments(standin):  # MW-E04, MW-E05
    call(standin, "equipments", [{"name": "P", "itemCode": "P-7", "description": None}, {"name": "Q", "private": False}])
    call(standin, "equipment/attributes", [{"id": "P-7", "name": "Press"}, {"id": 2, "tags": ["hot"]}])
    call(standin, "equipment/attributes", [{"id": {"type": "external", "value": "P-7"}, "itemCode": None}])
    assert stores(standin)["equipments"] == [{"native": 1, "private": True, "tags": [], "name": "Press"},
                                             {"native": 2, "private": False, "tags": ["hot"], "name": "Q"}]


def test_sandbox_moves_the_stock(standin):  # MW-E07
    def move(target, **source):
        call(standin, "spare-parts/relocate/bulk", [{"sparePartId": "A", "target": {"locationName": target}, **source}])
        return stores(standin)["places"]["A"]

    assert move("Store A") == "Store A"
    assert move("Store B", source={"locationName": "Store A"}) == "Store B"
    assert move("Store A", source={"locationName": "Store A"}) == "Store B"  # none was there


def test_sandbox_knows_parts_when_told(standin):
    standin.configure(spare_parts=["A"])
    answer = call(standin, "spare-parts/stock", [{"id": "A", "quantity": 1}, {"id": "B", "quantity": 1}])
    assert answer.json["extended_message"]["property_errors"] == {"/1/id": [{
        "messageKey": "error.payload.spare_part.unknown", "parameters": {"type": "externalReference", "value": "B"}}]}


def test_sandbox_names_of_the_lost_objects_are_settings(standin):  # U9
    standin.configure(part_price_member="price", part_stock_member="initialStock")
    good = ITEMS["spare-parts"][1]
    assert set(call(standin, "spare-parts", [good]).json["extended_message"]["property_errors"]) \
        == {"/0/price", "/0/initialStock"}
    item = json.loads(json.dumps(good).replace("unitPrice", "price").replace('"stock"', '"initialStock"'))
    assert call(standin, "spare-parts", [item]).status == 202
