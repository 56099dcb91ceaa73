# SPDX-License-Identifier: Apache-2.0
"""tests/chaos: a short run with a fixed seed, and what its accounting says of a house that does lose things."""

import re
import sqlite3
import subprocess
import sys
import types

import pytest

from busbar_harness import ROOT

sys.path.append(str(ROOT / "tests" / "faults"))

from house import Cage, Injection  # noqa: E402
from ledger import Ledger  # noqa: E402
from plant import ASSETS, is_command, is_hot  # noqa: E402


@pytest.mark.slow
def test_whatever_dies_nothing_is_lost(full):
    """What a user would run; longer with --full. Its seed is printed, and its faults, when it fails."""
    minutes = 5 if full else 0.6
    done = subprocess.run([ROOT / "tests" / "chaos", "--minutes", str(minutes), "--seed", "7"], capture_output=True,
                          text=True, timeout=minutes * 60 + 600, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0 and "nothing lost, nothing unaccounted" in done.stdout
    assert "kill -9" in done.stdout


@pytest.mark.slow
def test_an_outage_is_survived_and_measured(full):
    """The long faults, which take ten minutes each when a person asks for them, and the kernel's OOM killer."""
    minutes = 2 if full else 0.15
    cage = Cage()
    cage.close()
    only = [word for name in ("broker away for long", "target is a black hole for long", "SIGSTOP for long",
                              "out of memory") for word in ("--only", name)]
    done = subprocess.run([ROOT / "tests" / "chaos", "--minutes", "0.1", "--seed", "7", "--outage", str(minutes), *only],
                          capture_output=True, text=True, timeout=3 * minutes * 60 + 600, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0 and "nothing lost, nothing unaccounted" in done.stdout
    for name in ("broker away for long", "target is a black hole for long", "SIGSTOP for long"):
        (cpu,) = re.findall(rf"{name}: CPU ([0-9.]+) s, memory \d+ -> \d+ MiB", done.stdout)
        assert float(cpu) < minutes * 60 / 2, f"{name}: it waits, it does not spin"
    killed = done.stdout.count("out of memory: killed by the kernel")
    assert killed == done.stdout.count("out of memory:") > 0 or "LOUD: no memory cgroup" in done.stdout
    if cage.folder is None:
        pytest.skip("LOUD: no memory cgroup can be made here: nobody was killed by the kernel")


def test_the_faults_have_names_to_ask_for():
    listed = subprocess.run([ROOT / "tests" / "chaos", "--list"], capture_output=True, text=True, check=True).stdout
    assert "kill -9 between a webhook and its 200" in listed.splitlines()
    done = subprocess.run([ROOT / "tests" / "chaos", "--only", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no such fault: nonsense" in done.stderr
    done = subprocess.run([ROOT / "tests" / "chaos", "--only", "SIGSTOP for long"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--outage MINUTES" in done.stderr


NOW = 1_800_000_000


def task(n, when, marker="m", kind="job"):
    return {"n": when, "time": NOW + when, "body": {"description": f"{kind} {n}", "metadata": {"busbarId": marker}}}


class Fake:
    """A house after the fact. One fault, of which [10, 12] is uncertain, and one death, at 50."""

    def __init__(self, folder):
        self.folder, self.died_alone, self.forgotten_n = folder, [], set()
        self.forgotten_keys, self.forgotten_failures = set(), set()
        self.injections = [Injection("answer lost", True), Injection("kill -9", False)]
        self.injections[0].began, self.injections[0].ended = NOW + 10, NOW + 12
        self.injections[1].began, self.injections[1].ended = NOW + 49, NOW + 51
        self.injections[1].deaths = [NOW + 50]
        self.plant = types.SimpleNamespace(sent_at={}, acked={}, twice=set(), unheard=0)
        self.reader = types.SimpleNamespace(events={}, failures=set())
        self.tasks, self.hooks = [], []
        self.mw = types.SimpleNamespace(tasks=lambda: self.tasks, items=lambda _name: self.hooks)
        self.store = sqlite3.connect(folder / "busbar.db")
        self.store.executescript(
            "CREATE TABLE deliveries (seq INTEGER PRIMARY KEY, id, kind, state); CREATE TABLE contents (seq, payload);"
            "CREATE TABLE audit (delivery_id, outcome, at_ms, error_code)")
        self.starved = []

    def send(self, n, when=0):
        self.plant.sent_at[n] = self.plant.acked[n] = NOW + when

    def keep(self, n, state, outcome="delivered"):
        self.store.execute("INSERT INTO deliveries (id, kind, state) VALUES (?, 1, ?)", (f"d{n}", state))
        self.store.execute("INSERT INTO contents SELECT max(seq), ? FROM deliveries", (f'{{"n": {n}}}',))
        self.store.execute("INSERT INTO audit VALUES (?, ?, 0, NULL)", (f"d{n}", outcome))

    def stalls(self):
        return self.starved

    def hook(self, key, *statuses, when=0):
        self.hooks += [{"key": key, "status": s, "time": NOW + when, "event": "E", "error": None} for s in statuses]

    def counts(self):
        self.store.commit()
        ledger = Ledger(self)
        ledger.count_all()
        return ledger, {c: ledger.total(c) for c in ("lost", "duplicated", "uncertain", "unaccounted", "not_kept")
                        if ledger.total(c)}


@pytest.fixture
def house(tmp_path):
    return Fake(tmp_path)


def test_what_is_done_once_is_no_finding(house):
    house.send(0), house.send(1)
    house.tasks = [task(0, 1), task(1, 1, kind="hot")]
    house.hook("k", None, 503, 200)
    house.reader.events = {"k": {"e": 3}}  # again under the same id: a reader knows it
    ledger, counts = house.counts()
    assert counts == {} and not ledger.bad()


def test_what_was_acknowledged_and_is_nowhere_is_lost(house):
    house.send(0), house.send(2, when=50)
    house.tasks = [task(0, 1)]
    house.hook("k", 200, when=11)
    ledger, counts = house.counts()
    assert counts == {"lost": 2} and ledger.bad()
    assert ledger.rows["kill -9"]["lost"] == ledger.rows["answer lost"]["lost"] == 1, "each on the fault that was going on"


def test_what_the_broker_and_the_vendor_lost_stands_apart(house):
    house.send(0), house.send(1), house.send(1 + 2 * ASSETS), house.send(1 + 4 * ASSETS)
    assert is_command(0) and is_hot(1) and not is_hot(1 + 2 * ASSETS) and is_hot(1 + 4 * ASSETS)
    house.tasks = [task(1, 1, kind="hot")]
    house.forgotten_n = {0, 1 + 2 * ASSETS}  # a command, and the cold one without which the next hot one is no news
    house.hook("k", 401, 503, None), house.hook("l", 200)
    house.hooks[2]["error"] = "OSError: refused"
    house.forgotten_keys = {"l"}
    ledger, counts = house.counts()
    assert counts == {"not_kept": 4} and not ledger.bad()


def test_a_second_request_needs_an_uncertain_answer(house):
    for n in (0, 2, 4, 6):
        house.send(n)
    house.tasks = [task(0, 11), task(0, 13), task(2, 50), task(2, 52), task(4, 30), task(4, 31),
                   task(6, 50, "a"), task(6, 52, "b")]
    ledger, counts = house.counts()
    assert counts == {"uncertain": 2, "duplicated": 2} and ledger.bad()  # 4: no cause; 6: two ids
    house.plant.twice = {6}  # published twice: the broker's acknowledgement was lost
    assert house.counts()[1] == {"uncertain": 3, "duplicated": 1}


def test_a_stand_in_without_a_processor_is_a_cause_when_busbar_says_so_too(house):
    house.send(0), house.send(2)
    house.tasks = [task(0, 30, "a"), task(0, 31, "a"), task(2, 30, "b"), task(2, 31, "b")]
    assert house.counts()[1] == {"duplicated": 2}
    house.starved = [[NOW + 25, NOW + 30]]
    assert house.counts()[1] == {"duplicated": 2}, "the answer came all the same"
    house.store.execute("INSERT INTO audit VALUES ('a', 'retrying', ?, 'answer_lost')", ((NOW + 28) * 1000,))
    assert house.counts()[1] == {"uncertain": 1, "duplicated": 1}
    house.starved = [[NOW + 15, NOW + 20]]
    assert house.counts()[1] == {"duplicated": 2}, "another time"


def test_one_webhook_under_two_ids_is_a_duplicate(house):
    house.hook("k", 200)
    house.reader.events = {"k": {"e": 1, "f": 1}}
    assert house.counts()[1] == {"duplicated": 1}


def test_what_has_no_account_is_found(house):
    house.send(0), house.send(2), house.send(4)
    house.tasks = [task(2, 1), task(3, 1), task(4, 2), task(4 + 2 * ASSETS, 2), task(4, 11)]
    house.keep(0, 2)  # still pending at the end
    house.keep(2, 4, outcome="rejected")  # a dead letter once, and nobody was told
    house.reader.events = {"k": {"e": 1}}  # of no webhook
    ledger, counts = house.counts()
    assert counts["unaccounted"] == 5 and ledger.bad(), ledger.notes  # two tasks that nobody asked for, and the three above


def test_a_command_before_its_elder_is_found(house):
    for n in (0, 2 * ASSETS):
        house.send(n)
    house.tasks = [task(2 * ASSETS, 1), task(0, 2)]
    assert house.counts()[1] == {"unaccounted": 1}


def test_a_death_of_its_own_and_what_still_waits_are_findings(house):
    house.died_alone = [(NOW, -11)]
    assert house.counts()[0].bad()
    house.died_alone = []
    house.keep(0, 5)
    assert house.counts()[0].bad()
