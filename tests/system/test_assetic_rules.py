# SPDX-License-Identifier: Apache-2.0
"""Every value rule of Assetic, broken once: the daemon says which member is wrong (or hands on what Assetic says of
it), and the stand-in refuses it when it is sent straight. Names that fit nothing, or two things, are no guess."""

import pytest

from assetic import (API_USER, ASSET, CRAFT, EMPLOYEE, LOGIN, MATERIAL, MATERIALS, OPEN_REQUEST, SERVICE, SERVICES, TOOL,
                     WORK_TYPES)
from assetic_orders import changed, field_of, full_order, playing, straight, wall, without
from busbar_harness import AsseticSandbox

ORDERS, DOCUMENTS = "/api/v2/workorder", "/api/v2/document"
RESOURCE = "/Labours/0/MaintenanceResources/0"
HERE = "invalid_work_order"  # said by the plugin itself
THERE = "http_400"           # said by Assetic
STRANGER = "aa08efe6-b41e-4e60-8f7b-9ab4daaf6ecc"

# row, status, what is set in a whole order, who says that it is wrong, the pointers
BROKEN = [
    ("AS-M01", "PREP", {"/Status": "DONE"}, HERE, ["/Status"]),
    ("AS-M03", "PREP", {"/BriefDescription": ""}, HERE, ["/BriefDescription"]),
    ("AS-M05", "PREP", {"/EstimatedDuration": "3"}, HERE, ["/EstimatedDuration"]),
    ("AS-M06", "PREP", {"/LocationDescription": 257}, HERE, ["/LocationDescription"]),
    ("AS-M07", "PREP", {"/PointString": 7}, HERE, ["/PointString"]),
    ("AS-M08", "PREP", {"/CreatorId": 7}, HERE, ["/CreatorId"]),
    ("AS-M09", "PREP", {"/RequestorId": ""}, HERE, ["/RequestorId"]),
    ("AS-M10", "PREP", {"/WorkOrderType/Id": "6"}, HERE, ["/WorkOrderType/Id"]),
    ("AS-M14", "WAPPR", {"/Labours": []}, HERE, ["/Labours"]),
    ("AS-M15", "PREP", {"/Scheduling/TargetStart": "15/11/2017"}, HERE, ["/Scheduling/TargetStart"]),
    ("AS-M16", "RFE", {"/Scheduling/ScheduledStart": 7}, HERE, ["/Scheduling/ScheduledStart"]),
    ("AS-M17", "RFE", {"/Scheduling/ScheduledFinish": "soon"}, HERE, ["/Scheduling/ScheduledFinish"]),
    ("AS-M18", "INPRG", {"/Labours/0/MaintenanceResources": []}, HERE, ["/Labours/0/MaintenanceResources"]),
    ("AS-M18", "INPRG", {f"{RESOURCE}/HoursRequired": 1.5}, HERE, [f"{RESOURCE}/HoursRequired"]),
    ("AS-M19", "INPRG", {f"{RESOURCE}/AssignedGroupCraftId": STRANGER}, THERE, [f"{RESOURCE}/AssignedGroupCraftId"]),
    ("AS-M20", "INPRG", {f"{RESOURCE}/Resource": [{"Id": EMPLOYEE}]}, HERE, [f"{RESOURCE}/Resource"]),
    ("AS-M20", "INPRG", {f"{RESOURCE}/Resource/Id": STRANGER}, THERE, [f"{RESOURCE}/Resource/Id"]),
    ("AS-M21", "TCOMP", {f"{RESOURCE}/ActualStart": "noon"}, HERE, [f"{RESOURCE}/ActualStart"]),
    ("AS-M22", "TCOMP", {f"{RESOURCE}/ActualFinish": 12}, HERE, [f"{RESOURCE}/ActualFinish"]),
    ("AS-M23", "PREP", {"/MaintenanceMaterials": {}}, HERE, ["/MaintenanceMaterials"]),
    ("AS-M23", "PREP", {"/MaintenanceServices": "none"}, HERE, ["/MaintenanceServices"]),
    ("AS-M23", "PREP", {"/SupportingInformation": 0}, HERE, ["/SupportingInformation"]),
    ("AS-F01", "PREP", {"/WorkOrderType/Id": 99}, "unknown_work_type", ["/WorkOrderType"]),
    ("AS-F03", "PREP", {"/RemedyCodeId": 23}, "mixed_definitions", ["/RemedyCodeId"]),
    ("AS-F03 number", "PREP", {"/FailureSubCodeId": 11}, "unknown_code", ["/FailureSubCodeId"]),
    ("AS-R01", "PREP", {"/RequestorId": TOOL}, THERE, ["/RequestorId"]),
    ("AS-R02", "PREP", {"/ResponsibleOfficerId": TOOL}, THERE, ["/ResponsibleOfficerId"]),
    ("AS-R03", "RFE", {"/Scheduling/ScheduledStart": wall(-1)}, HERE, ["/Scheduling/ScheduledStart"]),
    ("AS-R03 both", "RFE", {"/Scheduling/ScheduledStart": wall(-2), "/Scheduling/ScheduledFinish": wall(-1)}, HERE,
     ["/Scheduling/ScheduledStart", "/Scheduling/ScheduledFinish"]),
    ("AS-R05", "RFE", {f"{RESOURCE}/StatusId": 1}, HERE, [f"{RESOURCE}/StatusId"]),
    ("AS-R05", "INPRG", {f"{RESOURCE}/StatusId": 5}, HERE, [f"{RESOURCE}/StatusId"]),
    ("AS-R05", "ASSESS", {f"{RESOURCE}/StatusId": 1}, HERE, [f"{RESOURCE}/StatusId"]),
    ("AS-R05 task", "PREP", {"/WorkTasks/0/Status": 6}, HERE, ["/WorkTasks/0/Status"]),
    ("AS-R05 task", "INPRG", {"/WorkTasks/0/Status": 6}, HERE, ["/WorkTasks/0/Status"]),
    ("AS-R05 task", "COMP", {"/WorkTasks/0/Status": 5}, HERE, ["/WorkTasks/0/Status"]),
    ("AS-R06", "RFE", {"/MaintenanceMaterials/0/IsMaterialAvailable": False}, HERE,
     ["/MaintenanceMaterials/0/IsMaterialAvailable"]),
    ("AS-R07 labour", "PREP", {"/Labours/0/LinkedWorkTaskId": STRANGER}, HERE, ["/Labours/0/LinkedWorkTaskId"]),
    ("AS-R07 material", "PREP", {"/MaintenanceMaterials/0/LinkedWorkTaskId": STRANGER}, HERE,
     ["/MaintenanceMaterials/0/LinkedWorkTaskId"]),
    ("AS-R07 service", "PREP", {"/MaintenanceServices/0/LinkedWorkTaskId": STRANGER}, HERE,
     ["/MaintenanceServices/0/LinkedWorkTaskId"]),
    ("AS-R08", "PREP", {"/LinkedWorkRequests": [{"ID": OPEN_REQUEST}]}, THERE, ["/LinkedWorkRequests/0/ID"]),
    ("AS-R09 latitude first", "PREP", {"/PointString": "-37.8162175 144.96406820000004"}, HERE, ["/PointString"]),
    ("AS-R09 two spaces", "PREP", {"/PointString": "144.96  -37.81"}, HERE, ["/PointString"]),
    ("AS-R09 commas", "PREP", {"/PointString": "144,96 -37,81"}, HERE, ["/PointString"]),
    ("AS-R10", "WAPPR", {"/EstimatedDuration": 2.9}, HERE, ["/EstimatedDuration"]),
    ("AS-R11", "WAPPR", {"/PriorityId": 0}, HERE, ["/PriorityId"]),
    ("AS-R11", "WAPPR", {"/PriorityId": 6}, HERE, ["/PriorityId"]),
    ("AS-R11 whole", "WAPPR", {"/PriorityId": 2.5}, HERE, ["/PriorityId"]),
    ("AS-R12", "PREP", {"/CreatorId": LOGIN}, THERE, ["/CreatorId"]),
    ("AS-R12", "PREP", {"/RequestorId": LOGIN}, THERE, ["/RequestorId"]),
    ("AS-C09", "PREP", {"/AssetID": ASSET}, HERE, ["/AssetID"]),
    ("AS-C09", "PREP", {"/RemedyCodeID": 3}, HERE, ["/RemedyCodeID"]),
    ("AS-C09 ID", "PREP", {"/LinkedWorkRequests": [{"Id": OPEN_REQUEST}]}, HERE,
     ["/LinkedWorkRequests/0/ID", "/LinkedWorkRequests/0/Id"]),
    ("AS-C10", "PREP", {"/Labours/0/LinkedWorkTaskId": "dd08efe6b41e4e608f7b9ab4daaf6ecc"}, HERE,
     ["/Labours/0/LinkedWorkTaskId"]),
    ("AS-E07", "PREP", {"/MaintenanceMaterials/0/BillOfMaterialId": STRANGER}, THERE,
     ["/MaintenanceMaterials/0/BillOfMaterialId"]),
    ("AS-E08", "PREP", {"/MaintenanceServices/0/ServiceActivityId": STRANGER}, THERE,
     ["/MaintenanceServices/0/ServiceActivityId"]),
    ("AS-E09", "PREP", {"/MaintenanceServices/0/UnitType": "Furlong"}, "unknown_unit_type",
     ["/MaintenanceServices/0/UnitType"]),
    ("AS-E10", "PREP", {"/AssetId": "P-999"}, "unknown_asset", ["/AssetId"]),
]
# Members of the lists' objects that are demanded wherever the object is (assetic.md 3.5).
INNER = ["/MaintenanceMaterials/0/BillOfMaterialId", "/MaintenanceMaterials/0/PlannedQuantity",
         "/MaintenanceServices/0/ServiceActivityId", "/MaintenanceServices/0/Description",
         "/MaintenanceServices/0/PlannedQuantity", "/MaintenanceServices/0/PlannedUnitRate",
         "/WorkTasks/0/FriendlyId", "/WorkTasks/0/BriefDescription", "/WorkTasks/0/Status"]
# Names, where Assetic wants an id: row, what is set, code, pointer.
NAMES = [
    ("AS-E02 unknown", {"/WorkOrderType": {"Name": "Nonsense"}}, "unknown_work_type", "/WorkOrderType"),
    ("AS-E02 twice", {"/WorkOrderType": {"Name": "Twin"}}, "ambiguous_work_type", "/WorkOrderType"),
    ("AS-E03 unknown", {"/RemedyCodeId": "Prayer"}, "unknown_code", "/RemedyCodeId"),
    ("AS-E05 unknown", {"/RequestorId": "Nobody"}, "unknown_resource", "/RequestorId"),
    ("AS-E05 twice", {"/RequestorId": "Sam Lee"}, "ambiguous_resource", "/RequestorId"),
    ("AS-E06 unknown", {"/Labours/0/PlannedGroupCraftId": {"Resource": EMPLOYEE, "Craft": "Baker"}}, "unknown_craft",
     "/Labours/0/PlannedGroupCraftId"),
    ("AS-E06 twice", {"/Labours/0/PlannedGroupCraftId": {"Resource": EMPLOYEE, "Craft": "Fitter"}}, "ambiguous_craft",
     "/Labours/0/PlannedGroupCraftId"),
    ("AS-E07 unknown", {"/MaintenanceMaterials/0/BillOfMaterialId": "Cheese"}, "unknown_material",
     "/MaintenanceMaterials/0/BillOfMaterialId"),
    ("AS-E07 twice", {"/MaintenanceMaterials/0/BillOfMaterialId": "Gravel"}, "ambiguous_material",
     "/MaintenanceMaterials/0/BillOfMaterialId"),
    ("AS-E08 unknown", {"/MaintenanceServices/0/ServiceActivityId": "Dancing"}, "unknown_service",
     "/MaintenanceServices/0/ServiceActivityId"),
    ("AS-E08 twice", {"/MaintenanceServices/0/ServiceActivityId": "Mowing"}, "ambiguous_service",
     "/MaintenanceServices/0/ServiceActivityId"),
]
NAMED = {"/AssetId": "P-101", "/RequestorId": "Pat O'Neil", "/WorkOrderType": {"Code": "FA"},
         "/FailureSubCodeId": "Pothole", "/CauseSubCodeId": "Traffic", "/RemedyCodeId": "Patch",
         "/Labours/0/PlannedGroupCraftId": {"Resource": "Pat O'Neil", "WorkGroup": "Roads", "Craft": "Fitter"},
         "/MaintenanceMaterials/0/BillOfMaterialId": "Bitumen",
         "/MaintenanceServices/0/ServiceActivityId": "Sweeping", "/MaintenanceServices/0/UnitType": "Hour"}
GOOD = {
    "capitals": {"/AssetId": ASSET.upper(), "/CreatorId": API_USER.upper()},
    "limits": {"/PointString": "-180 90.0", "/PriorityId": 1, "/EstimatedDuration": 3},
    "requests": {"/LinkedWorkRequests": [{"ID": "f5650456-3248-4d46-8920-a7b1281c8028"},  # the vendor's sample
                                         {"ID": "9564cdc8-067e-406d-bc14-556759e60f5c"}]},
    "names": NAMED,
}


def identified(rows):
    """Each row with a name that no other has."""
    return {f"{n:02} {row[0]} {row[1] if isinstance(row[1], str) else ''}".strip(): row for n, row in enumerate(rows)}


BROKEN_BY_NAME, NAMES_BY_NAME = identified(BROKEN), identified(NAMES)


def messages():
    for name, (_, status, edits, _, _) in BROKEN_BY_NAME.items():
        yield name, changed(full_order(status), edits)
    for pointer in INNER:
        yield pointer.replace("/", "."), without(full_order("PREP"), pointer)
    for name, (_, edits, _, _) in NAMES_BY_NAME.items():
        yield f"name {name}", changed(full_order("PREP"), edits)
    for name, edits in GOOD.items():
        yield name, changed(full_order("WAPPR"), edits)
    yield "finish", without(full_order("WAPPR"), "/Scheduling/TargetFinish")
    for status in ("WMATL", "RFE"):
        yield f"material.{status}", without(full_order(status), "/MaintenanceMaterials/0/IsMaterialAvailable")


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with AsseticSandbox(tmp_path_factory.mktemp("assetic"), {}) as sandbox:
        twice = [{"Id": MATERIAL, "Name": "Gravel"}, {"Id": STRANGER, "Name": "Gravel"}]
        sandbox.configure(materials=MATERIALS + twice,
                          services=SERVICES + [{"Id": SERVICE, "Name": "Mowing"}, {"Id": STRANGER, "Name": "Mowing"}],
                          work_types=WORK_TYPES + [{**WORK_TYPES[1], "Id": n, "Name": "Twin", "Code": f"T{n}"} for n in (21, 22)])
        yield sandbox


@pytest.fixture(scope="module")
def played(tmp_path_factory, standin):
    with playing(tmp_path_factory.mktemp("rules"), standin, dict(messages())) as played:
        yield played


# AS-F01, AS-F03, AS-R01, AS-R02, AS-R03, AS-R05, AS-R06, AS-R07, AS-R08, AS-R09, AS-R10, AS-R11, AS-R12, AS-C08,
# AS-C09, AS-C10, AS-E07, AS-E08, AS-E09, AS-E10, AS-M01, AS-M15, AS-M23
@pytest.mark.parametrize("name", BROKEN_BY_NAME)
def test_a_broken_rule_is_told_with_its_pointer(played, name):
    _, _, _, code, pointers = BROKEN_BY_NAME[name]
    error_class = "validation" if code in (HERE, THERE) else "identity"
    played.refused(name, error_class, code, *pointers, status=400 if code == THERE else None)


# AS-F01, AS-F03, AS-R01, AS-R02, AS-R03, AS-R05, AS-R06, AS-R07, AS-R08, AS-R09, AS-R10, AS-R11, AS-R12, AS-C09
@pytest.mark.parametrize("name", BROKEN_BY_NAME)
def test_sandbox_assetic_refuses_a_broken_rule(standin, name):
    _, status, edits, _, pointers = BROKEN_BY_NAME[name]
    answer = straight(standin, "POST", ORDERS, changed(full_order(status), edits))
    assert answer.status == 400
    said = {field.removeprefix("workOrder.") for field in answer.json["ModelState"]}
    elsewhere = {"/WorkOrderType": "WorkOrderType.Id", "/FailureSubCodeId": "RemedyCodeId"}  # one fault, another name
    for pointer in pointers:
        assert field_of(pointer) in said or elsewhere.get(pointer) in said, said


@pytest.mark.parametrize("pointer", INNER)  # AS-R06, AS-R07
def test_a_list_s_object_is_whole(played, standin, pointer):
    played.refused(pointer.replace("/", "."), "validation", HERE, pointer)
    answer = straight(standin, "POST", ORDERS, without(full_order("PREP"), pointer))
    assert set(answer.json["ModelState"]) == {f"workOrder.{field_of(pointer)}"}


# AS-E02, AS-E03, AS-E05, AS-E06, AS-E07, AS-E08
@pytest.mark.parametrize("name", NAMES_BY_NAME)
def test_a_name_is_never_a_guess(played, name):
    _, _, code, pointer = NAMES_BY_NAME[name]
    played.refused(f"name {name}", "identity", code, pointer)


def test_names_become_ids(played):  # AS-E02, AS-E03, AS-E05, AS-E06, AS-E07, AS-E08, AS-E09, AS-E10
    order = played.made("names")
    assert (order["AssetId"], order["RequestorId"], order["WorkOrderType"]) == (ASSET, EMPLOYEE, {"Id": 7})
    assert (order["FailureSubCodeId"], order["CauseSubCodeId"], order["RemedyCodeId"]) == (1, 1, 3)
    assert order["Labours"][0]["PlannedGroupCraftId"] == CRAFT
    assert order["MaintenanceMaterials"][0]["BillOfMaterialId"] == MATERIAL
    assert order["MaintenanceServices"][0]["ServiceActivityId"] == SERVICE
    assert order["MaintenanceServices"][0]["UnitType"] == "Hour"


def test_what_is_just_good_is_taken(played):  # AS-C10, AS-R08, AS-R09, AS-R10, AS-R11, A-U3
    assert played.made("capitals")["AssetId"] == ASSET.upper()
    assert played.made("limits")["PointString"] == "-180 90.0"
    assert len(played.made("requests")["LinkedWorkRequests"]) == 2


def test_a_finish_that_is_not_given_is_not_made_up(played):  # AS-R04
    assert "TargetFinish" not in played.made("finish")["Scheduling"]


def test_a_material_that_says_nothing_is_not_available(played):  # AS-R06
    assert "IsMaterialAvailable" not in played.made("material.WMATL")["MaintenanceMaterials"][0]
    played.refused("material.RFE", "validation", HERE, "/MaintenanceMaterials/0/IsMaterialAvailable")


# ---- documents

FILE = {"work_order": STRANGER, "name": "trend.png", "content": "aGVsbG8="}
LINK = {"work_order": STRANGER, "url": "https://example.com/a", "label": "Trend"}
DOCUMENTS_BROKEN = {
    "AS-D01 parent": (FILE, "http_400", "/ParentId"),
    "AS-D02 base64": ({**FILE, "content": "hello!"}, "invalid_attachment", "/content"),
    "AS-D02 nothing": ({"work_order": STRANGER, "name": "a"}, "invalid_attachment", "/content"),
    "AS-D02 both": ({**FILE, "url": "https://example.com/a", "label": "Trend"}, "invalid_attachment", "/content"),
    "AS-D03 expiry": ({**FILE, "expiry_date": "tomorrow"}, "invalid_attachment", "/expiry_date"),
    "AS-D03 group": ({**FILE, "group": "seven"}, "invalid_attachment", "/group"),
    "AS-D03 category": ({**FILE, "category": 1.5}, "invalid_attachment", "/category"),
    "AS-D03 subcategory": ({**FILE, "subcategory": "x"}, "invalid_attachment", "/subcategory"),
    "AS-D04 identifier": ({**FILE, "ParentIdentifier": "WO1"}, "invalid_attachment", "/ParentIdentifier"),
    "AS-D05 name": ({"work_order": STRANGER, "content": "aGVsbG8="}, "invalid_attachment", "/name"),
    "AS-D05 label": ({"work_order": STRANGER, "url": "https://example.com/a"}, "invalid_attachment", "/label"),
}


@pytest.fixture(scope="module")
def attached(tmp_path_factory, standin):
    order = straight(standin, "POST", ORDERS, full_order("PREP")).json["Id"]
    good = {"file": {**FILE, "work_order": order}, "link": {**LINK, "work_order": order, "group": 4, "category": 2,
                                                            "subcategory": 9, "expiry_date": "2027-01-01T00:00:00Z"}}
    sent = {name: message for name, (message, _, _) in DOCUMENTS_BROKEN.items()} | good
    with playing(tmp_path_factory.mktemp("documents"), standin, sent, "attachment.add") as played:
        yield played


@pytest.mark.parametrize("name", DOCUMENTS_BROKEN)  # AS-E11, AS-D01, AS-D02, AS-D03, AS-D04, AS-D05
def test_a_broken_attachment_is_told_with_its_pointer(attached, name):
    _, code, pointer = DOCUMENTS_BROKEN[name]
    attached.refused(name, "validation", code, pointer, status=400 if code == "http_400" else None)


def test_a_file_and_a_link_are_taken(attached, standin):  # AS-E11, AS-D01, AS-D02, AS-D03, AS-D05, AS-D06
    documents = {d["ExternalId"]: d for d in standin.items("documents")}
    file, link = (documents[attached.deliveries[name]["id"]] for name in ("file", "link"))
    assert (file["ParentId"], file["ParentType"]) == (attached.sent["file"]["work_order"], "WorkOrder2")
    assert (file["MimeType"], file["DocumentSize"], file["DocumentGroup"]) == ("png", 5, 7)
    assert (link["DocumentLink"], link["DocumentCategory"], link["DocumentSubCategory"]) == ("https://example.com/a", 2, 9)
    assert (link["DocumentGroup"], link["ExpiryDate"]) == (4, "2027-01-01T00:00:00")
