# SPDX-License-Identifier: Apache-2.0
"""The command line: help for each verb, exit status 0 done, 1 the answer is no, 2 usage."""

import json
import re
import subprocess

import pytest

from busbar_harness import BINARY, command_route, hot_route, wait_until

VERBS = ["run", "check", "try", "status", "targets", "queue", "orders", "audit", "store", "plugins"]


def call(*arguments):
    return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(autouse=True)
def built():
    assert BINARY.exists(), f"{BINARY} is not built"


def test_help_lists_every_verb():
    for argument in ("--help", "help", "-h"):
        done = call(argument)
        assert done.returncode == 0 and all(verb in done.stdout for verb in VERBS), argument


@pytest.mark.parametrize("verb", VERBS)
def test_help_of(verb):
    done = call(verb, "--help")
    assert done.returncode == 0 and verb in done.stdout and done.stderr == ""


PLUGIN_VERBS = ["list", "show", "check", "test", "new", "record"]


@pytest.mark.parametrize("verb", PLUGIN_VERBS)
def test_help_of_each_verb_of_plugins(verb):
    """It shows that verb, not all of them; and so does what is said of a slip."""
    done, slip = call("plugins", verb, "--help"), call("plugins", verb, "--paint")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: busbar plugins {verb}"), done.stdout
    assert slip.returncode == 2 and slip.stderr.startswith(f"busbar plugins {verb}: unknown option --paint\nusage: "), slip.stderr
    assert len(slip.stderr.splitlines()) <= 4 and f"`busbar plugins {verb} --help` says more" in slip.stderr
    for other in set(PLUGIN_VERBS) - {verb}:
        assert f"usage: busbar plugins {other}" not in done.stdout and f"\nbusbar plugins {other}" not in done.stdout + slip.stderr


def test_plugins_names_its_verbs():
    assert all(f"\n  {verb} " in call("plugins", "--help").stdout for verb in PLUGIN_VERBS)
    assert "did you mean 'check'?" in call("plugins", "chekc").stderr and len(call("plugins").stderr.splitlines()) == 3


@pytest.mark.parametrize("arguments", [
    [], ["paint"], ["queue"], ["queue", "paint"], ["queue", "show"], ["targets", "hold"], ["plugins", "check"],
    ["check", "--paint"], ["try"], ["run", "extra"],
    ["routes", "shelve", "job", "--for", "0s", "--reason", "r"], ["routes", "shelve", "job", "--for", "0", "--reason", "r"]], ids=" ".join)
def test_usage_errors(arguments):
    done = call(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr and done.stdout == ""


def test_an_unknown_verb_names_the_nearest():
    assert "queue" in call("queu").stderr


def test_version():
    done = call("--version")
    assert done.returncode == 0 and done.stdout.startswith("busbar ")


def test_plugins_are_listed_and_shown(busbar):
    daemon = busbar(start=False)
    listed = json.loads(daemon.cli("plugins", "list", "--json", config=False).stdout)["items"]
    assert "mobility_work" in [plugin["name"] for plugin in listed]
    shown = daemon.cli("plugins", "show", "mobility_work", config=False).stdout
    for word in ("api_key", "network_name", "task.schedule", "maintenance_plan.trigger", "network.settings"):
        assert word in shown
    daemon.cli("plugins", "show", "nobody", config=False, expect=1)
    daemon.cli("plugins", "check", str(BINARY.parent / "plugins" / "mobility_work.so"), config=False)
    daemon.cli("plugins", "check", str(BINARY), config=False, expect=1)


def test_try_shows_the_exact_request(busbar, sandbox):
    daemon = busbar([hot_route(), command_route()], start=False)
    shown = daemon.cli("try", "--topic", "plant/l1/m7/temperature", "--payload", '{"celsius": 90}').stdout
    assert "bearing-hot" in shown and "POST" in shown and f"{sandbox.url}/partners/v1/tasks" in shown
    assert '"value":"m7"' in shown and "Bearing at 90 °C on m7" in shown
    ignored = daemon.cli("try", "--topic", "plant/l1/m7/temperature", "--payload", '{"celsius": 20}').stdout
    assert "bearing-hot" in ignored and "POST" not in ignored
    hint = "a running busbar may know more of this key: busbar routes keys bearing-hot\n"
    assert shown.endswith(hint) and hint not in ignored
    assert hint not in daemon.cli("routes", "fire", "bearing-hot", "-t", "plant/l1/m7/temperature", "-p", "{}", "--dry-run",
                                  expect=None).stdout
    daemon.cli("try", "--topic", "nowhere", "--payload", "{}", expect=1)
    assert sandbox.requests() == [] and not (daemon.folder / "busbar.db").exists()


def test_try_names_the_lines_of_a_recording_that_it_cannot_read(busbar, tmp_path):
    daemon = busbar([hot_route()], start=False)
    recorded, head = tmp_path / "recorded.ndjson", {"time": "2030-01-02T08:00:00Z", "topic": "plant/l1/m7/temperature"}
    lines = [{"payload_base64": "eyJjZWxzaXVzIjo5MH0="}, {"payload_base64": "eyJjZWxzaXVzIjo5MH0"}, {"payload_base64": "    "},
             {"payload_base64": "===="}, {"payload_base64": 90}, {"payload_base64": None}, {},
             {"payload": {"celsius": 90}, "payload_base64": "eyJjZWxzaXVzIjo5MH0="}, {"payload": None}, {"payload_base64": ""}]
    recorded.write_text("".join(json.dumps({**head, **line}) + "\n" for line in lines))
    done = daemon.cli("try", "--replay", str(recorded), expect=1)
    assert done.stderr.splitlines() == [f"{recorded}:{n}: \"payload_base64\" is no base64" for n in range(2, 7)] + \
        [f'{recorded}:{n}: "payload" or "payload_base64" is wanted, one of them' for n in (7, 8)] + \
        ["busbar: 7 of 10 lines could not be read"]
    assert re.search(r"^bearing-hot +3 ", done.stdout, re.MULTILINE), done.stdout


def test_try_speaks_json(busbar):
    daemon = busbar([hot_route()], start=False)
    done = daemon.cli("try", "--topic", "plant/l1/m7/temperature", "--payload", '{"celsius": 90}', "--json")
    assert json.loads(done.stdout)


def test_status_is_one_screen(busbar, sandbox, publisher):
    daemon = busbar([command_route()])
    publisher.publish("plant/l1/m7/job", {"celsius": 1})
    wait_until(sandbox.tasks, 10)
    shown = daemon.cli("status").stdout
    assert "mw" in shown and "job" in shown and len(shown.splitlines()) < 60
    status = daemon.json("status")
    assert status["instance"] == "edge-01"
    daemon.cli("status", "--ready")
    daemon.kill()
    daemon.cli("status", "--ready", expect=1)


@pytest.mark.parametrize("words", [["queue", "list"], ["queue", "list", "--json"], ["queue", "show", "x"], ["orders", "list"],
                                   ["orders", "show", "x"], ["audit"], ["targets", "list"], ["routes", "list"], ["status"]],
                         ids=" ".join)
@pytest.mark.parametrize("said", [b'{"items":[{"code":"Ger\xe4t"}]}', b"<html>", b""], ids=["no UTF-8", "a page", "nothing"])
def test_an_answer_that_is_no_json_is_no_empty_list(busbar, desk, words, said):
    daemon = busbar(start=False)
    daemon.config["http"]["admin"] = desk.url.partition("//")[2]
    daemon.write()
    desk.usual = (200, said)
    done = daemon.cli(*words, expect=1)
    assert done.stdout == "" and "cannot be read as JSON" in done.stderr


def test_what_the_api_does_not_know_it_refuses(busbar):
    """A filter that is not heeded would answer another question."""
    daemon = busbar([command_route()])
    answer = daemon.api("GET", "deliveries?target=mw&stat=rejected&limt=3")
    assert answer.status == 400
    assert answer.json["detail"] == ("no such parameter: 'stat', 'limt'; known here: target, route, state, code, lane, limit, cursor")
    assert daemon.api("GET", "targets?x").json["detail"] == "no such parameter: 'x'; none is known here"
    assert daemon.api("POST", "targets/mw/hold?why=test").status == 400
    assert daemon.json("targets", "list")["items"][0]["holds"] == [], "nothing was done"
    assert daemon.api("GET", "deliveries?target=mw&state=rejected&limit=3").status == 200
    assert daemon.get("/healthz?verbose=1").status == 200, "probes say what they like"


def test_each_operation_s_mode_is_shown(busbar):
    daemon = busbar([command_route()], target={"mode": {"default": "read", "task.schedule": "write_back"}})
    (target,) = daemon.json("targets", "list")["items"]
    modes = {operation["name"]: operation["mode"] for operation in target["operations"]}
    assert target["mode"] == "read" and modes["task.schedule"] == "write_back" and modes["work_order.create"] == "read"
    assert modes["network.settings"] is None, "it only reads"
    assert "read, task.schedule: write_back" in daemon.cli("targets", "list").stdout


def test_two_daemons_never_share_a_store(busbar):
    daemon = busbar()
    second = daemon.cli("run", expect=1)
    assert "busbar.db" in second.stderr + second.stdout
    assert daemon.runs()


def test_run_ends_0_on_sigterm(busbar):
    assert busbar().terminate() == 0


def test_json_logs_off_a_terminal(busbar):
    daemon = busbar()
    for line in daemon.tail(1000).splitlines():
        entry = json.loads(line)
        assert entry


def test_a_refusal_says_why(busbar, sandbox, publisher):
    daemon = busbar([command_route()])
    publisher.publish("plant/l1/m7/job", {"celsius": 1})
    wait_until(sandbox.tasks, 10)
    delivery = wait_until(lambda: daemon.deliveries(state="delivered", route="job"), 10)[0]["id"]
    for words, reason in ((("queue", "retry", delivery), "delivered"), (("queue", "discard", delivery), "over"),
                          (("queue", "edit", delivery), "dead letter"), (("queue", "show", "nothing"), "no such"),
                          (("targets", "resume", "mw"), "not held"), (("targets", "hold", "nobody"), "no such target"),
                          (("targets", "hold", "mw", "--operation", "paint"), "no such operation"),
                          (("queue", "list", "--limit", "0"), "limit"), (("queue", "list", "--cursor", "x"), "cursor"),
                          (("queue", "list", "--state", "lost"), "rejected"),
                          (("queue", "retry", "--all", "--state", "lost"), "rejected")):
        refused = daemon.cli(*words, expect=1)
        assert reason in refused.stderr and refused.stdout == "", words


def test_a_message_is_found_by_its_lane(busbar, sandbox, publisher):
    daemon = busbar([command_route(key="${asset}")])
    for asset in ("m1", "m2"):
        publisher.publish(f"plant/l1/{asset}/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)
    (found,) = daemon.deliveries(lane="m2")
    assert found["topic"] == "plant/l1/m2/job"
    assert "plant/l1/m2/job" in daemon.cli("queue", "list", "--lane", "m2").stdout


def test_an_action_says_what_it_did(busbar, publisher):
    daemon = busbar([command_route()])
    assert daemon.cli("targets", "hold", "mw").stdout == "mw held\n"
    publisher.publish("plant/l1/m7/job", {"celsius": 1})
    delivery = wait_until(daemon.deliveries, 10)[0]["id"]
    assert daemon.cli("queue", "discard", delivery).stdout == f"{delivery} discarded\n"
    assert daemon.cli("targets", "resume", "mw").stdout == "mw resumed\n"
