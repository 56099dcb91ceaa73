# SPDX-License-Identifier: Apache-2.0
"""A broker that allows less than usual, or floods us with what it retained."""

import contextlib
import json

import pytest

import busbar_harness as harness
from busbar_harness import command_route, wait_until


@pytest.fixture
def narrow(tmp_path, logs):
    """narrow(setting=value..): a broker with limits of its own."""
    with contextlib.ExitStack() as ends:
        yield lambda **settings: ends.enter_context(harness.Broker(tmp_path / "narrow", logs, **settings))


@pytest.fixture
def behind(tmp_path, sandbox, make_busbar):
    """behind(broker, routes..): a daemon at that broker."""

    def make(broker, routes=(), **sections):
        target = {"mw": harness.mw_target(sandbox)}
        return make_busbar(harness.configuration(tmp_path, broker, target, list(routes), **sections))

    return make


def consumed(key, size=10):
    return json.dumps({"_event": "SparePartWasConsumed", "_idempotencyKey": key, "filler": "x" * size}).encode()


def test_an_event_that_the_broker_does_not_take_stops_no_other(narrow, behind):
    broker = narrow(max_packet_size="4096")
    events = harness.Subscriber(broker.port, "busbar/events/#")
    daemon = behind(broker)
    for key, size in (("small", 10), ("large", 20000), ("next", 10)):
        assert daemon.hook(consumed(key, size)).status == 200
    wait_until(lambda: len(events.seen()) == 2, 10, "the two that fit")
    assert [e["data"]["provider"]["raw"]["_idempotencyKey"] for e in events.payloads()] == ["small", "next"]
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the third as a dead letter")
    assert dead["error"]["code"] == "packet_too_large" and "max_packet_size" in dead["error"]["owner_action"]
    assert daemon.metrics().sum("busbar_bus_reconnects_total") == 0, "the link was not risked for it"
    events.close()

    broker.stop()  # mended
    broker.config.write_text(broker.config.read_text().replace("max_packet_size 4096", ""))
    broker.start()
    events = harness.Subscriber(broker.port, "busbar/events/#")
    wait_until(lambda: daemon.metrics().sum("busbar_bus_reconnects_total") == 1, 20, "the link to it")
    daemon.cli("queue", "retry", dead["id"])
    wait_until(lambda: len(events.seen()) == 1, 10, "the third")
    assert events.payloads()[0]["data"]["provider"]["raw"]["_idempotencyKey"] == "large"
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="bus") == 0, 10, "an even ledger")
    events.close()


def test_a_character_that_brokers_throw_us_out_for_gets_into_no_topic(broker, behind):
    """mosquitto calls a non-character or a C1 control in a topic a malformed packet, and ends the link."""
    daemon = behind(broker)
    events = harness.Subscriber(broker.port, "busbar/events/#")
    for event in ("a\ufdd0b", "a\x85b", "a\U0001ffffb"):
        body = json.dumps({"_event": event, "_idempotencyKey": ascii(event)}).encode()
        assert daemon.hook(body).status == 200
    wait_until(lambda: len(events.seen()) == 3, 10, "the events")
    assert {m.topic for m in events.messages} == {"busbar/events/mw/provider/mobility_work/a_b"}
    assert daemon.metrics().sum("busbar_bus_reconnects_total") == 0
    events.close()


def test_one_message_in_flight_carries_all(narrow, behind, sandbox):
    """Receive maximum 1 both ways, which a broker tells with MQTT 5."""
    broker = narrow(max_inflight_messages="1")
    events = harness.Subscriber(broker.port, "busbar/events/#")
    daemon = behind(broker, [command_route()], bus={"url": broker.url, "receive_maximum": 1})
    publisher = harness.Publisher(broker.port)
    for n in range(200):
        publisher.send(f"plant/l1/m{n}/job", {"celsius": n})
        assert daemon.hook(consumed(f"k{n}")).status == 200
    publisher.flush()
    wait_until(lambda: sandbox.counts()["distinct"] == 200, 30, "every command")
    wait_until(lambda: len({e["id"] for e in events.payloads()}) == 200, 30, "every event")
    assert sandbox.counts()["twice"] == [] and len(events.seen()) == 200
    publisher.close()
    events.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_flood_of_retained_messages_is_counted_and_fires_nothing(broker, behind, publisher, sandbox, full, version):
    """Settled 12: a retained message is no new reading, however many there are; and what is new comes through."""
    total = 50_000 if full else 5_000
    for n in range(total):
        publisher.send(f"plant/l1/m{n}/job", {"celsius": n}, retain=True)
    publisher.flush()
    daemon = behind(broker, [command_route()], bus={"url": broker.url, "version": version})
    publisher.publish("plant/l1/new/job", {"celsius": 1})
    wait_until(lambda: daemon.metrics().sum("busbar_messages_received_total") == total + 1, 60, "the whole flood")
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_total", outcome="ignored") == total
    assert metrics.sum("busbar_messages_total", outcome="accepted") == 1
    wait_until(sandbox.tasks, 10, "the new one")
    assert [t["body"]["equipment"]["value"] for t in sandbox.tasks()] == ["new"]


@pytest.mark.parametrize("restart", (False, True))
def test_a_publication_that_the_broker_ends_the_link_for_stops_no_other(narrow, behind, restart):
    """mosquitto throws out who sends a larger packet; with version 3 it tells neither the limit before nor why."""
    broker = narrow(max_packet_size="4096")
    events = harness.Subscriber(broker.port, "busbar/events/#")
    daemon = behind(broker, bus={"url": broker.url, "version": "3.1.1"})
    for key, size in (("small", 10), ("large", 20000), *((f"next {n}", 10) for n in range(20))):
        assert daemon.hook(consumed(key, size)).status == 200
    if restart:
        wait_until(lambda: daemon.metrics().sum("busbar_bus_reconnects_total") >= 2, 20, "the link lost twice")
        daemon.kill()
        daemon.start()
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 100, "the large one as a dead letter")
    assert dead["error"]["code"] == "broker_refuses" and "ends the link" in dead["error"]["message"]
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="bus", state="pending") == 0, 20, "all others")
    keys = {e["data"]["provider"]["raw"]["_idempotencyKey"] for e in events.payloads()}
    assert keys == {"small"} | {f"next {n}" for n in range(20)}
    events.close()
