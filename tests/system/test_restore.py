# SPDX-License-Identifier: Apache-2.0
"""The copy of a store put back as deploy/OPERATING.md says: what was delivered since then waits until someone has looked."""

import sqlite3

from busbar_harness import wait_until
from flood import numbered
from test_operating_page import blocks
from test_readme import shell


def owed(daemon):
    return [delivery for state in ("pending", "retrying") for delivery in daemon.deliveries(state=state)]


def state_of(daemon):
    (target,) = [target for target in daemon.json("targets", "list")["items"] if target["name"] == "mw"]
    return target["state"]


def test_the_restore_of_the_operating_page(busbar, sandbox, publisher):
    daemon = busbar([numbered()], store={"path": "busbar.db"})
    sandbox.fail("status", status=503, path="/partners/v1/tasks")
    for n in range(20):
        publisher.send(f"plant/l1/m{n}/job", {"n": n})
    publisher.flush()
    wait_until(lambda: len(owed(daemon)) == 20, 10, "all accepted, none delivered")
    daemon.cli("store", "backup", str(daemon.folder / "copy.db"))
    sandbox.forgive()
    wait_until(lambda: len(sandbox.tasks()) == 20, 60, "all delivered")
    assert daemon.terminate() == 0

    (put_back,) = blocks("stopped")
    assert "mw held, in the store" in shell(put_back, daemon.folder)
    with sqlite3.connect(daemon.folder / "busbar.db") as rows:
        assert rows.execute("SELECT who, detail FROM audit WHERE what = 'hold'").fetchall() == [
            ("operator", "restored from copy.db")]
    daemon.start()
    assert state_of(daemon) == "held" and len(owed(daemon)) == 20
    publisher.publish("plant/l1/m20/job", {"n": 20})
    wait_until(lambda: len(owed(daemon)) == 21, 10, "a message accepted meanwhile")
    discarded = owed(daemon)[-1]["id"]
    assert len(sandbox.tasks()) == 20, "nothing goes"
    daemon.cli("queue", "discard", discarded)
    (look,) = blocks("held")
    shell(look, daemon.folder)
    wait_until(lambda: len(sandbox.tasks()) == 40, 60, "the rest after the resume")
    assert owed(daemon) == [] and state_of(daemon) != "held"


def test_of_a_daemon_that_is_down_a_whole_target_can_be_held_and_no_more(busbar):
    daemon = busbar(store={"path": "busbar.db"})
    assert daemon.terminate() == 0
    assert "no such target" in daemon.cli("targets", "hold", "nobody", expect=1).stderr
    assert "only the whole target" in daemon.cli("targets", "hold", "mw", "--operation", "task.schedule", expect=1).stderr
    assert "start `busbar run`" in daemon.cli("targets", "resume", "mw", expect=1).stderr
    (daemon.folder / "busbar.db").unlink()
    assert "cannot be" in daemon.cli("targets", "hold", "mw", expect=1).stderr
    assert not (daemon.folder / "busbar.db").exists(), "a store is made by the daemon alone"


def test_a_store_that_a_daemon_has_is_not_written_beside_it(busbar):
    daemon = busbar(store={"path": "busbar.db"})
    elsewhere = daemon.file.read_text().replace(f":{daemon.admin_port}", ":1")
    other = daemon.folder / "elsewhere.yaml"
    other.write_text(elsewhere)
    said = daemon.cli("targets", "hold", "mw", "-c", str(other), config=False, expect=1).stderr
    assert f"runs (pid {daemon.process.pid}) but does not listen" in said and "nothing was done" in said
    assert state_of(daemon) != "held"
