# SPDX-License-Identifier: Apache-2.0
"""`busbar plugins record`: one real exchange with a target becomes a case that passes as it stands, and no secret is in it."""

import base64
import json
import os
import pathlib
import re
import stat
import subprocess
import urllib.parse

import pytest
import yaml

from assetic_orders import full_order
from busbar_harness import BINARY, KEY, ROOT, TASK_BODY, free_port
from servers import Handler, Server

PLUGINS = BINARY.parent / "plugins"
TOKEN, SITE = "t0k3n/Of+The=Tests", "Hall 9/b"


def busbar(*arguments, expect=0, stdin=None):
    done = subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False,
                          input=stdin)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


class Recorder:
    """A configuration with one target, and what is recorded with it."""

    def __init__(self, folder, **target):
        self.folder, self.file = folder, folder / "busbar.yaml"
        self.file.write_text(yaml.safe_dump({
            "bus": {"url": "mqtt://127.0.0.1:1"}, "store": {"path": str(folder / "busbar.db")}, "routes": [],
            "targets": {"it": {"mode": "write_back", **target}}}))
        self.cases = folder / "cases"
        self.cases.mkdir()
        self.plugin = target["plugin"]

    def record(self, operation, *messages, expect=0, arguments=()):
        files = [self.folder / f"message-{i}.json" for i in range(len(messages))]
        for file, message in zip(files, messages):
            file.write_text(json.dumps(message))
        return busbar("plugins", "record", "-c", self.file, "--target", "it", "--operation", operation, "--out", self.cases,
                      *arguments, *files, expect=expect)

    def case(self):
        """The one that was written, as text."""
        (file,) = self.cases.glob("*.case")
        return file.read_text()

    def replay(self, expect=0):
        file = self.plugin if "/" in str(self.plugin) else PLUGINS / f"{self.plugin}.so"
        (case,) = self.cases.glob("*.case")
        return busbar("plugins", "test", file, case, expect=expect)

    def bites(self, old, new):
        """With another answer the case fails."""
        (file,) = self.cases.glob("*.case")
        kept = file.read_text()
        assert kept.count(old) == 1
        file.write_text(kept.replace(old, new))
        self.replay(expect=1)
        file.write_text(kept)


def secret(folder, name, text):
    file = folder / name
    file.write_text(text)
    file.chmod(0o600)
    return f"${{file:{file}}}"


# ---- the strict stand-ins: a good answer and a bad one each


@pytest.fixture
def mw(tmp_path, sandbox):
    return Recorder(tmp_path, plugin="mobility_work", url=sandbox.url, api_key=secret(tmp_path, "key", KEY),
                    network_name="Factory Inc.", allow_unsigned=True)


def task(**members):
    body = re.sub(r"\$\{[^}]*\}", "P-101", json.dumps(TASK_BODY))
    return {**json.loads(body), "startDateTime": "2030-01-02T08:00:00Z", "endDateTime": "2030-01-02T10:00:00Z", **members}


def test_a_task_that_is_made(mw, sandbox):
    said = mw.record("task.schedule", task())
    assert len(sandbox.tasks()) == 1, "it is sent for good"
    assert "done: 1 requests" in said
    case = mw.case()
    assert "expect send POST /partners/v1/tasks\n" in case and "respond 201" in case and "expect done\n" in case
    assert "note network_id " in case, "what the target's start leaves is set up"
    assert KEY not in case
    assert "1 cases, 0 failed" in mw.replay()
    assert "keeps the rules" in busbar("plugins", "check", PLUGINS / "mobility_work.so", "--cases", mw.cases)
    mw.bites("respond 201", "respond 503")


def test_a_task_that_is_refused(mw, sandbox):
    sandbox.configure(unknown_equipments=["P-102"])
    mw.record("task.schedule", task(equipment={"type": "external", "value": "P-102"}))
    assert sandbox.tasks() == []
    case = mw.case()
    status = re.search(r"^respond (4\d\d) ", case, re.MULTILINE)[1]
    assert re.search(r"^expect reject [a-z_]+ [a-z_0-9]+", case, re.MULTILINE)
    assert KEY not in case and "0 failed" in mw.replay()
    mw.bites(f"respond {status} ", "respond 500 ")


def test_an_overloaded_target(mw, sandbox):
    sandbox.fail("status", status=429, path="/partners/v1/tasks", times=1, headers={"Retry-After": "17"})
    mw.record("task.schedule", task())
    assert "expect retry provider_unavailable http_429 after 17s" in mw.case()
    mw.replay()
    mw.bites("retry-after: 17", "retry-after: 18")


def test_a_batch_is_a_file_each(mw, sandbox):
    mw.record("spare_part.create", *({"reference": f"R-{n}", "name": f"Part {n}"} for n in range(3)))
    case = mw.case()
    assert len(re.findall(r"^message ", case, re.MULTILINE)) == 3
    mw.replay()


@pytest.fixture
def roads(tmp_path, assetic):
    return Recorder(tmp_path, plugin="assetic", url=assetic.url, user="api.user", token=secret(tmp_path, "key", KEY),
                    time_zone="AEST-10AEDT,M10.1.0,M4.1.0/3")


def test_assetic_makes_an_order(roads, assetic):
    roads.record("work_order.create", full_order("PREP"))
    assert len(assetic.orders()) == 1
    case = roads.case()
    assert "expect done\nexpect source " in case
    basic = base64.b64encode(f"api.user:{KEY}".encode()).decode()
    assert KEY not in case and basic not in case
    roads.replay()
    roads.bites("expect source ", "expect source x")


def test_assetic_refuses_an_order(roads, assetic):
    assetic.fail("status", status=400, times=1, path="/api/v2/workorder", method="POST")
    roads.record("work_order.create", full_order("PREP"))
    case = roads.case()
    assert "respond 400 " in case and "expect reject validation " in case and KEY not in case
    roads.replay()
    roads.bites("respond 400 ", "respond 500 ")


def test_a_poll(roads, assetic):
    busbar("plugins", "record", "-c", roads.file, "--target", "it", "--poll", "--out", roads.cases)
    assert "\npoll\nexpect send GET " in roads.case() and "expect done" in roads.case()
    roads.replay()


def test_a_token_that_is_fetched_is_not_told(tmp_path, identity):
    auth = {"oauth2": {"token_url": f"{identity.url}/token", "client_id": "busbar edge",
                       "client_secret": secret(tmp_path, "client", KEY)}}
    recorder = Recorder(tmp_path, plugin="http", url=identity.url, auth=auth, operations={"thing.make": {"path": "/things"}})
    recorder.record("thing.make", {"n": 1})
    case = recorder.case()
    (issued,) = identity.items("tokens")
    assert issued["text"] not in case and KEY not in case and "/token" not in case
    assert identity.items("things") and "expect done" in case
    recorder.replay()


# ---- a target that gives away whatever it is told


class Echo(Handler):
    def do_POST(self):
        self.read()
        token = self.headers["Authorization"].removeprefix("Bearer ")
        self.server.asked += 1
        body = json.dumps({"you": {"sent": self.headers["Authorization"], "encoded": urllib.parse.quote(token, safe=""),
                                   "lower": urllib.parse.quote(token, safe="").lower(), "at": self.path,
                                   "base64": base64.b64encode(token.encode()).decode(), "site": SITE},
                           "access_token": "another-one", "list": [{"session_id": "yet-another"}],
                           "error": "no"}).replace("/", "\\/").encode()
        self.answer(self.server.status, body, Set_Cookie="sid=a-cookie", X_Trace=f"trace {token}", X_Auth_Token="a-header",
                    WWW_Authenticate="a-realm")


@pytest.fixture
def echo():
    with Server(Echo, asked=0, status=422) as server:
        yield server


@pytest.fixture(scope="module")
def acme(tmp_path_factory):
    file = tmp_path_factory.mktemp("acme") / "acme.so"
    subprocess.run(["cc", "-std=c17", "-fvisibility=hidden", "-shared", "-fPIC", "-I", str(ROOT / "include"), "-o", str(file),
                    str(ROOT / "plugins/examples/acme/acme.c")], check=True)
    return str(file)


@pytest.fixture
def echoed(tmp_path, echo, acme):
    return Recorder(tmp_path, plugin=acme, url=echo.url, token=secret(tmp_path, "token", TOKEN),
                    site=secret(tmp_path, "site", SITE), webhook_secret=secret(tmp_path, "hook", "h00k-secret"))


def test_no_secret_is_in_it_however_it_is_spelled(echoed):
    said = echoed.record("work_order.create", {"title": "Bearing hot", "note": f"see {TOKEN}", "password": "in-a-message"})
    case = echoed.case()
    for text in (TOKEN, SITE):
        quoted = urllib.parse.quote(text, safe="")
        for spelled in (text, quoted, quoted.lower(), base64.b64encode(text.encode()).decode(), text.replace("/", "\\/")):
            assert spelled not in case and spelled not in said, spelled
    for gone in ("another-one", "yet-another", "a-cookie", "a-header", "a-realm", "in-a-message", "h00k", "authorization"):
        assert gone not in case.lower(), gone
    assert "expect send POST /sites/Aaaa%200%2Fa/work-orders" in case, "stand-ins keep the shape"
    assert "respond header x-trace: trace a0a0a/Aa+Aaa=Aaaaa" in case
    assert "respond 422 " in case and "expect reject validation http_422" in case
    echoed.replay()
    echoed.bites("respond 422 ", "respond 401 ")


def test_an_operation_on_an_order_that_exists(tmp_path, echo):
    """The message's own name of the order stands for the record that no store tells."""
    echo.status = 200
    recorder = Recorder(tmp_path, plugin="http", url=echo.url, auth={"bearer": TOKEN},
                        operations={"work_order.complete": {"path": "/orders/{source_work_order_id}/done"}})
    recorder.record("work_order.complete", {"work_order": "WO-7"})
    assert "\norder WO-7\nsource WO-7\nexpect send POST /orders/WO-7/done\n" in recorder.case()
    assert TOKEN not in recorder.case()
    recorder.replay()
    recorder.bites("source WO-7", "source WO-8")


def test_a_body_that_is_a_form(tmp_path, echo):
    echo.status = 200
    recorder = Recorder(tmp_path, plugin="http", url=echo.url, auth={"bearer": TOKEN},
                        operations={"note.make": {"path": "/notes", "content_type": "application/x-www-form-urlencoded",
                                                  "body": {"text": "{/text}", "by": "busbar"}}})
    recorder.record("note.make", {"text": f"a & {TOKEN}"})
    assert "\nexpect header Content-Type: application/x-www-form-urlencoded\n" in recorder.case()
    assert "\nexpect body text by=busbar&text=a%20%26%20a0a0a%2FAa%2BAaa%3DAaaaa\n" in recorder.case()
    recorder.replay()
    recorder.bites("text by=busbar&", "text by=another&")


def test_what_does_not_pass_is_kept_under_another_name(tmp_path, echo):
    """The plugin lives by a member that no case may tell: the id stands in access_token. It was sent for good, once."""
    echo.status = 201
    recorder = Recorder(tmp_path, plugin="http", url=echo.url, auth={"bearer": TOKEN},
                        operations={"thing.make": {"path": "/things", "id": "/access_token", "creates": True}})
    said = recorder.record("thing.make", {}, expect=1)
    (file,) = recorder.cases.iterdir()
    assert "does not pass as a case" in said and f"it is kept as {file}" in said and echo.asked == 1
    assert file.name == "thing.make-done.case.failed" and stat.S_IMODE(file.stat().st_mode) == 0o600
    case, why = file.read_text().split("\n# It does not pass as a case:\n")
    assert "\nrespond 201 {" in case and re.fullmatch(r"# \S+thing\.make-done\.case:\d+: thing\.make: expected .*\n", why)
    assert TOKEN not in case + why and "another-one" not in case + why
    assert "\nexpect source aaaaaaa-aaa\n" in case and '"access_token": "***"' in case
    recorder.record("thing.make", {}, expect=1)
    assert (recorder.cases / "thing.make-done-2.case.failed").exists()
    recorder.record("thing.make", {}, expect=1, arguments=("--out", recorder.cases / "x.case"))
    assert echo.asked == 3 and (recorder.cases / "x.case.failed").exists() and not (recorder.cases / "x.case").exists()
    again = recorder.record("thing.make", {}, expect=1, arguments=("--out", recorder.cases / "x.case"))
    assert "x.case.failed: it exists already; nothing was sent" in again and echo.asked == 3


class Mute(Handler):
    def do_POST(self):
        self.read()
        self.server.asked += 1
        self.connection.close()


def test_what_was_sent_and_not_answered_is_kept_too(tmp_path):
    with Server(Mute, asked=0) as mute:
        recorder = Recorder(tmp_path, plugin="http", url=mute.url, auth={"bearer": TOKEN},
                            operations={"thing.make": {"path": "/things"}})
        said = recorder.record("thing.make", {"n": 1}, expect=1)
        assert mute.asked == 1
    file = recorder.cases / "thing.make-broken-off.case.failed"
    assert "the target may have done it" in said and f"it is kept as {file}" in said
    assert '\nexpect send POST /things\n' in file.read_text() and "\n# It came to no verdict:\n# no answer came of " in file.read_text()


XML = '<?xml version="1.0"?>\n<message code="7">{{kein}} Gerät: "P-101"\t[x]</message>\n'


class Xml(Handler):
    def do_POST(self):
        self.read()
        token = self.headers["Authorization"].removeprefix("Bearer ")
        self.answer(self.server.status, self.server.body.replace(b"TOKEN", token.encode()), Content_Type="text/xml")


@pytest.mark.parametrize("body, line", [
    (XML.encode(), "respond 422 text " + json.dumps(XML, ensure_ascii=False)),
    (XML.encode("latin-1"), "respond 422 bytes " + json.dumps(XML, ensure_ascii=False)),
    (b"<a>TOKEN</a>\n", 'respond 422 text "<a>a0a0a/Aa+Aaa=Aaaaa</a>\\n"'),
    (b"<a>TOKEN\xe4\xff</a>", 'respond 422 bytes "<a>a0a0a/Aa+Aaa=Aaaaaäÿ</a>"'),
    (("long " * 1000 + "end").encode(), "respond 422 text " + "long " * 1000 + "end"),
    (b"\xef\xbb\xbf{}", 'respond 422 text "\ufeff{}"'), (b"", "respond 422")])
def test_an_answer_that_is_no_json_is_written_as_it_was(tmp_path, body, line):
    """To the byte, or what the case shows the plugin is not what the target said; no secret in it all the same."""
    with Server(Xml, status=422, body=body) as server:
        recorder = Recorder(tmp_path, plugin="http", url=server.url, auth={"bearer": TOKEN},
                            operations={"thing.make": {"path": "/things"}})
        recorder.record("thing.make", {"n": 1})
    assert f"\n{line}\n" in recorder.case() and TOKEN not in recorder.case()
    recorder.replay()
    recorder.bites("respond 422", "respond 500")


def test_a_secret_that_is_no_ascii_is_found_in_an_answer_in_latin_1(tmp_path):
    with Server(Xml, status=422, body="<a>Schlüssel: pässwört</a>".encode("latin-1")) as server:
        recorder = Recorder(tmp_path, plugin="http", url=server.url, operations={"thing.make": {"path": "/things"}},
                            auth={"basic": {"user": "u", "password": secret(tmp_path, "p", "pässwört")}})
        recorder.record("thing.make", {"n": 1})
    assert 'respond 422 bytes "<a>Schlüssel: aäaaaöaa</a>"' in recorder.case()


def test_a_body_of_several_lines_that_is_no_json(tmp_path, echo):
    echo.status = 200
    recorder = Recorder(tmp_path, plugin="http", url=echo.url, auth={"bearer": TOKEN},
                        operations={"note.make": {"path": "/notes", "content_type": "text/xml", "body": "<a>\n{/text}</a>\n"}})
    recorder.record("note.make", {"text": "x & \"y\""})
    case = recorder.case()
    assert '\nexpect body text "<a>\\nx &amp; &quot;y&quot;</a>\\n"\n' in case, case
    recorder.replay()
    recorder.bites("<a>\\nx", "<a>\\ny")


def shut(folder):
    """A folder that nobody may write in, where there is such a thing: root may."""
    place = folder / "shut"
    place.mkdir(mode=0o500)
    return [] if os.access(place, os.W_OK) else [(place, "no file can be made in it"), (place / "x.case", "no file can be made in it")]


def test_the_file_is_its_owners_and_new(echoed, echo):
    """What is sent cannot be taken back: whether there is a place for it is known before."""
    echoed.record("work_order.create", {"title": "a"})
    (file,) = echoed.cases.glob("*.case")
    assert file.name == "work_order.create-http_422.case" and stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_text()
    echoed.record("work_order.create", {"title": "b"})
    assert '"b"' in (echoed.cases / "work_order.create-http_422-2.case").read_text()
    asked = echo.asked
    gone, dangling = echoed.folder / "no such folder", echoed.folder / "dangling.case"
    dangling.symlink_to(gone / "x.case")
    for place, said in ((file, "it exists already; nothing was sent"), (echoed.folder / "none", "ends in .case"),
                        (dangling, "it exists already; nothing was sent"),
                        (gone / "x.case", f"{gone}/: there is no such folder; nothing was sent"),
                        (file / "x.case", f"{file}/: there is no such folder; nothing was sent"), *shut(echoed.folder)):
        assert said in echoed.record("work_order.create", {"title": "b"}, expect=1, arguments=("--out", place)), place
    assert echo.asked == asked and file.read_text() == kept and not (echoed.folder / "none").exists()
    named = echoed.folder / "named.case"
    echoed.record("work_order.create", {"title": "c"}, arguments=("--out", named, "--title", "a title", "--topic", "a/b"))
    assert "\ncase a title\n" in named.read_text() and "\ntopic a/b\n" in named.read_text()


def test_standard_output_is_for_one_look(echoed):
    done = subprocess.run([str(BINARY), "plugins", "record", "-c", str(echoed.file), "--target", "it", "--operation",
                           "work_order.create", "-"], input="{}", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("# Recorded") and done.stdout.endswith("http_422\n") and TOKEN not in done.stdout
    assert "http_422: 1 requests" in done.stderr and list(echoed.cases.iterdir()) == []


@pytest.mark.parametrize("mode", ["read", "draft"])
def test_a_mode_that_is_against_it(tmp_path, echo, acme, mode):
    recorder = Recorder(tmp_path, plugin=acme, url=echo.url, token=TOKEN, mode=mode)
    assert f"mode {mode}" in recorder.record("work_order.create", {}, expect=1)
    assert echo.asked == 0 and list(recorder.cases.iterdir()) == []


def test_a_secret_too_short_to_be_found(tmp_path, echo, acme):
    recorder = Recorder(tmp_path, plugin=acme, url=echo.url, token=secret(tmp_path, "t", "abc"))
    assert "option token is a secret of fewer than 4 letters" in recorder.record("work_order.create", {}, expect=1)
    assert echo.asked == 0 and list(recorder.cases.iterdir()) == []


def test_a_target_that_is_not_there(tmp_path, acme):
    recorder = Recorder(tmp_path, plugin=acme, url=f"http://127.0.0.1:{free_port()}", token=TOKEN)
    assert "nothing was recorded" in recorder.record("work_order.create", {}, expect=1)
    assert list(recorder.cases.iterdir()) == []


@pytest.mark.parametrize("arguments, complaint", [
    (("--operation", "x.y"), "give --target"), (("--target", "it"), "--operation or --poll"),
    (("--target", "it", "--operation", "x.y", "--poll"), "--operation or --poll")])
def test_usage(echoed, arguments, complaint):
    assert complaint in busbar("plugins", "record", "-c", echoed.file, *arguments, expect=2)


@pytest.mark.parametrize("target, operation, messages, complaint", [
    ("gone", "work_order.create", ["{}"], "no target gone"), ("it", "a.b", ["{}"], "no operation a.b"),
    ("it", "work_order.create", [], "takes 1 to 1 messages"), ("it", "work_order.create", ["{}", "{}"], "takes 1 to 1"),
    ("it", "work_order.create", ["{"], "message-0.json: ")])
def test_what_is_wrong_is_said(echoed, echo, target, operation, messages, complaint):
    files = [pathlib.Path(echoed.folder, f"message-{i}.json") for i in range(len(messages))]
    for file, message in zip(files, messages):
        file.write_text(message)
    assert complaint in busbar("plugins", "record", "-c", echoed.file, "--target", target, "--operation", operation, *files,
                               expect=1)
    assert echo.asked == 0
