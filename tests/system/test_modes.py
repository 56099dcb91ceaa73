# SPDX-License-Identifier: Apache-2.0
"""Ownership modes: what busbar may do in a target (FV-08), and what it must not."""

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
    assert len(story["history"]) == 1, "one audit row"
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
