# SPDX-License-Identifier: Apache-2.0
"""A store that is full: the broker keeps the messages, the vendor keeps the webhooks, and one look tells why."""

import json

from busbar_harness import wait_until

JOBS = 3000


def test_a_full_store_loses_nothing_and_says_so(busbar, broker, sandbox, publisher):
    daemon = busbar(store={"path": "busbar.db", "durability": "crash", "max_size": "1MiB"})
    daemon.cli("targets", "hold", "mw")
    for n in range(JOBS):
        publisher.send(f"plant/l1/m{n % 9}/job", {"celsius": n})
    publisher.flush()
    wait_until(lambda: not daemon.ready(), 20, "not ready")
    wait_until(lambda: "store" in daemon.cli("status", "--ready", expect=None).stdout, 10, "the reason")
    assert daemon.metrics().sum("busbar_store_failures_total") > 0
    kept = daemon.metrics().sum("busbar_messages_total", outcome="accepted")
    assert 0 < kept < JOBS
    assert daemon.hook(json.dumps({"_event": "TaskWasStarted", "taskId": "t1"}).encode()).status == 503
    assert sandbox.tasks() == []

    assert daemon.terminate() == 0  # room is made
    daemon.config["store"]["max_size"] = "1GiB"
    daemon.write()
    daemon.start()
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: sandbox.counts()["distinct"] == JOBS, 60, "every job")
    assert sandbox.counts()["twice"] == []
    assert daemon.cli("status", "--ready").stdout == "ready\n"
