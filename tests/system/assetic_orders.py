# SPDX-License-Identifier: Apache-2.0
"""Work orders for the tests: one that is right at each status, and the mandatory matrix (AS-M01 .. M23)."""

import copy
import datetime

from assetic import API_USER, ASSET, CRAFT, EMPLOYEE, MATERIAL, SERVICE, STATUSES

# pointer: the first status at which it is mandatory
MATRIX = {
    "/AssetId": 0, "/BriefDescription": 0, "/PriorityId": 1, "/EstimatedDuration": 0, "/LocationDescription": 0,
    "/WorkOrderType": 0, "/RemedyCodeId": 0, "/Scheduling/ScheduledStart": 4, "/Scheduling/ScheduledFinish": 4,
    "/Labours/0/PlannedGroupCraftId": 1, "/Labours/0/HoursRequired": 1, "/Labours/0/QuantityRequired": 1,
    "/Labours/0/MaintenanceResources": 5, "/Labours/0/MaintenanceResources/0/StatusId": 5,
    "/Labours/0/MaintenanceResources/0/AssignedGroupCraftId": 5, "/Labours/0/MaintenanceResources/0/Resource": 5,
    "/Labours/0/MaintenanceResources/0/ActualStart": 6, "/Labours/0/MaintenanceResources/0/ActualFinish": 6,
}
# What the plugin fills in, and only the API itself can miss.
FILLED_IN = {
    "/Status": 0, "/CreatorId": 0, "/RequestorId": 0, "/Scheduling/TargetStart": 0, "/Labours": 0,
    "/MaintenanceMaterials": 0, "/MaintenanceServices": 0, "/SupportingInformation": 0,
}


def wall(hours=0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")


def full_order(status):
    """Every member that a status may have."""
    stage = STATUSES.index(status)
    fit = 5 if stage < 5 else 1 if stage == 5 else 6
    task = "dd08efe6-b41e-4e60-8f7b-9ab4daaf6ecc"
    resource = {"StatusId": fit, "AssignedGroupCraftId": CRAFT, "Resource": {"Id": EMPLOYEE}, "HoursRequired": 2,
                "ActualHours": 1.5, "ActualStart": wall(-2), "ActualFinish": wall(-1)}
    return {
        "Status": status, "AssetId": ASSET, "BriefDescription": "Potholes in Collins Street", "PriorityId": 5,
        "EstimatedDuration": 3.5, "LocationDescription": "257 Collins St, Melbourne VIC 3000, Australia",
        "PointString": "144.96406820000004 -37.8162175", "CreatorId": API_USER, "RequestorId": EMPLOYEE,
        "ResponsibleOfficerId": EMPLOYEE, "WorkOrderType": {"Id": 7}, "FailureSubCodeId": 1, "CauseSubCodeId": 1,
        "RemedyCodeId": 3, "WorkOrderWorkGroup": "Roads",
        "Scheduling": {"TargetStart": wall(), "TargetFinish": wall(48), "ScheduledStart": wall(24),
                       "ScheduledFinish": wall(30)},
        "Labours": [{"PlannedGroupCraftId": CRAFT, "HoursRequired": 1.5, "QuantityRequired": 2,
                     "LinkedWorkTaskId": task, "MaintenanceResources": [resource]}],
        "MaintenanceMaterials": [{"BillOfMaterialId": MATERIAL, "IsMaterialAvailable": True, "PlannedQuantity": 1}],
        "MaintenanceServices": [{"ServiceActivityId": SERVICE, "Description": "Sweeping", "PlannedQuantity": 1,
                                 "PlannedUnitRate": 1000, "UnitType": "Each", "PurchaseOrderNumber": "po123"}],
        "SupportingInformation": [{"Description": "seen on camera 4"}],
        "WorkTasks": [{"Id": task, "FriendlyId": 10, "BriefDescription": "The task", "Status": fit}],
    }


def without(order, pointer):
    """A copy without the member; what a status does not ask for goes with it."""
    order = copy.deepcopy(order)
    *parents, name = pointer.strip("/").split("/")
    at = order
    for token in parents:
        at = at[int(token)] if isinstance(at, list) else at[token]
    del at[name]
    return order
