# SPDX-License-Identifier: Apache-2.0
"""busbar handoff prints the hand-over of a configuration: all that FV-0A lists, nothing secret, and examples that the
target systems take."""

import base64
import json
import os
import re
import shlex
import subprocess

import pytest

from busbar_harness import (BINARY, KEY, ROOT, SECRET, command_route, configuration, hot_route,
                            http_call, mw_target)

SECTIONS = [  # FV-0A, in the order of the contract
    "Endpoints and connectors in scope", "Credentials and scope", "Payload fields and examples",
    "Status, priority and SLA mapping", "Webhooks and synchronisation", "Errors and retries",
    "Test cases and acceptance",
]
TOKEN, BROKER, VIEWER = "a-token-of-the-site", "a-password-of-the-broker", "a-token-that-reads"
ORDER = {"name": "bearing-order", "from": "plant/{asset}/bearing", "trigger": {"above": 85, "clear": 80},
         "to": "at.work_order.create",
         "body": {"asset_ref": "P-101", "priority": "${user.prio}", "title": "Bearing at ${value} °C on ${asset}"}}
PHOTO = {"name": "photo", "from": "photo", "to": "at.attachment.add",
         "body_jq": "{work_order: .order, name: .file.name, content: .file.bytes}"}
PLAN = {"name": "plan", "from": "erp/{machine}/moved", "to": "mw.maintenance_plan.trigger", "body": {"planId": "PLAN-1"}}


@pytest.fixture
def site(tmp_path, broker, sandbox, assetic, make_busbar, monkeypatch):
    """A configuration with both systems, each kind of secret, and a daemon that could run it."""
    monkeypatch.setenv("BROKER_PASSWORD", BROKER)
    (tmp_path / "hook").write_text(SECRET)
    (tmp_path / "hook").chmod(0o600)
    at = {"plugin": "assetic", "url": assetic.url, "user": "api.user", "token": TOKEN, "time_zone": "UTC0",
          "mode": {"default": "read", "work_order.create": "handoff", "attachment.add": "draft"}, "poll": "90s",
          "map": {"priority": {2: "high"}}, "defaults": {"EstimatedDuration": 2, "LocationDescription": "Hall 2", "WorkOrderType": {"Id": 7},
                                                "RemedyCodeId": 3}}
    mw = mw_target(sandbox, webhook_secret=f"${{file:{tmp_path}/hook}}", webhook_tolerance="2m",
                   retry={"first": "7s", "max": "13m", "attempts": 9, "max_age": "6d"})
    config = configuration(tmp_path, broker, {"mw": mw, "at": at}, [hot_route(cooldown="2h"), PLAN, ORDER, PHOTO])
    config["bus"] |= {"username": "busbar", "password": "${env:BROKER_PASSWORD}"}
    config["http"] |= {"admin_token": "$${literal-of-the-admin}",
                       "viewers": {"auditor": {"token": VIEWER, "targets": ["mw"]}}}
    return make_busbar(config, start=False)


def markdown(daemon):
    return daemon.cli("handoff").stdout


def document(daemon):
    return json.loads(daemon.cli("handoff", "--json").stdout)


def section(text, title):
    return re.search(rf"^## \d\. {title}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def rows(text):
    """The cells of each row of the tables."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]


# ---- all of it is there

def test_every_section_for_the_reference():  # FV-0A
    done = subprocess.run([str(BINARY), "handoff", "-c", "config/busbar.yaml"], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^## \d\. (.*)$", done.stdout, re.MULTILINE) == SECTIONS
    for title in SECTIONS:
        assert len(section(done.stdout, title).splitlines()) > 5, title
    for file in (ROOT / "config" / "example-secrets").iterdir():
        assert file.read_text().strip() not in done.stdout


def test_every_section_for_two_systems(site):  # FV-0A
    text = markdown(site)
    assert re.findall(r"^## \d\. (.*)$", text, re.MULTILINE) == SECTIONS
    connectors = rows(section(text, SECTIONS[0]))
    assert ["mw", "Mobility Work", "mobility_work"] in [row[:3] for row in connectors]
    assert ["at", "Brightly Assetic", "assetic"] in [row[:3] for row in connectors]
    operations = {row[0]: row[1:6] for row in connectors if "." in row[0]}
    assert operations["task.schedule"] == ["POST", "/partners/v1/tasks", "no", "no", "bearing-hot"]
    assert operations["network.settings"] == ["GET", "/partners/v1/network/settings", "yes", "no", "-"]
    assert operations["work_order.create"][0] == "GET", "the asset is looked up first"
    assert set(operations) == {"task.schedule", "maintenance_plan.trigger", "network.settings", "work_order.create",
                               "attachment.add", "account.check"}, "what no route uses is not in scope"


def test_the_deployment_says_its_prerequisites(site):  # FV-03: scope, identity, data, ownership, errors, test system
    text, told = markdown(site), document(site)
    assert told["deployment"]["instance"] == "edge-01" and "| instance | edge-01 |" in text
    assert told["credentials"] and told["payloads"] and told["scope"] and told["errors"]["retry"]
    assert {c["url"].split(":")[1] for c in told["connectors"]} == {"//127.0.0.1"}, "the test system is told apart by its url"


def test_what_is_unverified_is_said(site):  # MW-P30: a shape that is our guess
    told = document(site)
    unverified = {use["operation"] for c in told["connectors"] for use in c["operations"] if use["unverified"]}
    assert unverified == {"maintenance_plan.trigger", "attachment.add"}
    assert {r["route"] for r in told["errors"]["routes"] if r["unverified"]} == {"plan", "photo"}
    assert "unverified" in site.cli("check").stderr, "and at start"


def test_credentials_have_names_and_sources(site, tmp_path):  # FV-0A
    given = {(c["of"], c["setting"]): (c["use"], c["sources"]) for c in document(site)["credentials"]}
    itself = ["written in the configuration itself"]
    assert given == {
        ("mw", "api_key"): ("header Api-Key", itself),
        ("mw", "webhook_secret"): ("verifies webhooks, header X-MW-Signature", [f"${{file:{tmp_path}/hook}}"]),
        ("at", "user"): ("header Authorization, Basic: user", itself),
        ("at", "token"): ("header Authorization, Basic: password", itself),
        ("bus", "username"): ("user at the broker", itself),
        ("bus", "password"): ("password at the broker", ["${env:BROKER_PASSWORD}"]),
        ("http", "admin_token"): ("header Authorization, Bearer: the admin API", itself),
        ("http", "viewers"): ("header Authorization, Bearer: auditor reads some targets' records", itself),
    }


def test_no_secret_is_printed(site):  # MW-C02
    basic = base64.b64encode(f"api.user:{TOKEN}".encode()).decode()
    for text in (markdown(site), site.cli("handoff", "--json").stdout):
        for secret in (KEY, SECRET, TOKEN, BROKER, VIEWER, basic, "literal-of-the-admin"):
            assert secret not in text
        assert "***" in text


def test_a_secret_in_a_body_is_not_printed_either(busbar):  # MW-C02: by whatever way it came in
    daemon = busbar([command_route(body={"equipment": "e", "description": f"mail {SECRET}", "startDateTime": "${now}",
                                         "endDateTime": "${now+2h}", "assignees": [KEY + "@example.com"]})], start=False)
    assert SECRET not in markdown(daemon) and KEY not in markdown(daemon)


def test_modes_of_each_operation(site):  # FV-08
    scope = {(s["target"], s["operation"]): (s["mode"], s["effect"]) for s in document(site)["scope"]}
    assert scope["mw", "task.schedule"] == ("write_back", "sent")
    assert scope["at", "work_order.create"] == ("handoff", "sent")
    assert scope["at", "attachment.add"] == ("draft", "mode draft: waits for `busbar queue approve`")
    assert scope["at", "account.check"] == ("read", "sent"), "it only reads"


def test_webhooks_and_polls(site):
    inbound = {i["target"]: i for i in document(site)["inbound"]}
    assert inbound["at"]["webhook"] is None and inbound["at"]["poll"] == "90s" and inbound["at"]["freshness"] == "1d"
    hook = inbound["mw"]["webhook"]
    assert (hook["path"], hook["accepts"], inbound["mw"]["poll"]) == ("/hooks/mw", "signed ones", None)
    assert hook["signature"]["header"] == "X-MW-Signature" and hook["signature"]["tolerance"] == "2m"
    assert hook["signature"]["signed"] == "{time}.{nonce}.{body}"


def test_errors_and_retries(site):  # FV-07
    errors = document(site)["errors"]
    answers = {answer: c for c in errors["classes"] for answer in c["answers"]}
    assert {c["class"] for c in errors["classes"]} == {"authentication", "authorization", "validation", "identity",
                                                       "conflict", "provider_unavailable"}
    for answer, error_class, does in (("401", "authentication", "target is held"), ("403", "authorization", "operation is"),
                                      ("301", "validation", "target is held"), ("422", "validation", "dead letter"),
                                      ("404", "identity", "dead letter"), ("409", "conflict", "dead letter"),
                                      ("503", "provider_unavailable", "again"),
                                      ("no answer", "provider_unavailable", "again")):
        assert answers[answer]["class"] == error_class and does in answers[answer]["busbar"], answer
    mw = next(r for r in errors["retry"] if r["target"] == "mw")
    assert (mw["first"], mw["max"], mw["attempts"], mw["max_age"]) == ("7s", "13m", 9, "6d")
    lost = {r["route"]: r["lost_answer"].split(" ")[0] for r in errors["routes"]}
    assert lost == {"bearing-hot": "sent", "plan": "parked", "bearing-order": "looked", "photo": "sent"}


# ---- the examples

def send(request, key):
    """An example as a client would send it, with the credential in place of ***."""
    headers = {name: key if value == "***" else value for name, value in request["headers"].items()}
    port, path = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", request["url"]).groups()
    body = request["body"].encode() if request["body"] is not None else None
    return http_call(int(port), request["method"], path, body, headers)


def test_examples_are_taken_by_the_targets(site):  # FV-0A: approved examples
    basic = "Basic " + base64.b64encode(f"api.user:{KEY}".encode()).decode()
    seen = {}
    for payload in document(site)["payloads"]:
        answer = send(payload["example"]["request"], basic if payload["to"].startswith("at.") else KEY)
        seen[payload["route"]] = answer.status
    assert seen == {"bearing-hot": 201, "plan": 201, "bearing-order": 200, "photo": 200}


OPERATIONS = ["task.schedule", "maintenance_plan.trigger", "spare_part.create", "spare_part.set_stock",
              "spare_part.update", "spare_part.relocate", "equipment.create", "equipment.update", "location.create"]


def test_an_example_is_found_where_the_payload_is_the_body(busbar, sandbox):
    """Nothing but the plugin's own complaints tells what such a payload needs."""
    routes = [{"name": f"r{n}", "from": f"in/{n}", "to": f"mw.{to}"} for n, to in enumerate(OPERATIONS)]
    daemon = busbar(routes, target={"currency": "EUR"}, start=False)
    sandbox.configure(plans=None)
    made = http_call(sandbox.port, "POST", "/partners/v1/locations/create/bulk", [{"name": "locationName"}], {"Api-Key": KEY})
    assert made.status == 202, "where the example puts a part"
    for payload in document(daemon)["payloads"]:
        example = payload["example"]
        assert example["request"] is not None, f"{payload['to']}: {example['why_none']}"
        assert send(example["request"], KEY).status in (201, 202), (payload["to"], example["request"])


def test_examples_for_factverse(tmp_path, broker, factverse, make_busbar):  # FV-0A
    target = {"plugin": "factverse", "url": factverse.url, "provider_id": "fv", "tenant": "north", "token": KEY,
              "mode": "write_back"}
    daemon = make_busbar(configuration(tmp_path, broker, {"fv": target}, [
        {"name": "open", "from": "alarm/{asset}", "to": "fv.work_order.create",
         "body": {"asset_ref": "${asset}", "title": "${.text}", "priority": "${.level}", "sla_due_at": "${.until?}"}},
        {"name": "done", "from": "done/{order}", "to": "fv.work_order.complete", "body": {"work_order": "${order}"}}]),
        start=False)
    opened, done = (payload["example"] for payload in document(daemon)["payloads"])
    assert send(opened["request"], f"Bearer {KEY}").status == 201 and opened["payload"]["level"] == "high"
    assert done["request"]["url"] == f"{factverse.url}/work-orders/order/complete", "the order that the message names"
    assert "It reads nothing of the payload." in markdown(daemon)


def test_an_example_that_cannot_be_made_says_why(busbar):
    daemon = busbar([command_route(body={"equipment": "e", "description": "Inspect it", "startDateTime": "${now}",
                                         "endDateTime": "${now+1h}", "assignees": ["no address: ${.who}"]})], start=False)
    (payload,) = document(daemon)["payloads"]
    assert payload["example"]["request"] is None and "/assignees/0" in payload["example"]["why_none"]
    assert "It makes no request: dead letter" in markdown(daemon)


def test_readings_have_a_value_that_fires(busbar):
    triggers = {"above": ({"value": "${.a.b[0]}", "above": 85}, {"a": {"b": [86]}}),
                "below": ({"value": "${.v}", "below": -3}, {"v": -4}),
                "outside": ({"value": "${.v}", "outside": [1, 2]}, {"v": 3}),
                "bare": ({"above": 7.5}, 8.5)}
    daemon = busbar([{**hot_route(), "name": name, "from": f"{name}/{{line}}/{{asset}}",
                      "trigger": trigger, "body": {**hot_route()["body"], "description": "at ${value}"}}
                     for name, (trigger, _) in triggers.items()], start=False)
    for payload in document(daemon)["payloads"]:
        wanted, example = triggers[payload["route"]][1], payload["example"]
        assert example["payload"] == wanted and example["topic"] == f"{payload['route']}/line/asset"
        shown = daemon.cli("try", "-t", example["topic"], "-p", json.dumps(example["payload"])).stdout
        assert "accepted (fired)" in shown and example["request"]["url"] in shown


FORMATS = {  # format, trigger's value, the payload's text
    "csv": ({"type": "csv", "columns": ["time", None, "celsius", "note"], "separator": ";", "decimal": ","},
            {"value": "${.celsius}", "above": 85.5}, "time;;86,5;"),
    "number": ("number", {"above": 7}, "8"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_an_example_is_in_the_routes_format(busbar, name):
    kind, trigger, text = FORMATS[name]
    body = {**hot_route()["body"], "description": "at ${value}" + (" ${.time}" if name == "csv" else "")}
    daemon = busbar([{**hot_route(), "format": kind, "trigger": trigger, "body": body}], start=False)
    (payload,) = document(daemon)["payloads"]
    example = payload["example"]
    assert (example["payload"], example["text"]) == (None, text) and example["request"] is not None
    assert "accepted (fired)" in daemon.cli("try", "-t", example["topic"], "-p", example["text"]).stdout
    assert f"```text\n{text}\n```" in markdown(daemon)


# ---- mapping

def test_the_mapping_is_the_one_in_force(busbar):  # FV-15
    daemon = busbar(target={"map": {"status": {"TaskWasScheduled": "approved", "Parked": "blocked"},
                                    "priority": {"P1": "critical"},
                                    "event": {"ActivityWasAddedOnTask": "attachment.added"}}}, start=False)
    told = document(daemon)
    (mapping,) = told["mapping"]
    status = {line["source"]: (line["common"], line["from"]) for line in mapping["status"]}
    assert status["TaskWasScheduled"] == ("approved", "map:") and status["Parked"] == ("blocked", "map:")
    assert status["TaskWasCompleted"] == ("completed", "plugin")
    assert [(line["source"], line["common"]) for line in mapping["priority"]] == [("P1", "critical")]
    assert ("ActivityWasAddedOnTask", "attachment.added", "map:") in [
        (line["source"], line["common"], line["from"]) for line in mapping["event"]]
    shown = rows(section(markdown(daemon), SECTIONS[3]))
    assert ["P1", "critical", "map:"] in shown and ["Parked", "blocked", "map:"] in shown


def test_the_steps_of_the_lifecycle_are_told(busbar):  # FV-09c: approved transition rules
    steps = {step["status"]: step["next"] for step in document(busbar(start=False))["transitions"]}
    assert steps["completed"] == "closed or reopened" and steps["closed"] == "reopened"
    assert set(steps) >= {"requested", "triaged", "approved", "assigned", "in_progress", "blocked", "completed", "closed",
                          "canceled", "reopened"}


# ---- acceptance

def test_the_commands_of_the_acceptance_run(site, assetic):  # FV-09
    site.file.write_text(site.file.read_text().replace(TOKEN, KEY))
    site.start()
    items = document(site)["acceptance"]
    assert {i["id"] for i in items} >= {f"FV-09{letter}" for letter in "abcdef"}
    commands = [command for item in items for command in item["commands"]]
    assert len(commands) > 10
    shown = section(markdown(site), SECTIONS[6])
    for command in commands:
        assert command in shown
        done = subprocess.run([str(BINARY), *shlex.split(command)[1:]], capture_output=True, text=True, check=False,
                              cwd=site.folder, timeout=60, env=dict(os.environ, BUSBAR_CONFIG=str(site.file)))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_exit_status(busbar, tmp_path):
    daemon = busbar(start=False)
    assert "unknown option" in daemon.cli("handoff", "--nonsense", expect=2).stderr
    assert "no argument" in daemon.cli("handoff", "more", expect=2).stderr
    daemon.file.write_text(daemon.file.read_text().replace("mw.task.schedule", "mw.task.shedule"))
    done = daemon.cli("handoff", expect=1)
    assert done.stdout == "" and "did you mean" in done.stderr
