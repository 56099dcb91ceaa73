# SPDX-License-Identifier: Apache-2.0
"""A store that an older version wrote opens in this one, with all that was owed; a newer one's is refused.

store-1.sql is the first released schema, as `sqlite3 .dump` has it. It never changes: a change of the schema is a new
migration in core/store_sql.c, and its own store-N.sql here."""

import json
import os
import pathlib
import sqlite3

import pytest

from busbar_harness import wait_until

HERE = pathlib.Path(__file__).parent
RELEASED = sorted(HERE.glob("store-*.sql"))
PENDING = 100_000


def insert(store, table, **values):
    """What is required and not given is 0."""
    for _, column, _, required, default, key in store.execute(f"PRAGMA table_info({table})").fetchall():
        if required and default is None and not key:
            values.setdefault(column, 0)
    places = ", ".join("?" * len(values))
    store.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", tuple(values.values()))


def write(path, released, count=0):
    """A store of a released schema with deliveries that wait for the target mw."""
    store = sqlite3.connect(path)
    os.chmod(path, 0o600)
    store.executescript(released.read_text())
    store.execute("PRAGMA journal_mode = WAL")
    body = json.dumps({"equipment": "m1", "description": "from the old store", "startDateTime": "2026-01-01T00:00:00Z",
                       "endDateTime": "2026-01-01T01:00:00Z", "allDay": False, "assignees": ["a@example.com"]})
    for seq in range(1, count + 1):
        name = f"00000000-0000-7000-8000-{seq:012}"
        insert(store, "deliveries", seq=seq, id=name, kind=1, state=2, accepted_ms=1767225600000 + seq, target="mw", route="job",
               operation="task.schedule", lane=f"lane-{seq % 500}", order_id=name, topic="t")
        insert(store, "contents", seq=seq, body=body.encode(), payload=b"{}")
    store.execute("INSERT INTO holds (target, operation, reason, since_ms) VALUES ('mw', '', 'an upgrade', 1767225600000)")
    store.commit()
    store.close()


def schema(path):
    store = sqlite3.connect(path)
    rows = store.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name").fetchall()
    (version,) = store.execute("PRAGMA user_version").fetchone()
    store.close()
    return rows, version


def test_a_schema_that_was_released_is_kept(busbar):
    assert [file.name for file in RELEASED][0] == "store-1.sql"
    daemon = busbar()
    _, version = schema(daemon.config["store"]["path"])
    assert len(RELEASED) == version, "a change of the schema is a new migration, and keeps its store-N.sql"


@pytest.mark.parametrize("released", RELEASED, ids=lambda file: file.stem)
def test_an_old_store_becomes_what_a_new_one_is(busbar, tmp_path, released):
    new = busbar()
    assert new.terminate() == 0
    write(tmp_path / "old.db", released)
    new.config["store"]["path"] = str(tmp_path / "old.db")
    new.write()
    new.start()
    assert new.terminate() == 0
    assert schema(tmp_path / "old.db") == schema(tmp_path / "busbar.db")


@pytest.mark.slow
@pytest.mark.parametrize("released", RELEASED, ids=lambda file: file.stem)
def test_what_an_old_store_owes_is_delivered(busbar, sandbox, tmp_path, full, released):
    """100,000 deliveries that wait: all are there, in order, and go out when the target is resumed."""
    write(tmp_path / "old.db", released, PENDING)
    daemon = busbar(store={"path": str(tmp_path / "old.db"), "durability": "crash"})
    metrics = daemon.metrics()
    assert metrics.sum("busbar_deliveries", target="mw", state="pending") == PENDING
    assert metrics.sum("busbar_deliveries_carried", target="mw") == PENDING
    assert "an upgrade" in daemon.cli("targets", "list").stdout
    daemon.cli("targets", "resume", "mw")
    wanted = PENDING if full else 2000
    wait_until(lambda: sandbox.counts()["distinct"] >= wanted, 600, f"{wanted} tasks")
    done = {task["body"]["metadata"]["busbarId"] for task in sandbox.tasks()}
    lanes = {}
    for seq in sorted(int(marker[-12:]) for marker in done):
        lanes.setdefault(seq % 500, []).append(seq)
    assert all(seqs == list(range(seqs[0], seqs[-1] + 1, 500)) and seqs[0] <= 500 for seqs in lanes.values()), "in order"
    left = daemon.metrics().sum("busbar_deliveries", target="mw", state="pending")
    assert left + sandbox.counts()["distinct"] >= PENDING, "none is lost"


def test_a_newer_store_is_refused(busbar):
    daemon = busbar()
    assert daemon.terminate() == 0
    store = sqlite3.connect(daemon.config["store"]["path"])
    store.execute("PRAGMA user_version = 99")
    store.close()
    daemon.start(ready=False)
    assert daemon.process.wait(20) == 1
    assert "newer" in daemon.tail(20)
    daemon.cli("queue", "list", expect=1)
