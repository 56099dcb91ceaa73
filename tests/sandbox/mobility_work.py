#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Mobility Work Public API: refuses what the contract refuses, sends the vendor's signed
webhooks with the vendor's two retries, fails on demand (standin.py).

    tests/sandbox/mobility_work.py --key KEY --secret S --webhook-url http://127.0.0.1:8080/hooks/mw

prints one JSON line {"port": .., "control_port": .., ...} when it is ready.

Served: POST /partners/v1/tasks (MW-E08), GET /partners/v1/network/settings (MW-E09),
POST /partners/v1/maintenance-plans/{planId}/trigger (MW-P30), and the seven bulk calls (MW-E01 .. MW-E07,
mobility_work_stores.py). Everything else is 404, so is a trailing slash.

The contract shows three message keys (min_length, equipment.unknown, assignees.unknown); the others here are
in its style, but ours: nothing may depend on them. Nested webhook objects are unknown (MW-W90), their members
are invented here for the same reason.

Control beside standin.py's
  POST /_control/config   {"equipments": [..] | null, "assignees": [..] | null, "plans": [..] | null, (null: any)
                           "unknown_equipments": [..], "unknown_assignees": [..], "forbidden": bool, "key": ..,
                           "spare_parts": [..] | null, "plan": "starter" | "premium" | "ultimate",
                           "part_price_member": name, "part_stock_member": name, "currency": ..,
                           "webhook_url": .., "secret": .., "secrets": {event: secret},
                           "life": {"scheduled": s | null, "started": .., "activity": .., "completed": .., "canceled": ..},
                           "retry_delay": s, "retry_signature": "same" | "fresh"}
  POST /_control/task     {"task": id, "event": "TaskWasStarted"}     this task's webhook, now
  POST /_control/webhook  {"event": E, "count": N?, "body": {...}?, "drop": [member..]?}   any webhook, N of them
  GET  /_control/webhooks every delivery attempt: key, event, attempt, status or error, time
  GET  /_control/stores   {"parts": [..], "stock": {reference: n}, "equipments": [..], "locations": [..], "places": {..}}
  GET  /_control/given_up webhooks that all attempts failed for (the vendor would send an e-mail)
"""

import argparse
import asyncio
import datetime
import hashlib
import hmac
import json
import os
import re
import time
import uuid

from mobility_work_stores import LIMIT, Stores, is_integer
from standin import Courier, Reply, StandIn, command_line, main_loop, minified, now_text

USER_AGENT = "Mobility Work - Webhook Service v1"
TASKS = "/partners/v1/tasks"
SETTINGS = "/partners/v1/network/settings"
PLAN = re.compile(r"/partners/v1/maintenance-plans/([A-Za-z0-9_-]{1,64})/trigger")
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
LIFE = {"scheduled": "TaskWasScheduled", "started": "TaskWasStarted", "activity": "ActivityWasAddedOnTask",
        "completed": "TaskWasCompleted", "canceled": "TaskWasCanceled"}


def sign(secret, body, when=None, nonce=None):
    """MW-S02..S06: the value of X-MW-Signature."""
    when = int(time.time()) if when is None else when
    nonce = os.urandom(20).hex() if nonce is None else nonce
    digest = hmac.new(secret.encode(), f"{when}.{nonce}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={when},nonce={nonce},signature={digest}"


def refusal(status, sub_code, message, global_errors=(), property_errors=None):
    """MW-C20."""
    return Reply(status, {
        "http_status_code": status, "code": f"{status}{sub_code:03d}", "message": message,
        "extended_message": {"global_errors": list(global_errors), "property_errors": property_errors or {}},
        "more_info_url": None})


class Problems:
    """property_errors in the making: JSON Pointer -> list of errors."""

    def __init__(self):
        self.found = {}

    def add(self, pointer, key, **parameters):
        self.found.setdefault(pointer, []).append({"messageKey": f"error.payload.{key}", "parameters": parameters})


class TaskRules:
    """Every constraint of MW-E08, and the identifiers of MW-C17."""

    def __init__(self, network):
        self.network = network

    def check(self, task):
        problems = Problems()
        checks = {
            "equipment": self.equipment, "description": self.description, "startDateTime": self.date_time,
            "endDateTime": self.date_time, "allDay": self.boolean, "assignees": self.assignees}
        for name, check in checks.items():
            if name in task:
                check(problems, f"/{name}", task[name])
            else:
                problems.add(f"/{name}", "required")
        optional = {
            "tags": self.tags, "checklist": self.checklist, "emailToCreator": self.boolean,
            "sendEmailToAssignees": self.boolean, "inheritEquipmentTags": self.boolean, "metadata": self.metadata}
        for name, check in optional.items():
            if name in task:
                check(problems, f"/{name}", task[name])
        return problems.found

    @staticmethod
    def description(problems, pointer, value):
        if not isinstance(value, str):
            problems.add(pointer, "type", expected="string")
        elif len(value) < 3:  # code points (U19)
            problems.add(pointer, "min_length", min=3, length=len(value))
        elif len(value) > 3000:
            problems.add(pointer, "max_length", max=3000, length=len(value))

    @staticmethod
    def date_time(problems, pointer, value):
        try:
            if not DATE_TIME.fullmatch(value):
                raise ValueError
            datetime.datetime.fromisoformat(value[:19])
        except TypeError:
            problems.add(pointer, "type", expected="string")
        except ValueError:
            problems.add(pointer, "date_time", value=value)

    @staticmethod
    def boolean(problems, pointer, value):
        if not isinstance(value, bool):
            problems.add(pointer, "type", expected="boolean")

    @staticmethod
    def metadata(problems, pointer, value):
        if not isinstance(value, dict):
            problems.add(pointer, "type", expected="object")

    @staticmethod
    def checklist(problems, pointer, value):
        if value is None:
            return
        if not isinstance(value, str):
            problems.add(pointer, "type", expected="string")
        elif not UUID.fullmatch(value):
            problems.add(pointer, "uuid", value=value)

    def equipment(self, problems, pointer, value):
        typed = self.typed(problems, pointer, value, ("native", "external"), self.infer_equipment)
        if typed and not self.network.knows("equipments", typed[1]):
            problems.add(pointer, "equipment.unknown", type=typed[0], value=typed[1])

    def assignees(self, problems, pointer, value):
        if not isinstance(value, list):
            problems.add(pointer, "type", expected="array")
            return
        for i, item in enumerate(value):
            typed = self.typed(problems, f"{pointer}/{i}", item, ("native", "email"), self.infer_assignee)
            if typed and not self.network.knows("assignees", typed[1]):
                problems.add(f"{pointer}/{i}", "assignees.unknown", type=typed[0], value=typed[1])

    def tags(self, problems, pointer, value):
        if not isinstance(value, list):
            problems.add(pointer, "type", expected="array")
            return
        for i, item in enumerate(value):
            self.typed(problems, f"{pointer}/{i}", item, ("native", "code"), self.infer_tag)

    @staticmethod
    def infer_equipment(text):
        return None if text.strip().isdigit() or not text.strip() else "external"

    @staticmethod
    def infer_assignee(text):
        return "email" if EMAIL.fullmatch(text) else None

    @staticmethod
    def infer_tag(text):
        return None if text.strip().isdigit() or not text.strip() else "code"

    @staticmethod
    def typed(problems, pointer, value, types, infer):
        """(type, value), or None when the identifier was refused."""
        if is_integer(value):
            kind = "native"
        elif isinstance(value, str):
            kind = infer(value)
            if kind is None:
                problems.add(pointer, "identifier.type_unknown", value=value)
                return None
        elif isinstance(value, dict):
            if set(value) != {"type", "value"} or value["type"] not in types:
                problems.add(pointer, "identifier", types=list(types))
                return None
            kind, value = value["type"], value["value"]
        else:
            problems.add(pointer, "type", expected="integer, string or object")
            return None
        good = is_integer(value) and value > 0 if kind == "native" else isinstance(value, str) and value != ""
        if kind == "email" and good:
            good = EMAIL.fullmatch(value) is not None
        if not good:
            problems.add(pointer, "identifier.value", type=kind, value=value)
            return None
        return kind, value


class Webhooks:
    """The eleven events of MW-W01..W11, with every member of the contract."""

    user = {"_type": "User", "id": "6f1c22ae", "fullName": "Ada Fitter"}
    part = {"_type": "SparePart", "id": "a71b90c2", "externalReference": "BRG-6204", "name": "Bearing 6204"}
    place = {"_type": "Location", "id": "9e02d1aa", "name": "Store A"}

    def __init__(self, network_id):
        self.network_id = network_id
        self.make = {
            "TaskWasCompleted": self.completed, "TaskWasScheduled": self.task_state("scheduled"),
            "TaskWasCanceled": self.task_state("canceled"), "TaskWasStarted": self.task_state("started"),
            "ActivityWasAddedOnTask": self.activity, "SparePartWasOutOfStock": self.stock,
            "SparePartStockWasUnderMinThreshold": self.stock, "SparePartStockWasUnderMinThresholdPayload": self.stock,
            "SparePartWasManuallyRecounted": self.part_moved, "SparePartWasRestocked": self.part_moved,
            "SparePartWasConsumed": self.part_moved, "SparePartConsumptionWasCanceled": self.part_moved}

    def body(self, event, task):
        head = {"_event": event, "_idempotencyKey": uuid.uuid4().hex[:20]}
        return {**head, **self.make[event](event, task), "networkId": self.network_id}

    @staticmethod
    def about(task):
        return {"associatedTo": {"_type": "Equipment", "reference": task["body"].get("equipment")},
                "tags": [{"code": str(tag)} for tag in task["body"].get("tags", [])], "requiredSpareParts": [],
                "metadata": task["body"].get("metadata", {})}

    def completed(self, _event, task):
        return {"legacyId": task["id"], "id": task["id"], "doneAt": now_text(), "initiator": self.user,
                **self.about(task)}

    def task_state(self, member):
        def make(_event, task):
            return {"taskId": task["id"], member: {"_type": f"Task{member.title()}", "at": now_text(),
                                                   "by": self.user}, **self.about(task)}
        return make

    def activity(self, event, task):
        return {"_type": f"{event}Webhook", "_sentAt": now_text(), "_metadata": [], "emittedAt": now_text(),
                "task": {"_type": "Task", "id": task["id"]}, "equipment": self.about(task)["associatedTo"],
                "activity": {"_type": "Activity", "id": uuid.uuid4().hex[:8], "comment": "greased"},
                "requiredSpareParts": []}

    def stock(self, _event, _task):
        return {"_date": now_text(), "_metadata": None, "stock": {"quantity": 0, "minimum": 2},
                "sparePart": self.part, "movement": {"quantity": -3}}

    def part_moved(self, event, task):
        body = {"_type": f"{event}Webhook", "_sentAt": now_text(), "emittedAt": now_text(), "_metadata": "",
                "task": {"_type": "Task", "id": task["id"]}, "sparePart": self.part, "location": self.place,
                "initiator": self.user}
        if event == "SparePartWasManuallyRecounted":
            del body["task"]
            body["recounted"] = {"quantity": 12, "previousStock": 9}
        elif event == "SparePartWasRestocked":
            body["task"] = None
            body["restocked"] = {"quantity": 20, "previousStock": 1}
        elif event == "SparePartWasConsumed":
            body["consumed"] = {"_type": "SparePartConsumption", "quantity": 3, "previousStock": 116}
        else:
            del body["initiator"]
            body["activity"] = {"_type": "Activity", "id": uuid.uuid4().hex[:8]}
        return body


class MobilityWork(StandIn):
    adjustable = ("key", "secret", "webhook_url", "clock")

    def __init__(self, secret=None, webhook_url=None, network="Factory Inc.", plans=("PLAN-1", "PLAN-2", "4711"),
                 life=None, **options):
        super().__init__(**options)
        self.secret, self.webhook_url, self.network_name = secret, webhook_url, network
        self.network_id = "17df9a0f-5c04-43c8-b010-b48e1237e6ff"
        self.settings = {
            "equipments": None, "assignees": None, "unknown_equipments": [], "unknown_assignees": [],
            "plans": list(plans) if plans is not None else None, "forbidden": False, "secrets": {},
            "life": {"scheduled": 0, "started": None, "activity": None, "completed": None, "canceled": None},
            "retry_signature": "same", "content_type_status": 400, "spare_parts": None, "plan": "ultimate",
            "part_price_member": "unitPrice", "part_stock_member": "stock", "currency": "EUR"}
        self.settings["life"].update(life or {})
        self.rules_of_task = TaskRules(self)
        self.stores = Stores(self, TaskRules.typed)
        self.webhooks = Webhooks(self.network_id)
        self.courier = Courier()
        self.control.update({
            ("POST", "task"): self.control_task, ("POST", "webhook"): self.control_webhook,
            ("GET", "stores"): lambda request: Reply(200, self.stores.tell()),
            ("GET", "webhooks"): lambda request: self.listed(request, self.courier.log),
            ("GET", "given_up"): lambda request: self.listed(request, self.courier.given_up)})
        self.load_state()

    # ---- the network that the key belongs to

    def knows(self, kind, value):
        if value in self.settings[f"unknown_{kind}"]:
            return False
        return self.settings[kind] is None or value in self.settings[kind]

    def config(self):
        return dict(self.settings, webhook_url=self.webhook_url, retry_delay=self.courier.retry_delay)

    def configure(self, settings):
        self.courier.retry_delay = float(settings.pop("retry_delay", self.courier.retry_delay))
        life = settings.pop("life", {})
        if set(life) - set(LIFE):
            raise ValueError(f"life: no such step: {set(life) - set(LIFE)}")
        self.settings["life"].update(life)
        super().configure(settings)

    def control_reset(self):
        self.stores.forget()
        return super().control_reset()

    # ---- the API

    def handle(self, request):
        # MW-C02, MW-C07: nothing is told to a stranger, not even which paths there are.
        if request.headers.get("api-key") != self.key:
            return refusal(401, 1, "Authentication error", [{"messageKey": "Invalid Api Key.", "parameters": {}}])
        if self.settings["forbidden"]:
            return refusal(403, 1, "Access denied", [{"messageKey": "Access denied.", "parameters": {}}])
        if request.path == TASKS:
            return self.only(request, "POST", self.schedule)
        if request.path == SETTINGS:
            return self.only(request, "GET", self.network_settings)
        call = self.stores.calls().get(request.path)
        if call:
            return self.only(request, call.method, lambda request: self.bulk(request, call))
        plan = PLAN.fullmatch(request.path)
        if plan:
            return self.only(request, "POST", lambda request: self.trigger(request, plan[1]))
        return refusal(404, 1, "Not found")

    @staticmethod
    def only(request, method, handler):
        if request.method != method:
            reply = refusal(405, 1, "Method not allowed")
            reply.headers["Allow"] = method
            return reply
        reply = handler(request)
        agent = request.headers.get("user-agent", "")
        reply.note = {"user_agent": agent}  # MW-C04: advised, not required
        return reply

    def json_body(self, request, of=dict):
        """(body, None) or (None, refusal)."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":  # MW-C03
            status = self.settings["content_type_status"]
            return None, refusal(status, 15, "The Content-Type must be application/json.")
        try:
            body = json.loads(request.body)
        except ValueError:
            error = {"messageKey": "error.payload.malformed", "parameters": {}}
            return None, refusal(400, 44, "The request payload is not valid.", [error])
        if not isinstance(body, of):
            expected = "object" if of is dict else "array"
            error = {"messageKey": "error.payload.type", "parameters": {"expected": expected}}
            return None, refusal(400, 44, "The request payload is not valid.", [error])
        return body, None

    def schedule(self, request):
        task, refused = self.json_body(request)
        if refused:
            return refused
        problems = self.rules_of_task.check(task)
        if problems:
            return refusal(400, 44, "The request payload is not valid.", (), problems)
        self.add_task(task, None)
        return Reply(201, None)  # MW-E08: null, the id is learned from MW-W02

    def bulk(self, request, call):
        """MW-E01 .. MW-E07: refused whole, or accepted whole and done by the time that one looks (MW-C06)."""
        if call.paid and self.settings["plan"] == "starter":
            return refusal(403, 2, "The plan does not include this call.",
                           [{"messageKey": "error.plan", "parameters": {"plan": "starter"}}])
        items, refused = self.json_body(request, list)
        if refused:
            return refused
        problems = Problems()
        if not items:
            problems.add("", "min_items", min=1, length=0)
        elif len(items) > LIMIT:
            problems.add("", "max_items", max=LIMIT, length=len(items))
        else:
            for i, item in enumerate(items):
                call.check(problems, f"/{i}", item)
        if problems.found:
            return refusal(400, 44, "The request payload is not valid.", (), problems.found)
        for item in items:
            call.apply(item)
        return Reply(202, None)

    def trigger(self, request, plan):
        body, refused = self.json_body(request)
        if refused:
            return refused
        if self.settings["plans"] is not None and plan not in self.settings["plans"]:
            return refusal(404, 2, "Unknown maintenance plan")
        return Reply(201, {"taskId": self.add_task({"metadata": {}, **body}, plan)["id"]})

    def network_settings(self, _request):
        return Reply(200, {"networkId": self.network_id, "legacyNetworkId": 686, "name": self.network_name,
                           "timezone": "Europe/Paris", "currency": self.settings["currency"]})

    def add_task(self, body, plan):
        task = {"n": len(self.tasks), "id": uuid.uuid4().hex[:8], "time": time.time(), "plan": plan, "body": body,
                "history": []}
        while task["id"] in self.tasks:
            task["id"] = uuid.uuid4().hex[:8]
        self.tasks[task["id"]] = task
        if self.state:
            with open(self.state, "ab") as file:
                file.write(minified(task) + b"\n")
        if self.webhook_url:
            for step, delay in self.settings["life"].items():
                if delay is not None:
                    self.spawn(self.tell_later(delay, LIFE[step], task))
        return task

    def load_state(self):
        if self.state and os.path.exists(self.state):
            with open(self.state, encoding="utf-8") as file:
                for line in file:
                    task = json.loads(line)
                    self.tasks[task["id"]] = task

    def count(self):
        markers = {}
        for task in self.tasks.values():
            marker = (task["body"].get("metadata") or {}).get("busbarId")
            markers[marker] = markers.get(marker, 0) + 1
        unmarked = markers.pop(None, 0)
        return dict(super().count(), distinct=len(markers), unmarked=unmarked,
                    twice=sorted(marker for marker, n in markers.items() if n > 1),
                    webhook_attempts=len(self.courier.log), given_up=len(self.courier.given_up))

    # ---- webhooks

    async def tell_later(self, delay, event, task):
        if delay:
            await asyncio.sleep(delay)
        await self.tell(event, self.webhooks.body(event, task), task)

    async def tell(self, event, body, task=None):
        raw = minified(body)
        secret = self.settings["secrets"].get(event, self.secret)
        when = int(time.time() + self.clock)
        first = sign(secret, raw, when) if secret else None
        if task is not None:
            task["history"].append({"event": event, "key": body.get("_idempotencyKey"), "time": time.time()})

        def headers(attempt):
            signature = first
            if secret and attempt > 1 and self.settings["retry_signature"] == "fresh":
                signature = sign(secret, raw)
            head = {"User-Agent": USER_AGENT}
            return dict(head, **{"X-MW-Signature": signature}) if secret else head

        tag = {"event": event, "key": body.get("_idempotencyKey"), "task": task["id"] if task else None}
        return await self.courier.deliver(self.webhook_url, headers, raw, tag)

    def control_task(self, request):
        command = json.loads(request.body)
        task, event = self.tasks[command["task"]], command["event"]
        body = self.webhooks.body(event, task)
        self.spawn(self.tell(event, body, task))
        return Reply(200, {"key": body["_idempotencyKey"]})

    def control_webhook(self, request):
        command = json.loads(request.body)
        event, keys = command["event"], []
        for _ in range(command.get("count", 1)):
            task = {"id": uuid.uuid4().hex[:8], "body": {}}
            body = {**self.webhooks.body(event, task), **command.get("body", {})}
            for member in command.get("drop", []):
                body.pop(member, None)
            keys.append(body.get("_idempotencyKey"))
            self.spawn(self.tell(event, body))
        return Reply(200, {"keys": keys})


def parse_life(text):
    life = {}
    for part in text.split(","):
        step, equals, seconds = part.partition("=")
        if step not in LIFE or not equals:
            raise argparse.ArgumentTypeError(f"{part}: {'|'.join(LIFE)}=SECONDS or =never")
        life[step] = None if seconds == "never" else float(seconds)
    return life


def main():
    parser = command_line("A contract-true stand-in for the Mobility Work Public API.")
    parser.add_argument("--key", default="test-key")
    parser.add_argument("--secret", help="signs webhooks; none: unsigned")
    parser.add_argument("--webhook-url", help="none: no webhooks")
    parser.add_argument("--network", default="Factory Inc.")
    parser.add_argument("--plans", type=lambda text: None if text == "*" else text.split(","), default="PLAN-1,PLAN-2,4711",
                        help="known maintenance plans; '*': any")
    parser.add_argument("--life", type=parse_life, default={}, help="e.g. scheduled=0,started=1,completed=never")
    parser.add_argument("--state", help="file that keeps the tasks over a restart")
    standin = MobilityWork(**vars(parser.parse_args()))
    main_loop(standin, name="mobility_work", network_id=standin.network_id)


if __name__ == "__main__":
    main()
