# SPDX-License-Identifier: Apache-2.0
"""Secrets that nobody can mistake, planted wherever one can stand, against a target that answers with them: none comes out
anywhere. And a secret that is rotated is taken without a restart."""

import base64
import json
import re
import shutil
import urllib.parse
import uuid

import pytest

from busbar_harness import SECRET, Subscriber, configuration, http_call, mw_target, wait_until
from servers import Handler, Server
from test_reload import lines, make_certificate


def spelled(text):
    """As a URL, a form, and JSON may show it, and the first two in what is encoded once more."""
    url, form = urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text)
    return " ".join([url, url.lower(), form, urllib.parse.quote(url), "".join(f"\\u{ord(c):04x}" for c in text),
                     json.dumps(json.dumps(text)), text.replace("/", "\\/"), text.replace("+", "-").replace("/", "_")])


def unspelled(data):
    """What can be read in it: as it is, and decoded in each of those ways, up to three times."""
    for _ in range(4):
        yield data
        yield re.sub(rb"\\+", b"", data)
        yield data.replace(b"+", b" ")
        data = re.sub(rb"\\+u00([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), urllib.parse.unquote_to_bytes(data))


class Echo(Handler):
    """Answers each request with all that it was sent, in the way that its path asks for."""

    protocol_version = "HTTP/1.1"

    def take(self):
        body = self.read()
        sent = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        credential = self.headers.get("Authorization") or self.headers.get("X-Key") or ""
        self.server.seen.append((self.path, credential))
        status = next((int(word) for word in self.path.strip("/").split("/") if word.isdigit()), 200)
        if self.path.endswith("/token"):
            status, text = 200, json.dumps({"access_token": self.server.token, "token_type": "Bearer", "expires_in": 3600})
        else:
            secret = credential.removeprefix("Bearer ").removeprefix("Basic ")
            text = json.dumps({"error": f"refused: {sent} {body.decode()} {spelled(secret)}", "you": credential,
                               "code": credential, "detail": spelled(secret)})
        back = {"Location": f"http://127.0.0.1:1/?token={credential}"} if status == 302 else {}
        self.answer(status, text.encode(), X_You_Sent=credential, Request_Id=credential,
                    WWW_Authenticate=f'Bearer error="{credential}"', **back)

    do_POST = do_GET = do_PUT = do_PATCH = take


SENT = ("bearer", "basic", "header", "oauth2", "post")  # that a target may answer with
TAIL = '+"\\%2f=/x'  # what each of the ways to spell them spells otherwise


class Planted(dict):
    """name -> secret; each in a file of its own, as ${file:...}"""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def put(self, name, text=None):
        self[name] = text or f"planted{'/' if name in SENT else '-'}{name}-{uuid.uuid4().hex}{TAIL if name in SENT else ''}"
        path = self.folder / name
        path.write_text(self[name] + "\n")
        path.chmod(0o600)
        return f"${{file:{path}}}"

    def leaks(self, data):
        """Names of those that are in it: as they are, and as base64, percent-encoding and JSON show them."""
        data = b"\n".join(unspelled(data if isinstance(data, bytes) else data.encode()))
        return {name for name, text in self.items() if any(shown.encode() in data for shown in shapes(text))}


def shapes(text):
    """What unspelled() leaves of it; within a longer base64 at each of its three places."""
    for same in (text, text.replace("+", "-").replace("/", "_")):
        yield from (same, same.replace("\\", ""))
    for i in range(3):
        yield base64.b64encode(b"x" * i + text.encode()).decode()[4 * (i > 0) + 4:-8]


def test_a_leak_would_be_seen(planted):
    planted.put("bearer")
    for way in spelled(planted["bearer"]).split(" "):
        assert planted.leaks(json.dumps({"a": way})) == {"bearer"}, way


STATUSES = (200, 302, 400, 401, 403, 500)


@pytest.fixture
def planted(tmp_path):
    folder = tmp_path / "planted"
    folder.mkdir()
    return Planted(folder)


@pytest.fixture
def echo():
    with Server(Echo, seen=[]) as echo:
        yield echo


@pytest.fixture
def daemon(tmp_path, broker, sandbox, echo, planted, make_busbar, monkeypatch):
    """Every kind of credential, each target asked in every way to give it back."""
    planted["environment"] = f"planted-environment-{uuid.uuid4().hex}"
    monkeypatch.setenv("PLANTED", planted["environment"])
    echo.token = planted["token"] = f"planted-token-{uuid.uuid4().hex}"
    oauth2 = {"token_url": f"{echo.url}/token", "client_id": "edge"}
    kinds = {"bearer": {"bearer": planted.put("bearer")}, "basic": {"basic": {"user": "u", "password": planted.put("basic")}},
             "header": {"header": {"name": "X-Key", "value": planted.put("header")}}, "env": {"bearer": "${env:PLANTED}"},
             "oauth2": {"oauth2": {**oauth2, "client_secret": planted.put("oauth2")}},
             "post": {"oauth2": {**oauth2, "client_auth": "post", "client_secret": planted.put("post")}}}
    targets, routes = {"mw": mw_target(sandbox, api_key=planted.put("api-key"), webhook_secret=planted.put("webhook"))}, []
    for kind, auth in kinds.items():
        for status in STATUSES:
            name = f"{kind}-{status}"
            targets[name] = {"plugin": "http", "url": f"{echo.url}/{status}", "auth": auth, "mode": "write_back",
                             "operations": {"thing.make": {"path": "/things"}},
                             "retry": {"first": "50ms", "max": "50ms", "attempts": 2}}
            routes.append({"name": name, "from": f"make/{name}", "to": f"{name}.thing.make", "body": {"a": 1}})
    routes.append({"name": "job", "from": "make/mw", "to": "mw.task.schedule", "body": {
        "equipment": "m1", "description": "Look after it", "startDateTime": "${now}", "endDateTime": "${now+1h}", "allDay": False,
        "assignees": ["a@example.com"]}})
    targets["proxied"] = {"plugin": "http", "url": echo.url, "auth": "none", "mode": "write_back",
                          "proxy": f"http://user:{planted.put('proxy')}@127.0.0.1:1",
                          "operations": {"thing.make": {"path": "/things"}}}
    routes.append({"name": "proxied", "from": "make/proxied", "to": "proxied.thing.make", "body": {"a": 1}})
    config = configuration(tmp_path, broker, targets, routes)
    config["bus"].update(username="plant", password=planted.put("mqtt"))
    config["http"].update(admin_token=planted.put("admin"),
                          viewers={"screen": {"token": planted.put("viewer"), "targets": ["mw"]}})
    if shutil.which("openssl"):
        _, key = make_certificate(tmp_path, "door")
        planted["tls-key"] = key.read_text().splitlines()[3]
    return make_busbar(config)


def get(daemon, planted, path, token="admin"):
    return http_call(daemon.admin_port, "GET", path, headers={"Authorization": f"Bearer {planted[token]}"})


def everything_said(daemon, planted):
    """what was asked -> what came"""
    said = {"log": daemon.log.read_bytes()}
    for words in (["check"], ["check", "--defaults"], ["status"], ["status", "--json"], ["targets", "list"],
                  ["targets", "list", "--json"], ["queue", "list"], ["queue", "list", "--json"], ["audit", "--json"], ["audit"],
                  ["routes", "list", "--json"], ["orders", "list", "--json"], ["handoff"], ["handoff", "--json"],
                  ["routes", "fire", "bearer-400", "-t", "make/bearer-400", "-p", "{}", "--dry-run"],
                  *(["try", "-t", f"make/{kind}-400", "-p", "{}"] for kind in ("bearer", "basic", "header", "env", "oauth2"))):
        done = daemon.cli(*words, expect=None)
        said[" ".join(words)] = (done.stdout + done.stderr).encode()
    for path in ("/", "/metrics", "/api/v1/status", "/api/v1/targets", "/api/v1/deliveries?limit=500", "/api/v1/audit?limit=500",
                 "/api/v1/orders", "/api/v1/routes", "/api/v1/openapi.json", "/readyz", "/healthz"):
        answer = get(daemon, planted, path)
        said[path] = answer.body + str(answer.headers).encode()
    for item in get(daemon, planted, "/api/v1/deliveries?limit=500").json["items"]:
        said["queue show " + item["id"]] = daemon.cli("queue", "show", item["id"], expect=None).stdout.encode()
        said["/api/v1/deliveries/" + item["id"]] = get(daemon, planted, "/api/v1/deliveries/" + item["id"]).body
    for file in daemon.file.parent.parent.glob("busbar.db*"):
        said[file.name] = file.read_bytes()
    return said


def test_no_secret_comes_out_anywhere(daemon, planted, echo, publisher, broker):
    listening = Subscriber(broker.port, "#")
    names = [route["from"] for route in daemon.config["routes"]]
    for name in names:
        publisher.publish(name, {})
    daemon.hook(b'{"_event":"TaskWasStarted"}', secret="not-" + SECRET)
    for token in ("", "wrong", planted["viewer"]):
        http_call(daemon.admin_port, "POST", "/api/v1/targets/mw/hold", headers={"Authorization": f"Bearer {token}"})

    def settled():
        m = daemon_metrics(daemon, planted)
        return all(m.count(f'target="{kind}-{status}"') for kind in ("bearer", "oauth2") for status in STATUSES) and \
            len({path.split("/")[1] for path, _ in echo.seen}) >= len(STATUSES) and \
            not [d for d in get(daemon, planted, "/api/v1/deliveries?limit=500").json["items"] if d["attempts"] == 0 and
                 d["state"] == "pending" and d["target"].endswith(("200", "400", "500"))]

    wait_until(settled, 30, "every target asked")
    wait_until(lambda: planted["oauth2"] is not None and len(lines(daemon, "target held")) >= 12, 20, "401s and redirects held")
    sent = {credential for _, credential in echo.seen}
    for name in ("bearer", "header", "environment", "token"):
        assert any(planted[name] in credential for credential in sent), f"{name} was never sent: the test shows nothing"

    said = everything_said(daemon, planted)
    said["bus"] = b"\n".join(m.topic.encode() + b" " + m.payload for m in listening.seen())
    listening.close()
    pid = daemon.process.pid
    for name in ("cmdline", "comm", "status"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            said["/proc/PID/" + name] = file.read()
    with open(f"/proc/{pid}/environ", "rb") as file:
        environment = file.read()
    assert planted.leaks(environment) <= {"environment"}, "the one that came by it, for a reload"

    broken = daemon.file.read_text()
    for wrong in (broken.replace("mode: write_back", "mode: ${file:%s/bearer}" % planted.folder, 1),
                  broken.replace("url: http", "url: http://u:%s@127.0.0.1/" % planted["bearer"], 1),
                  broken.replace("concurrency: 32", "concurrency: ${file:%s/basic}" % planted.folder, 1),
                  broken.replace("X-Key", "${file:%s/header}x y" % planted.folder, 1)):
        assert wrong != broken
        daemon.file.write_text(wrong)
        done = daemon.cli("check", expect=None)
        said[f"check {len(said)}"] = (done.stdout + done.stderr).encode()
    daemon.file.write_text(broken)

    leaks = {where: found for where, data in said.items() if (found := planted.leaks(data))}
    assert leaks == {}, leaks
    assert said["log"] and b"***" in said["handoff"] + b"".join(v for k, v in said.items() if k.startswith("queue show"))
    assert any(k.startswith("busbar.db") and len(v) > 4096 for k, v in said.items())


def daemon_metrics(daemon, planted):
    return get(daemon, planted, "/metrics").body.decode()


def test_a_rotated_secret_is_taken_without_a_restart(daemon, planted, echo, publisher):
    """The file is enough, nobody sends a signal; one that is wrong changes nothing."""
    pid, old = daemon.process.pid, dict(planted)
    publisher.publish("make/bearer-200", {})
    wait_until(lambda: any(old["bearer"] in credential for _, credential in echo.seen), 10, "the old token")
    for name in ("bearer", "admin", "viewer", "mqtt", "webhook"):
        planted.put(name)
    wait_until(lambda: len(lines(daemon, "ready")) == 2, 30, "taken")
    assert len([line for line in lines(daemon, "reloading")]) == 1, "once for all of them"
    publisher.publish("make/bearer-200", {})
    wait_until(lambda: any(planted["bearer"] in credential for _, credential in echo.seen), 10, "the new token")
    assert get(daemon, planted, "/api/v1/status").status == 200
    assert get(daemon, planted, "/api/v1/orders", "viewer").status == 200
    assert get(daemon, old, "/api/v1/status").status == 401 and get(daemon, old, "/api/v1/orders", "viewer").status == 401
    assert daemon.hook(b'{"_event":"TaskWasStarted"}', secret=old["webhook"]).status == 401
    assert daemon.hook(b'{"_event":"TaskWasStarted","_idempotencyKey":"k","networkId":"x"}',
                       secret=planted["webhook"]).status == 200

    (planted.folder / "bearer").write_text("")
    wait_until(lambda: lines(daemon, "SIGHUP: the old configuration stays in force"), 30, "an empty one is refused")
    publisher.publish("make/bearer-200", {})
    wait_until(lambda: sum(planted["bearer"] in credential for _, credential in echo.seen) >= 2, 10, "the last good one")
    assert daemon.process.pid == pid and daemon.runs()


def test_a_file_that_others_may_change_is_refused_and_one_that_they_may_read_warned_about(daemon, planted, tmp_path):
    secret = planted.folder / "bearer"
    secret.chmod(0o644)
    assert "can be read by everyone; chmod 600 it" in daemon.cli("check").stderr
    secret.chmod(0o602)
    assert "can be changed by everyone; chmod 600 it" in daemon.cli("check", expect=1).stderr
    secret.chmod(0o600)
    if shutil.which("openssl"):
        cert, key = make_certificate(tmp_path, "loose")
        daemon.config["http"]["tls"] = {"cert": str(cert), "key": str(key)}
        daemon.write()
        key.chmod(0o604)
        assert f"'{key}' can be read by everyone" in daemon.cli("check").stderr
        key.chmod(0o606)
        assert f"'{key}' can be changed by everyone" in daemon.cli("check", expect=1).stderr
