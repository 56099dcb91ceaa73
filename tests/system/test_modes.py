# SPDX-License-Identifier: Apache-2.0
"""Ownership modes: what busbar may do in a target (FV-08), and what it must not."""

import contextlib
import sqlite3

from busbar_harness import command_route, wait_until


def started(sandbox):
    """Requests that wrote something; the settings are only read."""
    return [r for r in sandbox.requests() if r["method"] != "GET"]


def test_mode_read_refuses_records_and_sends_nothing(busbar, sandbox, publisher, subscribe):  # FV-08a, FV-07b, FV-09b
    events = subscribe("busbar/events/#")
    daemon = busbar(target={"mode": "read"})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    (refused,) = daemon.deliveries(state="rejected")
    story = daemon.json("queue", "show", refused["id"])
    assert story["error"]["class"] == "authorization" and story["error"]["code"] == "mode_refuses"
    assert "mode" in story["error"]["owner_action"] and story["request"] is None
    (row,) = story["history"]  # who, when, what, mode, outcome
    assert (row["who"], row["what"], row["mode"], row["outcome"]) == ("busbar", "attempt", "read", "rejected")
    assert row["at"] and row["class"] == "authorization" and row["code"] == "mode_refuses"
    assert daemon.json("orders", "list")["items"] == [], "what may not be sent is no order"
    assert started(sandbox) == []
    (event,) = events.wait("busbar/events/mw/sync/failed")
    assert b'"mode_refuses"' in event.payload


def test_left_out_is_read(busbar, sandbox, publisher):  # settled 18
    daemon = busbar(target={"mode": None})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    assert started(sandbox) == []


def test_mode_draft_waits_for_approval_over_a_restart(busbar, sandbox, publisher):  # FV-08b
    daemon = busbar(target={"mode": "draft"})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    publisher.publish("plant/l1/m2/job", {"celsius": 2})
    wait_until(lambda: len(daemon.deliveries(state="draft")) == 2, 10)
    daemon.kill()
    daemon.start()
    second, first = daemon.deliveries(state="draft")  # newest first
    assert started(sandbox) == []
    daemon.cli("queue", "approve", first["id"])
    wait_until(sandbox.tasks, 10)
    daemon.cli("queue", "discard", second["id"])
    daemon.cli("queue", "approve", second["id"], expect=1)
    wait_until(lambda: daemon.deliveries(state="delivered"), 10)
    assert [t["body"]["equipment"]["value"] for t in sandbox.tasks()] == ["m1"]


def test_a_retry_is_no_approval(busbar, sandbox, publisher):  # FV-08b
    """A draft that was discarded is a draft again when it is asked for; only `approve` sends it."""
    daemon = busbar(target={"mode": "draft"})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    (draft,) = wait_until(lambda: daemon.deliveries(state="draft"), 10)
    daemon.cli("queue", "discard", draft["id"])
    daemon.cli("queue", "retry", draft["id"])
    assert [d["state"] for d in daemon.deliveries()] == ["draft"]
    metrics = daemon.metrics()
    assert metrics.sum("busbar_deliveries", state="draft") == 1
    assert metrics.sum("busbar_deliveries_total", verdict="reopened") == 1
    daemon.cli("queue", "approve", draft["id"])
    wait_until(lambda: daemon.deliveries(state="delivered"), 10)
    assert [what for _, what, _, _ in audit(daemon, draft["id"])] == ["attempt", "approve", "retry", "discard", "draft"]
    assert len(sandbox.tasks()) == 1


def audit(daemon, delivery):
    return [(r["who"], r["what"], r["mode"], r["outcome"]) for r in daemon.json("audit", "--id", delivery)["items"]]


def test_each_draft_and_each_decision_has_one_line_in_the_audit(busbar, sandbox, publisher):  # FV-08b, FV-09b
    daemon = busbar(target={"mode": {"default": "read", "task.schedule": "draft"}})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    publisher.publish("plant/l1/m2/job", {"celsius": 2})
    publisher.publish("plant/l1/m3/job", {"fahrenheit": 3})  # it cannot be mapped: a create that is refused
    wait_until(lambda: len(daemon.deliveries(state="draft")) == 2 and daemon.deliveries(state="rejected"), 10)
    second, first = daemon.deliveries(state="draft")
    (refused,) = daemon.deliveries(state="rejected")
    line = ("busbar", "draft", "draft", "draft")
    assert audit(daemon, first["id"]) == [line] and audit(daemon, second["id"]) == [line]
    assert audit(daemon, refused["id"]) == [("busbar", "map", "draft", "rejected")]
    assert daemon.json("orders", "list")["items"] == [], "a draft is no order yet"
    daemon.cli("queue", "approve", first["id"])
    wait_until(lambda: daemon.deliveries(state="delivered"), 10)
    assert audit(daemon, first["id"]) == [("busbar", "attempt", "draft", "delivered"),
                                          ("operator", "approve", "draft", "pending"), line]
    daemon.cli("queue", "discard", second["id"])
    assert audit(daemon, second["id"]) == [("operator", "discard", "draft", "discarded"), line]


@contextlib.contextmanager
def audit_that_takes_nothing(daemon):
    """As if the disk failed under the audit, and under nothing else."""
    with contextlib.closing(sqlite3.connect(daemon.config["store"]["path"], timeout=30)) as store:
        store.execute("CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no audit'); END")
        yield
        store.execute("DROP TRIGGER no_audit")


def test_what_cannot_be_audited_is_not_done(busbar, sandbox, publisher):  # FV-09b
    daemon = busbar(target={"mode": "draft"})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    (draft,) = wait_until(lambda: daemon.deliveries(state="draft"), 10)
    with audit_that_takes_nothing(daemon):
        daemon.cli("queue", "approve", draft["id"], expect=1)
        daemon.cli("queue", "discard", draft["id"], expect=1)
        daemon.cli("targets", "hold", "mw", expect=1)
        publisher.publish("plant/l1/m2/job", {"celsius": 2})  # the broker has it; busbar does not acknowledge it
        wait_until(lambda: daemon.metrics().sum("busbar_store_failures_total") > 0, 10)
        assert [d["id"] for d in daemon.deliveries()] == [draft["id"]] and daemon.deliveries()[0]["state"] == "draft"
    wait_until(lambda: len(daemon.deliveries(state="draft")) == 2, 30, "the message comes again")
    assert started(sandbox) == []
    daemon.cli("queue", "approve", draft["id"])
    wait_until(sandbox.tasks, 10)
    assert len(audit(daemon, draft["id"])) == 3


def test_a_verdict_that_cannot_be_audited_stops_the_next_write(busbar, sandbox, publisher):  # FV-09b
    daemon = busbar(target={"concurrency": 1})
    with audit_that_takes_nothing(daemon):
        for n in range(3):
            publisher.publish(f"plant/l1/m{n}/job", {"celsius": n})
        wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="mw", state="pending") == 3, 10)
        wait_until(lambda: "the store refused a commit" in daemon.tail(), 10)
        assert len(started(sandbox)) == 1, "nothing more is sent until the first is in the audit"
    wait_until(lambda: len(daemon.deliveries(state="delivered")) == 3, 10)
    assert [len(audit(daemon, d["id"])) for d in daemon.deliveries(state="delivered")] == [1, 1, 1]
    assert len(sandbox.tasks()) == 3, "each once"


def test_mode_handoff_creates(busbar, sandbox, publisher):  # FV-08c
    daemon = busbar(target={"mode": {"default": "read", "task.schedule": "handoff"}})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(sandbox.tasks, 10)
    assert daemon.deliveries(state="rejected") == []


def test_a_payload_over_the_cap_is_a_dead_letter(busbar, sandbox, publisher, broker):  # settled 31
    daemon = busbar(bus={"url": broker.url, "max_payload": "1KiB"})
    publisher.publish("plant/l1/m1/job", {"celsius": 1, "fill": "x" * 2000})
    publisher.publish("plant/l1/m2/job", {"celsius": 2})
    wait_until(sandbox.tasks, 10)
    wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    (dead,) = daemon.deliveries(state="rejected")
    assert "max_payload" in dead["error"]["message"]
    assert len(daemon.json("queue", "show", dead["id"])["message"]["payload"]["fill"]) == 2000, "kept whole"
    assert daemon.metrics().sum("busbar_messages_total", outcome="invalid") == 1


def test_the_route_refuses_a_write_by_approval_too(busbar, sandbox, publisher):
    """A draft that is approved when the mode became read is refused, not sent."""
    daemon = busbar([command_route()], target={"mode": "draft"})
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.deliveries(state="draft"), 10)
    assert daemon.terminate() == 0
    daemon.config["targets"]["mw"]["mode"] = "read"
    daemon.write()
    daemon.start()
    daemon.cli("queue", "approve", daemon.deliveries(state="draft")[0]["id"])
    wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    assert started(sandbox) == []
