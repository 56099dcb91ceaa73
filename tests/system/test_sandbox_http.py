# SPDX-License-Identifier: Apache-2.0
"""The stand-ins of the plugin http's examples refuse what the real systems refuse."""

import base64

from busbar_harness import KEY, SECRET, AtlasSandbox, ErpNextSandbox, http_call


def test_atlas(make_sandbox):
    atlas = make_sandbox("--secret", SECRET, kind=AtlasSandbox)

    def call(method, path, body=None, key=KEY):
        return http_call(atlas.port, method, path, body, headers={"x-api-key": key})

    good = {"title": "T", "customFields": [], "customId": "mine", "asset": {"id": 11}, "dueDate": "2026-01-01T00:00:00.000Z"}
    assert call("POST", "/work-orders", good, key="no").status == 401
    for wrong, status in (({"title": None}, 400), ({"priority": "URGENT"}, 400), ({"dueDate": "tomorrow"}, 400),
                          ({"asset": {"id": 99}}, 404), ({"asset": {"id": "11"}}, 400), ({"customFields": None}, 500)):
        assert call("POST", "/work-orders", {**good, **wrong}).status == status, wrong
    order = call("POST", "/work-orders", good).json
    assert order["customId"] == "WO000001", "its own, whatever is sent"
    assert call("PATCH", f"/work-orders/{order['id']}/change-status", {"status": "DONE"}).status == 400
    assert call("PATCH", "/work-orders/7/change-status", {"status": "COMPLETE"}).status == 404
    rule = {"field": "updatedAt", "operation": "ge", "enumName": "JS_DATE"}
    assert call("POST", "/work-orders/search", {"filterFields": [{**rule, "value": "2020-01-01"}]}).status == 500
    found = call("POST", "/work-orders/search", {"filterFields": [{**rule, "value": "2020-01-01T00:00:00.000Z"}]}).json
    assert [o["id"] for o in found["content"]] == [order["id"]] and found["last"]
    assert call("POST", "/work-orders/search", {"pageNum": 1}).json["content"] == [], "pages are counted from 0"


def test_erpnext(make_sandbox):
    erp = make_sandbox("--secret", SECRET, kind=ErpNextSandbox)
    issues = "/api/resource/Issue"

    def call(method, path, body=None, key=KEY):
        return http_call(erp.port, method, path, body, headers={"Authorization": f"token {key}"})

    def kind(answer):
        return answer.status, answer.json["exc_type"]

    assert kind(call("POST", issues, {"subject": "T"}, key="no")) == (401, "AuthenticationError")
    assert kind(call("POST", issues, {})) == (417, "MandatoryError")
    assert kind(call("POST", issues, {"subject": "T" * 141})) == (417, "CharacterLengthExceededError")
    assert kind(call("POST", issues, {"subject": "T", "custom_asset": "P-9"})) == (417, "LinkValidationError")
    assert kind(call("POST", issues, {"subject": "T", "priority": "high"})) == (417, "LinkValidationError")
    assert kind(call("POST", issues, {"subject": "T", "colour": "red"})) == (417, "ValidationError")
    assert kind(call("GET", f"{issues}/ISS-7")) == (404, "DoesNotExistError")
    issue = call("POST", issues, {"subject": "T"}).json["data"]
    assert "T" not in issue["modified"] and "+" not in issue["modified"], "the site's wall clock"
    assert call("GET", issues).json["data"] == [{"name": issue["name"]}], "the name alone, unless more is asked for"
    erp.configure(forbidden=True)
    assert kind(call("PUT", f"{issues}/{issue['name']}", {"status": "Closed"})) == (403, "PermissionError")


def test_identity(identity):
    basic = {"Authorization": "Basic " + base64.b64encode(f"busbar%20edge:{KEY}".encode()).decode()}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    grant = b"grant_type=client_credentials"

    def token(body, **headers):
        return http_call(identity.port, "POST", "/token", body, headers=headers)

    assert token(grant, **basic).status == 400, "no form"
    assert token(b"grant_type=password", **basic, **form).status == 400
    assert token(grant, **form).status == 401
    text = token(grant, **basic, **form).json["access_token"]

    def thing(credential):
        return http_call(identity.port, "POST", "/things", {}, headers={"Authorization": credential}).status

    assert thing(f"Bearer {text}") == 201 and thing(text) == 401 and thing("Bearer other") == 401
    identity.control("POST", "revoke")
    assert thing(f"Bearer {text}") == 401
