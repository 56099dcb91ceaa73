# SPDX-License-Identifier: Apache-2.0
"""The stand-in for Assetic is as strict as the contract: one violation per constraint."""

import base64

import pytest

from assetic import API_USER, APPROVED_REQUEST, STATUSES, TOOL
from assetic_orders import FILLED_IN, MATRIX, full_order, wall, without
from busbar_harness import KEY, AsseticSandbox, http_call

ORDER = "/api/v2/workorder"


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    sandbox = AsseticSandbox(tmp_path_factory.mktemp("assetic"), {})
    sandbox.start()
    yield sandbox
    sandbox.kill()


@pytest.fixture(autouse=True)
def fresh(standin):
    standin.control("POST", "reset")
    standin.configure(forbidden=False)


def call(standin, method, path, body=None, key=KEY, headers=None):
    basic = base64.b64encode(f"api.user:{key}".encode()).decode()
    return http_call(standin.port, method, path, body, {"Authorization": f"Basic {basic}", **(headers or {})})


def fields(answer):
    assert answer.status == 400, answer.body
    return {name.removeprefix("workOrder.") for name in answer.json.get("ModelState", {})}


@pytest.mark.parametrize("status", STATUSES)
def test_sandbox_assetic_takes_a_full_order_at_every_status(standin, status):  # AS-E01, AS-M01, AS-X02
    answer = call(standin, "POST", ORDER, full_order(status))
    assert answer.status == 201, answer.body
    assert call(standin, "GET", f"{ORDER}/{answer.json['Id']}").json["Status"] == status


@pytest.mark.parametrize("pointer", sorted(MATRIX | FILLED_IN))
def test_sandbox_assetic_demands_what_the_matrix_says(standin, pointer):  # AS-M01 .. AS-M23
    since = (MATRIX | FILLED_IN)[pointer]
    for n, status in enumerate(STATUSES):
        answer = call(standin, "POST", ORDER, without(full_order(status), pointer))
        assert answer.status == (400 if n >= since else 201), (status, answer.body)


@pytest.mark.parametrize("field, status, change", [
    ("Status", "PREP", {"Status": "DONE"}),
    ("AssetId", "PREP", {"AssetId": "P-101"}),
    ("AssetID", "PREP", {"AssetID": "6216b184-62b0-e611-946c-06edd62954d7"}),  # AS-C09
    ("PriorityId", "WAPPR", {"PriorityId": 6}),  # AS-R11
    ("PointString", "PREP", {"PointString": "-37.8162175 144.96406820000004"}),  # AS-R09
    ("RequestorId", "PREP", {"RequestorId": TOOL}),  # AS-R01
    ("ResponsibleOfficerId", "PREP", {"ResponsibleOfficerId": TOOL}),  # AS-R02
    ("EstimatedDuration", "WAPPR", {"EstimatedDuration": 2.9}),  # AS-R10
    ("RemedyCodeId", "PREP", {"RemedyCodeId": 23}),  # AS-F03
    ("FailureSubCodeId", "PREP", {"FailureSubCodeId": None}),  # AS-M11
    ("CauseSubCodeId", "PREP", {"CauseSubCodeId": None}),  # AS-M12
    ("WorkOrderType.Id", "PREP", {"WorkOrderType": {"Id": 99}}),  # AS-F01
    ("Labours", "WAPPR", {"Labours": []}),  # AS-M14
    ("LinkedWorkRequests[0].ID", "PREP", {"LinkedWorkRequests": [{"ID": API_USER}]}),  # AS-R08
    ("LinkedWorkRequests[0].ID", "PREP", {"LinkedWorkRequests": [{"Id": APPROVED_REQUEST}]}),
    ("MaintenanceMaterials[0].PlannedQuantity", "PREP", {"MaintenanceMaterials": [{}]}),
    ("MaintenanceServices[0].Description", "PREP", {"MaintenanceServices": [{}]}),
])
def test_sandbox_assetic_refuses(standin, field, status, change):
    assert field in fields(call(standin, "POST", ORDER, {**full_order(status), **change}))


def test_sandbox_assetic_wants_what_is_scheduled_to_be_later(standin):  # AS-R03
    order = full_order("RFE")
    order["Scheduling"]["ScheduledStart"] = wall(-1)
    assert fields(call(standin, "POST", ORDER, order)) == {"Scheduling.ScheduledStart"}


def test_sandbox_assetic_takes_no_offsets(standin):  # A-U6
    order = full_order("PREP")
    order["Scheduling"]["TargetStart"] += "Z"
    assert fields(call(standin, "POST", ORDER, order)) == {"Scheduling.TargetStart"}


def test_sandbox_assetic_holds_states_and_material_against_the_status(standin):  # AS-R05, AS-R06, AS-R07
    order = full_order("TCOMP")
    order["WorkTasks"][0]["Status"] = 1
    del order["MaintenanceMaterials"][0]["IsMaterialAvailable"]
    order["Labours"][0]["LinkedWorkTaskId"] = API_USER
    assert fields(call(standin, "POST", ORDER, order)) == {
        "WorkTasks[0].Status", "MaintenanceMaterials[0].IsMaterialAvailable", "Labours[0].LinkedWorkTaskId"}


def test_sandbox_assetic_takes_each_key_once(standin):  # AS-T02
    assert call(standin, "POST", ORDER, b'{"Status":"PREP","Status":"PREP"}',
                headers={"Content-Type": "application/json"}).status == 400


def test_sandbox_assetic_knows_its_users(standin):  # AS-C02, AS-C03
    assert call(standin, "POST", ORDER, full_order("PREP"), key="wrong").status == 401
    standin.configure(forbidden=True)
    assert call(standin, "POST", ORDER, full_order("PREP")).status == 403
    assert call(standin, "GET", "/api/v2/auth").json["ResourceId"] == API_USER  # AS-E04


def test_sandbox_assetic_pages_and_filters(standin):  # AS-C05, AS-C06, AS-X01
    for n in range(3):
        assert call(standin, "POST", ORDER, {**full_order("PREP"), "ExternalId": f"it's {n}"}).status == 201
    query = "requestParams.page=2&requestParams.pageSize=2"
    answer = call(standin, "GET", f"{ORDER}?{query}").json
    assert (answer["TotalResults"], answer["TotalPages"], answer["Page"]) == (3, 2, 2)
    assert [o["ExternalId"] for o in answer["ResourceList"]] == ["it's 2"]
    query = "requestParams.page=1&requestParams.pageSize=500&requestParams.filters=ExternalId~eq~%27it%27%27s%201%27"
    assert [o["ExternalId"] for o in call(standin, "GET", f"{ORDER}?{query}").json["ResourceList"]] == ["it's 1"]
    assert call(standin, "GET", f"{ORDER}?requestParams.page=0&requestParams.pageSize=500").status == 400
    assert call(standin, "GET", ORDER + "?" + query.replace("~eq~", "~is~")).status == 400


def test_sandbox_assetic_takes_documents_of_orders_only(standin):  # AS-E11, AS-D01, AS-D02, AS-D05
    order = call(standin, "POST", ORDER, full_order("PREP")).json["Id"]
    good = {"ParentId": order, "ParentType": "WorkOrder2", "Label": "a.jpg", "MimeType": "jpg", "DocumentSize": 5,
            "FileProperty": [{"Name": "a.jpg", "FileSize": 5, "mimetype": "jpg", "filecontent": "aGVsbG8="}]}
    assert call(standin, "POST", "/api/v2/document", good).json[0]["Id"]
    for change in ({"ParentId": API_USER}, {"ParentType": "WorkOrder"}, {"DocumentSize": 4}, {"FileProperty": []},
                   {"FileProperty": [{**good["FileProperty"][0], "filecontent": "hello!"}]}, {"Colour": "red"}):
        assert call(standin, "POST", "/api/v2/document", {**good, **change}).status == 400, change
