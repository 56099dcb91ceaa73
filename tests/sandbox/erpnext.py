#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for ERPNext's Issues over Frappe's REST API, by its public documentation: documents under /api/resource/<DocType>
within a member `data`, filters as JSON in the query, times in the site's own zone without an offset, errors told by `exc_type`
(a wrong link, a missing member and a wrong option are all 417), a token in Authorization.

    tests/sandbox/erpnext.py --key API_KEY:API_SECRET [--secret S --webhook-url http://127.0.0.1:8080/hooks/erp]

Served: POST and GET /api/resource/Issue, GET and PUT /api/resource/Issue/<name>, POST /api/resource/Comment. An Issue has
the custom fields custom_busbar_order and custom_asset (a link to Asset) that the example asks for.

Webhooks are as an administrator sets one up: the JSON of the example, signed in X-Frappe-Webhook-Signature (base64 of HMAC-SHA256
over the body), tried three times.

Control beside standin.py's
  POST /_control/config  {"webhook_url": .., "secret": .., "forbidden": bool, "utc_offset": hours, "key": ..}
  POST /_control/change  {"name": .., "webhook": true, ...}   somebody changes its fields
  POST /_control/issue   {...}                                one that a person wrote
  GET  /_control/issues | comments | webhooks
"""

import base64
import datetime
import hashlib
import hmac
import json
import urllib.parse

from standin import Courier, Reply, StandIn, command_line, main_loop, minified

STATUSES = ("Open", "Replied", "On Hold", "Resolved", "Closed")
PRIORITIES = ("Low", "Medium", "High", "Urgent")
ASSETS = ("P-101", "P-102")
FIELDS = ("subject", "description", "status", "priority", "custom_asset", "custom_busbar_order", "custom_due")
COMPARE = {"=": lambda a, b: a == b, ">=": lambda a, b: a is not None and a >= b}
SUBJECT_MAX = 140


def refusal(status, kind, message):
    return Reply(status, {"exception": f"frappe.exceptions.{kind}: {message}", "exc_type": kind, "exc": "[]"})


class Refused(Exception):
    def __init__(self, *arguments):
        super().__init__(arguments[2])
        self.reply = refusal(*arguments)


class ErpNext(StandIn):
    adjustable = ("key", "secret", "webhook_url", "forbidden", "utc_offset")

    def __init__(self, secret=None, webhook_url=None, **options):
        super().__init__(**options)
        self.secret, self.webhook_url, self.forbidden, self.utc_offset = secret, webhook_url, False, 2
        self.issues, self.comments, self.latest = [], [], None
        self.courier = Courier()
        self.control.update({
            ("GET", "issues"): lambda request: self.listed(request, self.issues),
            ("GET", "comments"): lambda request: self.listed(request, self.comments),
            ("GET", "webhooks"): lambda request: self.listed(request, self.courier.log),
            ("POST", "change"): self.control_change, ("POST", "issue"): self.control_issue})

    def now(self):
        """Of the site's wall, each later than the one before."""
        zone = datetime.timezone(datetime.timedelta(hours=self.utc_offset))
        now = datetime.datetime.now(zone).replace(tzinfo=None)
        if self.latest and now <= self.latest:
            now = self.latest + datetime.timedelta(microseconds=1)
        self.latest = now
        return now.strftime("%Y-%m-%d %H:%M:%S.%f")

    # ---- the API

    def handle(self, request):
        try:
            if request.headers.get("authorization") != f"token {self.key}":
                raise Refused(401, "AuthenticationError", "Invalid API key or token")
            if self.forbidden and request.method != "GET":
                raise Refused(403, "PermissionError", "No permission for Issue")
            return self.route(request)
        except Refused as refused:
            return refused.reply

    def route(self, request):
        parts = [urllib.parse.unquote(part) for part in request.path.strip("/").split("/")]
        if parts == ["api", "resource", "Issue"] and request.method == "POST":
            return self.create(self.body(request))
        if parts == ["api", "resource", "Issue"] and request.method == "GET":
            return self.list(dict(urllib.parse.parse_qsl(request.query)))
        if parts == ["api", "resource", "Comment"] and request.method == "POST":
            return self.comment(self.body(request))
        if parts[:3] == ["api", "resource", "Issue"] and len(parts) == 4:
            issue = self.find(parts[3])
            if request.method == "GET":
                return Reply(200, {"data": issue})
            if request.method == "PUT":
                return self.change(issue, self.body(request))
        raise Refused(404, "DoesNotExistError", "Page not found")

    @staticmethod
    def body(request):
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "DataError", "the request is no JSON object")
        return body

    def find(self, name):
        issue = next((issue for issue in self.issues if issue["name"] == name), None)
        if issue is None:
            raise Refused(404, "DoesNotExistError", f"Issue {name} not found")
        return issue

    @staticmethod
    def check(fields):
        for name in fields:
            if name not in FIELDS:
                raise Refused(417, "ValidationError", f"Issue has no field {name}")
        if not isinstance(fields.get("subject"), str) or not fields["subject"]:
            raise Refused(417, "MandatoryError", "[Issue]: subject")
        if len(fields["subject"]) > SUBJECT_MAX:
            raise Refused(417, "CharacterLengthExceededError", "subject is over 140 characters")
        if fields.get("status", "Open") not in STATUSES:
            raise Refused(417, "ValidationError", "Status cannot be that")
        if fields.get("priority", "Medium") not in PRIORITIES:
            raise Refused(417, "LinkValidationError", "Could not find Priority")
        if fields.get("custom_asset") not in (None, *ASSETS):
            raise Refused(417, "LinkValidationError", f"Could not find Asset: {fields['custom_asset']}")

    def create(self, body):
        self.check(body)
        issue = {"name": f"ISS-2026-{len(self.issues) + 1:05d}", "doctype": "Issue", "status": "Open", "priority": "Medium",
                 "creation": self.now(), **{name: None for name in FIELDS if name not in ("status", "priority")}, **body}
        issue["modified"] = self.now()
        self.issues.append(issue)
        self.tell("issue.created", issue)
        return Reply(200, {"data": issue})

    def change(self, issue, body):
        self.check({**{name: issue[name] for name in FIELDS}, **body})
        issue.update(body, modified=self.now())
        self.tell("issue.changed", issue)
        return Reply(200, {"data": issue})

    def list(self, query):
        try:
            filters, fields = json.loads(query.get("filters", "[]")), json.loads(query.get("fields", '["name"]'))
            start, length = int(query.get("limit_start", 0)), int(query.get("limit_page_length", 20))
        except ValueError as error:
            raise Refused(417, "ValidationError", "filters and fields are JSON") from error
        found = list(self.issues)
        for name, compare, value in filters:
            if name not in (*FIELDS, "name", "modified") or compare not in COMPARE:
                raise Refused(417, "DataError", f"no filter {name} {compare}")
            found = [issue for issue in found if COMPARE[compare](issue[name], value)]
        order, _, way = query.get("order_by", "modified desc").partition(" ")
        found.sort(key=lambda issue: issue[order], reverse=way == "desc")
        return Reply(200, {"data": [{name: issue[name] for name in fields} for issue in found[start:start + length]]})

    def comment(self, body):
        if body.get("reference_doctype") != "Issue" or not body.get("content"):
            raise Refused(417, "MandatoryError", "[Comment]: content")
        self.find(body.get("reference_name"))
        self.comments.append(body)
        return Reply(200, {"data": {"name": f"c{len(self.comments)}", **body}})

    # ---- webhooks

    def tell(self, event, issue):
        if not self.webhook_url:
            return
        told = {name: issue[name] for name in ("name", "status", "priority", "custom_asset", "custom_busbar_order", "modified")}
        body = minified({"event": event, "issue": told})
        signature = base64.b64encode(hmac.new(self.secret.encode(), body, hashlib.sha256).digest()).decode()
        headers = {"X-Frappe-Webhook-Signature": signature}
        self.spawn(self.courier.deliver(self.webhook_url, lambda attempt: headers, body, {"event": event, "issue": issue["name"]}))

    def control_change(self, request):
        said = json.loads(request.body)
        issue, webhook = self.find(said.pop("name")), said.pop("webhook", True)
        issue.update(said, modified=self.now())
        if webhook:
            self.tell("issue.changed", issue)
        return Reply(200, issue)

    def control_issue(self, request):
        return self.create(json.loads(request.body))

    def control_reset(self):
        self.issues.clear()
        self.comments.clear()
        self.courier.log.clear()
        return super().control_reset()


def main():
    parser = command_line("A stand-in for ERPNext's Issues over Frappe's REST API.")
    parser.add_argument("--key", default="api-key:api-secret")
    parser.add_argument("--secret", default="test-secret")
    parser.add_argument("--webhook-url", help="none: no webhooks")
    main_loop(ErpNext(**vars(parser.parse_args())), name="erpnext")


if __name__ == "__main__":
    main()
