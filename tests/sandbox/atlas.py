#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Atlas CMMS's API, by what its public source shows: POST /work-orders gives every order a customId of its own
(so none of ours fits into it), searches are a POST with filterFields, an unknown asset is 404, statuses and priorities are
closed lists. Webhooks are signed over the body alone, name their event in an unsigned header, and are sent once.

    tests/sandbox/atlas.py --key KEY [--secret S --webhook-url http://127.0.0.1:8080/hooks/atlas]

Served: POST /work-orders, POST /work-orders/search, GET and PATCH /work-orders/{id}, PATCH /work-orders/{id}/change-status,
POST /assets/search, POST /readings. Its rate limit answers 429 with Retry-After; a reading too early for its meter is 406.

Control beside standin.py's
  POST /_control/config  {"webhook_url": .., "secret": .., "meter_ready": bool, "key": ..}
  POST /_control/status  {"order": id, "status": S, "webhook": true}   somebody changes it
  GET  /_control/orders | readings | webhooks
"""

import datetime
import hashlib
import hmac
import json
import re
import time
import uuid

from standin import Courier, Reply, StandIn, command_line, main_loop, minified

STATUSES = ("OPEN", "IN_PROGRESS", "ON_HOLD", "COMPLETE")
PRIORITIES = ("NONE", "LOW", "MEDIUM", "HIGH")
JS_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
SEARCHABLE = ("id", "title", "description", "status", "updatedAt", "customId")
ASSETS = {"P-101": 11, "P-102": 12}


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.reply = Reply(status, {"success": False, "message": message})


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+00:00"


class Atlas(StandIn):
    secret_headers = ("x-api-key",)
    adjustable = ("key", "secret", "webhook_url", "meter_ready")

    def __init__(self, secret=None, webhook_url=None, **options):
        super().__init__(**options)
        self.secret, self.webhook_url, self.meter_ready = secret, webhook_url, True
        self.orders, self.readings = [], []
        self.courier = Courier(deliveries=1)  # sent once
        self.control.update({
            ("GET", "orders"): lambda request: self.listed(request, self.orders),
            ("GET", "readings"): lambda request: self.listed(request, self.readings),
            ("GET", "webhooks"): lambda request: self.listed(request, self.courier.log),
            ("POST", "status"): self.control_status})

    # ---- the API

    def handle(self, request):
        if request.headers.get("x-api-key") != self.key:
            return Reply(401, {"success": False, "message": "Invalid API key"})
        try:
            return self.route(request)
        except Refused as refused:
            return refused.reply

    def route(self, request):
        parts = request.path.strip("/").split("/")
        if (request.method, request.path) == ("POST", "/work-orders"):
            return self.create(self.body(request))
        if (request.method, request.path) == ("POST", "/work-orders/search"):
            return self.search(self.body(request))
        if (request.method, request.path) == ("POST", "/assets/search"):
            return self.search_assets(self.body(request))
        if (request.method, request.path) == ("POST", "/readings"):
            return self.read_meter(self.body(request))
        if parts[0] == "work-orders" and len(parts) == 2 and request.method == "GET":
            return Reply(200, self.find(parts[1]))
        if parts[0] == "work-orders" and len(parts) == 2 and request.method == "PATCH":
            return self.patch(self.find(parts[1]), self.body(request))
        if parts[0] == "work-orders" and parts[2:] == ["change-status"] and request.method == "PATCH":
            return self.change(self.find(parts[1]), self.body(request))
        raise Refused(404, "Not found")

    @staticmethod
    def body(request):
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise Refused(415, "Unsupported media type")
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "JSON parse error")
        return body

    def find(self, text):
        if not text.isdigit():
            raise Refused(400, "an id is a number")
        order = next((o for o in self.orders if o["id"] == int(text)), None)
        if order is None:
            raise Refused(404, "WorkOrder not found")
        return order

    @staticmethod
    def fields(body):
        if not isinstance(body.get("title"), str) or not body["title"]:
            raise Refused(400, "title must not be null")
        if body.get("priority", "NONE") not in PRIORITIES:
            raise Refused(400, f"not one of the values accepted for Enum class: {PRIORITIES}")
        if body.get("dueDate") is not None and not DATE.fullmatch(str(body["dueDate"])):
            raise Refused(400, "cannot deserialize value of type java.util.Date")
        asset = body.get("asset")
        if asset is not None and (not isinstance(asset, dict) or not isinstance(asset.get("id"), int)):
            raise Refused(400, "cannot deserialize value of type Asset")
        if asset is not None and asset["id"] not in ASSETS.values():
            raise Refused(404, "Asset not found")
        return {name: body.get(name) for name in ("title", "description", "dueDate")} | {
            "priority": body.get("priority", "NONE"),
            "asset": asset and next({"id": i, "customId": c} for c, i in ASSETS.items() if i == asset["id"])}

    def create(self, body):
        if not isinstance(body.get("customFields"), list):
            raise Refused(500, "NullPointerException: getCustomFields()")
        order = {"id": 1000 + len(self.orders), "customId": f"WO{len(self.orders) + 1:06d}", "status": "OPEN",
                 "createdAt": now(), "updatedAt": now(), **self.fields(body)}
        self.orders.append(order)
        return Reply(200, order)

    def patch(self, order, body):
        order.update(self.fields(body), updatedAt=now())
        return Reply(200, order)

    def change(self, order, body):
        if body.get("status") not in STATUSES:
            raise Refused(400, f"not one of the values accepted for Enum class: {STATUSES}")
        self.set_status(order, body["status"])
        return Reply(200, order)

    def set_status(self, order, status, webhook=True):
        before = order["status"]
        order.update(status=status, updatedAt=now())
        if webhook and self.webhook_url:
            self.tell(order, before)

    @staticmethod
    def page(found, body):
        size, number = body.get("pageSize", 10), body.get("pageNum", 0)
        if not isinstance(size, int) or not isinstance(number, int):
            raise Refused(400, "pageSize and pageNum are numbers")
        part = found[number * size:(number + 1) * size]
        return Reply(200, {"content": part, "number": number, "size": size, "totalElements": len(found),
                           "last": (number + 1) * size >= len(found)})

    @staticmethod
    def fits(item, rule):
        field, value = rule.get("field"), rule.get("value")
        if field not in SEARCHABLE:
            raise Refused(400, f"no attribute {field}")
        if rule.get("operation") == "eq":
            return item[field] == value
        if rule.get("operation") == "cn":
            return str(value).lower() in (item[field] or "").lower()
        if rule.get("operation") == "ge" and rule.get("enumName") == "JS_DATE":
            if not JS_DATE.fullmatch(str(value)):
                raise Refused(500, "the date is none")
            return item[field][:23] >= value[:23]
        raise Refused(500, "no such operation")

    def search(self, body):
        rules = body.get("filterFields", [])
        found = [order for order in self.orders if all(self.fits(order, rule) for rule in rules)]
        found.sort(key=lambda order: order[body.get("sortField", "id")], reverse=body.get("direction") == "DESC")
        return self.page(found, body)

    def search_assets(self, body):
        found = [{"id": i, "customId": c, "name": f"Pump {c}"} for c, i in ASSETS.items()]
        for rule in body.get("filterFields", []):
            if rule.get("operation") != "eq" or rule.get("field") not in ("customId", "name", "barCode"):
                raise Refused(400, "no such filter")
            found = [asset for asset in found if asset.get(rule["field"]) == rule.get("value")]
        return self.page(found, body)

    def read_meter(self, body):
        if not isinstance(body.get("value"), (int, float)) or not isinstance(body.get("meter", {}).get("id"), int):
            raise Refused(400, "value and meter must not be null")
        if not self.meter_ready:
            raise Refused(406, "The update frequency has not been respected")
        self.readings.append(body)
        return Reply(200, {"id": len(self.readings), **body})

    # ---- webhooks

    def tell(self, order, before):
        body = minified({"workOrderId": order["id"], "workOrderTitle": order["title"], "previousStatus": before,
                         "newStatus": order["status"], "occurredAt": now(), "companyId": 1, "changedWorkOrder": order})
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Webhook-Signature": signature, "X-Webhook-Timestamp": str(int(time.time() * 1000)),
                   "X-Webhook-Id": str(uuid.uuid4()), "X-Webhook-Event": "WORK_ORDER_STATUS_CHANGE"}
        self.spawn(self.courier.deliver(self.webhook_url, lambda attempt: headers, body, {"order": order["id"]}))

    def control_status(self, request):
        said = json.loads(request.body)
        order = next(o for o in self.orders if o["id"] == said["order"])
        self.set_status(order, said["status"], said.get("webhook", True))
        return Reply(200, order)

    def control_reset(self):
        self.orders.clear()
        self.readings.clear()
        self.courier.log.clear()
        return super().control_reset()


def main():
    parser = command_line("A stand-in for Atlas CMMS's API.")
    parser.add_argument("--key", default="test-key")
    parser.add_argument("--secret", default="test-secret")
    parser.add_argument("--webhook-url", help="none: no webhooks, as a free installation has none")
    main_loop(Atlas(**vars(parser.parse_args())), name="atlas")


if __name__ == "__main__":
    main()
