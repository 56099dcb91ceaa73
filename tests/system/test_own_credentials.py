# SPDX-License-Identifier: Apache-2.0
"""A target's own `auth` and `webhook_signature`, over what its plugin has, through the real daemon."""

import base64
import hashlib
import hmac
import json
import time

import pytest

from busbar_harness import KEY, configuration, http_call, wait_until

ROUTE = {"name": "wish", "from": "wish/{asset}", "to": "fv.work_order.create",
         "body": {"asset_ref": "${asset}", "title": "Look at ${asset}"}}
NEW, OLD = b"the key that is new", b"the key that was before"


def whsec(key):
    return "whsec_" + base64.b64encode(key).decode()


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256)


def standard(body, key=OLD, at=None, message="msg_1"):
    at = str(int(at or time.time()))
    signed = base64.b64encode(mac(key, f"{message}.{at}.".encode(), body).digest()).decode()
    return {"webhook-id": message, "webhook-timestamp": at, "webhook-signature": f"v1a,AAAA v1,{signed}"}


def own_scheme(body, key=OLD, at=None):
    at = str(int((at or time.time()) * 1000))
    return {"X-Time": at, "X-Sig": "v0=" + base64.b64encode(mac(key, f"v0:{at}:".encode(), body).digest()).decode()}


def pairs(body, key=OLD, at=None):
    at = str(int(at or time.time()))
    signs = ",".join(f"v1={mac(k, f'{at}.'.encode(), body).hexdigest()}" for k in (b"one that nobody knows here", key))
    return {"X-Pairs": f"t={at},{signs},v0=of-another-scheme"}


PROFILES = {
    "pairs": ({"profile": "hmac", "header": "X-Pairs", "sign_key": "v1", "time_key": "t", "signed": "{time}.{body}"},
              [NEW.decode(), OLD.decode()], pairs),
    "standard_webhooks": ({"profile": "standard_webhooks"}, [whsec(NEW), whsec(OLD)], standard),
    "github": ({"profile": "github"}, [NEW.decode(), OLD.decode()],
               lambda body, key=OLD: {"X-Hub-Signature-256": "sha256=" + mac(key, body).hexdigest()}),
    "hmac": ({"profile": "hmac", "header": "X-Sig", "prefix": "v0=", "encoding": "base64",
              "signed": "v0:{time}:{body}", "time_header": "X-Time"}, [NEW.decode(), OLD.decode()], own_scheme),
    "bearer": ({"profile": "bearer"}, [NEW.decode(), OLD.decode()],
               lambda body, key=OLD: {"Authorization": "Bearer " + key.decode()}),
}


@pytest.fixture
def daemon(tmp_path, broker, factverse, make_busbar):
    def make(**settings):
        target = {"plugin": "factverse", "url": factverse.url, "provider_id": "fv", "tenant": "north",
                  "mode": "write_back", "auth": {"bearer": KEY}, **settings}
        return make_busbar(configuration(tmp_path, broker, {"fv": target}, [ROUTE]))

    return make


def test_own_auth_stands_for_the_plugin_s_secret(daemon, factverse, publisher):
    running = daemon()
    publisher.publish("wish/P-1", {})
    wait_until(factverse.orders, 10, "an order, which the stand-in gives to a bearer of its key alone")
    shown = running.cli("check", "--defaults").stdout
    assert KEY not in shown and 'bearer: "***"' in shown
    seen = running.json("queue", "list", "--state", "delivered")["items"][0]["id"]
    assert KEY not in running.cli("queue", "show", seen).stdout


def test_own_auth_of_another_scheme_is_what_is_sent(daemon, factverse, publisher):
    daemon(auth={"header": {"name": "X-Key", "value": "another-key-of-ours"}})
    publisher.publish("wish/P-1", {})
    sent = wait_until(lambda: factverse.items("requests"), 10, "a request, which the stand-in refuses")[0]
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    assert headers["x-key"] == "another-key-of-ours" and "authorization" not in headers


@pytest.mark.parametrize("name", PROFILES)
def test_own_signature_is_what_opens_the_door(daemon, name, subscribe):
    settings, secrets, sign = PROFILES[name]
    events = subscribe("busbar/events/fv/#")
    running = daemon(webhook_signature=settings, webhook_secret=secrets)

    def knock(body, headers):
        return http_call(running.hook_port, "POST", "/hooks/fv", body, headers={"Content-Type": "application/json", **headers}).status

    body = json.dumps({"event": "weather.changed", "degrees": 7}).encode()
    assert knock(body, {}) == 401
    assert knock(body, sign(body, key=b"a key of somebody else")) == 401
    if name != "bearer":  # which proves who sent it, and nothing of what
        assert knock(body.replace(b"7", b"8"), sign(body)) == 401
    if name in ("standard_webhooks", "hmac", "pairs"):
        assert knock(body, sign(body, at=time.time() - 600)) == 401
    genuine = sign(body)
    assert knock(body, genuine) == 200
    assert knock(body, genuine) == 200, "a replay is answered, and is no news"
    other = body.replace(b"7", b"9")
    fresh = sign(other, key=NEW, message="msg_2") if name == "standard_webhooks" else sign(other, key=NEW)
    assert knock(other, fresh) == 200, "the other key signs too"
    wait_until(lambda: len(events.payloads("busbar/events/fv/#")) >= 2, 10, "both, once each")
    raw = sorted(event["data"]["provider"]["raw"]["degrees"] for event in events.payloads("busbar/events/fv/#"))
    assert raw == [7, 9]
