# SPDX-License-Identifier: Apache-2.0
"""Lookups are asked once while their answer is good; a poll's cursor moves with its events."""

import http.server
import threading

import pytest

from busbar_harness import BINARY, wait_until

PLUGIN = BINARY.parent / "tests" / "plugins" / "lookup.so"


class Target(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.newest, self.status = [], 3, 200

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, start):
        return len([a for a in self.asked if a.startswith(start)])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, text):
        self.server.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(str(self.server.newest) if self.path.startswith("/changes") else '{"id":7}')

    def do_POST(self):
        self.answer("null")

    def log_message(self, *_):
        pass


@pytest.fixture
def target():
    server = Target()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def daemon(busbar, target):
    daemon = busbar([{"name": "ticket", "from": "ticket/{tag}", "to": "desk.ticket.create", "body": "${tag}"}],
                    start=False)
    daemon.config["targets"]["desk"] = {"plugin": str(PLUGIN), "url": target.url, "mode": "write_back"}
    daemon.write()
    daemon.start()
    return daemon


def test_a_lookup_is_asked_once(daemon, target, publisher):
    for n in range(20):
        publisher.publish(f"ticket/pump-{n % 2}", {})
    wait_until(lambda: target.count("POST /tickets") == 20, 10, "20 tickets")
    assert target.count("GET /assets/pump-0") == 1 and target.count("GET /assets/pump-1") == 1


def test_a_poll_tells_each_change_once_over_restarts(daemon, target, subscribe):
    events = subscribe("busbar/events/desk/#")

    def told():
        return sorted(e["data"]["provider"]["raw"] for e in events.payloads())

    daemon.kill()
    target.newest = 5
    daemon.start()
    wait_until(lambda: target.count("GET /changes?since=5") > 2, 10, "polls with the new cursor")
    target.newest = 6
    wait_until(lambda: 6 in told(), 10, "change 6")
    ids = {}
    for event in events.payloads():  # the subscriber may have missed 1..3, told before it came
        ids.setdefault(event["data"]["provider"]["raw"], set()).add(event["id"])
    assert set(ids) >= {4, 5, 6} and all(len(i) == 1 for i in ids.values())
    assert told().count(6) == 1


def test_connectors_are_configured_and_watched(daemon, target, sandbox, publisher):  # FV-14
    """Imports, exports, webhooks and sync jobs of each connector, and what is wrong with one."""

    def connectors():
        return {each["name"]: each for each in daemon.api("GET", "targets").json["items"]}

    wait_until(lambda: connectors()["desk"]["poll"]["last_done"] and connectors()["mw"]["at_start"]["last_done"], 10)
    desk, mw = connectors()["desk"], connectors()["mw"]
    assert (desk["plugin"], desk["mode"], desk["url"], desk["state"]) == (str(PLUGIN.stem), "write_back", target.url, "up")
    assert desk["poll"]["every_ms"] > 0 and desk["poll"]["error"] is None and desk["webhook"] is None
    assert (mw["webhook"], mw["poll"], mw["at_start"]["operation"]) == ("/hooks/mw", None, "network.settings")
    publisher.publish("ticket/pump-1", {})  # an export
    daemon.hook(b'{"_event": "TaskWasStarted", "_idempotencyKey": "1"}')  # an import, and one that is refused
    daemon.hook(b"{}", secret="wrong")
    exported = {"verdict": "delivered", "target": "desk"}
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", **exported) == 1, 10)
    metrics = daemon.metrics()
    assert metrics.sum("busbar_webhooks_total", target="mw", outcome="accepted") == 1
    assert metrics.sum("busbar_webhooks_total", target="mw", outcome="bad_signature") == 1
    assert metrics.sum("busbar_http_requests_total", target="desk", code="200") >= 2
    before = connectors()["desk"]["poll"]["last_done"]
    target.status = 503  # the sync job fails, and says so
    wait_until(lambda: connectors()["desk"]["poll"]["failures_in_a_row"] > 0, 20, "a poll in vain")
    poll = connectors()["desk"]["poll"]
    assert poll["error"] == "http_503" and poll["last_done"] >= before and connectors()["desk"]["reason"]
