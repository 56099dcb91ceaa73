# SPDX-License-Identifier: Apache-2.0
"""The stand-in for Assetic by itself: it takes the contract's samples, and is as strict as the contract. What is wrong
with an order is in test_assetic_matrix.py and test_assetic_rules.py, one violation per constraint."""

import json

import pytest

import assetic_samples as samples
from assetic import API_USER, LOGIN, STATUSES
from assetic_orders import full_order, straight
from busbar_harness import AsseticSandbox

ORDER, DOCUMENT = "/api/v2/workorder", "/api/v2/document"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with AsseticSandbox(tmp_path_factory.mktemp("assetic"), {}) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def fresh(standin):
    standin.control("POST", "reset")
    standin.configure(forbidden=False)


def fields(answer):
    assert answer.status == 400, answer.body
    return {name.removeprefix("workOrder.") for name in answer.json.get("ModelState", {})}


@pytest.mark.parametrize("status", STATUSES)
def test_sandbox_assetic_takes_a_full_order_at_every_status(standin, status):  # AS-C07, AS-E01, AS-M01, AS-X02
    answer = straight(standin, "POST", ORDER, full_order(status))
    assert answer.status == 201, answer.body
    read = straight(standin, "GET", f"{ORDER}/{answer.json['Id']}")
    assert (read.status, read.json["Status"]) == (200, status)


def test_sandbox_assetic_takes_the_sample_at_prep(standin):  # AS-T01, AS-M23
    sample = json.loads(samples.PREP)
    arrays = {"Labours": [], "MaintenanceMaterials": [], "MaintenanceServices": [], "SupportingInformation": []}
    assert fields(straight(standin, "POST", ORDER, sample)) == set(arrays), "the text wants them, the sample has none"
    assert straight(standin, "POST", ORDER, {**sample, **arrays}).status == 201


def test_sandbox_assetic_takes_the_sample_at_inprg(standin):  # AS-T02, AS-C09
    answer = straight(standin, "POST", ORDER, samples.INPRG.encode(), headers=JSON)
    assert answer.status == 201, answer.body
    (order,) = standin.orders()
    assert order["MaintenanceServices"][0]["PurchaseOrderNumber"] == "po123" and order["MaintenanceMaterials"], "the last wins"
    (request,) = standin.requests(ORDER)
    assert request["note"] == {"twice": ["MaintenanceMaterials", "MaintenanceServices"]}


def test_sandbox_assetic_lists_the_sample_s_work_type(standin):  # AS-C05, AS-E02
    answer = straight(standin, "GET", "/api/v2/worktype?requestParams.page=1&requestParams.pageSize=500")
    assert (answer.status, answer.json["ResourceList"][0], answer.json["Page"]) == (200, samples.WORK_TYPE, 1)


def test_sandbox_assetic_takes_no_offsets(standin):  # A-U6
    order = full_order("PREP")
    order["Scheduling"]["TargetStart"] += "Z"
    assert fields(straight(standin, "POST", ORDER, order)) == {"Scheduling.TargetStart"}


def test_sandbox_assetic_knows_its_users(standin):  # AS-C02, AS-C03
    assert straight(standin, "POST", ORDER, full_order("PREP"), key="wrong").status == 401
    standin.configure(forbidden=True)
    assert straight(standin, "POST", ORDER, full_order("PREP")).status == 403
    who = straight(standin, "GET", "/api/v2/auth").json
    assert (who["ResourceId"], who["Id"]) == (API_USER, LOGIN)  # AS-E04, AS-R12


def test_sandbox_assetic_pages_and_filters(standin):  # AS-C05, AS-C06, AS-X01
    for n in range(3):
        assert straight(standin, "POST", ORDER, {**full_order("PREP"), "ExternalId": f"it's {n}"}).status == 201
    query = "requestParams.page=2&requestParams.pageSize=2"
    answer = straight(standin, "GET", f"{ORDER}?{query}").json
    assert (answer["TotalResults"], answer["TotalPages"], answer["Page"]) == (3, 2, 2)
    assert [o["ExternalId"] for o in answer["ResourceList"]] == ["it's 2"]
    query = "requestParams.page=1&requestParams.pageSize=500&requestParams.filters=ExternalId~eq~%27it%27%27s%201%27"
    assert [o["ExternalId"] for o in straight(standin, "GET", f"{ORDER}?{query}").json["ResourceList"]] == ["it's 1"]
    assert straight(standin, "GET", f"{ORDER}?requestParams.page=0&requestParams.pageSize=500").status == 400
    assert straight(standin, "GET", ORDER + "?" + query.replace("~eq~", "~is~")).status == 400


def test_sandbox_assetic_takes_documents_of_orders_only(standin):  # AS-E11, AS-D01, AS-D02, AS-D03, AS-D04, AS-D05, AS-D06
    good = {**samples.DOCUMENT, "ParentId": straight(standin, "POST", ORDER, full_order("PREP")).json["Id"]}
    answer = straight(standin, "POST", DOCUMENT, good)
    assert answer.status == 201 and answer.json[0]["Id"]
    link = {"ParentId": good["ParentId"], "ParentType": "WorkOrder2", "Label": "Trend", "DocumentLink": "https://example.com/a"}
    assert straight(standin, "POST", DOCUMENT, link).status == 201
    file = good["FileProperty"][0]
    for base, change, field in [
            (good, {"ParentId": API_USER}, "ParentId"), (good, {"ParentType": "WorkOrder"}, "ParentType"),
            (good, {"ParentIdentifier": "WO1"}, "ParentIdentifier"), (good, {"DocumentSize": 4}, "DocumentSize"),
            (good, {"FileProperty": []}, "FileProperty"), (good, {"FileProperty": [{**file, "MimeType": "jpg"}]}, "FileProperty"),
            (good, {"FileProperty": [{**file, "filecontent": "hello!"}]}, "FileProperty[0].filecontent"),
            (good, {"DocumentGroup": "7"}, "DocumentGroup"), (good, {"DocumentCategory": 1.5}, "DocumentCategory"),
            (good, {"DocumentSubCategory": "x"}, "DocumentSubCategory"), (good, {"ExpiryDate": "2027-01-01"}, "ExpiryDate"),
            (good, {"ExternalId": "x" * 201}, "ExternalId"), (good, {"Colour": "red"}, "Colour"),
            (link, {"Label": None}, "Label")]:
        answer = straight(standin, "POST", DOCUMENT, {**base, **change})
        assert (answer.status, set(answer.json["ModelState"])) == (400, {f"document.{field}"}), change
