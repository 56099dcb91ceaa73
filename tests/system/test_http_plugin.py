# SPDX-License-Identifier: Apache-2.0
"""The plugin http drives two systems that are none of the contract's, from the YAML files of config/examples alone: Atlas CMMS and
ERPNext. And the page's own example is good."""

import pathlib
import re

import pytest
import yaml

from busbar_harness import KEY, SECRET, AtlasSandbox, ErpNextSandbox, configuration, http_call, wait_until
from test_portable import ROUTES as PORTABLE

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = {"retry": {"first": "100ms", "max": "500ms", "attempts": 20, "max_age": "7d"}, "poll": "1s"}


class Atlas:
    target, kind = "atlas", AtlasSandbox
    auth = {"header": {"name": "x-api-key", "value": KEY}}
    words = {"in_progress": "IN_PROGRESS", "blocked": "ON_HOLD", "completed": "COMPLETE"}
    path, polls, event = "/work-orders", "updatedAt", "WORK_ORDER_STATUS_CHANGE"

    @staticmethod
    def id_of(order):
        return str(order["id"])

    @staticmethod
    def move(sandbox, order, word, webhook=True):
        sandbox.control("POST", "status", {"order": order["id"], "status": word, "webhook": webhook})


class ErpNext:
    target, kind = "erp", ErpNextSandbox
    auth = {"header": {"name": "Authorization", "value": f"token {KEY}"}}
    words = {"in_progress": "Replied", "blocked": "On Hold", "completed": "Resolved"}
    path, polls, event = "/api/resource/Issue", "modified", "issue.changed"

    @staticmethod
    def id_of(order):
        return order["name"]

    @staticmethod
    def move(sandbox, order, word, webhook=True):
        sandbox.control("POST", "change", {"name": order["name"], "status": word, "webhook": webhook})


SYSTEMS = {"atlas_cmms": Atlas, "erpnext": ErpNext}


@pytest.fixture(params=SYSTEMS)
def example(request):
    return request.param


@pytest.fixture
def system(example):
    return SYSTEMS[example]


@pytest.fixture
def sandbox(make_sandbox, system):
    return make_sandbox("--secret", SECRET, kind=system.kind)


@pytest.fixture
def daemon(tmp_path, broker, example, system, sandbox, make_busbar):
    """daemon(routes=[], webhooks=True, **settings): the example, with the stand-in's address and credentials"""

    def make(routes=(), webhooks=True, **settings):
        file = yaml.safe_load((ROOT / "config" / "examples" / f"{example}.yaml").read_text())
        target = {**file["targets"][system.target], **QUICK, "url": sandbox.url, "auth": system.auth,
                  "webhook_secret": SECRET, **settings}
        running = make_busbar(configuration(tmp_path, broker, {system.target: target}, [*file["routes"], *routes]))
        if webhooks:
            sandbox.configure(webhook_url=f"http://127.0.0.1:{running.hook_port}/hooks/{system.target}")
        return running

    return make


def hot(publisher, asset="P-101"):
    publisher.publish(f"plant/hall-2/{asset}/temperature", {"celsius": 91})


def one_order(sandbox):
    return wait_until(sandbox.orders, 10, "an order")[0]


def record(running):
    return next(iter(running.json("orders", "list")["items"]), None)


def command(system, operation):
    return {"name": operation.replace(".", "-").replace("_", "-"), "from": f"do/{operation}",
            "to": f"{system.target}.{operation}", "body": "${.}"}


def dead(running):
    return wait_until(lambda: running.json("queue", "list", "--state", "rejected")["items"], 10, "a dead letter")[0]


def test_an_alarm_becomes_an_order_in_its_system_s_words(daemon, sandbox, system, publisher):
    running = daemon()
    hot(publisher)
    order = one_order(sandbox)
    ours = wait_until(lambda: (found := record(running)) and found["source_work_order_id"] and found, 10, "its record")
    assert ours["source_work_order_id"] == system.id_of(order) and ours["asset_ref"] == "P-101"
    assert ours["sync_state"] == "synchronized"
    if system is Atlas:
        assert (order["title"], order["priority"], order["asset"]["customId"]) == ("Bearing at 91 °C on P-101", "HIGH", "P-101")
        assert f"busbar {ours['common_work_order_id']}" in order["description"] and order["customId"] == "WO000001"
    else:
        assert (order["subject"], order["priority"], order["custom_asset"]) == ("Bearing at 91 °C on P-101", "High", "P-101")
        assert order["custom_busbar_order"] == ours["common_work_order_id"]


def test_the_route_is_the_one_that_every_target_takes(example, system):
    portable = yaml.safe_load(PORTABLE.format(target=system.target))["routes"][0]
    route = yaml.safe_load((ROOT / "config" / "examples" / f"{example}.yaml").read_text())["routes"][0]
    assert (route["body"], route["to"]) == (portable["body"], portable["to"])


@pytest.mark.parametrize("fault", ["reset", "truncate", "status"])
def test_an_answer_that_was_lost_makes_no_second_order(daemon, sandbox, system, publisher, fault):
    running = daemon(webhooks=False)
    sandbox.fail(fault, times=1, method="POST", path=system.path, contains="Bearing", after=True, status=502)
    hot(publisher)
    wait_until(lambda: running.json("queue", "list", "--state", "delivered")["items"], 20, "the order, found again")
    assert len(sandbox.orders()) == 1
    wait_until(lambda: record(running)["source_work_order_id"] == system.id_of(sandbox.orders()[0]), 10, "its id")
    assert len(running.json("orders", "list")["items"]) == 1


@pytest.mark.parametrize("fault", [{"action": "reset"}, {"action": "status", "status": 502}, {"action": "status", "status": 504}],
                         ids=["reset", "502", "504"])
def test_without_a_lookup_a_person_looks(daemon, example, sandbox, system, publisher, fault):
    operations = yaml.safe_load((ROOT / "config" / "examples" / f"{example}.yaml").read_text())["targets"][system.target]["operations"]
    operations["work_order.create"].pop("lookup")
    running = daemon(webhooks=False, operations=operations, poll="1h")
    sandbox.fail(**fault, times=1, method="POST", path=system.path, contains="Bearing", after=True)
    hot(publisher)
    assert running.json("queue", "show", dead(running)["id"])["error"]["code"] == "uncertain_outcome"
    assert len(sandbox.orders()) == 1


def test_a_login_page_is_no_order(daemon, sandbox, system, publisher):
    """It is looked for, and made once, when the system answers for itself again."""
    running = daemon(webhooks=False, poll="1h")
    sandbox.fail("status", status=200, page="<html>Sign in</html>", method="POST", path=system.path, contains="Bearing")
    hot(publisher)
    (waits,) = wait_until(lambda: running.json("queue", "list", "--state", "retrying")["items"], 10, "another attempt")
    assert waits["error"]["code"] == "odd_answer" and waits["uncertain"] is True
    assert record(running)["sync_state"] != "synchronized" and not sandbox.orders()
    sandbox.forgive()
    wait_until(lambda: running.json("queue", "list", "--state", "delivered")["items"], 20, "the order")
    assert len(sandbox.orders()) == 1
    assert record(running)["source_work_order_id"] == system.id_of(sandbox.orders()[0])


@pytest.mark.parametrize("answer", [{"page": "<html>Sign in</html>"}, {"body": {"id": {}}}], ids=["page", "no id"])
def test_an_odd_answer_without_a_lookup_is_a_person_s(daemon, example, sandbox, system, publisher, answer):
    operations = yaml.safe_load((ROOT / "config" / "examples" / f"{example}.yaml").read_text())["targets"][system.target]["operations"]
    operations["work_order.create"].pop("lookup")
    running = daemon(webhooks=False, operations=operations, poll="1h")
    sandbox.fail("status", status=200, **answer, times=1, method="POST", path=system.path, contains="Bearing")
    hot(publisher)
    assert running.json("queue", "show", dead(running)["id"])["error"]["code"] == "uncertain_outcome"
    assert record(running)["sync_state"] != "synchronized"
    running.cli("queue", "retry", dead(running)["id"])
    wait_until(lambda: running.json("queue", "list", "--state", "delivered")["items"], 20, "the order")
    assert len(sandbox.orders()) == 1


@pytest.mark.parametrize("webhook", [True, False], ids=["by webhook", "by poll"])
def test_what_becomes_of_it_comes_back(daemon, sandbox, system, publisher, subscribe, webhook):
    events = subscribe(f"busbar/events/{system.target}/work_order/#")
    running = daemon(webhooks=webhook, poll="1h" if webhook else "1s")
    hot(publisher)
    order = one_order(sandbox)
    wait_until(lambda: record(running)["source_work_order_id"], 10, "its id")
    for common in ("in_progress", "blocked", "in_progress", "completed"):
        system.move(sandbox, order, system.words[common], webhook)
        wait_until(lambda c=common: record(running)["common_status"] == c, 10, common)
    assert len(running.json("orders", "list")["items"]) == 1
    wait_until(lambda: any(e["type"] == "work_order.completed" for e in events.payloads("#")), 10, "the event")
    assert {event["subject"] for event in events.payloads("#")} == {record(running)["common_work_order_id"]}
    statuses = [event["data"]["work_order"]["common_status"] for event in events.payloads("#")]
    assert statuses.count("completed") == 1, "told once, however often it is polled"


def test_a_lost_webhook_is_healed_by_the_poll(daemon, sandbox, system, publisher):
    running = daemon()
    hot(publisher)
    order = one_order(sandbox)
    wait_until(lambda: record(running)["source_work_order_id"], 10, "its id")
    system.move(sandbox, order, system.words["completed"], webhook=False)
    wait_until(lambda: record(running)["common_status"] == "completed", 10, "the poll")


def test_our_own_steps_are_made_there(daemon, sandbox, system, publisher):
    running = daemon([command(system, "work_order.start"), command(system, "work_order.complete")], webhooks=False)
    hot(publisher)
    one_order(sandbox)
    ours = wait_until(lambda: (found := record(running)) and found["common_status"] == "approved" and found, 10, "its record")
    for operation, common in (("work_order.start", "in_progress"), ("work_order.complete", "completed")):
        publisher.publish(f"do/{operation}", {"work_order": ours["common_work_order_id"]})
        wait_until(lambda c=common: sandbox.orders()[0]["status"] == system.words[c], 10, f"{common} there")
        wait_until(lambda c=common: record(running)["common_status"] == c, 10, f"{common} here")


def test_an_unknown_asset_is_a_dead_letter_and_stops_nobody(daemon, sandbox, publisher):
    running = daemon()
    hot(publisher, "P-999")
    hot(publisher, "P-102")
    letter = running.json("queue", "show", dead(running)["id"])
    assert letter["error"]["class"] == "identity", letter["error"]
    assert len(wait_until(sandbox.orders, 10, "the other's order")) == 1


@pytest.mark.parametrize("status, retry_after", [(503, None), (429, 1)])
def test_overload_is_waited_out(daemon, sandbox, publisher, status, retry_after):
    running = daemon()
    sandbox.fail("status", times=3, status=status, **({"retry_after": retry_after} if retry_after else {}))
    hot(publisher)
    one_order(sandbox)
    wait_until(lambda: running.json("queue", "list", "--state", "delivered")["items"], 10, "delivered")


def test_a_wrong_key_holds_the_target_and_loses_nothing(daemon, sandbox, system, publisher):
    running = daemon(webhooks=False)
    sandbox.configure(key="another-key")
    hot(publisher)
    wait_until(lambda: "credential" in running.cli("targets", "list").stdout, 10, "held")
    sandbox.configure(key=KEY)
    running.cli("targets", "resume", system.target)
    one_order(sandbox)
    page = running.cli("queue", "show", running.json("queue", "list")["items"][0]["id"]).stdout
    assert KEY not in page


def test_what_the_system_refuses_is_said_in_its_words(daemon, sandbox, system, publisher):
    running = daemon([command(system, "work_order.create")])
    publisher.publish("do/work_order.create", {"title": "T" * 200, "asset_ref": "P-101", "native": {
        "priority": "Whatever"} if system is Atlas else {}})
    error = running.json("queue", "show", dead(running)["id"])["error"]
    assert error["class"] == "validation"
    assert ("not one of the values" in error["message"]) if system is Atlas else (
        error["code"] == "CharacterLengthExceededError"), error


def test_webhooks_that_nobody_signed_are_refused(daemon, system):
    running = daemon(webhooks=False)
    body = {"event": "issue.changed", "issue": {"name": "ISS-1", "status": "Closed"}, "changedWorkOrder": {"id": 7}}
    headers = {"X-Webhook-Event": "WORK_ORDER_STATUS_CHANGE"}
    path = f"/hooks/{system.target}"
    assert http_call(running.hook_port, "POST", path, body, headers=headers).status == 401
    forged = {**headers, "X-Webhook-Signature": "0" * 64, "X-Frappe-Webhook-Signature": "A" * 43 + "="}
    assert http_call(running.hook_port, "POST", path, body, headers=forged).status == 401
    assert running.json("orders", "list")["items"] == []


@pytest.mark.parametrize("example", ["atlas_cmms"], indirect=True)
def test_atlas_takes_meter_readings_when_it_is_time(daemon, sandbox, publisher):
    running = daemon()
    sandbox.configure(meter_ready=False)
    publisher.publish("plant/hall-2/meters/5", 1234.5)
    wait_until(lambda: any(r["status"] == 406 for r in sandbox.items("requests")), 10, "too early")
    sandbox.configure(meter_ready=True)
    assert wait_until(lambda: sandbox.items("readings"), 10, "the reading") == [{"meter": {"id": 5}, "value": 1234.5}]
    assert running.json("queue", "list", "--state", "rejected")["items"] == []


@pytest.mark.parametrize("example", ["erpnext"], indirect=True)
def test_erpnext_forbids_and_comments(daemon, sandbox, system, publisher):
    running = daemon([command(system, "work_order.comment")])
    hot(publisher)
    one_order(sandbox)
    ours = wait_until(lambda: (found := record(running)) and found["source_work_order_id"] and found, 10, "its record")
    sandbox.configure(forbidden=True)
    publisher.publish("do/work_order.comment", {"work_order": ours["common_work_order_id"], "text": "Cooled down by itself"})
    wait_until(lambda: "work_order.comment" in running.cli("targets", "list").stdout, 10, "the operation is held")
    sandbox.configure(forbidden=False)
    running.cli("targets", "resume", system.target)
    comment = wait_until(lambda: sandbox.items("comments"), 10, "the comment")[0]
    assert (comment["reference_name"], comment["content"]) == (ours["source_work_order_id"], "Cooled down by itself")


@pytest.mark.parametrize("example", ["erpnext"], indirect=True)
@pytest.mark.parametrize("offset", [-11, 13])
def test_erpnext_is_polled_by_its_own_clock(daemon, sandbox, offset):
    sandbox.configure(utc_offset=offset)
    running = daemon(webhooks=False)
    for n in range(1, 4):
        sandbox.control("POST", "issue", {"subject": f"by hand {n}"})
        wait_until(lambda n=n: len(running.json("orders", "list")["items"]) == n, 10, f"issue {n}")


def test_a_change_is_told_once_by_webhook_and_poll(daemon, sandbox, system, publisher, subscribe):
    """The poll heals: what a webhook told is no news, what no webhook told is."""
    events = subscribe(f"busbar/events/{system.target}/work_order/#")
    running = daemon(poll="1s")
    hot(publisher)
    order = one_order(sandbox)
    wait_until(lambda: record(running)["common_status"] == "approved", 10, "the first poll")

    def told(common):
        return [event for event in events.payloads("#") if event["data"]["work_order"]["common_status"] == common]

    def polls():
        return len([r for r in sandbox.items("requests") if r["status"] == 200 and system.polls in f"{r['path']} {r['body']}"])

    def two_more_polls():
        before = polls()
        wait_until(lambda: polls() >= before + 2, 15, "two polls")

    sandbox.fail("status", status=429, path=system.path, **({"contains": system.polls} if system is Atlas else {"method": "GET"}))
    system.move(sandbox, order, system.words["in_progress"])
    wait_until(lambda: told("in_progress"), 10, "the webhook's event, before any poll could see it")
    sandbox.forgive()
    two_more_polls()
    system.move(sandbox, order, system.words["completed"], webhook=False)
    wait_until(lambda: told("completed"), 10, "the poll's event: its webhook was lost")
    two_more_polls()
    assert (len(told("in_progress")), len(told("completed"))) == (1, 1)
    assert told("in_progress")[0]["data"]["provider"]["event"] == system.event and told("completed")[0]["data"]["provider"]["event"] == "work_order"


def secret_files(tmp_path, text):
    for name, content in (("desk", "key-of-the-desk"), ("desk-hook", "whsec_a2V5")):
        secret = tmp_path / name
        secret.write_text(content)
        secret.chmod(0o600)
        text = text.replace(f"/run/secrets/{name}}}", f"{secret}}}")
    return text


@pytest.fixture
def check(tmp_path, broker, make_busbar):
    running = make_busbar(configuration(tmp_path, broker, {}, []))

    def check(text):
        (tmp_path / "busbar.yaml").write_text(f"bus: {{url: {broker.url}}}\nstore: {{path: {tmp_path}/b.db}}\n{text}")
        return running.cli("check", "-c", str(tmp_path / "busbar.yaml"), config=False)

    return check


BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "plugins" / "http" / "http.md").read_text(), re.DOTALL)


def test_the_page_s_example_is_good(tmp_path, check):
    said = check(secret_files(tmp_path, BLOCKS[0]))
    assert "good: 1 target, 1 route" in said.stdout and "warning" not in said.stdout + said.stderr


def test_the_page_s_other_shape_is_good(tmp_path, check):
    text = secret_files(tmp_path, BLOCKS[0])
    whole = yaml.safe_load(text)
    target = whole["targets"]["desk"]
    whole["targets"]["desk"] = {name: target[name] for name in ("plugin", "url", "mode")} | yaml.safe_load(secret_files(tmp_path, BLOCKS[1]))
    said = check(yaml.safe_dump(whole))
    assert len(BLOCKS) == 2 and "good: 1 target, 1 route" in said.stdout and "warning" not in said.stdout + said.stderr, said.stdout


def test_the_page_s_table_is_good(tmp_path, check):
    """Each line that says settings in its second column is valid as one."""
    page = (ROOT / "plugins" / "http" / "http.md").read_text()
    table = page[page.index("| it | say |"):].split("\n\n")[0]
    good = {"webhook_signature": 0, "auth": 0, "answers": 0, "errors": 0}
    for snippet in re.findall(r"`((?:%s): \{.*?\})`(?=[,; |]|$)" % "|".join(good), table, re.M):
        name = snippet.partition(":")[0]
        if "..." in snippet.replace("t=...", ""):
            continue
        good[name] += 1
        secret = "webhook_secret: whsec_a2V5" if name == "webhook_signature" else ""
        said = check(f"http: {{webhooks: 127.0.0.1:8080}}\ntargets:\n  a:\n    plugin: http\n    url: https://a.example\n    mode: read\n"
                     f"    webhook: {{event: /type}}\n    {secret}\n    {snippet}\n")
        assert "good: 1 target" in said.stdout, (snippet, said.stdout + said.stderr)
    assert good["webhook_signature"] >= 4 and good["answers"] >= 3 and good["errors"] >= 2, good
