# SPDX-License-Identifier: Apache-2.0
"""The pages on writing a plugin do what they say: their programs compile, their commands run and print what stands there,
their plugin works in the daemon, and nothing of the header is left out. test_plugin_author.py follows the first of them on a
machine that has only the packages."""

import hashlib
import hmac
import json
import os
import re
import subprocess
import time

import pytest

from busbar_harness import BINARY, ROOT, configuration, http_call
from plugin_pages import PAGES, PLUGINS, follow, links
from servers import Handler, Server

HEADER = ROOT / "include" / "busbar" / "plugin.h"
WARNINGS = "-O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"


def pages():
    return {name: (PLUGINS / name).read_text() for name in PAGES}


def text_of_all():
    return "\n".join(pages().values())


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which all pages were followed, and how many lines of output they promised."""
    folder, installed = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("installed")
    subprocess.run(["cmake", "--install", str(BINARY.parent), "--prefix", str(installed), "--component", "dev"], check=True,
                   capture_output=True)
    environment = dict(os.environ, PATH=f"{BINARY.parent}:{os.environ['PATH']}", CMAKE_PREFIX_PATH=str(installed),
                       CFLAGS=WARNINGS, BUSBAR_PLUGIN_PATH=":".join(str(installed / "lib" / arch / "busbar" / "plugins")
                                                                   for arch in ("", "x86_64-linux-gnu", "aarch64-linux-gnu")))

    def execute(script, _kind):
        if "apt install" in script:
            return 0, ""  # what it installs is here; test_plugin_author.py runs it
        run = subprocess.run(["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True,
                             timeout=120, check=False)
        return run.returncode, run.stdout + run.stderr

    return folder, sum(follow(text, folder, execute) for text in pages().values())


def test_commands_print_what_stands_there(followed):
    assert followed[1] > 15


def test_everything_of_the_header_is_taught():
    header = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    words = set(re.findall(r"\bBB_[A-Z_]+\b", header))
    for struct in ("bb_host", "bb_plugin", "bb_hook", "bb_signature", "bb_operation", "bb_request", "bb_out", "bb_event"):
        body = re.search(rf"struct {struct} {{(.*?)^}};", header, re.MULTILINE | re.DOTALL)[1]
        words |= set(re.findall(r"\(\*(\w+)\)\(", body)) | set(re.findall(r"(\w+)(?:, \w+)*;", body))
    words -= {"BB_CLASS_NONE", "context"}
    page = text_of_all()
    assert len(words) > 80
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", page)) == []


def test_names_that_no_option_may_have():
    source = (ROOT / "core" / "descriptor.c").read_text()
    reserved = re.search(r"reserved_options\[\] = {(.*?)}", source, re.DOTALL)[1]
    sentence = re.search(r"These names are a target's own and no options:(.*?)\n\n", text_of_all(), re.DOTALL)[1]
    assert re.findall(r"`(\w+)`", sentence) == re.findall(r'"(\w+)"', reserved)


@pytest.mark.parametrize("name", [*PAGES, "CASES.md", "ABI.md"])
def test_links_lead_somewhere(name):
    found = links((PLUGINS / name).read_text())
    assert found or name == "CASES.md"
    assert [link for link in found if not (PLUGINS / link).exists()] == []


class Fixit(Handler):
    """The ticket desk that does not exist."""

    def do_GET(self):
        self.server.seen.append(("GET", self.path, self.headers["Authorization"], None))
        self.answer(200, json.dumps({"items": [{"id": "a-7"}] if "tag=P-101" in self.path else []}).encode())

    def do_POST(self):
        self.server.seen.append(("POST", self.path, self.headers["Authorization"], json.loads(self.read())))
        self.answer(201, b'{"id": "T-9"}')


@pytest.fixture
def fixit():
    with Server(Fixit, seen=[]) as server:
        yield server


def test_its_plugin_works_in_the_daemon(followed, tmp_path, broker, make_busbar, publisher, subscribe, fixit):
    """There and back: a hot bearing becomes a ticket, the ticket's webhook becomes an event on the bus."""
    secret = tmp_path / "hook-secret"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    target = {"plugin": str(followed[0] / "fixit" / "build" / "fixit.so"), "url": fixit.url,
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


SHIPPED = ["assetic", "factverse", "http", "mobility_work"]


def test_every_plugin_that_ships_has_its_page():
    """And the example, which `plugins new` writes."""
    folders = {folder.name for folder in PLUGINS.iterdir() if any(folder.glob("*.c")) and folder.name != "common"}
    assert sorted(folders) == SHIPPED


@pytest.mark.parametrize("page", [*(f"{name}/{name}.md" for name in SHIPPED), "examples/acme/acme.md"])
def test_pages_of_plugins_say_the_same_things(page):
    text = (PLUGINS / page).read_text()
    assert text.startswith(f"# {page.rpartition('/')[2].removesuffix('.md')}\n\n")
    assert re.search(r"```yaml\n(http:.*?\n\n)?targets:", text), "a configuration to begin with"
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    wanted = ["options", "operations", "webhooks", "errors", "limits"]
    assert [word for heading in headings for word in wanted if word in heading.lower()] == wanted


@pytest.mark.parametrize("name", SHIPPED)
def test_pages_of_plugins_name_every_option_and_operation(name):
    shown = subprocess.run([BINARY, "plugins", "show", name, "--json"], capture_output=True, text=True, check=True).stdout
    plugin, text = json.loads(shown), (PLUGINS / name / f"{name}.md").read_text()
    assert plugin["options"]
    for each in [*plugin["options"], *plugin["operations"]]:
        assert f"`{each['name']}`" in text, each["name"]
