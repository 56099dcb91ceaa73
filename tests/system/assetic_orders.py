# SPDX-License-Identifier: Apache-2.0
"""Work orders for the tests: one that is right at each status, the mandatory matrix, and a daemon to play them."""

import base64
import contextlib
import copy
import datetime
import re

from assetic import API_USER, ASSET, CRAFT, EMPLOYEE, MATERIAL, SERVICE, STATUSES
from busbar_harness import KEY, Broker, Busbar, Publisher, configuration, http_call, wait_until

NEVER = len(STATUSES)
# The matrix: row, member, the first status at which Assetic demands it, the first at which the plugin refuses an order
# without it. NEVER in the last column: the plugin fills it in.
MATRIX = [
    ("AS-M01", "/Status", 0, NEVER),
    ("AS-M02", "/AssetId", 0, 0),
    ("AS-M03", "/BriefDescription", 0, 0),
    ("AS-M04", "/PriorityId", 1, 1),
    ("AS-M05", "/EstimatedDuration", 0, 0),
    ("AS-M06", "/LocationDescription", 0, 0),
    ("AS-M07", "/PointString", NEVER, NEVER),
    ("AS-M08", "/CreatorId", 0, NEVER),
    ("AS-M09", "/RequestorId", 0, NEVER),
    ("AS-M10", "/WorkOrderType", 0, 0),
    ("AS-M10", "/WorkOrderType/Id", 0, 0),
    ("AS-M11", "/FailureSubCodeId", 0, 0),  # full_order's work type asks for it
    ("AS-M12", "/CauseSubCodeId", 0, 0),
    ("AS-M13", "/RemedyCodeId", 0, 0),
    ("AS-M14", "/Labours", 0, 1),
    ("AS-M14", "/Labours/0/PlannedGroupCraftId", 1, 1),
    ("AS-M14", "/Labours/0/HoursRequired", 1, 1),
    ("AS-M14", "/Labours/0/QuantityRequired", 1, 1),
    ("AS-M15", "/Scheduling/TargetStart", 0, NEVER),
    ("AS-M16", "/Scheduling/ScheduledStart", 4, 4),
    ("AS-M17", "/Scheduling/ScheduledFinish", 4, 4),
    ("AS-M18", "/Labours/0/MaintenanceResources", 5, 5),
    ("AS-M18", "/Labours/0/MaintenanceResources/0/StatusId", 5, 5),
    ("AS-M19", "/Labours/0/MaintenanceResources/0/AssignedGroupCraftId", 5, 5),
    ("AS-M20", "/Labours/0/MaintenanceResources/0/Resource", 5, 5),
    ("AS-M20", "/Labours/0/MaintenanceResources/0/Resource/Id", 0, 0),
    ("AS-M21", "/Labours/0/MaintenanceResources/0/ActualStart", 6, 6),
    ("AS-M22", "/Labours/0/MaintenanceResources/0/ActualFinish", 6, 6),
    ("AS-M23", "/MaintenanceMaterials", 0, NEVER),
    ("AS-M23", "/MaintenanceServices", 0, NEVER),
    ("AS-M23", "/SupportingInformation", 0, NEVER),
]
# What the plugin puts where the message has nothing; TargetStart is the time of the message.
FILLED_IN = {"/Status": "PREP", "/CreatorId": API_USER, "/RequestorId": API_USER, "/Labours": [],
             "/MaintenanceMaterials": [], "/MaintenanceServices": [], "/SupportingInformation": []}


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


def holder(order, pointer):
    """The object that a pointer's last word is a member of, and that word."""
    *parents, name = pointer.strip("/").split("/")
    for token in parents:
        order = order[int(token)] if isinstance(order, list) else order[token]
    return order, name


def without(order, pointer):
    """A copy without the member."""
    order = copy.deepcopy(order)
    at, name = holder(order, pointer)
    del at[name]
    return order


def field_of(pointer):
    """/Labours/0/HoursRequired as Assetic's errors name it: Labours[0].HoursRequired"""
    return re.sub(r"/(\d+)", r"[\1]", pointer).strip("/").replace("/", ".")


def changed(order, edits):
    """A copy with each pointer's member set."""
    order = copy.deepcopy(order)
    for pointer, value in edits.items():
        at, name = holder(order, pointer)
        at[name] = value
    return order


def straight(standin, method, path, body=None, key=KEY, headers=None):
    """One call past busbar."""
    basic = base64.b64encode(f"api.user:{key}".encode()).decode()
    return http_call(standin.port, method, path, body, {"Authorization": f"Basic {basic}", **(headers or {})})


class Played:
    """Messages by name, what became of each, and what the stand-in was sent."""

    def __init__(self, sent, daemon, standin):
        self.sent, self.deliveries = sent, {}
        for state in ("delivered", "rejected"):
            self.deliveries |= {d["topic"].removeprefix("play/"): d for d in daemon.deliveries(state=state, limit=500)}
        self.requests, self.orders = standin.items("requests"), standin.orders()

    def posts(self, name):
        return [r for r in self.requests if r["method"] == "POST" and self.deliveries[name]["id"] in r["body"]]

    def made(self, name):
        """The one order of a message."""
        delivery = self.deliveries[name]
        assert delivery["state"] == "delivered", delivery["error"]
        (order,) = [o for o in self.orders if o["ExternalId"] == delivery["id"]]
        assert len(self.posts(name)) == 1
        return order

    def refused(self, name, error_class, code, *pointers, status=None):
        """A dead letter at the first try that names these members. status None: it was not sent."""
        delivery = self.deliveries[name]
        error = delivery["error"] or {}
        assert (delivery["state"], error.get("class"), error.get("code")) == ("rejected", error_class, code), error
        assert [field["pointer"] for field in error["rejected_fields"]] == list(pointers)
        assert delivery["attempts"] == 1
        if status is None:
            assert self.posts(name) == []
        else:  # perhaps once more, with lookups asked anew
            assert error["provider_http_status"] == status and len(self.posts(name)) in (1, 2)


@contextlib.contextmanager
def playing(folder, standin, messages, operation="work_order.create", **settings):
    """Every message once through a daemon of its own."""
    target = {"plugin": "assetic", "url": standin.url, "user": "api.user", "token": KEY, "time_zone": "UTC0",
              "mode": "write_back", "poll": "1h", "late_statuses": True, "concurrency": 8, **settings}
    route = {"name": "play", "from": "play/+", "to": f"at.{operation}", "body": "${.}"}
    with Broker(folder, {}) as broker, Busbar(folder, {}, configuration(folder, broker, {"at": target}, [route])) as daemon:
        publisher = Publisher(broker.port)
        for name, message in messages.items():
            publisher.send(f"play/{name}", message)
        publisher.flush()
        publisher.close()
        wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", target="at", route="play") == len(messages),
                   60, "an end of each")
        yield Played(messages, daemon, standin)
