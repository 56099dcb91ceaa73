# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random instants: nothing is lost, in neither direction."""

import os
import random
import threading
import time

import pytest

import busbar_harness as harness
from busbar_harness import command_route, hot_route, wait_until

pytestmark = pytest.mark.slow
KILLS = 20
LATE = 1.0  # seconds


def seeded():
    seed = int(os.environ.get("BUSBAR_SEED", random.randrange(1 << 32)))
    print(f"BUSBAR_SEED={seed}")
    return random.Random(seed)


def die(daemon, seconds):
    """Lets it run for so long (the random instant itself, not a synchronisation), then kill -9; answers when."""
    threading.Event().wait(seconds)
    daemon.kill()
    return time.time()


def test_no_command_is_lost_when_busbar_dies(busbar, sandbox, publisher):
    total, dice = 20_000, seeded()
    route = command_route(body={
        "equipment": "${asset}", "description": "command ${.n}", "startDateTime": "${now}", "endDateTime": "${now+1h}",
        "allDay": False, "assignees": ["maintenance@example.com"]}, key="${.n}")
    daemon = busbar([route], store={"path": "busbar.db", "durability": "crash"})  # also makes the session
    daemon.kill()
    began = time.time()
    daemon.start()
    start_up = time.time() - began
    taken, killed = [], []

    def flood():
        for i in range(total):
            publisher.send(f"plant/l1/m{i % 100}/job", {"n": i})

    flooding = threading.Thread(target=flood)
    flooding.start()
    for _ in range(KILLS):
        # Not only while it runs smoothly: while it starts, and in the burst of what waited at the broker.
        killed.append(die(daemon, dice.uniform(0, start_up + 0.15)))
        taken.append(sandbox.counts()["tasks"])
        daemon.start(ready=False)
    flooding.join()
    publisher.flush()
    print(f"tasks at each death: {taken}")
    assert len(set(taken)) > KILLS / 4 and taken[-1] < total, "the deaths did not meet the flood"
    wait_until(lambda: len(numbers(sandbox)) == total, 180, "every command as a task")
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", state="pending") == 0
               and daemon.metrics().sum("busbar_deliveries", state="retrying") == 0, 60, "an empty queue")
    assert_marked_duplicates(sandbox, total, killed)
    assert daemon.deliveries(state="rejected") == []


def assert_marked_duplicates(sandbox, total, killed):
    """All there; twice only what was in flight when busbar died, and then under one marker."""
    found = numbers(sandbox)
    assert set(found) == set(range(total)), "lost"
    twice = {n: tasks for n, tasks in found.items() if len(tasks) > 1}
    print(f"{len(twice)} of {total} tasks twice after {len(killed)} kills")
    for n, tasks in twice.items():
        markers = {task["body"]["metadata"]["busbarId"] for task in tasks}
        assert len(markers) == 1, f"command {n} twice under two markers: {markers}"
        first, second = tasks[0]["time"], tasks[1]["time"]
        # What was sent before the death, a busy stand-in notes after it.
        assert any(first - LATE <= death <= second for death in killed), f"command {n} twice without a death between"
        assert any(0 <= death - first + LATE < 1 + LATE for death in killed), f"command {n}: its answer was not in flight"
    assert len(twice) <= KILLS * 64, "more duplicates than requests can be in flight"


def numbers(sandbox):
    found = {}
    for task in sandbox.tasks():
        found.setdefault(int(task["body"]["description"].split()[1]), []).append(task)
    return found


def test_no_webhook_is_lost_when_busbar_dies(busbar, sandbox, subscribe):  # MW-W00
    total, dice = 2_000, seeded()
    events = subscribe("busbar/events/#")
    daemon = busbar()
    sandbox.configure(retry_delay=1.5)
    keys = []

    for _ in range(KILLS):
        keys += sandbox.send("SparePartWasConsumed", count=total // KILLS)
        die(daemon, dice.uniform(0, 0.1))
        daemon.start()
        # The vendor gives up after three deliveries: let these end before the next death.
        wait_until(lambda: ended(sandbox) >= len(keys), 60, "the round's webhooks")
    assert sandbox.items("given_up") == [], "the stand-in gave up on a webhook: busbar was away for too long"
    attempts = sandbox.items("webhooks")
    print(f"{len(attempts)} deliveries of {total} webhooks")
    assert len(attempts) > total, "no webhook was ever sent twice: the deaths met nothing"

    def published():
        return {e["data"]["provider"]["raw"]["_idempotencyKey"] for e in events.payloads()}

    wait_until(lambda: published() == set(keys), 60, "every webhook as an event")
    ids = {}
    for event in events.payloads():
        ids.setdefault(event["data"]["provider"]["raw"]["_idempotencyKey"], set()).add(event["id"])
    assert all(len(found) == 1 for found in ids.values()), "one webhook under two ids"
    assert len({next(iter(found)) for found in ids.values()}) == total, "two webhooks under one id"
    print(f"{len(events.seen()) - total} events published twice, under the same id")


def ended(sandbox):
    taken = {a["key"] for a in sandbox.items("webhooks") if a["status"] is not None and a["status"] <= 399}
    return len(taken) + len(sandbox.items("given_up"))


def test_a_broker_that_dies_loses_nothing(busbar, broker, sandbox, publisher):
    total = 3_000
    daemon = busbar([command_route(key="${.n}")])
    for i in range(total):
        publisher.send(f"plant/l1/m{i % 10}/job", {"n": i, "celsius": i})
    publisher.flush()
    broker.stop()  # keeps its sessions on disk
    broker.start()
    daemon.wait_ready()
    wait_until(lambda: sandbox.counts()["distinct"] == total, 60, "all tasks")
    assert sandbox.counts()["twice"] == []


@pytest.mark.parametrize("dies", [False, True], ids=["the link breaks", "busbar dies"])
def test_what_the_broker_sends_again_is_one_command(tmp_path, broker, sandbox, make_proxy, make_busbar, publisher, dies):
    """Stored, but the acknowledgement never arrived: DUP with the same packet id and content (settled 6)."""
    proxy = make_proxy(broker.port)
    targets = {"mw": harness.mw_target(sandbox)}
    daemon = make_busbar(harness.configuration(tmp_path, broker, targets, [command_route(key="${.n}")],
                                               bus={"url": f"mqtt://127.0.0.1:{proxy.port}"}))
    proxy.set(drop_up=True)
    for n in range(50):
        publisher.send("plant/l1/m1/job", {"n": n, "celsius": n})
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", verdict="delivered", target="mw") == 50, 10)
    if dies:
        daemon.kill()
    proxy.cut()
    proxy.heal()
    if dies:
        daemon.start()
    wait_until(lambda: daemon.ready() and daemon.metrics().sum("busbar_bus_duplicates_total") == 50, 20, "50 copies")
    publisher.publish("plant/l1/m1/job", {"n": 50, "celsius": 50})
    wait_until(lambda: sandbox.counts()["distinct"] > 50, 10, "one more")
    assert sandbox.counts()["tasks"] == 51


def test_identical_new_messages_are_all_commands(busbar, sandbox, publisher):
    """Only what the broker marks as sent again is a duplicate (settled 6); the crash test meets those."""
    busbar()
    for _ in range(5):
        publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) >= 5, 10)
    assert sandbox.counts()["distinct"] == 5


def test_what_is_sent_again_after_a_death_does_not_fire_a_rule_again(tmp_path, broker, sandbox, make_proxy, make_busbar,
                                                                     publisher):
    """Also what was only counted is known: judged again, it would meet the state that came after it."""
    proxy = make_proxy(broker.port)
    daemon = make_busbar(harness.configuration(tmp_path, broker, {"mw": harness.mw_target(sandbox)}, [hot_route()],
                                               bus={"url": f"mqtt://127.0.0.1:{proxy.port}"}))
    received = "busbar_messages_received_total"
    proxy.set(drop_up=True)  # no acknowledgement arrives
    for celsius in (70, 91, 92, 70):  # ignored, fires, ignored, arms again
        publisher.send("plant/l1/m1/temperature", {"celsius": celsius})
    wait_until(lambda: daemon.metrics().sum(received) == 4 and len(sandbox.tasks()) == 1, 10)
    daemon.kill()
    proxy.cut()
    proxy.heal()
    daemon.start()
    wait_until(lambda: daemon.metrics().sum(received) == 4, 10, "all four again")
    publisher.publish("plant/l1/m1/temperature", {"celsius": 93})  # armed: fires
    wait_until(lambda: len(sandbox.tasks()) >= 2, 10)
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total") == 5, 10, "all five counted")
    outcomes = daemon.metrics()
    assert [outcomes.sum("busbar_messages_total", outcome=o) for o in ("duplicate", "accepted", "ignored")] == [4, 1, 0]
    assert [task["body"]["description"].split()[2] for task in sandbox.tasks()] == ["91", "93"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_shared_subscription_outlives_the_broker(busbar, broker, sandbox, publisher, version):
    """mosquitto 2.0 says that the session is there and has forgotten what it shares."""
    daemon = busbar([command_route()], bus={"url": broker.url, "share": "plant", "version": version})
    broker.stop()
    wait_until(lambda: not daemon.ready(), 10)
    broker.start()
    daemon.wait_ready()
    wait_until(publisher.client.is_connected, 10)
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) == 1, 10, "the message after the broker's restart")
