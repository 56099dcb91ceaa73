#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Brightly Assetic's API: refuses what the contract refuses, changes an order's status on demand,
fails on demand (standin.py).

    tests/sandbox/assetic.py --user USER --key TOKEN

prints one JSON line {"port": .., "control_port": .., ...} when it is ready.

Served: POST and GET /api/v2/workorder (AS-E01, AS-X01), GET /api/v2/workorder/{id} (AS-X02), the lookups (AS-E02 ..
E10), POST /api/v2/document (AS-E11), GET /apidocs (AS-C04). Everything else is 404.

A key that stands twice in a body counts where it stands last (AS-T02, as the vendor's own sample has it); the record
of the request notes it, as nothing of ours may send one.

The vendor names no member for sub codes, for a craft's group or for the user's resource id, and no error body: SubCodes,
WorkGroupName, CraftName, ResourceId and the texts are ours, nothing may depend on them.

Control beside standin.py's
  POST /_control/config   {"forbidden": bool, "assets": {friendly: guid}, "utc_offset": hours, "key": token,
                           "work_types": [..], "materials": [..], "services": [..], "apidocs": {..}}
  GET  /_control/orders   all that was created, in order; also as tasks
  GET  /_control/documents
  POST /_control/status   {"order": id, "status": S}   sets the status, and LastModified to now
  POST /_control/order    {...}   an order of somebody else's, made in Assetic itself
"""

import base64
import binascii
import datetime
import json
import re
import urllib.parse
import uuid

from standin import Reply, StandIn, command_line, main_loop

STATUSES = ["PREP", "WAPPR", "APPR", "WMATL", "RFE", "INPRG", "TCOMP", "COMP", "ASSESS"]
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
WALL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
POINT = re.compile(r"([+-]?\d+(?:\.\d+)?) ([+-]?\d+(?:\.\d+)?)")
FILTER = re.compile(r"(\w+)~(eq|gte|gt|lt|contains)~'((?:[^']|'')*)'")
ZERO = "00000000-0000-0000-0000-000000000000"

API_USER = "36bee8ab-4e39-4f1d-b713-4eefa521fcd8"
EMPLOYEE = "8d05ef3b-5da4-e511-9451-06edd62954d7"
CONTRACTOR = "9d05ef3b-5da4-e511-9451-06edd62954d7"
TOOL = "ad05ef3b-5da4-e511-9451-06edd62954d7"
CRAFT = "5379a3df-feb1-e611-946c-06edd62954d7"
OTHER_CRAFT = "6379a3df-feb1-e611-946c-06edd62954d7"
MATERIAL = "f812d794-c152-e611-9467-06edd62954d7"
SERVICE = "ab08efe6-b41e-4e60-8f7b-9ab4daaf6ecc"
ASSET = "6216b184-62b0-e611-946c-06edd62954d7"
# Work requests that are approved; the last two are the vendor's sample. OPEN_REQUEST is there, and not approved.
APPROVED_REQUEST = "cc08efe6-b41e-4e60-8f7b-9ab4daaf6ecc"
APPROVED_REQUESTS = [APPROVED_REQUEST, "f5650456-3248-4d46-8920-a7b1281c8028", "9564cdc8-067e-406d-bc14-556759e60f5c"]
OPEN_REQUEST = "ec08efe6-b41e-4e60-8f7b-9ab4daaf6ecc"
LOGIN = "1d05ef3b-5da4-e511-9451-06edd62954d7"  # of the API user: no resource (AS-R12)

WORK_TYPES = [
    {"Id": 1, "Name": "Preventive Maintenance", "Code": "PM - Periodic", "BudgetType": "OPEX",  # the vendor's sample
     "Description": "Periodic maintenance to prevent technical failure of asset",
     "IsFailureRequired": False, "IsCauseRequired": False, "IsRemedyRequired": True, "_links": [], "_embedded": None},
    {"Id": 6, "Name": "Corrective Maintenance", "Code": "CM", "BudgetType": "OPEX", "Description": "",
     "IsFailureRequired": False, "IsCauseRequired": False, "IsRemedyRequired": True},
    {"Id": 7, "Name": "Failure Analysis", "Code": "FA", "BudgetType": "OPEX", "Description": "",
     "IsFailureRequired": True, "IsCauseRequired": True, "IsRemedyRequired": True},
    {"Id": 8, "Name": "Inspection", "Code": "IN", "BudgetType": "OPEX", "Description": "",
     "IsFailureRequired": False, "IsCauseRequired": False, "IsRemedyRequired": False}]
FCR = [
    {"Id": 1, "Description": "Roads",
     "FailureCodes": [{"Id": 90, "Description": "Surface",
                       "SubCodes": [{"Id": 1, "SubCodeNumber": 11, "Description": "Pothole"}]}],
     "CauseCodes": [{"Id": 91, "Description": "Wear",
                     "SubCodes": [{"Id": 1, "SubCodeNumber": 12, "Description": "Traffic"}]}],
     "RemedyCodes": [{"Id": 3, "Description": "Patch"}]},
    {"Id": 2, "Description": "Pumps",
     "FailureCodes": [{"Id": 92, "Description": "Bearing",
                       "SubCodes": [{"Id": 21, "SubCodeNumber": 11, "Description": "Hot"}]}],
     "CauseCodes": [{"Id": 93, "Description": "Wear",
                     "SubCodes": [{"Id": 22, "SubCodeNumber": 12, "Description": "Dry"}]}],
     "RemedyCodes": [{"Id": 23, "Description": "Grease"}]}]
RESOURCES = [{"Id": API_USER, "DisplayName": "Busbar Integration", "Type": "Other", "HasLogin": True},
             {"Id": EMPLOYEE, "DisplayName": "Pat O'Neil", "Type": "Employee", "HasLogin": False},
             {"Id": CONTRACTOR, "DisplayName": "Acme", "Type": "Contractor", "HasLogin": False},
             {"Id": TOOL, "DisplayName": "Crane", "Type": "Tool", "HasLogin": False},
             {"Id": "bd05ef3b-5da4-e511-9451-06edd62954d7", "DisplayName": "Sam Lee", "Type": "Employee", "HasLogin": False},
             {"Id": "cd05ef3b-5da4-e511-9451-06edd62954d7", "DisplayName": "Sam Lee", "Type": "Employee", "HasLogin": False}]
CRAFTS = [{"GroupCraftId": CRAFT, "WorkGroupName": "Roads", "CraftName": "Fitter"},
          {"GroupCraftId": OTHER_CRAFT, "WorkGroupName": "Parks", "CraftName": "Fitter"}]
GROUP_CRAFTS = [CRAFT, OTHER_CRAFT]
MATERIALS = [{"Id": MATERIAL, "Name": "Bitumen"}]
SERVICES = [{"Id": SERVICE, "Name": "Sweeping"}]

# name: (kind, first status that demands it); None: optional. The matrix of AS-M, once more and by itself.
ORDER = {"Status": (str, 0), "AssetId": ("guid", 0), "BriefDescription": (str, 0), "PriorityId": (int, 1),
         "EstimatedDuration": (float, 0), "LocationDescription": (str, 0), "PointString": (str, None),
         "CreatorId": ("guid", 0), "RequestorId": ("guid", 0), "ResponsibleOfficerId": ("guid", None),
         "WorkOrderType": (dict, 0), "FailureSubCodeId": (int, None), "CauseSubCodeId": (int, None),
         "RemedyCodeId": (int, 0), "Scheduling": (dict, 0), "Labours": (list, 0), "MaintenanceMaterials": (list, 0),
         "MaintenanceServices": (list, 0), "SupportingInformation": (list, 0), "WorkTasks": (list, None),
         "LinkedWorkRequests": (list, None), "ExternalId": (str, None), "WorkOrderWorkGroup": (str, None)}
SCHEDULING = {"TargetStart": ("wall", 0), "TargetFinish": ("wall", None), "ScheduledStart": ("wall", 4),
              "ScheduledFinish": ("wall", 4), "ActualStart": ("wall", None), "ActualFinish": ("wall", None)}
LABOUR = {"PlannedGroupCraftId": ("guid", 1), "HoursRequired": (float, 1), "QuantityRequired": (float, 1),
          "MaintenanceResources": (list, 5), "LinkedWorkTaskId": ("guid", None)}
RESOURCE = {"StatusId": (int, 5), "AssignedGroupCraftId": ("guid", 5), "Resource": (dict, 5),
            "HoursRequired": (int, None), "ActualHours": (float, None), "ActualStart": ("wall", 6),
            "ActualFinish": ("wall", 6)}
MATERIAL_MEMBERS = {"BillOfMaterialId": ("guid", 0), "IsMaterialAvailable": (bool, None), "PlannedQuantity": (float, 0),
                    "ActualQuantity": (float, None), "LinkedWorkTaskId": ("guid", None)}
SERVICE_MEMBERS = {"ServiceActivityId": ("guid", 0), "Description": (str, 0), "PlannedQuantity": (float, 0),
                   "PlannedUnitRate": (float, 0), "UnitType": (str, None), "ActualQuantity": (float, None),
                   "ActualUnitRate": (float, None), "ActualCost": (float, None), "LinkedWorkTaskId": ("guid", None),
                   "PurchaseOrderNumber": (str, None)}
TASK = {"FriendlyId": (int, 0), "BriefDescription": (str, 0), "Status": (int, 0), "Id": ("guid", None)}
DOCUMENT = {"ParentId": str, "ParentType": str, "ParentIdentifier": str, "Label": str, "MimeType": str,
            "DocumentSize": int, "DocumentGroup": int, "DocumentCategory": int, "DocumentSubCategory": int,
            "ExpiryDate": "wall", "ExternalId": str, "Description": str, "DocumentLink": str, "FileProperty": list,
            "IsKeyPhoto": bool}


def refusal(status, message, fields=None):
    """AS-C08, the first of its shapes."""
    body = {"Message": message}
    if fields:
        body["ModelState"] = fields
    return Reply(status, body)


def fits(kind, value):
    if kind == "guid":
        return isinstance(value, str) and GUID.fullmatch(value) is not None and value != ZERO
    if kind == "wall":  # AS-E01: no offset
        try:
            return isinstance(value, str) and WALL.fullmatch(value) is not None and bool(datetime.datetime.fromisoformat(value[:19]))
        except ValueError:
            return False
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str) and value != ""
    return isinstance(value, kind)


def apidocs():
    """AS-C04: what is served here, as OpenAPI 2.0."""
    lookups = ("worktype fcrcategorisation auth resource resource/{id}/craft billofmaterial serviceactivity unittype "
               "assets/{id} workorder").split()
    paths = {f"/api/v2/{path}": {"get": {}} for path in lookups}
    body = {"name": "workOrder", "in": "body", "schema": {"$ref": "#/definitions/WorkOrder"}}
    paths["/api/v2/workorder"]["post"] = {"parameters": [body]}
    paths["/api/v2/document"] = {"post": {}}
    return {"swagger": "2.0", "basePath": "/", "paths": paths,
            "definitions": {"WorkOrder": {"type": "object", "properties": {name: {} for name in ORDER}}}}


class OrderRules:
    """One order against the matrix and the value rules; problems by field, as ModelState has them."""

    def __init__(self, site, order):
        self.site, self.order, self.problems = site, order, {}
        self.stage = STATUSES.index(order["Status"]) if order.get("Status") in STATUSES else 0

    def wrong(self, field, text):
        self.problems.setdefault(f"workOrder.{field}", []).append(text)

    def members(self, item, where, table):
        if not isinstance(item, dict):
            return self.wrong(where.rstrip("."), "must be an object") or False
        for name, (kind, stage) in table.items():
            value = item.get(name)
            if value is None:
                if stage is not None and self.stage >= stage:
                    self.wrong(where + name, "is required")
            elif not fits(kind, value):
                self.wrong(where + name, "is not valid")
        for name in set(item) - set(table):
            self.wrong(where + name, "is unknown")
        return True

    def items(self, name, where="", within=None):
        value = (self.order if within is None else within).get(name)
        for n, item in enumerate(value if isinstance(value, list) else []):
            yield f"{where}{name}[{n}].", item

    def check(self):
        order = self.order
        if order.get("Status") not in STATUSES:
            self.wrong("Status", "is not a status")
        self.members(order, "", ORDER)
        self.schedule(order.get("Scheduling"))
        self.labours()
        self.lists()
        self.values()
        self.codes()
        return self.problems

    def schedule(self, times):
        if not isinstance(times, dict):
            return
        self.members(times, "Scheduling.", SCHEDULING)
        for name in ("ScheduledStart", "ScheduledFinish"):  # AS-R03
            if self.stage == 4 and fits("wall", times.get(name)) and times[name] <= self.site.wall():
                self.wrong(f"Scheduling.{name}", "must be later than now")

    def stage_id(self, where, value):  # AS-R05
        if fits(int, value) and value != (5 if self.stage < 5 else 1 if self.stage == 5 else 6):
            self.wrong(where, "does not fit the order's status")

    def link(self, where, item):  # AS-R07
        tasks = [task.get("Id") for task in self.order.get("WorkTasks") or [] if isinstance(task, dict)]
        if item.get("LinkedWorkTaskId") is not None and item["LinkedWorkTaskId"] not in tasks:
            self.wrong(where + "LinkedWorkTaskId", "is no work task of this order")

    def labours(self):
        hours = 0
        if self.stage >= 1 and self.order.get("Labours") == []:  # AS-M14
            self.wrong("Labours", "must not be empty")
        for where, labour in self.items("Labours"):
            if not self.members(labour, where, LABOUR):
                continue
            self.link(where, labour)
            self.known(where + "PlannedGroupCraftId", labour.get("PlannedGroupCraftId"), GROUP_CRAFTS)
            if fits(float, labour.get("HoursRequired")) and fits(float, labour.get("QuantityRequired")):
                hours += labour["HoursRequired"] * labour["QuantityRequired"]
            if self.stage >= 5 and labour.get("MaintenanceResources") == []:
                self.wrong(where + "MaintenanceResources", "must not be empty")
            for at, resource in self.items("MaintenanceResources", where, labour):
                if self.members(resource, at, RESOURCE):
                    self.stage_id(at + "StatusId", resource.get("StatusId"))
                    self.known(at + "AssignedGroupCraftId", resource.get("AssignedGroupCraftId"), GROUP_CRAFTS)
                    self.resource(at + "Resource", resource.get("Resource"))
        if fits(float, self.order.get("EstimatedDuration")) and self.order["EstimatedDuration"] < hours - 1e-9:
            self.wrong("EstimatedDuration", "is less than the hours of the crafts")  # AS-R10

    def resource(self, where, resource):  # "the only property required is Id"
        if resource is not None and self.members(resource, where + ".", {"Id": ("guid", 0)}):
            self.known(where + ".Id", resource.get("Id"), [r["Id"] for r in RESOURCES])

    def lists(self):
        for where, item in self.items("MaintenanceMaterials"):
            if self.members(item, where, MATERIAL_MEMBERS):
                self.link(where, item)
                self.known(where + "BillOfMaterialId", item.get("BillOfMaterialId"), [MATERIAL])
                if self.stage > 3 and not item.get("IsMaterialAvailable"):  # AS-R06
                    self.wrong(where + "IsMaterialAvailable", "does not allow this status")
        for where, item in self.items("MaintenanceServices"):
            if self.members(item, where, SERVICE_MEMBERS):
                self.link(where, item)
                self.known(where + "ServiceActivityId", item.get("ServiceActivityId"), [SERVICE])
                if item.get("UnitType") not in (None, "Each", "Hour"):
                    self.wrong(where + "UnitType", "is no unit type")
        for where, item in self.items("WorkTasks"):
            if self.members(item, where, TASK):
                self.stage_id(where + "Status", item.get("Status"))
        for where, item in self.items("SupportingInformation"):
            self.members(item, where, {"Description": (str, 0)})
        for where, item in self.items("LinkedWorkRequests"):
            if self.members(item, where, {"ID": ("guid", 0)}):
                self.known(where + "ID", item.get("ID"), APPROVED_REQUESTS)  # AS-R08

    def known(self, field, value, values):
        if fits("guid", value) and value.lower() not in values:
            self.wrong(field, "is unknown")

    def values(self):
        order, resources = self.order, {r["Id"]: r for r in RESOURCES}
        self.known("AssetId", order.get("AssetId"), list(self.site.assets.values()))
        self.known("CreatorId", order.get("CreatorId"), list(resources))
        for name, types in (("RequestorId", ("Employee",)),  # AS-R01, AS-R02, AS-R12
                            ("ResponsibleOfficerId", ("Contractor", "Employee", "Company"))):
            if fits("guid", order.get(name)):
                resource = resources.get(order[name].lower())
                if resource is None or not (resource["Type"] in types or resource["HasLogin"]):
                    self.wrong(name, f"must be of type {' or '.join(types)}, or have a login")
        if fits(int, order.get("PriorityId")) and not 1 <= order["PriorityId"] <= 5:  # AS-R11
            self.wrong("PriorityId", "must be 1 to 5")
        point = order.get("PointString")
        match = POINT.fullmatch(point) if isinstance(point, str) else None
        if point is not None and not (match and abs(float(match[1])) <= 180 and abs(float(match[2])) <= 90):
            self.wrong("PointString", "is no point")  # AS-R09
        if isinstance(order.get("BriefDescription"), str) and len(order["BriefDescription"]) > 250:
            self.wrong("BriefDescription", "is too long")

    def codes(self):  # AS-F
        order = self.order
        kind = order.get("WorkOrderType")
        kind = next((t for t in WORK_TYPES if isinstance(kind, dict) and kind == {"Id": t["Id"]}), None)
        if kind is None and order.get("WorkOrderType") is not None:
            self.wrong("WorkOrderType.Id", "is unknown")
        for name, flag in (("FailureSubCodeId", "IsFailureRequired"), ("CauseSubCodeId", "IsCauseRequired")):
            if kind and kind[flag] and order.get(name) is None:
                self.wrong(name, "is required")
        for definition in FCR:
            ids = {"FailureSubCodeId": [s["Id"] for c in definition["FailureCodes"] for s in c["SubCodes"]],
                   "CauseSubCodeId": [s["Id"] for c in definition["CauseCodes"] for s in c["SubCodes"]],
                   "RemedyCodeId": [c["Id"] for c in definition["RemedyCodes"]]}
            if all(order.get(name) is None or order[name] in known for name, known in ids.items()):
                return
        self.wrong("RemedyCodeId", "is not of one definition with the other codes")


class Assetic(StandIn):
    adjustable = ("key", "assets")

    def __init__(self, user="api.user", **options):
        super().__init__(**options)
        self.user = user
        self.assets = {"P-101": ASSET}
        self.orders, self.documents = [], []
        self.settings = {"forbidden": False, "utc_offset": 0, "work_types": WORK_TYPES, "materials": MATERIALS,
                         "services": SERVICES, "apidocs": apidocs()}
        self.control.update({
            ("GET", "orders"): lambda request: self.listed(request, self.orders),
            ("GET", "documents"): lambda request: self.listed(request, self.documents),
            ("POST", "status"): self.control_status, ("POST", "order"): self.control_order})

    def config(self):
        return dict(self.settings, assets=self.assets)

    def count(self):
        return dict(super().count(), orders=len(self.orders), documents=len(self.documents))

    def wall(self):
        """Now, by the site's clock."""
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=self.settings["utc_offset"])
        return now.strftime("%Y-%m-%dT%H:%M:%S.%f")

    # ---- the API

    def handle(self, request):
        given = request.headers.get("authorization", "")
        if given != "Basic " + base64.b64encode(f"{self.user}:{self.key}".encode()).decode():  # AS-C03
            return Reply(401, body=b"Authorization has been denied for this request.")
        lists = {"/api/v2/worktype": self.settings["work_types"], "/api/v2/resource": RESOURCES,
                 "/api/v2/billofmaterial": self.settings["materials"],
                 "/api/v2/serviceactivity": self.settings["services"],
                 "/api/v2/unittype": [{"Id": 1, "Name": "Each"}, {"Id": 2, "Name": "Hour"}],
                 "/api/v2/workorder": self.orders}
        if request.method == "POST" and request.path in ("/api/v2/workorder", "/api/v2/document"):
            if self.settings["forbidden"]:  # AS-C02
                return refusal(403, "The role Mnt Admin is required.")
            return self.posted(request)
        if request.method != "GET":
            return refusal(405, "The requested resource does not support this method.")
        if request.path in lists:
            return self.page(request, lists[request.path])
        if request.path == "/api/v2/fcrcategorisation":
            return Reply(200, FCR)
        if request.path == "/api/v2/auth":
            return Reply(200, {"UserName": self.user, "Id": LOGIN, "ResourceId": API_USER})
        if request.path == "/apidocs":
            return Reply(200, self.settings["apidocs"])
        return self.one(request.path)

    def one(self, path):
        craft = re.fullmatch(r"/api/v2/resource/([^/]+)/craft", path)
        if craft and craft[1] == EMPLOYEE:
            return Reply(200, CRAFTS)
        if craft and craft[1] == API_USER:
            return Reply(200, CRAFTS[:1])
        asset = re.fullmatch(r"/api/v2/assets/([^/]+)", path)
        name = urllib.parse.unquote(asset[1]) if asset else None
        if name in self.assets:
            return Reply(200, {"Id": self.assets[name], "AssetId": name})
        order = next((o for o in self.orders if path == f"/api/v2/workorder/{o['Id']}"), None)
        return Reply(200, order) if order else refusal(404, f"No resource was found at {path}.")

    def page(self, request, items):
        """AS-C05, AS-C06."""
        query = dict(urllib.parse.parse_qsl(request.query))
        try:
            page, size = int(query["requestParams.page"]), int(query["requestParams.pageSize"])
            assert page > 0 and 0 < size <= 500
            kept = list(items)
            for clause in filter(None, re.split(r"~and~", query.get("requestParams.filters", ""))):
                name, how, value = FILTER.fullmatch(clause).groups()
                value = value.replace("''", "'")
                test = {"eq": lambda v, w: v == w, "gte": lambda v, w: v >= w, "gt": lambda v, w: v > w,
                        "lt": lambda v, w: v < w, "contains": lambda v, w: w in v}[how]
                kept = [item for item in kept if test(str(item.get(name) or ""), value)]
            sort = query.get("requestParams.sorts")
            if sort:
                name, _, way = sort.partition("-")
                kept.sort(key=lambda item: item[name], reverse=way == "desc")
        except (KeyError, ValueError, AttributeError, AssertionError):
            return refusal(400, "The requestParams are not valid.")
        return Reply(200, {"TotalResults": len(kept), "TotalPages": -(-len(kept) // size), "Page": page,
                           "ResourceList": kept[(page - 1) * size : page * size]})

    def posted(self, request):
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return refusal(415, "The request must be application/json.")
        twice = []

        def last_wins(pairs):  # AS-T02
            names = [name for name, _ in pairs]
            twice.extend(name for name in dict(pairs) if names.count(name) > 1)
            return dict(pairs)

        try:
            body = json.loads(request.body, object_pairs_hook=last_wins)
            assert isinstance(body, dict)
        except (ValueError, AssertionError):
            return refusal(400, "The request is invalid.")
        reply = self.create(body) if request.path == "/api/v2/workorder" else self.attach(body)
        reply.note = {"twice": sorted(twice)} if twice else None
        return reply

    def create(self, body):
        problems = OrderRules(self, body).check()
        if problems:
            return refusal(400, "The request is invalid.", problems)
        return Reply(201, {"Id": self.add(body)["Id"]})

    def add(self, body):
        order = {**body, "Id": str(uuid.uuid4()), "FriendlyIdStr": f"WO{len(self.orders) + 1}",
                 "CreatedDateTime": self.wall(), "LastModified": self.wall(), "_links": [], "_embedded": None}
        self.orders.append(order)
        self.tasks[order["Id"]] = order
        return order

    def attach(self, body):
        problems = {f"document.{name}": ["is not valid" if name in DOCUMENT else "is unknown"] for name, value in body.items()
                    if name not in DOCUMENT or not fits(DOCUMENT[name], value)}  # AS-D03
        if body.get("ParentType") != "WorkOrder2":  # AS-D01
            problems["document.ParentType"] = ["must be WorkOrder2"]
        if body.get("ParentId") not in self.tasks:
            problems["document.ParentId"] = ["is no work order"]
        if "ParentIdentifier" in body:  # AS-D04
            problems["document.ParentIdentifier"] = ["does not work for a WorkOrder2"]
        if len(body.get("ExternalId") or "") > 200:  # AS-D05
            problems["document.ExternalId"] = ["is too long"]
        if "DocumentLink" in body:
            if not body.get("Label"):
                problems["document.Label"] = ["is required for a link"]
        else:
            self.check_file(body, problems)
        if problems:
            return refusal(400, "The request is invalid.", problems)
        self.documents.append({**body, "Id": str(uuid.uuid4())})
        return Reply(201, [{"Id": self.documents[-1]["Id"]}])  # AS-D06

    @staticmethod
    def check_file(body, problems):  # AS-D02, AS-D05
        files = body.get("FileProperty")
        if not isinstance(files, list) or len(files) != 1 or set(files[0]) != {"Name", "FileSize", "mimetype", "filecontent"}:
            problems["document.FileProperty"] = ["must be one file"]
            return
        try:
            content = base64.b64decode(files[0]["filecontent"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            problems["document.FileProperty[0].filecontent"] = ["must be base64"]
            return
        if not len(content) == files[0]["FileSize"] == body.get("DocumentSize"):
            problems["document.DocumentSize"] = ["is not the file's"]

    # ---- control

    def control_reset(self):
        self.orders.clear()
        self.documents.clear()
        return super().control_reset()

    def control_status(self, request):
        command = json.loads(request.body)
        order = self.tasks[command["order"]]
        order.update(Status=command["status"], LastModified=self.wall())
        return Reply(200, order)

    def control_order(self, request):
        return Reply(200, self.add({"Status": "PREP", "AssetId": ASSET, "ExternalId": None, **json.loads(request.body)}))


def main():
    parser = command_line("A contract-true stand-in for Brightly Assetic's API.")
    parser.add_argument("--user", default="api.user")
    parser.add_argument("--key", default="test-key")
    main_loop(Assetic(**vars(parser.parse_args())), name="assetic")


if __name__ == "__main__":
    main()
