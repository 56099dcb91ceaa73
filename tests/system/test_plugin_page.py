# SPDX-License-Identifier: Apache-2.0
"""plugins/README.md does what it says: its programs compile, its commands run and print what stands there, its
plugin works in the daemon, and nothing of the header is left out.

A fenced block whose first line names a file (```c fixit/fixit.c) is that file; several make it up in their order.
An sh block runs; a `text output` block behind it holds lines that the commands print, each in its order.
"""

import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading
import time

import pytest

from busbar_harness import BINARY, ROOT, configuration, http_call

PAGE = ROOT / "plugins" / "README.md"
HEADER = ROOT / "include" / "busbar" / "plugin.h"
WARNINGS = "-O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"


def blocks():
    """(language, rest of the info string, text) of each fenced block."""
    return re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def environment():
    path = f"{BINARY.parent}:{os.environ['PATH']}"
    return dict(os.environ, PATH=path, BUSBAR_INCLUDE=str(ROOT / "include"), CFLAGS=WARNINGS)


def follow(folder):
    """Does what the page says, from top to bottom. Answers the commands' outputs with what they should hold."""
    done, written = [], set()
    for language, info, text in blocks():
        if (language, info) == ("text", "output"):
            done[-1][1].extend(text.splitlines())
        elif info:
            file = folder / info
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "a" if info in written else "w", encoding="utf-8") as out:
                out.write(text if info not in written else "\n" + text)
            written.add(info)
        elif language == "sh":
            run = subprocess.run(["bash", "-euc", text], cwd=folder, env=environment(), capture_output=True, text=True,
                                 timeout=120, check=False)
            assert run.returncode == 0, f"{text}\n{run.stdout}\n{run.stderr}"
            done.append((run.stdout + run.stderr, []))
    return done


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return folder, follow(folder)


def test_commands_print_what_stands_there(followed):
    promised = 0
    for output, lines in followed[1]:
        at = 0
        for line in lines:
            at = output.find(line, at)
            assert at >= 0, f"{line!r} is not in its order in\n{output}"
            promised += 1
    assert promised > 5


def test_everything_of_the_header_is_taught():
    header = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    words = set(re.findall(r"\bBB_[A-Z_]+\b", header))
    for struct in ("bb_host", "bb_plugin", "bb_hook", "bb_signature", "bb_operation", "bb_request", "bb_out", "bb_event"):
        body = re.search(rf"struct {struct} {{(.*?)^}};", header, re.MULTILINE | re.DOTALL)[1]
        words |= set(re.findall(r"\(\*(\w+)\)\(", body)) | set(re.findall(r"(\w+)(?:, \w+)*;", body))
    words -= {"BB_CLASS_NONE", "context"}
    page = PAGE.read_text()
    assert len(words) > 80
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", page)) == []


def test_names_that_no_option_may_have():
    source = (ROOT / "core" / "descriptor.c").read_text()
    reserved = re.search(r"reserved_options\[\] = {(.*?)}", source, re.DOTALL)[1]
    sentence = re.search(r"These names are a target's own and no options:(.*?)\n\n", PAGE.read_text(), re.DOTALL)[1]
    assert re.findall(r"`(\w+)`", sentence) == re.findall(r'"(\w+)"', reserved)


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", re.sub(r"^```.*?^```$", "", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL))
    assert len(links) > 4
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


class Fixit(http.server.BaseHTTPRequestHandler):
    """The ticket desk that does not exist."""

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append(("GET", self.path, self.headers["Authorization"], None))
        self.answer(200, {"items": [{"id": "a-7"}] if "tag=P-101" in self.path else []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(("POST", self.path, self.headers["Authorization"], body))
        self.answer(201, {"id": "T-9"})

    def log_message(self, *_):
        pass


@pytest.fixture
def fixit():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fixit)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_its_plugin_works_in_the_daemon(followed, tmp_path, broker, make_busbar, publisher, subscribe, fixit):
    """There and back: a hot bearing becomes a ticket, the ticket's webhook becomes an event on the bus."""
    secret = tmp_path / "hook-secret"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    target = {"plugin": str(followed[0] / "fixit" / "fixit.so"), "url": f"http://127.0.0.1:{fixit.server_port}",
              "token": "t0ken", "site": "North Hall", "webhook_secret": f"${{file:{secret}}}", "mode": "write_back"}
    route = {"name": "bearing-hot", "from": "plant/{asset}/temperature", "trigger": {"above": 85, "clear": 80},
             "to": "fx.ticket.create", "body": {"asset": "${asset}", "title": "Bearing at ${value} °C"}}
    daemon = make_busbar(configuration(tmp_path, broker, {"fx": target}, [route]))
    bus = subscribe("busbar/events/#")
    publisher.publish("plant/P-101/temperature", "91")
    created = json.loads(bus.wait("busbar/events/fx/work_order/created")[0].payload)
    assert [each[:2] for each in fixit.seen] == [("GET", "/v1/sites/North%20Hall/assets?tag=P-101"), ("POST", "/v1/tickets")]
    assert {each[2] for each in fixit.seen} == {"Bearer t0ken"}
    ticket = fixit.seen[1][3]
    assert ticket["asset_id"] == "a-7" and ticket["title"] == "Bearing at 91 °C"
    assert created["data"]["work_order"]["asset_ref"] == "P-101"

    body = json.dumps({"id": "e-1", "event": "ticket.done",
                       "ticket": {"id": "T-9", "external_id": ticket["external_id"]}}).encode()
    now = str(int(time.time()))
    sign = hmac.new(b"s3cret", f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    answer = http_call(daemon.hook_port, "POST", "/hooks/fx", body, {"X-Fixit-Signature": f"t={now},v1={sign}"})
    assert answer.status == 200
    completed = json.loads(bus.wait("busbar/events/fx/work_order/completed")[0].payload)
    assert completed["subject"] == created["subject"]
    assert completed["data"]["work_order"]["common_status"] == "completed"
    assert http_call(daemon.hook_port, "POST", "/hooks/fx", body, {"X-Fixit-Signature": f"t={now},v1={'0' * 64}"}).status == 401
