# SPDX-License-Identifier: Apache-2.0
"""max_writes, the last safety: whatever a rule does, a target is written to so often and no more, and nothing is lost."""

import pytest

from busbar_harness import wait_until
from test_batches import stock_route
from test_hold import flood, held
from test_reload import hang_up


def told(daemon):
    (target,) = [t for t in daemon.json("targets", "list")["items"] if t["name"] == "mw"]
    return target


def waiting(daemon):
    m = daemon.metrics()
    return sum(m.sum("busbar_deliveries", target="mw", state=state) for state in ("pending", "retrying"))


def written(daemon, sandbox, count):
    """Held, with so many written and not one more: what was in flight is over."""
    wait_until(lambda: held(daemon) and told(daemon)["running"] == 0, 10, "held and at rest")
    assert len(sandbox.tasks()) == count
    return True


def test_past_it_the_target_is_held_until_somebody_looks(busbar, sandbox, publisher, subscribe):
    alerts = subscribe("busbar/alerts")
    daemon = busbar(target={"max_writes": "10/1h"})
    flood(publisher, 35)
    assert written(daemon, sandbox, 10)
    assert waiting(daemon) == 25 and daemon.deliveries(state="rejected") == []
    (alert,) = alerts.wait("busbar/alerts") and alerts.payloads("busbar/alerts")
    assert alert["alert"] == "target_held" and "max_writes: 10/1h" in alert["reason"]
    target = told(daemon)
    assert (target["writes"], target["max_writes"], target["max_writes_window_ms"]) == (10, 10, 3600000)
    assert target["state"] == "held" and "max_writes: 10/1h" in target["reason"] and "resume" in target["reason"]
    assert "max_writes: 10/1h" in daemon.cli("targets", "list").stdout
    assert daemon.metrics().sum("busbar_target_writes_total", target="mw") == 10
    assert all(d["attempts"] == 0 for d in daemon.deliveries(state="pending")), "it costs no attempt"
    (why, *_) = [row for row in daemon.json("audit", "--outcome", "failed", "--target", "mw")["items"]]
    assert "busbar routes list" in why["owner_action"] and "max_writes" in why["owner_action"]

    daemon.cli("targets", "resume", "mw")  # as many more, not all that waits
    assert written(daemon, sandbox, 20)
    assert waiting(daemon) == 15
    daemon.config["targets"]["mw"]["max_writes"] = "1000/1h"  # or it is raised
    daemon.write()
    hang_up(daemon, good=True)
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: len(sandbox.tasks()) == 35, 10, "all of it")
    assert sandbox.counts()["twice"] == [] and not held(daemon) and waiting(daemon) == 0


@pytest.mark.parametrize("end", ["kill", "terminate", "reload"])
def test_a_restart_does_not_begin_anew(busbar, sandbox, publisher, end):
    daemon = busbar(target={"max_writes": "10/1d"})
    flood(publisher, 7)
    wait_until(lambda: len(sandbox.tasks()) == 7, 10)
    wait_until(lambda: waiting(daemon) == 0, 10, "their verdicts")
    if end == "reload":
        hang_up(daemon, good=True)
    else:
        getattr(daemon, end)()
        daemon.start()
    assert told(daemon)["writes"] == 7
    flood(publisher, 7, 7)
    assert written(daemon, sandbox, 10)
    assert waiting(daemon) == 4


def test_what_only_reads_or_is_refused_here_is_not_counted(busbar, sandbox, publisher):
    daemon = busbar(target={"max_writes": "2/1h", "mode": {"default": "write_back", "task.schedule": "read"}})
    flood(publisher, 5)
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 5, 10, "refused by mode")
    assert told(daemon)["writes"] == 0 and not held(daemon)


def test_retries_count(busbar, sandbox, publisher):
    """What may have been done counts as done."""
    daemon = busbar(target={"max_writes": "6/1h"})
    sandbox.fail("status", status=503, path="/partners/v1/tasks", times=2)
    flood(publisher, 1)
    wait_until(lambda: len(sandbox.tasks()) == 1, 10, "the third attempt's task")
    assert told(daemon)["writes"] == 3


def test_a_batch_counts_by_its_items(busbar, sandbox, publisher):
    daemon = busbar([stock_route(batch={"max": 4, "wait": "1h"})], target={"max_writes": "6/1h"})
    for n in range(8):
        publisher.send(f"erp/stock/P{n}", n)
    publisher.flush()
    wait_until(lambda: held(daemon), 10, "four, and four more would be eight")
    assert told(daemon)["writes"] == 4 and waiting(daemon) == 4


@pytest.mark.parametrize("wrong", ["0/1h", "10", "10/h/2", "10/30s", "ten/1h", "10/2000d"])
def test_what_it_cannot_be_is_said(busbar, wrong):
    daemon = busbar(target={"max_writes": wrong}, start=False)
    said = daemon.cli("check", expect=1).stderr
    assert "'max_writes' must look like 1000/1h" in said
