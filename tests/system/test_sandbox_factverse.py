# SPDX-License-Identifier: Apache-2.0
"""The stand-in for FactVerse is as strict as the contract's words: one violation per constraint."""

import json

import pytest

from busbar_harness import KEY, SECRET, FactVerseSandbox, http_call, wait_until
from factverse import NEXT, STATUSES
from mobility_work import sign
from servers import Handler, Server

ORDERS = "/work-orders"
ORDER = {
    "common_work_order_id": "c-1", "provider_id": "fv", "source_work_order_id": None, "asset_ref": "P-101",
    "source_status": "Requested", "common_status": "requested", "priority": "high", "source_priority": "High",
    "sla_due_at": "2026-01-01T10:00:00Z", "sync_state": "pending", "last_synced_at": None, "title": "Bearing hot"}


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with FactVerseSandbox(tmp_path_factory.mktemp("factverse"), {}) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def fresh(standin):
    standin.control("POST", "reset")
    standin.configure(forbidden=False, require_revision=False, assets=None, documents=None, page_size=50, webhook_url=None,
                      secret=None, scopes={"south-fv": {"tenant": "south", "providers": ["fv"]},
                                           "north-sap": {"tenant": "north", "providers": ["sap"]},
                                           "south-sap": {"tenant": "south", "providers": ["sap"]}})


def call(standin, method, path, body=None, key="k-1", token=KEY, tenant="north", **headers):
    head = {"Authorization": f"Bearer {token}", "X-Tenant": tenant, "Idempotency-Key": key,
            **{name.replace("_", "-"): value for name, value in headers.items()}}
    return http_call(standin.port, method, path, body, {name: value for name, value in head.items() if value is not None})


def create(standin, **change):
    order = {**ORDER, **change}
    return call(standin, "POST", ORDERS, order, key=order["common_work_order_id"])


def about(order, **more):
    return {"common_work_order_id": order["common_work_order_id"], "provider_id": order["provider_id"],
            "source_work_order_id": order["source_work_order_id"], "sync_state": "pending", **more}


def refused(answer, status, error_class, code=None):
    assert answer.status == status, answer.body
    assert answer.json["class"] == error_class
    assert code is None or answer.json["code"] == code
    return {field["pointer"] for field in answer.json["rejected_fields"]}


def test_sandbox_factverse_takes_a_whole_order(standin):  # FV-01, FV-10
    answer = create(standin)
    assert answer.status == 201 and answer.headers["ETag"] == '"1"'
    assert answer.json["source_work_order_id"] and answer.json["sync_state"] == "synchronized"
    for name in (answer.json["source_work_order_id"], "c-1"):
        assert call(standin, "GET", f"{ORDERS}/{name}").json["title"] == "Bearing hot"


@pytest.mark.parametrize("name", [name for name in ORDER if name != "title"])
def test_sandbox_factverse_demands_each_field(standin, name):  # FV-01, FV-02
    order = {key: value for key, value in ORDER.items() if key != name}
    answer = call(standin, "POST", ORDERS, order, key="c-1")
    if name == "provider_id":
        refused(answer, 403, "authorization")
    else:
        assert f"/{name}" in refused(answer, 422, "validation")


@pytest.mark.parametrize("change, pointer", [
    ({"common_work_order_id": 7}, "/common_work_order_id"), ({"common_work_order_id": "x" * 129}, "/common_work_order_id"),
    ({"asset_ref": None}, "/asset_ref"), ({"asset_ref": ""}, "/asset_ref"), ({"asset_ref": 7}, "/asset_ref"),
    ({"common_status": "Requested"}, "/common_status"), ({"common_status": None}, "/common_status"),
    ({"source_status": None}, "/source_status"), ({"source_priority": None}, "/source_priority"),
    ({"priority": None}, "/source_priority"), ({"priority": "urgent"}, "/priority"),
    ({"sla_due_at": "2026-01-01T10:00:00+01:00"}, "/sla_due_at"), ({"sla_due_at": "2026-13-01T10:00:00Z"}, "/sla_due_at"),
    ({"sync_state": "Pending"}, "/sync_state"), ({"sync_state": "synchronized"}, "/sync_state"),
    ({"last_synced_at": "today"}, "/last_synced_at"), ({"source_work_order_id": "mine"}, "/source_work_order_id"),
    ({"title": ""}, "/title"), ({"title": "x" * 251}, "/title")])
def test_sandbox_factverse_refuses(standin, change, pointer):  # FV-01a..k
    order = {**ORDER, **change}
    assert pointer in refused(call(standin, "POST", ORDERS, order, key="c-1"), 422, "validation")
    assert standin.orders() == []


def test_sandbox_factverse_knows_tokens_tenants_and_providers(standin):  # FV-07a, FV-07b
    refused(call(standin, "GET", ORDERS, token="wrong"), 401, "authentication")
    refused(http_call(standin.port, "GET", ORDERS), 401, "authentication")
    refused(call(standin, "GET", ORDERS, tenant="south"), 403, "authorization", "tenant")
    refused(call(standin, "GET", ORDERS, tenant=None), 403, "authorization", "tenant")
    refused(call(standin, "GET", f"{ORDERS}?provider_id=sap"), 403, "authorization", "provider")
    assert refused(create(standin, provider_id="sap"), 403, "authorization", "provider") == {"/provider_id"}
    standin.configure(forbidden=True)
    refused(create(standin), 403, "authorization", "scope")


def test_sandbox_factverse_shows_each_scope_its_own(standin):  # FV-09a: 2 tenants x 2 providers
    made = {}
    for tenant in ("north", "south"):
        for provider in ("fv", "sap"):
            made[tenant, provider] = standin.control("POST", "order", {"tenant": tenant, "provider_id": provider})
    tokens = {("north", "fv"): KEY, ("north", "sap"): "north-sap", ("south", "fv"): "south-fv", ("south", "sap"): "south-sap"}
    for (tenant, provider), token in tokens.items():
        answer = call(standin, "GET", ORDERS, token=token, tenant=tenant).json
        assert [o["source_work_order_id"] for o in answer["items"]] == [made[tenant, provider]["source_work_order_id"]]
        for scope, order in made.items():
            answer = call(standin, "GET", f"{ORDERS}/{order['source_work_order_id']}", token=token, tenant=tenant)
            if scope == (tenant, provider):
                assert answer.status == 200
            else:
                refused(answer, 404, "identity")
                assert order["common_work_order_id"] not in answer.body.decode(), "without content"


def test_sandbox_factverse_does_a_key_once(standin):  # F-U9
    first, second = create(standin), create(standin)
    assert (first.status, first.body) == (second.status, second.body) and len(standin.orders()) == 1
    refused(create(standin, title="another"), 409, "conflict", "idempotency_key")
    refused(call(standin, "POST", ORDERS, {**ORDER, "common_work_order_id": "c-2"}, key="c-3"), 400, "validation")
    refused(call(standin, "POST", ORDERS, ORDER, key=None), 400, "validation", "idempotency_key")
    order = first.json
    for key in ("a", "a", "b"):
        call(standin, "POST", f"{ORDERS}/c-1/comments", about(order, text="hot"), key=key)
    assert len(standin.items("notes")) == 2


def test_sandbox_factverse_knows_its_assets(standin):  # FV-07d
    standin.configure(assets=["P-102"])
    assert refused(create(standin), 404, "identity", "unknown_asset") == {"/asset_ref"}


@pytest.mark.parametrize("before", [status for status in STATUSES if status != "unknown"])
def test_sandbox_factverse_holds_to_the_lifecycle(standin, before):  # FV-04, FV-09c
    for n, after in enumerate(status for status in STATUSES if status != "unknown"):
        order = standin.control("POST", "order", {"common_status": before})
        body = about(order, common_status=after, source_status=after)
        answer = call(standin, "PATCH", f"{ORDERS}/{order['source_work_order_id']}", body, key=f"{before}-{n}")
        if after == before or after in NEXT[before].split():
            assert answer.status == 200 and answer.json["common_status"] == after
        else:
            assert refused(answer, 409, "conflict", "transition") == {"/common_status"}


def test_sandbox_factverse_holds_to_the_revision(standin):  # F-U8
    order = create(standin).json
    path = f"{ORDERS}/{order['source_work_order_id']}"
    changed = call(standin, "PATCH", path, about(order, title="hotter"), key="1", If_Match='"1"')
    assert changed.status == 200 and changed.headers["ETag"] == '"2"'
    refused(call(standin, "PATCH", path, about(order, title="colder"), key="2", If_Match='"1"'), 412, "conflict", "revision")
    standin.configure(require_revision=True)
    refused(call(standin, "PATCH", path, about(order, title="colder"), key="3"), 428, "conflict", "revision")
    assert call(standin, "GET", path).json["title"] == "hotter"


def test_sandbox_factverse_takes_each_action(standin):  # FV-10, FV-11
    order = create(standin).json
    path = f"{ORDERS}/{order['source_work_order_id']}"
    steps = [("assign", {"assignee": "pat", "common_status": "assigned", "source_status": "Assigned"}),
             ("progress", {"percent": 40, "common_status": "in_progress", "source_status": "In Progress"}),
             ("comments", {"text": "hot"}), ("issues", {"title": "shaft worn"}),
             ("closeout", {"resolution_note": "new", "common_status": "completed", "source_status": "Completed"}),
             ("close", {"common_status": "closed", "source_status": "Closed"}),
             ("reopen", {"common_status": "reopened", "source_status": "Reopened"}),
             ("complete", {"common_status": "completed", "source_status": "Completed"}),
             ("reopen", {"common_status": "reopened", "source_status": "Reopened"}),
             ("cancel", {"common_status": "canceled", "source_status": "Canceled"})]
    for n, (verb, body) in enumerate(steps):
        answer = call(standin, "POST", f"{path}/{verb}", about(order, **body), key=f"s{n}")
        assert answer.status in (200, 201), (verb, answer.body)
    assert call(standin, "GET", path).json["revision"] == len(steps) + 1
    for verb, body, pointer in [("assign", {"common_status": "assigned"}, "/assignee"), ("comments", {}, "/text"),
                                ("issues", {"title": ""}, "/title"), ("progress", {"percent": 101}, "/percent"),
                                ("closeout", {"common_status": "completed"}, "/resolution_note"),
                                ("close", {"common_status": "completed"}, "/common_status"), ("reopen", {}, "/common_status")]:
        assert pointer in refused(call(standin, "POST", f"{path}/{verb}", about(order, **body), key=f"x{verb}"), 422, "validation")
    refused(call(standin, "POST", f"{path}/destroy", about(order), key="d"), 405, "validation")
    refused(call(standin, "POST", f"{ORDERS}/none/close", about(order), key="e"), 404, "identity", "unknown_work_order")
    refused(call(standin, "POST", f"{path}/close", {**about(order), "common_work_order_id": "c-9"}, key="f"), 409, "conflict")
    refused(call(standin, "PATCH", path, {**about(order, title="x"), "sync_state": "done"}, key="g"), 422, "validation")
    refused(call(standin, "PATCH", path, about(order), key="h"), 422, "validation")


@pytest.mark.parametrize("verb", ["attachments", "evidence"])
def test_sandbox_factverse_links_documents_to_orders(standin, verb):  # FV-09d, FV-13
    order = create(standin).json
    path = f"{ORDERS}/{order['source_work_order_id']}/{verb}"
    answer = call(standin, "POST", path, about(order, document_ref="ecm:1"), key="a")
    assert answer.status == 201 and answer.json["attachment_id"]
    (record,) = standin.items("attachments")
    assert (record["document_ref"], record["source_work_order_id"]) == ("ecm:1", order["source_work_order_id"])
    assert refused(call(standin, "POST", path, about(order), key="b"), 422, "validation") == {"/document_ref"}
    standin.configure(documents=["ecm:1"])
    refused(call(standin, "POST", path, about(order, document_ref="ecm:2"), key="c"), 404, "identity", "unknown_document")
    refused(call(standin, "POST", f"{ORDERS}/none/{verb}", about(order, document_ref="ecm:1"), key="d"), 404, "identity")
    assert len(standin.items("attachments")) == 1


def test_sandbox_factverse_pages_and_filters(standin):  # FV-12
    standin.configure(page_size=2)
    for n in range(5):
        standin.control("POST", "order", {"asset_ref": f"P-{n % 2}", "assignee": "pat" if n == 3 else None})
    seen, path = [], f"{ORDERS}?provider_id=fv"
    while path:
        page = call(standin, "GET", path).json
        assert len(page["items"]) <= 2
        seen += [o["common_work_order_id"] for o in page["items"]]
        path = f"{ORDERS}?provider_id=fv&cursor={page['next']}" if page["next"] else None
    assert seen == [f"FV/{n}" for n in range(1, 6)]
    assert [o["asset_ref"] for o in call(standin, "GET", f"{ORDERS}?asset_ref=P-1").json["items"]] == ["P-1", "P-1"]
    changed = standin.change("FV/2", title="again")
    since = call(standin, "GET", f"{ORDERS}?updated_since={changed['updated_at']}").json["items"]
    assert [o["common_work_order_id"] for o in since] == ["FV/2"]
    refused(call(standin, "GET", f"{ORDERS}?updated_since=yesterday"), 400, "validation")
    (task,) = call(standin, "GET", "/tasks?assignee=pat").json["items"]
    assert task["common_work_order_id"] == "FV/4" and task["provider_id"] == "fv"


def test_sandbox_factverse_wants_json(standin):
    assert call(standin, "POST", ORDERS, b"{", Content_Type="application/json").status == 400
    assert call(standin, "POST", ORDERS, b"[]", Content_Type="application/json").status == 400
    assert call(standin, "POST", ORDERS, b"{}", Content_Type="text/plain").status == 415


def test_sandbox_factverse_signs_its_webhooks_and_tries_again(standin):  # F-U6, FV-06a..e
    came = []

    class Door(Handler):
        def do_POST(self):
            came.append((self.headers["X-FactVerse-Signature"], self.read()))
            self.answer(503 if len(came) == 1 else 200)

    with Server(Door) as server:
        standin.configure(webhook_url=f"{server.url}/hooks/fv", secret=SECRET, retry_delay=0.05)
        order = create(standin).json
        wait_until(lambda: len(came) == 2, 10, "the webhook and its second try")
        path = f"{ORDERS}/{order['source_work_order_id']}"
        call(standin, "POST", f"{path}/attachments", about(order, document_ref="ecm:1"), key="a")
        for status in ("assigned", "completed", "closed"):
            standin.change("c-1", common_status=status)
        wait_until(lambda: len(came) == 6, 10, "four more")
    signature, body = came[1]
    when, nonce, _ = (part.partition("=")[2] for part in signature.split(","))
    assert signature == sign(SECRET, body, int(when), nonce) and came[0][1] == body
    names = [json.loads(body)["event"] for _, body in came[1:]]
    assert sorted(names) == ["attachment.added", "work_order.closed", "work_order.completed", "work_order.created",
                             "work_order.updated"]
