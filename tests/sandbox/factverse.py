#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for FactVerse's CMMS integration, in the shape that the plugin has by default. FactVerse publishes the words
(the eleven fields, states, events, error classes) and no endpoint, so what is strict here is the words: every field's
type, the provider's word and ours together, the lifecycle, revisions, tenants and providers.

    tests/sandbox/factverse.py --key TOKEN --secret S --webhook-url http://127.0.0.1:8080/hooks/fv

Served: /work-orders (POST, GET), /work-orders/{id} (GET, PATCH) and below it /assign /comments /attachments /complete
/close /reopen /cancel /progress /issues /evidence /closeout (POST), /tasks (GET). An {id} is the common or the native one.

A token is of one tenant and some of its providers; X-Tenant must be that tenant. What is beyond is 404, as if it was not
there (FV-09a). Each write has an Idempotency-Key: the same key again is answered again and done once, a new order's key is
its common_work_order_id. If-Match is held against the order's revision.

Control beside standin.py's
  POST /_control/config   {"scopes": {token: {"tenant": T, "providers": [P..]}}, "assets": [..] | null, "documents": [..] |
                           null, (null: any) "forbidden": bool, "require_revision": bool, "page_size": N, "key": ..,
                           "webhook_url": .., "secret": .., "retry_delay": s, "header": name}
  POST /_control/order    {"tenant": T?, "provider_id": P?, ...}     an order that others made; answers it
  POST /_control/change   {"order": id, ...}                         somebody changes its fields; answers it
  POST /_control/webhook  {"event": E, ...}                          any envelope, as it is
  GET  /_control/orders | attachments | notes | webhooks | given_up
"""

import datetime
import json
import re
import urllib.parse
import uuid

from mobility_work import sign
from standin import Courier, Reply, StandIn, command_line, main_loop, minified

STATUSES = ("requested triaged approved assigned in_progress blocked completed closed canceled reopened unknown").split()
PRIORITIES = ("critical", "high", "medium", "low")
SYNC_STATES = ("imported", "pending", "synchronized", "retrying", "rejected", "stale")
NEXT = {  # FV-04
    "requested": "triaged approved assigned canceled", "triaged": "approved assigned canceled",
    "approved": "assigned blocked in_progress canceled", "assigned": "in_progress blocked completed canceled",
    "in_progress": "blocked completed canceled", "blocked": "approved assigned in_progress canceled",
    "completed": "closed reopened", "closed": "reopened", "canceled": "reopened",
    "reopened": "assigned in_progress completed canceled", "unknown": " ".join(STATUSES)}
MOVES = {"assign": "assigned", "complete": "completed", "close": "closed", "reopen": "reopened", "cancel": "canceled",
         "closeout": "completed"}
DOCUMENTS = ("attachments", "evidence")
NOTES = {"comments": "text", "issues": "title", "progress": None, "closeout": "resolution_note", "assign": "assignee"}
PROVIDER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
HEADER = "X-FactVerse-Signature"


def is_time(value):
    try:
        return bool(UTC.fullmatch(value)) and bool(datetime.datetime.fromisoformat(value[:19]))
    except (TypeError, ValueError):
        return False


def is_text(value, most=4000):
    return isinstance(value, str) and 0 < len(value) <= most


# FV-01: what a value may be, and whether it may be null.
FIELDS = {
    "common_work_order_id": (lambda v: is_text(v, 128), False),
    "provider_id": (lambda v: isinstance(v, str) and bool(PROVIDER.fullmatch(v)), False),
    "source_work_order_id": (lambda v: is_text(v, 128), True),
    "asset_ref": (lambda v: is_text(v, 128), False),
    "source_status": (is_text, True),
    "common_status": (lambda v: v in STATUSES, False),
    "priority": (lambda v: v in PRIORITIES, True),
    "source_priority": (is_text, True),
    "sla_due_at": (is_time, True),
    "sync_state": (lambda v: v in SYNC_STATES, False),
    "last_synced_at": (is_time, True),
}
PAIRS = (("source_status", "common_status"), ("source_priority", "priority"))
KEPT = ("common_work_order_id", "provider_id", "source_work_order_id", "sync_state", "last_synced_at")


def refusal(status, error_class, code, message, *pointers):
    """The contract's error record (section 6)."""
    return Reply(status, {
        "class": error_class, "code": code, "message": message, "owner_action": None,
        "rejected_fields": [{"pointer": pointer, "key": code, "parameters": {}} for pointer in pointers]})


class Refused(Exception):
    def __init__(self, *arguments):
        super().__init__(arguments[2])
        self.reply = refusal(*arguments)


def no_order():
    return Refused(404, "identity", "unknown_work_order", "There is no such work order.")


class FactVerse(StandIn):
    adjustable = ("key", "secret", "webhook_url")

    def __init__(self, secret=None, webhook_url=None, tenant="north", providers=("fv",), **options):
        super().__init__(**options)
        self.secret, self.webhook_url = secret, webhook_url
        self.settings = {"assets": None, "documents": None, "forbidden": False, "require_revision": False,
                         "page_size": 50, "header": HEADER, "scopes": {}}
        self.own = {"tenant": tenant, "providers": list(providers)}
        self.orders, self.attachments, self.notes, self.replies = [], [], [], {}
        self.latest = 0
        self.courier = Courier()
        self.control.update({
            ("GET", "orders"): lambda request: self.listed(request, self.orders),
            ("GET", "attachments"): lambda request: self.listed(request, self.attachments),
            ("GET", "notes"): lambda request: self.listed(request, self.notes),
            ("GET", "webhooks"): lambda request: self.listed(request, self.courier.log),
            ("GET", "given_up"): lambda request: self.listed(request, self.courier.given_up),
            ("POST", "order"): self.control_order, ("POST", "change"): self.control_change,
            ("POST", "webhook"): self.control_webhook})

    def config(self):
        return dict(self.settings, webhook_url=self.webhook_url, retry_delay=self.courier.retry_delay)

    def configure(self, settings):
        self.courier.retry_delay = float(settings.pop("retry_delay", self.courier.retry_delay))
        super().configure(settings)

    def count(self):
        return dict(super().count(), orders=len(self.orders), attachments=len(self.attachments),
                    webhook_attempts=len(self.courier.log))

    def now(self):
        """Each later than the one before."""
        now = int(datetime.datetime.now(datetime.timezone.utc).timestamp() * 1000)
        self.latest = max(self.latest + 1, now)
        when = datetime.datetime.fromtimestamp(self.latest / 1000, datetime.timezone.utc)
        return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{self.latest % 1000:03d}Z"

    # ---- the door

    def handle(self, request):
        try:
            scope = self.scope_of(request)
            if request.method == "GET":
                return self.read(request, scope)
            return self.once(request, scope)
        except Refused as refused:
            return refused.reply

    def scope_of(self, request):
        given = request.headers.get("authorization", "")
        scope = {self.key: self.own, **self.settings["scopes"]}.get(given.removeprefix("Bearer "))
        if scope is None or not given.startswith("Bearer "):
            raise Refused(401, "authentication", "token", "The token is missing or not valid.")
        if request.headers.get("x-tenant") != scope["tenant"]:
            raise Refused(403, "authorization", "tenant", "The token is not of this tenant.")
        return scope

    def once(self, request, scope):
        """The same Idempotency-Key is the same request: answered again, done once."""
        key = request.headers.get("idempotency-key")
        if not is_text(key, 128):
            raise Refused(400, "validation", "idempotency_key", "A write needs an Idempotency-Key.")
        known = self.replies.get((scope["tenant"], key))
        if known and known[0] != (request.method, request.path, request.body):
            raise Refused(409, "conflict", "idempotency_key", "The key was used for another request.")
        if known:
            return known[1]
        reply = self.write(request, scope)
        self.replies[scope["tenant"], key] = (request.method, request.path, request.body), reply
        return reply

    def write(self, request, scope):
        if self.settings["forbidden"]:
            raise Refused(403, "authorization", "scope", "The service identity may not write.")
        body = self.json_body(request)
        if body.get("provider_id") not in scope["providers"]:
            raise Refused(403, "authorization", "provider", "The token is not of this provider.", "/provider_id")
        if (request.method, request.path) == ("POST", "/work-orders"):
            return self.create(request, scope, body)
        order, verb = self.order_at(request.path, scope)
        if body.get("common_work_order_id") != order["common_work_order_id"]:
            raise Refused(409, "conflict", "identity", "The body names another work order.", "/common_work_order_id")
        self.check_revision(request, order)
        if (request.method, verb) == ("PATCH", None):
            return self.change(order, body, 200)
        if request.method == "POST" and verb in DOCUMENTS:
            return self.attach(order, verb, body)
        if request.method == "POST" and (verb in NOTES or verb in MOVES):
            return self.act(order, verb, body)
        raise Refused(405, "validation", "method", "There is no such call.")

    @staticmethod
    def json_body(request):
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise Refused(415, "validation", "content_type", "The body must be application/json.")
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "validation", "malformed", "The body must be a JSON object.")
        return body

    def visible(self, scope):
        return [order for order in self.orders
                if order["tenant"] == scope["tenant"] and order["provider_id"] in scope["providers"]]

    def order_at(self, path, scope):
        match = re.fullmatch(r"/work-orders/([^/]+)(?:/([a-z]+))?", path)
        if not match:
            raise Refused(404, "identity", "no_resource", "There is no such resource.")
        name = urllib.parse.unquote(match[1])
        for order in self.visible(scope):
            if name in (order["common_work_order_id"], order["source_work_order_id"]):
                return order, match[2]
        raise no_order()

    def check_revision(self, request, order):
        given = request.headers.get("if-match")
        if given is None and self.settings["require_revision"]:
            raise Refused(428, "conflict", "revision", "A revision is required.")
        if given is not None and given != f'"{order["revision"]}"':
            raise Refused(412, "conflict", "revision", f"The revision is {order['revision']}.")

    # ---- reading

    def read(self, request, scope):
        query = dict(urllib.parse.parse_qsl(request.query))
        if query.get("provider_id", scope["providers"][0]) not in scope["providers"]:
            raise Refused(403, "authorization", "provider", "The token is not of this provider.")
        if request.path == "/work-orders":
            return self.page(query, [self.shown(order) for order in self.found(query, scope)])
        if request.path == "/tasks":
            return self.page(query, [self.task_of(order) for order in self.found(query, scope)
                                     if query.get("assignee") in (None, order.get("assignee"))])
        order, verb = self.order_at(request.path, scope)
        if verb:
            raise Refused(405, "validation", "method", "There is no such call.")
        return self.answer_with(order, 200)

    def found(self, query, scope):
        since = query.get("updated_since")
        if since is not None and not is_time(since):
            raise Refused(400, "validation", "date_time", "updated_since is no UTC time.", "/updated_since")
        names = ("provider_id", "asset_ref", "common_status", "source_status", "priority", "source_priority")
        orders = [order for order in self.visible(scope) if (since is None or order["updated_at"] >= since)
                  and all(order[name] == query[name] for name in names if name in query)]
        return sorted(orders, key=lambda order: order["updated_at"])

    def page(self, query, items):
        cursor = query.get("cursor", "0")
        if not cursor.isdigit():
            raise Refused(400, "validation", "cursor", "The cursor is none of ours.", "/cursor")
        stop = int(cursor) + self.settings["page_size"]
        return Reply(200, {"items": items[int(cursor) : stop], "next": str(stop) if stop < len(items) else None})

    @staticmethod
    def shown(order):
        return {name: value for name, value in order.items() if name != "tenant"}

    @staticmethod
    def task_of(order):
        names = ("provider_id", "common_work_order_id", "asset_ref", "assignee", "common_status", "title", "updated_at")
        return {"task_id": f"T-{order['source_work_order_id']}", **{name: order.get(name) for name in names}}

    def answer_with(self, order, status, **more):
        return Reply(status, {**self.shown(order), **more}, {"ETag": f'"{order["revision"]}"'})

    # ---- writing

    def create(self, request, scope, body):
        problems = self.problems(body, FIELDS)
        if not problems and (body["source_work_order_id"], body["sync_state"], body["last_synced_at"]) != (None, "pending", None):
            problems = ["/source_work_order_id", "/sync_state", "/last_synced_at"]
        if not problems and not (is_text(body.get("title"), 250) or is_text(body.get("description"))):
            problems = ["/title"]
        if problems:
            raise Refused(422, "validation", "invalid", "The work order is not valid.", *problems)
        if request.headers["idempotency-key"] != body["common_work_order_id"]:
            raise Refused(400, "validation", "idempotency_key", "The key of a new order is its id.")
        self.known_asset(body["asset_ref"])
        if any(body["common_work_order_id"] == order["common_work_order_id"] for order in self.orders):
            raise Refused(409, "conflict", "duplicate", "There is a work order of this id.", "/common_work_order_id")
        return self.answer_with(self.add(scope["tenant"], body, "created"), 201)

    def problems(self, body, names):
        wrong = []
        for name in names:
            fits, nullable = FIELDS[name]
            if name not in body or not (body[name] is None and nullable or body[name] is not None and fits(body[name])):
                wrong.append(f"/{name}")
        for source, common in PAIRS:  # both, or neither
            if (body.get(source) is None) != (body.get(common) is None):
                wrong.append(f"/{source}")
        return wrong

    def known_asset(self, asset):
        if self.settings["assets"] is not None and asset not in self.settings["assets"]:
            raise Refused(404, "identity", "unknown_asset", "There is no such asset.", "/asset_ref")

    def add(self, tenant, body, event):
        order = {**body, "tenant": tenant, "revision": 1, "updated_at": self.now(), "sync_state": "synchronized"}
        order["source_work_order_id"] = body.get("source_work_order_id") or f"WO-{len(self.orders) + 1:06d}"
        order["last_synced_at"] = order["updated_at"]
        self.orders.append(order)
        self.tasks[order["common_work_order_id"]] = order
        self.tell(f"work_order.{event}", order)
        return order

    def move(self, order, status):
        if status != order["common_status"] and status not in NEXT[order["common_status"]].split():
            raise Refused(409, "conflict", "transition", f"{order['common_status']} -> {status}", "/common_status")

    def change(self, order, body, status, **more):
        """Merges what is changed into the order and tells it."""
        changed = {name: value for name, value in body.items() if name not in KEPT}
        problems = self.problems(body, ["sync_state", *(name for name in changed if name in FIELDS)])
        if problems or not changed:
            raise Refused(422, "validation", "invalid", "The change is not valid.", *problems)
        if "asset_ref" in changed:
            self.known_asset(changed["asset_ref"])
        self.move(order, changed.get("common_status", order["common_status"]))
        event = {"completed": "completed", "closed": "closed"}.get(changed.get("common_status"), "updated")
        order.update(changed, revision=order["revision"] + 1, updated_at=self.now())
        self.tell(f"work_order.{event}", order)
        return self.answer_with(order, status, **more)

    def act(self, order, verb, body):
        wanted, text = MOVES.get(verb), NOTES.get(verb)
        wrong = [] if text is None or is_text(body.get(text)) else [f"/{text}"]
        if wanted and body.get("common_status") != wanted:
            wrong.append("/common_status")
        percent = body.get("percent")
        if verb == "progress" and percent is not None and not (type(percent) in (int, float) and 0 <= percent <= 100):
            wrong.append("/percent")
        if wrong:
            raise Refused(422, "validation", "invalid", f"{verb} is not valid.", *wrong)
        self.notes.append({**body, "kind": verb})
        if verb in ("comments", "issues"):
            order.update(revision=order["revision"] + 1, updated_at=self.now())
            return self.answer_with(order, 201)
        return self.change(order, body, 200)

    def attach(self, order, verb, body):
        """FV-09d: a record holds its document and its work order."""
        if not is_text(body.get("document_ref"), 512):
            raise Refused(422, "validation", "required", "A document is required.", "/document_ref")
        if self.settings["documents"] is not None and body["document_ref"] not in self.settings["documents"]:
            raise Refused(404, "identity", "unknown_document", "The ECM has no such document.", "/document_ref")
        record = {**body, "attachment_id": str(uuid.uuid4()), "kind": verb,
                  "source_work_order_id": order["source_work_order_id"]}
        self.attachments.append(record)
        order.update(revision=order["revision"] + 1, updated_at=self.now())
        self.tell("attachment.added", order, attachment=record)
        return self.answer_with(order, 201, attachment_id=record["attachment_id"])

    # ---- webhooks

    def envelope(self, event, order, **more):
        return {"event": event, "event_id": str(uuid.uuid4()), "occurred_at": order["updated_at"],
                "emitted_at": self.now(), "provider_id": order["provider_id"],
                "work_order": {**{name: order.get(name) for name in FIELDS}, "revision": order["revision"]}, "raw": {}, **more}

    def tell(self, event, order, **more):
        if self.webhook_url and order["tenant"] == self.own["tenant"] and order["provider_id"] in self.own["providers"]:
            self.send(self.envelope(event, order, **more))

    def send(self, envelope):
        body = minified(envelope)
        headers = {self.settings["header"]: sign(self.secret, body)} if self.secret else {}
        tag = {"event": envelope.get("event"), "event_id": envelope.get("event_id")}
        self.spawn(self.courier.deliver(self.webhook_url, lambda attempt: headers, body, tag))

    # ---- control

    def control_reset(self):
        for kept in (self.orders, self.attachments, self.notes, self.replies, self.courier.log, self.courier.given_up):
            kept.clear()
        return super().control_reset()

    def control_order(self, request):
        given = json.loads(request.body)
        tenant = given.pop("tenant", self.own["tenant"])
        fields = {"common_work_order_id": f"FV/{len(self.orders) + 1}", "provider_id": "fv", "source_work_order_id": None,
                  "asset_ref": "P-101", "source_status": "Open", "common_status": "requested", "priority": None,
                  "source_priority": None, "sla_due_at": None, "title": "Made by hand", **given}
        return Reply(200, self.add(tenant, fields, "created"))

    def control_change(self, request):
        given = json.loads(request.body)
        name = given.pop("order")
        order = next(o for o in self.orders if name in (o["common_work_order_id"], o["source_work_order_id"]))
        order.update(given, revision=order["revision"] + 1, updated_at=self.now())
        kind = {"completed": "completed", "closed": "closed"}.get(given.get("common_status"), "updated")
        self.tell(f"work_order.{kind}", order)
        return Reply(200, order)

    def control_webhook(self, request):
        self.send(json.loads(request.body))
        return Reply(200, {})


def main():
    parser = command_line("A stand-in for FactVerse's CMMS integration, strict in its words.")
    parser.add_argument("--key", default="test-key", help="the bearer token")
    parser.add_argument("--tenant", default="north")
    parser.add_argument("--providers", type=lambda text: text.split(","), default="fv", help="of the token, with commas")
    parser.add_argument("--secret", help="signs webhooks; none: unsigned")
    parser.add_argument("--webhook-url", help="none: no webhooks")
    main_loop(FactVerse(**vars(parser.parse_args())), name="factverse")


if __name__ == "__main__":
    main()
