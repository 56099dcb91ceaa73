# SPDX-License-Identifier: Apache-2.0
"""A store full of what waits: it starts in seconds, memory is bounded, the oldest go first, and the newest do not starve."""

import contextlib
import re
import sqlite3
import time

import pytest

from busbar_harness import command_route, wait_until

pytestmark = pytest.mark.slow
BODY = {"equipment": "${asset}", "description": "<job ${.n}>", "startDateTime": "${now}", "endDateTime": "${now+1h}",
        "allDay": False, "assignees": ["maintenance@example.com"]}


WINDOW = 4096  # lanes that take turns


def memory(daemon, what="VmRSS"):
    return int(re.search(rf"{what}:\s+(\d+)", open(f"/proc/{daemon.process.pid}/status").read())[1]) * 1024


def cpu_seconds(daemon):
    return sum(map(int, open(f"/proc/{daemon.process.pid}/stat").read().rpartition(")")[2].split()[11:13])) / 100


def multiply(path, total, lanes):
    """Makes of the one pending delivery `total` of them, spread over `lanes`: what would take the broker minutes."""
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(deliveries)") if row[1] not in ("seq", "id", "lane")]
        names = ", ".join(columns)
        (seq,) = store.execute("SELECT seq FROM deliveries WHERE kind = 1 AND state = 2").fetchone()
        count = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :total)"
        store.execute(f"""{count} INSERT INTO deliveries (seq, id, lane, {names})
            SELECT :seq + n, printf('00000000-0000-7000-8000-%012x', n), 'l' || (n % :lanes), {names}
            FROM c, deliveries WHERE seq = :seq""", {"total": total - 1, "seq": seq, "lanes": lanes})
        store.execute(f"""{count} INSERT INTO contents (seq, body, payload, user, one_reading, reply)
            SELECT :seq + n, CAST(replace(body, '<job 0>', '<job ' || n || '>') AS BLOB), payload, user, one_reading, reply
            FROM c, contents WHERE contents.seq = :seq""", {"total": total - 1, "seq": seq})


def lanes_of(sandbox, lanes):
    """The numbers of each lane in the order of their tasks, without a second time."""
    found = {}
    for task in sandbox.tasks():
        n = int(task["body"]["description"].strip("<>").split()[1])
        lane = found.setdefault(n % lanes if n < 10**7 else "new", [])
        if n not in lane[-64:]:
            lane.append(n)
    return found


@pytest.mark.parametrize("shape", ["many lanes", "a lane each"])
def test_a_backlog_is_opened_in_seconds_and_drained_in_order(tmp_path, busbar, sandbox, publisher, full, shape):
    total = 1_000_000 if full else 50_000
    lanes = total // 500 if shape == "many lanes" else total
    enough = 20_000 if full else 10_000  # the whole million is a matter of the target's speed
    daemon = busbar([command_route(body=BODY, key="${asset}")], store={"path": str(tmp_path / "busbar.db")})
    before = memory(daemon)
    daemon.cli("targets", "hold", "mw")
    publisher.publish("plant/l1/l0/job", {"n": 0})
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", state="pending") == 1, 10)
    assert daemon.terminate() == 0
    multiply(tmp_path / "busbar.db", total, lanes)

    began = time.monotonic()
    daemon.start()
    took, cpu = time.monotonic() - began, cpu_seconds(daemon)
    assert daemon.metrics().sum("busbar_deliveries", state="pending") == total
    resumed = time.monotonic()
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: sandbox.counts()["tasks"] > 500, 20, "the drain begins")
    publisher.publish("plant/l1/new/job", {"n": 10**7})
    done, sent = sandbox.counts()["tasks"], time.monotonic()
    wait_until(lambda: lanes_of(sandbox, lanes).get("new"), 120, "the newest")
    waited = time.monotonic() - sent
    behind = next(t["n"] for t in sandbox.tasks() if t["body"]["description"] == f"<job {10**7}>") - done
    wait_until(lambda: sandbox.counts()["tasks"] >= enough, 120, "a good part of them")
    rate = sandbox.counts()["tasks"] / (time.monotonic() - resumed)
    most = memory(daemon, "VmHWM")
    print(f"{total} pending in {lanes} lanes: ready in {took:.2f} s ({cpu:.2f} s of CPU), {most / 2**20:.0f} MiB at most (empty "
          f"{before / 2**20:.0f}), {rate:.0f} tasks/s, the newest after {waited:.2f} s and {behind} others")
    daemon.cli("targets", "hold", "mw")
    assert cpu < 5, "how long it takes is the machine's matter"
    assert most - before < 80 * 2**20, "SQLite's page cache, and the window"
    assert behind < 2 * WINDOW, "its turn comes with those that are in memory, not behind all the others"
    drained = lanes_of(sandbox, lanes)
    for lane, numbers in drained.items():
        assert numbers == sorted(numbers), f"lane {lane} out of order"
        if lane != "new":
            assert numbers == list(range(numbers[0], numbers[0] + lanes * len(numbers), lanes)), f"lane {lane}: a gap"
    if shape == "a lane each":
        firsts = sorted(numbers[0] for lane, numbers in drained.items() if lane != "new")
        assert firsts[-1] < 2 * len(firsts) + 40_000, "the oldest first"
