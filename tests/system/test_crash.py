# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random instants: nothing is lost, in neither direction."""

import os
import random
import threading
import time

import pytest

from busbar_harness import command_route, wait_until

pytestmark = pytest.mark.slow
KILLS = 20


def seeded():
    seed = int(os.environ.get("BUSBAR_SEED", random.randrange(1 << 32)))
    print(f"BUSBAR_SEED={seed}")
    return random.Random(seed)


def restart_at_random_instants(daemon, dice, work, kills=KILLS):
    """Each round: work(round) begins, and at some instant the daemon dies and is started again. Answers the instants."""
    killed = []
    for n in range(kills):
        thread = threading.Thread(target=work, args=(n,))
        thread.start()
        if n % 5 == 4:
            daemon_up = dice.uniform(0, 0.15)  # while it starts
        else:
            daemon.wait_ready()
            daemon_up = dice.uniform(0, 0.4)
        threading.Event().wait(daemon_up)  # the random instant itself, not a synchronisation
        daemon.kill()
        killed.append(time.time())
        daemon.start(ready=False)
        thread.join()
    daemon.wait_ready()
    return killed


def test_no_command_is_lost_when_busbar_dies(busbar, sandbox, publisher):
    total, dice = 20_000, seeded()
    route = command_route(body={
        "equipment": "${asset}", "description": "command ${.n}", "startDateTime": "${now}", "endDateTime": "${now+1h}",
        "allDay": False, "assignees": ["maintenance@example.com"]}, key="${.n}")
    daemon = busbar([route], store={"path": "busbar.db", "durability": "crash"})

    def flood(n):
        for i in range(n * total // KILLS, (n + 1) * total // KILLS):
            publisher.send(f"plant/l1/m{i % 100}/job", {"n": i})

    killed = restart_at_random_instants(daemon, dice, flood)
    publisher.flush()
    wait_until(lambda: len(numbers(sandbox)) == total, 180, "every command as a task")
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", state="pending") == 0
               and daemon.metrics().sum("busbar_deliveries", state="retrying") == 0, 60, "an empty queue")
    found = numbers(sandbox)
    assert set(found) == set(range(total)), "lost"
    twice = {n: tasks for n, tasks in found.items() if len(tasks) > 1}
    print(f"{len(twice)} of {total} tasks twice after {len(killed)} kills")
    for n, tasks in twice.items():
        markers = {task["body"]["metadata"]["busbarId"] for task in tasks}
        assert len(markers) == 1, f"command {n} twice under two markers: {markers}"
        # The first answer was lost: busbar died between the first task and the second.
        first, second = tasks[0]["time"], tasks[1]["time"]
        assert any(first - 0.05 <= death <= second for death in killed), f"command {n} twice without a death between"
        assert any(0 <= death - first + 0.05 < 1 for death in killed), f"command {n}: its answer was not in flight"
    assert len(twice) <= KILLS * 64, "more duplicates than requests can be in flight"
    assert daemon.deliveries(state="rejected") == []


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

    def send(_round):
        batch = sandbox.send("SparePartWasConsumed", count=total // KILLS)
        keys.extend(batch)
        # The vendor gives up after three deliveries: let one round end before the next death.
        wait_until(lambda: ended(sandbox) >= len(keys), 60, "the round's webhooks")

    restart_at_random_instants(daemon, dice, send)
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


def test_identical_new_messages_are_all_commands(busbar, sandbox, publisher):
    """Only what the broker marks as sent again is a duplicate (settled 6); the crash test meets those."""
    busbar()
    for _ in range(5):
        publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: len(sandbox.tasks()) >= 5, 10)
    assert sandbox.counts()["distinct"] == 5
