# SPDX-License-Identifier: Apache-2.0
"""The accounting: what went in at either end against what came out at the other.

lost         acknowledged to its sender, and gone: no task, no event, nothing in the queue
duplicated   done twice, and no answer was uncertain: two ids for one message, or a second request without a cause
uncertain    done twice under one id, while an answer was on its way: a death, a fault between us and the target; or the
             stand-in or its proxy got no processor in time, and busbar has recorded that no answer came
unaccounted  neither done nor a dead letter nor pending: a task that nobody asked for, a dead letter that was never told,
             what still waits at the end
not kept     what others lost, and said so: the broker's file at the moment of its forgetting, the vendor's three tries"""

import collections
import contextlib
import sqlite3

from house import TIMEOUT
from plant import ASSETS, before, is_command, is_hot

LATE = 1.0  # seconds between a request and what a busy stand-in notes of it
COLUMNS = ("lost", "duplicated", "uncertain", "unaccounted", "not_kept")


class Ledger:
    def __init__(self, house):
        self.house = house
        self.rows = {}
        self.notes, self.refused = [], collections.Counter()
        for injection in house.injections:
            row = self.row(injection.fault)
            row["injections"] += 1
            row["kills"] += len(injection.deaths)
        with contextlib.closing(sqlite3.connect(f"file:{house.folder}/busbar.db?mode=ro", uri=True)) as store:
            self.queue = {}
            for delivery, state, payload in store.execute(
                    "SELECT d.id, d.state, c.payload FROM deliveries d JOIN contents c ON c.seq = d.seq WHERE d.kind = 1"):
                self.queue.setdefault(self.number(payload), []).append((delivery, state))
            self.open = store.execute("SELECT count(*) FROM deliveries WHERE state <= 3").fetchone()[0]
            self.dead = store.execute("SELECT count(*) FROM deliveries WHERE state IN (5, 6)").fetchone()[0]
            self.rejected = {row[0] for row in store.execute(
                "SELECT DISTINCT a.delivery_id FROM audit a JOIN deliveries d ON d.id = a.delivery_id"
                " WHERE a.outcome IN ('rejected', 'expired') AND d.kind <> 3")}
            self.unanswered = {}
            for delivery, at_ms in store.execute("SELECT delivery_id, at_ms FROM audit WHERE outcome = 'uncertain'"
                                                 " OR error_code = 'answer_lost'"):
                self.unanswered.setdefault(delivery, []).append(at_ms / 1000)
            self.sound = store.execute("PRAGMA integrity_check").fetchone()[0]

    @staticmethod
    def number(payload):
        text = payload.decode(errors="replace") if isinstance(payload, bytes) else str(payload)
        with contextlib.suppress(ValueError, IndexError):
            return int(text.split('"n": ')[1].split(",")[0].rstrip("}"))
        return None

    def row(self, fault):
        return self.rows.setdefault(fault, collections.Counter())

    def blame(self, when, column, what):
        """On the fault that was going on, else the last one before."""
        at = None
        for injection in self.house.injections:
            if injection.began <= when:
                at = injection
        self.row(at.fault if at else "(none)")[column] += 1
        if column in ("lost", "duplicated", "unaccounted"):
            self.notes.append(f"{column}: {what}")

    def was_uncertain(self, when):
        for injection in self.house.injections:
            if injection.uncertain and injection.began - TIMEOUT - LATE <= when <= injection.ended + LATE:
                return True
            if any(when - LATE <= death <= when + 2 * LATE for death in injection.deaths):
                return True
        return False

    def was_stalled(self, delivery, first, second):
        """What a machine without time to spare does: the request lay there, busbar died or gave up on it, then it was done."""
        lay = [began for began, ended in self.house.stalls() if began - TIMEOUT - LATE <= first <= ended + 2 * LATE]
        told = [at for at in self.unanswered.get(delivery, ()) if at <= second + LATE]
        return bool(lay) and any(at >= min(lay) - TIMEOUT - LATE for at in told)

    # ---- in: commands and readings

    def count_tasks(self):
        plant, found = self.house.plant, {}
        for task in self.house.mw.tasks():
            words = task["body"]["description"].split()
            n = int(words[1])
            if n not in plant.sent_at or (words[0] == "job") != is_command(n) or words[0] == "hot" and not is_hot(n):
                self.blame(task["time"], "unaccounted", f"a task that nobody asked for: {words}")
            found.setdefault(n, []).append(task)
        for n in sorted(plant.acked):
            if (is_command(n) or is_hot(n)) and n not in found:
                self.missing(n)
        for n, tasks in found.items():
            if len(tasks) > 1:
                self.twice(n, tasks)
        self.lanes(found)
        return found

    def missing(self, n):
        forgotten = self.house.forgotten_n
        sent = self.house.plant.sent_at[n]
        if n in forgotten or is_hot(n) and before(n) in forgotten:
            self.blame(sent, "not_kept", n)
        elif n in self.queue:
            self.blame(sent, "unaccounted", f"message {n} has no task and is in the queue: {self.queue[n]}")
        else:
            self.blame(sent, "lost", f"message {n} of {sent:.3f}")

    def twice(self, n, tasks):
        ids = {task["body"]["metadata"].get("busbarId") for task in tasks}
        tasks.sort(key=lambda task: task["time"])
        for first, second in zip(tasks, tasks[1:]):
            delivery = first["body"]["metadata"].get("busbarId")
            same = delivery == second["body"]["metadata"].get("busbarId")
            uncertain = self.was_uncertain(first["time"]) or self.was_stalled(delivery, first["time"], second["time"])
            if same and uncertain or not same and n in self.house.plant.twice:
                self.blame(first["time"], "uncertain", n)
            else:
                self.blame(first["time"], "duplicated",
                           f"message {n} at {first['time']:.3f} and {second['time']:.3f} under {ids}")

    def lanes(self, found):
        """The commands of an asset in their order, but for what was retried by hand or published again."""
        lanes = {}
        for n, tasks in sorted(found.items(), key=lambda item: item[1][0]["n"]):
            by_hand = any(delivery in self.rejected for delivery, _ in self.queue.get(n, ()))
            if is_command(n) and not by_hand and n not in self.house.plant.twice:
                lane = lanes.setdefault(n // 2 % ASSETS, [])
                if lane and lane[-1] > n:
                    self.blame(tasks[0]["time"], "unaccounted", f"message {n} after {lane[-1]} of its lane")
                lane.append(n)

    # ---- out: webhooks

    def count_hooks(self):
        attempts = {}
        for attempt in self.house.mw.items("webhooks"):
            attempts.setdefault(attempt["key"], []).append(attempt)
        events = self.house.reader.events
        for key, tries in attempts.items():
            if key in events:
                continue
            taken = any(t["status"] == 200 for t in tries)
            if not taken:
                self.refused.update(str(t["status"] or t["error"].partition(":")[0]) for t in tries)
                self.blame(tries[0]["time"], "not_kept", key)
            elif key in self.house.forgotten_keys:
                self.blame(tries[0]["time"], "not_kept", key)
            else:
                self.blame(tries[0]["time"], "lost", f"webhook {key} ({tries[0]['event']}) of {tries[0]['time']:.3f}")
        again = 0
        for key, ids in events.items():
            again += sum(ids.values()) - len(ids)
            if key not in attempts:
                self.blame(0, "unaccounted", f"an event of no webhook: {key}")
            elif len(ids) > 1:
                self.blame(attempts[key][0]["time"], "duplicated", f"webhook {key} under {sorted(ids)}")
        return len(attempts), again

    def count_failures(self):
        told = self.house.reader.failures | self.house.forgotten_failures
        for delivery in self.rejected - told:
            self.blame(self.house.injections[-1].ended, "unaccounted", f"dead letter {delivery} was told to nobody")

    def count_all(self):
        tasks = self.count_tasks()
        hooks, again = self.count_hooks()
        self.count_failures()
        plant = self.house.plant
        if self.sound != "ok":
            self.notes.append(f"the store: {self.sound}")
        if self.open or self.dead:
            self.notes.append(f"at the end {self.open} deliveries wait and {self.dead} are dead letters")
        for when, how in self.house.died_alone:
            self.notes.append(f"busbar died by itself at {when:.3f}: {how}")
        return (f"{len(plant.acked)} messages acknowledged by the broker, {sum(map(len, tasks.values()))} tasks for "
                f"{len(tasks)} of them; {hooks} webhooks, {len(self.house.reader.events)} of them as events, {again} events "
                f"again under the same id; {len(self.rejected)} dead letters, all told, retried and done")

    # ---- the table

    def total(self, column):
        return sum(row[column] for row in self.rows.values())

    def bad(self):
        return bool(self.notes) or any(self.total(c) for c in ("lost", "duplicated", "unaccounted"))

    def table(self):
        names = ["injections", "kills", *COLUMNS]
        width = max(len(name) for name in [*self.rows, "together"])
        lines = [f"{'fault':{width}}" + "".join(f"{name.replace('_', ' '):>13}" for name in names)]
        for fault, row in sorted(self.rows.items(), key=lambda item: -item[1]["injections"]):
            lines.append(f"{fault:{width}}" + "".join(f"{row[name]:>13}" for name in names))
        lines.append(f"{'together':{width}}" + "".join(f"{self.total(name):>13}" for name in names))
        return "\n".join(lines)
