# SPDX-License-Identifier: Apache-2.0
"""What is owed when the configuration changes, or the clock, or when two people act at once."""

import calendar
import contextlib
import http.server
import json
import sqlite3
import threading
import time

import pytest

from busbar_harness import command_route, hot_route, http_call, wait_until
from test_reload import hang_up, lines


@pytest.fixture
def orphaned(busbar, sandbox, publisher):
    """A daemon that owes three deliveries to `other`, which was taken out of its configuration by a reload."""
    daemon = busbar([command_route(), command_route(name="other", topic="other/{line}/{asset}/job",
                                                    to="other.task.schedule")], start=False)
    daemon.config["targets"]["other"] = dict(daemon.config["targets"]["mw"])
    daemon.write()
    daemon.start()
    daemon.cli("targets", "hold", "other")
    for n in range(3):
        publisher.publish(f"other/l1/m{n}/job", {"celsius": n})
    wait_until(lambda: len(daemon.deliveries(target="other", state="pending")) == 3, 10, "what is owed")
    assert daemon.json("status")["not_configured"] == [] and lines(daemon, ORPHANED) == []
    daemon.whole = json.loads(json.dumps(daemon.config))
    del daemon.config["targets"]["other"], daemon.config["routes"][1]
    daemon.write()
    hang_up(daemon, good=True)
    return daemon


ORPHANED = "deliveries wait for a target that is not configured"
SAID = "3 deliveries wait for `other`, which is not configured"


def test_what_is_owed_to_a_target_that_was_taken_out_is_told(orphaned, sandbox):
    (line,) = lines(orphaned, ORPHANED)
    assert (line["level"], line["target"], line["deliveries"]) == ("warn", "other", "3") and line["action"]
    for _ in ("by the daemon", "and without it, from the store"):
        assert orphaned.json("status")["not_configured"] == [{"target": "other", "waiting": 3}]
        assert SAID in orphaned.cli("status").stdout
        for shown in orphaned.deliveries(target="other"):
            assert shown["held_reason"] == "its target is not configured"
            assert orphaned.json("queue", "show", shown["id"])["held_reason"] == shown["held_reason"]
        if orphaned.runs():
            wait_until(lambda: orphaned.metrics().sum("busbar_deliveries_oldest_seconds", target="other") > 0, 10)
            orphaned.kill()
    orphaned.start()
    assert len(lines(orphaned, ORPHANED)) == 2, "at a start as at a reload"
    assert sandbox.tasks() == []


def test_what_cannot_be_sent_for_want_of_its_target_is_not_promised_to_go(orphaned):
    newest, *others = orphaned.deliveries(target="other")
    refused = orphaned.cli("queue", "retry", newest["id"], expect=1)
    assert "its target is not configured" in refused.stderr and refused.stdout == ""
    assert orphaned.json("queue", "show", newest["id"])["state"] == "pending"
    orphaned.cli("queue", "discard", newest["id"])
    assert orphaned.json("status")["not_configured"] == [{"target": "other", "waiting": 2}]
    orphaned.cli("queue", "retry", newest["id"], expect=1)
    for shown in others:
        orphaned.cli("queue", "discard", shown["id"])
    assert orphaned.json("status")["not_configured"] == [] and "not configured" not in orphaned.cli("status").stdout
    assert orphaned.metrics().sum("busbar_deliveries_oldest_seconds", target="other") == 0


def test_a_target_that_is_configured_again_gets_what_it_is_owed(orphaned, sandbox):
    orphaned.config = orphaned.whole
    orphaned.write()
    hang_up(orphaned, good=True)
    assert orphaned.json("status")["not_configured"] == []
    orphaned.cli("targets", "resume", "other")
    wait_until(lambda: len(sandbox.tasks()) == 3, 10, "what was owed")


@contextlib.contextmanager
def other_operator(daemon, acts):
    """The daemon's admin port, as the command line finds it in the file: before each POST another operator acts."""

    class Between(http.server.BaseHTTPRequestHandler):
        def pass_on(self):
            if self.command == "POST":
                acts(self.path.split("/")[4])
            answer = http_call(daemon.admin_port, self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = pass_on

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        file = daemon.folder / "between.yaml"
        file.write_text(daemon.file.read_text().replace(f":{daemon.admin_port}\n", f":{server.server_port}\n"))
        yield file
        server.shutdown()


@pytest.fixture
def dead(busbar, sandbox, publisher):
    daemon = busbar()
    sandbox.configure(unknown_equipments=["m-lost"])
    for n in range(3):
        publisher.publish("plant/l1/m-lost/job", {"celsius": n})
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 3, 10, "dead letters")
    sandbox.configure(unknown_equipments=[])
    return daemon


def test_retry_all_does_not_undo_anothers_discard(dead, sandbox):
    kept = dead.deliveries(state="rejected")[0]["id"]

    def acts(delivery):
        if delivery != kept and dead.json("queue", "show", delivery)["state"] == "rejected":
            dead.cli("queue", "discard", delivery)

    with other_operator(dead, acts) as file:
        done = dead.cli("queue", "retry", "--all", "-c", str(file), config=False, expect=1)
    assert done.stdout == "retry: 1 done, 2 refused\n"
    assert done.stderr.count("it is discarded by now, not rejected any more") == 2
    wait_until(lambda: [d["id"] for d in dead.deliveries(state="delivered")] == [kept], 10, "the one that nobody discarded")
    assert len(dead.deliveries(state="discarded")) == 2 and len(sandbox.tasks()) == 1


def test_what_was_discarded_comes_back_when_it_is_asked_for(dead, sandbox):
    dead.cli("queue", "discard", "--all")
    one, *others = [d["id"] for d in dead.deliveries(state="discarded")]
    dead.cli("queue", "retry", one)
    wait_until(lambda: len(sandbox.tasks()) == 1, 10, "by its id")
    assert dead.cli("queue", "retry", "--all").stdout == "retry: 0 done, 0 refused\n", "dead letters, and no others"
    dead.cli("queue", "retry", "--all", "--state", "discarded")
    wait_until(lambda: len(sandbox.tasks()) == 1 + len(others), 10, "by their state")


def test_the_api_takes_the_state_that_was_seen(dead):
    one = dead.deliveries(state="rejected")[0]["id"]
    for verb in ("retry", "discard", "approve", "edit"):
        answer = dead.api("POST", f"deliveries/{one}/{verb}?state=pending")
        assert answer.status == 409 and answer.json["detail"] == "it is rejected by now, not pending any more"
        assert dead.api("POST", f"deliveries/{one}/{verb}?state=gone").status == 400
        assert dead.api("POST", f"deliveries/none/{verb}?state=rejected").status == 404
    assert dead.api("POST", f"deliveries/{one}/discard?state=rejected").status == 200


def set_mode(daemon, mode):
    daemon.config["targets"]["mw"]["mode"] = mode
    daemon.write()
    hang_up(daemon, good=True)


def owing(daemon, state):
    return [d["id"] for d in daemon.deliveries(target="mw", state=state)]


def test_what_nobody_approved_becomes_a_draft_with_the_mode(busbar, sandbox, publisher):  # FV-08b
    daemon = busbar()
    sandbox.fail("status", status=503, path="/partners/v1/tasks")
    for n in range(3):
        publisher.publish(f"plant/l1/m{n}/job", {"celsius": n})
    wait_until(lambda: len(owing(daemon, "retrying")) == 3, 10, "attempts in vain")
    set_mode(daemon, "draft")
    drafts = owing(daemon, "draft")
    assert len(drafts) == 3 and lines(daemon, "deliveries that nobody approved are drafts: the mode is draft")
    assert daemon.metrics().sum("busbar_deliveries", state="draft") == 3
    asked = len(sandbox.requests("/partners/v1/tasks"))
    row = daemon.json("queue", "show", drafts[0])["history"][0]
    assert (row["who"], row["what"], row["mode"], row["outcome"]) == ("busbar", "draft", "draft", "draft")
    daemon.cli("queue", "approve", drafts[0])
    wait_until(lambda: len(sandbox.requests("/partners/v1/tasks")) > asked, 10, "what is approved goes")
    set_mode(daemon, "draft")  # what a person approved stays approved
    assert owing(daemon, "draft") == drafts[1:] and owing(daemon, "retrying") + owing(daemon, "pending") == drafts[:1]
    sandbox.forgive()
    wait_until(lambda: len(sandbox.tasks()) == 1, 10, "the one that was approved")
    assert owing(daemon, "draft") == drafts[1:]
    for draft in drafts[1:]:
        daemon.cli("queue", "approve", draft)
    wait_until(lambda: len(sandbox.tasks()) == 3, 10, "each approved")


def test_an_uncertain_one_waits_as_a_draft_and_stays_uncertain(busbar, sandbox, publisher):  # FV-08b, P-U3
    daemon = busbar(target={"retry": {"first": "60s", "max": "60s", "attempts": 50, "max_age": "7d"}})
    sandbox.fail("reset", after=True, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: owing(daemon, "retrying"), 10, "an answer that is lost")
    daemon.config["targets"]["mw"]["on_uncertain"] = "park"
    set_mode(daemon, "draft")
    (draft,) = owing(daemon, "draft")
    assert daemon.json("queue", "show", draft)["uncertain"]
    daemon.cli("queue", "approve", draft)
    wait_until(lambda: owing(daemon, "rejected") == [draft], 10, "the rule for what is uncertain holds")
    assert daemon.deliveries(state="rejected")[0]["error"]["code"] == "uncertain_outcome" and len(sandbox.tasks()) == 1


def test_a_webhook_settles_an_uncertain_draft(busbar, sandbox, publisher):  # FV-08b, U16
    daemon = busbar(target={"retry": {"first": "60s", "max": "60s", "attempts": 50, "max_age": "7d"}})
    sandbox.fail("reset", after=True, times=1, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: owing(daemon, "retrying"), 10, "an answer that is lost")
    set_mode(daemon, "draft")
    (draft,) = owing(daemon, "draft")
    (task,) = sandbox.tasks()
    sandbox.tell(task["id"], "TaskWasScheduled")
    wait_until(lambda: draft in owing(daemon, "delivered"), 10, "it was there already")
    daemon.cli("queue", "approve", draft, expect=1)
    assert len(sandbox.tasks()) == 1


def test_a_clock_that_was_ten_years_ahead_delays_no_retry(tmp_path, busbar, sandbox, publisher):
    daemon = busbar()
    sandbox.fail("status", status=503, path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    publisher.publish("plant/l1/m1/job", {"celsius": 2})  # the same lane
    wait_until(lambda: owing(daemon, "retrying"), 10, "an attempt in vain")
    daemon.cli("targets", "hold", "mw")
    assert daemon.terminate() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "busbar.db")) as store, store:
        years = 3650 * 24 * 3600 * 1000
        store.execute("UPDATE deliveries SET due_ms = due_ms + ?", (years,))
    sandbox.forgive()
    daemon.start()
    assert lines(daemon, "deliveries were due in a future that no wait reaches: the clock was set back; they are due now")
    now = time.strftime("%Y", time.gmtime())
    assert all(d["due"].startswith(now) for d in daemon.deliveries(target="mw"))
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: len(sandbox.tasks()) == 2, 10, "both")


def test_a_shelf_that_a_wrong_clock_laid_lasts_as_long_as_it_was_meant_to(tmp_path, busbar):
    daemon = busbar([hot_route()])
    daemon.cli("routes", "shelve", "bearing-hot", "--for", "2h", "--reason", "repair")
    assert daemon.terminate() == 0
    years = 3650 * 24 * 3600 * 1000
    with contextlib.closing(sqlite3.connect(tmp_path / "busbar.db")) as store, store:
        ((route, state),) = store.execute("SELECT route, state FROM triggers").fetchall()
        state = json.loads(state)
        state["since"] += years
        state["words"][0] += years
        store.execute("UPDATE triggers SET state = ? WHERE route = ?", (json.dumps(state).encode(), route))
    daemon.start()
    (shelf,) = daemon.json("routes", "shelves")["items"]
    since, until = (calendar.timegm(time.strptime(shelf[end][:19], "%Y-%m-%dT%H:%M:%S")) for end in ("since", "until"))
    assert abs(since - time.time()) < 60 and until - since in (7199, 7200, 7201)
