# SPDX-License-Identifier: Apache-2.0
"""Mobility Work's documentation as data: a good body of each call, every stated constraint violated once, and the
samples that the documentation prints. The stand-in is held against it straight (test_sandbox_*.py), busbar through the
daemon (test_mobility_work_contract.py)."""

PRICE = {"amount": 3500, "currency": "EUR"}
PART_ID = {"type": "externalReference", "value": "BRG-1"}

TASK = {"equipment": 9, "description": "API Task creation", "startDateTime": "2022-01-11T09:00:00+00:00",
        "endDateTime": "2022-01-11T10:00:00+00:00", "allDay": False, "assignees": [3, "john.doe@example.com"]}

GOOD = {  # operation -> (method, path below /partners/v1/, a body; of the bulk calls: an item)
    "task.schedule": ("POST", "tasks", TASK),  # MW-E08
    "spare_part.create": ("POST", "spare-parts", {
        "externalReference": "BRG-1", "name": "Bearing", "unitPrice": PRICE, "stock": {"quantity": 4}}),  # MW-E01
    "spare_part.set_stock": ("PUT", "spare-parts/stock", {"id": PART_ID, "quantity": 0}),  # MW-E02
    "spare_part.update": ("POST", "spare-parts/attributes", {"id": "BRG-1", "minimumStock": 1.5}),  # MW-E03
    "equipment.create": ("POST", "equipments", {"name": "P"}),  # MW-E04
    "equipment.update": ("POST", "equipment/attributes", {"id": 9}),  # MW-E05
    "location.create": ("POST", "locations/create/bulk", {"name": "Store A", "anything": [1]}),  # MW-E06
    "spare_part.relocate": ("POST", "spare-parts/relocate/bulk", {
        "sparePartId": PART_ID, "target": {"locationName": "Store B"}, "x": 1}),  # MW-E07
}
BULK = [operation for operation in GOOD if operation != "task.schedule"]

# A violation: (member, value or ... for absent, pointer, message key[, what busbar makes of it]).
# busbar refuses it under the same pointer, unless there is
#   a pointer    it refuses it under that one
#   MENDED       it sends what is meant, in the form that Mobility Work takes
#   LEFT         it leaves the judgement to Mobility Work, whose refusal has the pointer
MENDED, LEFT = "mended", "left"

VIOLATIONS = {
    "task.schedule": [
        *[(name, ..., f"/{name}", "required") for name in TASK if name != "allDay"],
        ("allDay", ..., "/allDay", "required", MENDED),
        ("equipment", "4711", "/equipment", "identifier.type_unknown", MENDED),  # MW-C17
        ("equipment", None, "/equipment", "type"), ("equipment", 1.5, "/equipment", "type"),
        ("equipment", "", "/equipment", "identifier.type_unknown"),
        ("equipment", {"value": "M-1"}, "/equipment", "identifier", "/equipment/type"),
        ("equipment", {"type": "email", "value": "M-1"}, "/equipment", "identifier", "/equipment/type"),
        ("equipment", {"type": "itemCode", "value": "M-1"}, "/equipment", "identifier", LEFT),
        ("equipment", {"type": "native", "value": "9"}, "/equipment", "identifier.value", MENDED),
        ("equipment", {"type": "native", "value": 9, "x": 1}, "/equipment", "identifier", "/equipment/x"),
        ("description", "ab", "/description", "min_length"), ("description", "x" * 3001, "/description", "max_length"),
        ("description", 12345, "/description", "type"), ("description", None, "/description", "type"),
        ("startDateTime", "2022-01-11T09:00:00", "/startDateTime", "date_time"),  # MW-C15
        ("startDateTime", "2022-02-31T09:00:00Z", "/startDateTime", "date_time"),
        ("startDateTime", 5, "/startDateTime", "type"),
        ("endDateTime", "tomorrow", "/endDateTime", "date_time"), ("endDateTime", 5, "/endDateTime", "type"),
        ("endDateTime", "2022-01-11 10:00:00Z", "/endDateTime", "date_time"),
        ("allDay", "no", "/allDay", "type"),
        ("assignees", "a@b.de", "/assignees", "type"), ("assignees", ["joe"], "/assignees/0", "identifier.type_unknown"),
        ("assignees", [3, "17"], "/assignees/1", "identifier.type_unknown", MENDED),
        ("assignees", [None], "/assignees/0", "type"), ("assignees", [3, 1.5], "/assignees/1", "type"),
        ("assignees", [{"type": "external", "value": "x"}], "/assignees/0", "identifier", "/assignees/0/type"),
        ("assignees", [{"type": "email", "value": "joe"}], "/assignees/0", "identifier.value", "/assignees/0/value"),
        ("tags", "hot", "/tags", "type"), ("tags", ["12"], "/tags/0", "identifier.type_unknown", MENDED),
        ("tags", ["hot", 1.5], "/tags/1", "type"),
        ("tags", [{"type": "email", "value": "x"}], "/tags/0", "identifier", "/tags/0/type"),
        ("checklist", "monthly", "/checklist", "uuid"), ("checklist", 7, "/checklist", "type"),
        ("emailToCreator", 1, "/emailToCreator", "type", MENDED),  # deprecated: never sent
        ("sendEmailToAssignees", "yes", "/sendEmailToAssignees", "type"),
        ("inheritEquipmentTags", "yes", "/inheritEquipmentTags", "type"),
        ("inheritEquipmentTags", None, "/inheritEquipmentTags", "type", MENDED),
        ("metadata", [], "/metadata", "type"), ("metadata", "x", "/metadata", "type")],
    "spare_part.create": [
        *[(name, ..., f"/{name}", "required") for name in ("externalReference", "name", "unitPrice", "stock")],
        ("externalReference", 1, "/externalReference", "type"),
        ("name", "ab", "/name", "min_length"), ("name", "x" * 256, "/name", "max_length"), ("name", 1, "/name", "type"),
        ("description", "ab", "/description", "min_length"), ("description", "x" * 3001, "/description", "max_length"),
        ("description", None, "/description", "type", MENDED),
        ("unitPrice", 35, "/unitPrice", "type", MENDED),
        ("unitPrice", {"amount": 35.5, "currency": "EUR"}, "/unitPrice/amount", "type"),  # MW-C13
        ("unitPrice", {"currency": "EUR"}, "/unitPrice/amount", "required", "/unitPrice"),
        ("unitPrice", {"amount": 1}, "/unitPrice/currency", "required", MENDED),
        ("unitPrice", {"amount": 1, "currency": "eur"}, "/unitPrice/currency", "currency"),
        ("stock", 4, "/stock", "type", MENDED),
        ("minimumStock", -1, "/minimumStock", "minimum"), ("minimumStock", 1.5, "/minimumStock", "type"),
        ("maximumStock", -1, "/maximumStock", "minimum"), ("maximumStock", "1", "/maximumStock", "type"),
        ("gtin", "1234567", "/gtin", "pattern"), ("gtin", "1" * 19, "/gtin", "pattern"),
        ("gtin", "1234567x", "/gtin", "pattern"), ("gtin", 12345678, "/gtin", "type"),
        ("costCenter", 1, "/costCenter", "type")],
    "spare_part.set_stock": [
        ("id", ..., "/id", "required"), ("id", 7, "/id", "type", MENDED), ("id", "", "/id", "identifier.type_unknown"),
        ("id", {"type": "external", "value": "A"}, "/id", "identifier", "/id/type"),
        ("id", {"type": "externalReference", "value": 7}, "/id", "identifier.value", MENDED),
        ("quantity", ..., "/quantity", "required"), ("quantity", -1, "/quantity", "minimum"),
        ("quantity", 1.5, "/quantity", "type"), ("quantity", True, "/quantity", "type"),
        ("quantity", "3", "/quantity", "type"), ("quantity", None, "/quantity", "type")],
    "spare_part.update": [
        ("id", ..., "/id", "required"), ("id", None, "/id", "type"),
        ("name", "ab", "/name", "min_length"), ("name", "x" * 256, "/name", "max_length"), ("name", None, "/name", "type"),
        ("description", "ab", "/description", "min_length"), ("description", "x" * 3001, "/description", "max_length"),
        ("externalReference", None, "/externalReference", "type"),
        ("unitPrice", {"amount": "1", "currency": "EUR"}, "/unitPrice/amount", "type"),
        *[(name, value, f"/{name}", key) for name in ("minimumStock", "maximumStock", "replenishmentLot")
          for value, key in ((-0.5, "minimum"), ("1", "type"))],
        ("gtin", "x", "/gtin", "pattern"), ("costCenter", 1, "/costCenter", "type"),
        ("customFields", {}, "/customFields", "type"), ("tags", ["hot"], "/tags/0", "type")],
    "equipment.create": [
        ("name", ..., "/name", "required"), ("name", "", "/name", "min_length"), ("name", "x" * 256, "/name", "max_length"),
        *[(name, 1, f"/{name}", "type") for name in
          ("description", "globalTradeItemNumber", "costCenter", "itemCode", "private", "tags", "customFields")],
        ("tags", ["hot", 1], "/tags/1", "type"), ("customFields", ["x"], "/customFields/0", "type")],
    "equipment.update": [
        ("id", ..., "/id", "required"), ("id", "4711", "/id", "identifier.type_unknown", MENDED),  # MW-C17
        ("id", {"type": "itemCode", "value": "P"}, "/id", "identifier", LEFT),
        ("id", {"type": "native", "value": "9"}, "/id", "identifier.value", MENDED),
        ("name", "ab", "/name", "min_length"), ("name", "x" * 256, "/name", "max_length"), ("name", None, "/name", "type"),
        ("description", "ab", "/description", "min_length"), ("description", "x" * 3001, "/description", "max_length"),
        ("gtin", "1", "/gtin", "pattern"),
        ("costCenter", "ab", "/costCenter", "min_length"), ("costCenter", "x" * 256, "/costCenter", "max_length"),
        ("itemCode", "", "/itemCode", "min_length"), ("itemCode", "x" * 256, "/itemCode", "max_length"),
        ("tags", [1], "/tags/0", "type"), ("customFields", [1], "/customFields/0", "type")],
    "location.create": [
        ("name", ..., "/name", "required"), ("name", "", "/name", "min_length"), ("name", "x" * 256, "/name", "max_length"),
        ("name", "-A", "/name", "pattern"), ("name", " A", "/name", "pattern"), ("name", 1, "/name", "type")],
    "spare_part.relocate": [
        ("sparePartId", ..., "/sparePartId", "required"), ("sparePartId", 7, "/sparePartId", "type", MENDED),
        ("target", ..., "/target", "required"), ("target", "Store B", "/target", "type"),
        ("target", {}, "/target/locationName", "required"),
        ("target", {"locationName": ""}, "/target/locationName", "min_length"),
        ("target", {"locationName": "Nowhere"}, "/target/locationName", "location.unknown", LEFT),
        ("source", {"locationName": "Nowhere"}, "/source/locationName", "location.unknown", LEFT),
        ("source", None, "/source", "type", MENDED)],
}


def violated(operation, member, value):
    """The good body with one member changed, or left out."""
    return {name: given for name, given in {**GOOD[operation][2], member: value}.items() if given is not ...}


# ---- what the documentation prints

UUID_A, UUID_B = "c6d6f829-6c36-30cc-93be-d5202ca28aa4", "d8194f1f-050d-4f74-a592-2d541e6127aa"


def part(value):
    return {"type": "externalReference", "value": value}


REQUESTS = {  # name -> (operation, the body or items as printed); where only an identifier is printed, the least beside it
    "task": ("task.schedule", TASK),
    "task, typed assignees": ("task.schedule", {**TASK, "assignees": [
        {"type": "native", "value": 3}, {"type": "email", "value": "john.doe@example.com"}]}),
    "task, metadata": ("task.schedule", {**TASK, "metadata": {"internalIdentifier": 1234}}),
    "stock, simple": ("spare_part.set_stock", [{"id": "MW-417304e0-2ff0-410d-a7cd-de20439140c8", "quantity": 1}]),
    "stock, typed": ("spare_part.set_stock", [
        {"id": part("MW-417304e0-2ff0-410d-a7cd-de20439140c8"), "quantity": 1}]),
    "part, one attribute": ("spare_part.update", [{"id": part(UUID_A), "name": "Rotor"}]),
    "part, unset": ("spare_part.update", [{"id": part(UUID_A), "minimumStock": None}]),
    "part, prices": ("spare_part.update", [
        {"id": part(UUID_A), "unitPrice": {"amount": 3500, "currency": "EUR"}},
        {"id": part(UUID_B), "unitPrice": {"amount": 49999, "currency": "USD"}}]),
    "equipment, simple": ("equipment.update", [{"id": 2507}]),
    "equipment, typed": ("equipment.update", [{"id": {"type": "native", "value": 2507}}]),
}

SETTINGS = {"networkId": "4d4b9269-db6b-4b8f-8577-d01ef451d291", "legacyNetworkId": 686, "name": "Mobility Work",
            "timezone": "Europe/Paris", "currency": "EUR"}

REFUSAL = {  # of a description "X", equipment 99999 and two strangers
    "http_status_code": 400, "code": "400044", "message": "The request payload is not valid.",
    "extended_message": {"global_errors": [], "property_errors": {
        "/description": [{"messageKey": "error.payload.min_length", "parameters": {"min": 3, "length": 1}}],
        "/equipment": [{"messageKey": "error.payload.equipment.unknown",
                        "parameters": {"type": "native", "value": 99999}}],
        **{f"/assignees/{n}": [{"messageKey": "error.payload.assignees.unknown",
                                "parameters": {"type": "email", "value": value}}]
           for n, value in enumerate(("jason.doe@example.com", "john.doe@example.com"))}}},
    "more_info_url": None}

WRONG_KEY = {
    "http_status_code": 401, "code": "401001", "message": "Authentication error",
    "extended_message": {"global_errors": [{"messageKey": "Invalid Api Key.", "parameters": {}}], "property_errors": {}},
    "more_info_url": None}

NETWORK = "17df9a0f-5c04-43c8-b010-b48e1237e6ff"
TASK_HEAD = {"_idempotencyKey": "i6WeIdxywu", "associatedTo": {}, "tags": [], "requiredSpareParts": [], "metadata": {},
             "networkId": NETWORK}
STOCK = {"_idempotencyKey": "i6WeIdxywu", "_date": "2022-06-02T14:31:06+00:00", "_metadata": None, "stock": {},
         "sparePart": {}, "movement": {}, "networkId": NETWORK}


def moved(event, **members):
    return {"_type": f"{event}Webhook", "_event": event, "_idempotencyKey": "i6WeIdxywu",
            "_sentAt": "2022-06-02T14:31:06+00:00", "emittedAt": "2023-02-08T23:00:00+00:00", "_metadata": "",
            **members, "networkId": NETWORK}


WEBHOOKS = [
    {"_event": "TaskWasCompleted", "legacyId": "32828f62", "id": "32828f62", "doneAt": "2021-11-02T16:32:38+00:00",
     "initiator": {}, **TASK_HEAD},  # MW-W01
    {"_event": "TaskWasScheduled", "taskId": "32828f62", "scheduled": {}, **TASK_HEAD},  # MW-W02
    {"_event": "TaskWasCanceled", "taskId": "32828f62", "canceled": {}, **TASK_HEAD},  # MW-W03
    {"_event": "TaskWasStarted", "taskId": "32828f62", "started": {}, **TASK_HEAD},  # MW-W04
    {"_event": "ActivityWasAddedOnTask", "_idempotencyKey": "i6WeIdxywu", "_type": "ActivityWasAddedOnTaskWebhook",
     "_sentAt": "2023-06-13T15:23:48+00:00", "_metadata": [], "emittedAt": "2023-06-13T15:23:43+00:00", "task": {},
     "equipment": {}, "activity": {}, "networkId": NETWORK, "requiredSpareParts": []},  # MW-W05
    {"_event": "SparePartWasOutOfStock", **STOCK},  # MW-W06
    {"_event": "SparePartStockWasUnderMinThreshold", **STOCK},  # MW-W07
    moved("SparePartWasManuallyRecounted", sparePart={}, location={}, initiator={}, recounted={}),  # MW-W08
    moved("SparePartWasRestocked", task=None, sparePart={}, location={}, initiator={}, restocked={}),  # MW-W09
    moved("SparePartWasConsumed", task={}, sparePart={}, location={}, initiator={}, consumed={
        "_type": "SparePartConsumption", "quantity": 3, "previousStock": 116}),  # MW-W10
    moved("SparePartConsumptionWasCanceled", task={}, sparePart={}, activity={}, location={}),  # MW-W11
]
