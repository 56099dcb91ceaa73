# SPDX-License-Identifier: Apache-2.0
"""The vendor's samples of Create Work Order, as they stand on its page: the one at PREP leaves out the arrays that the
text demands, the one at INPRG has two keys twice."""

PREP = """{ "Status": "PREP", "AssetId": "6216b184-62b0-e611-946c-06edd62954d7",
"BriefDescription": "Potholes in Collins Street", "EstimatedDuration": 3,
"LocationDescription": "257 Collins St, Melbourne VIC 3000, Australia", "PointString": "144.96406820000004 -37.8162175",
"CreatorId": "36bee8ab-4e39-4f1d-b713-4eefa521fcd8", "RequestorId": "8d05ef3b-5da4-e511-9451-06edd62954d7",
"WorkOrderType": { "Id": 6 }, "FailureSubCodeId": 1, "CauseSubCodeId": 1, "RemedyCodeId": 3,
"Scheduling": { "TargetStart": "2017-11-15T16:04:56" } }"""

INPRG = """{ "Status": "INPRG", "BriefDescription": "Potholes in Collins Street", "PriorityId": 5, "EstimatedDuration": 3,
"LocationDescription": "257 Collins St, Melbourne VIC 3000, Australia", "PointString": "144.96406820000004 -37.8162175",
"CreatorId": "36bee8ab-4e39-4f1d-b713-4eefa521fcd8", "RequestorId": "8d05ef3b-5da4-e511-9451-06edd62954d7",
"WorkOrderType": { "Id": 6 }, "FailureSubCodeId": 1, "CauseSubCodeId": 1, "RemedyCodeId": 3,
"SupportingInformation": [], "MaintenanceMaterials": [], "MaintenanceServices": [],
"AssetId": "6216b184-62b0-e611-946c-06edd62954d7", "WorkOrderWorkGroup": "Roads",
"Labours": [{ "PlannedGroupCraftId": "5379a3df-feb1-e611-946c-06edd62954d7", "QuantityRequired": 1, "HoursRequired": 3,
"MaintenanceResources": [{ "Resource": { "Id": "36bee8ab-4e39-4f1d-b713-4eefa521fcd8" }, "StatusId": 1,
"AssignedGroupCraftId": "5379a3df-feb1-e611-946c-06edd62954d7" }] }],
"Scheduling": { "TargetStart": "2017-11-15T16:04:56", "ScheduledStart": "2017-11-17T00:00:00",
"ScheduledFinish": "2017-11-18T00:00:00" },
"MaintenanceMaterials": [{ "BillOfMaterialId": "f812d794-c152-e611-9467-06edd62954d7", "IsMaterialAvailable": true,
"PlannedQuantity": 1 }], "WorkTasks": [{ "FriendlyId": 10, "BriefDescription": "The task", "Status":1 }],
"MaintenanceServices": [{ "PlannedQuantity": 1, "PurchaseOrderNumber": "po123",
"ServiceActivityId": "ab08efe6-b41e-4e60-8f7b-9ab4daaf6ecc", "PlannedUnitRate": 1000, "UnitType": "Each",
"Description": "Maintenance Activities Used" }] }"""

WORK_TYPE = {"Id": 1, "Name": "Preventive Maintenance", "Code": "PM - Periodic", "BudgetType": "OPEX",
             "Description": "Periodic maintenance to prevent technical failure of asset", "IsFailureRequired": False,
             "IsCauseRequired": False, "IsRemedyRequired": True, "_links": [], "_embedded": None}

# What busbar sends for a photo (assetic.md 6), with a file of its size.
DOCUMENT = {"ParentType": "WorkOrder2", "Label": "photo.jpg", "MimeType": "jpg", "DocumentSize": 1234, "DocumentGroup": 7,
            "ExternalId": "0190b7a2-delivery",
            "FileProperty": [{"Name": "photo.jpg", "FileSize": 1234, "mimetype": "jpg", "filecontent": "/9j/" * 411 + "/w=="}]}
