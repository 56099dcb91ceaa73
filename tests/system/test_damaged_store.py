# SPDX-License-Identifier: Apache-2.0
"""Pages that are not what was written: busbar says so and what to do, saves what can be read, and never crashes."""

import contextlib
import os
import random
import re
import shutil
import sqlite3
import time

import pytest

from busbar_harness import wait_until

pytestmark = pytest.mark.slow
JOBS = 400
PAGE = 4096


@pytest.fixture
def stopped(busbar, sandbox, publisher):
    """A daemon that has ended, with a store of deliveries that are over and of others that wait."""
    daemon = busbar()
    for n in range(JOBS):
        publisher.send(f"plant/l1/m{n % 9}/job", {"celsius": n})
        if n == JOBS // 2:
            publisher.flush()
            wait_until(lambda: sandbox.counts()["distinct"] == JOBS // 2 + 1, 30, "the first half")
            daemon.cli("targets", "hold", "mw")
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total", outcome="accepted") == JOBS, 20, "all of them")
    assert daemon.terminate() == 0
    return daemon


def rows(path, query="SELECT d.id, d.state, d.error_code, c.body FROM deliveries d LEFT JOIN contents c USING (seq)"):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        store.text_factory = lambda text: text.decode(errors="replace")
        return store.execute(query).fetchall()


def spoil(data, dice):
    """Somewhere behind the first page: some bytes, a sector of zeros, or a page that is another one."""
    data, pages = bytearray(data), len(data) // PAGE
    where = dice.randrange(PAGE, len(data) - 512)
    kind = dice.choice(("bytes", "sector", "page"))
    if kind == "bytes":
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(PAGE, len(data))] ^= 1 << dice.randrange(8)
    elif kind == "sector":
        data[where // 512 * 512:where // 512 * 512 + 512] = bytes(512)
    else:
        a, b = dice.randrange(1, pages), dice.randrange(1, pages)
        data[a * PAGE:(a + 1) * PAGE] = data[b * PAGE:(b + 1) * PAGE]
    return bytes(data), kind


def test_a_damaged_store_is_said_and_saved(stopped, full):
    seed = int(os.environ.get("BUSBAR_SEED", random.randrange(1 << 32)))
    print(f"BUSBAR_SEED={seed}")
    dice, store, copy = random.Random(seed), stopped.folder.parent / "busbar.db", stopped.folder / "saved.db"
    whole, truth = store.read_bytes(), rows(store)
    assert stopped.cli("store", "check").stdout.endswith("whole\n") and len(truth) >= JOBS
    told, unsaved, lost = 0, 0, 0
    for n in range(600 if full else 150):
        data, kind = spoil(whole, dice)
        for suffix in ("-wal", "-shm", ".crumb"):
            (store.parent / f"busbar.db{suffix}").unlink(missing_ok=True)
        store.write_bytes(data)
        checked = stopped.cli("store", "check", expect=None)
        assert checked.returncode in (0, 1), f"{n} {kind}: {checked.returncode} {checked.stderr}"
        listed = stopped.cli("queue", "list", "--limit", "1000", expect=None)
        assert listed.returncode in (0, 1), f"{n} {kind}: {listed.returncode} {listed.stderr}"
        if checked.returncode == 0:
            continue
        told += 1
        said = checked.stdout + checked.stderr
        assert "busbar store recover" in said or "put a backup" in said
        copy.unlink(missing_ok=True)
        saved = stopped.cli("store", "recover", str(copy), expect=None)
        assert saved.returncode in (0, 1), f"{n} {kind}: {saved.returncode} {saved.stderr}"
        if saved.returncode == 1:
            assert "put a backup" in saved.stderr
            unsaved += 1
            continue
        assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
        assert oct(copy.stat().st_mode & 0o777) == "0o600"
        found = rows(copy)
        lost += len(truth) - len(found)
        assert f"what could be read of {store}" in saved.stdout
        for name, state, code, body in found:
            assert state > 3 or body is not None, f"{name}: owed without its content"
            assert body is not None or code == "content_lost" or state != 5
            assert re.fullmatch("[0-9a-f-]{36}", name), name
    print(f"{told} damages told, of {unsaved} nothing could be saved; {lost} deliveries lost in the others")
    assert told > 20


def test_what_was_saved_goes_on(stopped, sandbox):
    """Half of the pages with contents are zeros: what can be read goes out, what lost its content is a dead letter."""
    store, copy = stopped.folder.parent / "busbar.db", stopped.folder / "saved.db"
    shutil.copy(store, stopped.folder / "before.db")
    data = bytearray(store.read_bytes())
    hit = [page for page in range(1, len(data) // PAGE) if data[page * PAGE:(page + 1) * PAGE].count(b"celsius") > 3]
    assert len(hit) > 4, "no pages with contents"
    for page in hit[::2]:
        data[page * PAGE:(page + 1) * PAGE] = bytes(PAGE)
    store.write_bytes(bytes(data))
    said = stopped.cli("store", "check", expect=1).stdout
    assert "damaged" in said and "busbar store recover FILE" in said
    said = stopped.cli("store", "recover", str(copy)).stdout
    assert "contents (not all could be read)" in said and "busbar queue list --code content_lost" in said
    assert sorted(path.name for path in stopped.folder.glob("saved.db*")) == ["saved.db"]
    stopped.cli("store", "recover", str(copy), expect=1)  # never over a file that is there
    for path in store.parent.glob("busbar.db*"):
        path.unlink()
    copy.rename(store)
    stopped.start()
    dead = stopped.deliveries(state="rejected", limit=1000)
    assert dead and all(delivery["error"]["code"] == "content_lost" for delivery in dead)
    stopped.cli("targets", "resume", "mw")
    wait_until(lambda: sandbox.counts()["distinct"] == JOBS - len(dead), 60, "all that could be read")
    assert stopped.cli("store", "check").stdout.endswith("whole\n")


def missing(said, table):
    """The numbers that it names as not read, as the runs of them: (first, last, what it says of their times)."""
    found = re.search(rf"^  \d+ {table} \(not all could be read\)\n    not read: (.*)$", said, re.MULTILINE)
    runs = [re.fullmatch(r"(\d+)(?: to (\d+))?(.*)", run) for run in found[1].split("; ") if "more such" not in run]
    return [(int(run[1]), int(run[2] or run[1]), run[3]) for run in runs]


def test_what_could_not_be_read_is_named(stopped):
    """By number, and with the times between which it was accepted: what its source can be asked for."""
    store, copy = stopped.folder.parent / "busbar.db", stopped.folder / "saved.db"
    query = "SELECT seq, id, accepted_ms FROM deliveries"
    truth, data = rows(store, query), bytearray(store.read_bytes())
    ids = [name.encode() for _, name, _ in truth]
    pages = [page for page in range(1, len(data) // PAGE) if data[page * PAGE] == 13 and
             sum(name in data[page * PAGE:(page + 1) * PAGE] for name in ids) > 5 and
             b"plant/l1" in data[page * PAGE:(page + 1) * PAGE]]
    assert len(pages) > 6, "no pages of deliveries"
    for page in pages[2], pages[5]:
        data[page * PAGE:(page + 1) * PAGE] = bytes(PAGE)
    store.write_bytes(bytes(data))
    said = stopped.cli("store", "recover", str(copy)).stdout
    kept = {seq: ms for seq, _, ms in rows(copy, query)}
    lost = {seq for seq, _, _ in truth} - kept.keys()
    named = missing(said, "deliveries")
    assert lost and lost <= {seq for first, last, _ in named for seq in range(first, last + 1)}, said
    assert not kept.keys() & {seq for first, last, _ in named for seq in range(first, last + 1)}, "it was read"
    for first, last, times in named:
        after, until = (re.search(rf"{word} (\S+Z)", times)[1] for word in ("after", "until"))
        for seq, _, ms in truth:
            if first <= seq <= last:
                assert after <= stamp(ms) <= until, times


def stamp(ms):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03}Z"


def test_damage_that_is_met_at_work_stops_the_writing(stopped, publisher):
    """Not ready, with what to do; the broker keeps what comes, probes and status answer."""
    store = stopped.folder.parent / "busbar.db"
    data = bytearray(store.read_bytes())
    hit = [page for page in range(1, len(data) // PAGE) if data[page * PAGE:(page + 1) * PAGE].count(b"celsius") > 3]
    for page in hit:
        data[page * PAGE:(page + 1) * PAGE] = bytes(PAGE)
    store.write_bytes(bytes(data))
    stopped.start()
    stopped.cli("targets", "resume", "mw")  # each attempt reads its content
    wait_until(lambda: stopped.metrics().sum("busbar_store_trouble") == 1, 20, "the damage")
    assert stopped.json("status")["store_trouble"]["name"] == "damaged"
    assert "busbar store check" in stopped.cli("status", "--ready", expect=1).stdout
    before = store.stat().st_mtime_ns
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    assert stopped.hook(b'{"_event":"SparePartWasConsumed"}').status == 503
    assert stopped.get("/healthz").status == 200
    assert not stopped.ready() and store.stat().st_mtime_ns == before
    assert stopped.terminate() == 0


WHAT_IS_NO_STORE = {
    "nothing": (lambda path: None, "No such file"),
    "a folder": (lambda path: path.mkdir(0o700), "is no regular file"),
    "a pipe": (lambda path: os.mkfifo(path, 0o600), "is no regular file"),
    "an empty file": (lambda path: path.touch(0o600), "is empty"),
    "a text": (lambda path: path.write_text("no store " * 1000), "nothing can be saved of it"),
    "half a page": (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(34)), "nothing can be saved of it"),
}


@pytest.mark.parametrize("what", WHAT_IS_NO_STORE)
def test_what_is_no_store_is_said_at_once(busbar, tmp_path, what):
    """Each command that reads a store ends, says what lies there, and advises only what can be done."""
    make, said = WHAT_IS_NO_STORE[what]
    path = tmp_path / "other.db"
    make(path)
    daemon = busbar(start=False, store={"path": str(path)})
    for command in (("store", "check"), ("store", "recover", str(tmp_path / "saved.db")),
                    ("store", "backup", str(tmp_path / "copy.db")), ("status",), ("queue", "list")):
        told = daemon.cli(*command, expect=1).stderr
        assert said in told and ("put a backup" in told) == (said == "nothing can be saved of it"), command
        assert "see `busbar store check`" not in told, "it is no use here"
    assert not (tmp_path / "saved.db").exists() and not (tmp_path / "copy.db").exists()
