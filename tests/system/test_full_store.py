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
    door = (daemon.hook(json.dumps({"_event": "TaskWasStarted", "taskId": f"t{n}"}).encode()) for n in range(1000))
    assert any(answer.status == 503 for answer in door), "the webhooks' last room"
    assert sandbox.tasks() == []

    assert daemon.terminate() == 0  # room is made
    daemon.config["store"]["max_size"] = "1GiB"
    daemon.write()
    daemon.start()
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: sandbox.counts()["distinct"] == JOBS, 60, "every job")
    assert sandbox.counts()["twice"] == []
    assert daemon.cli("status", "--ready").stdout == "ready\n"


FILL = "x" * 2000


def test_a_full_store_goes_on_by_itself(busbar, sandbox, publisher, broker):  # settled 2: no acknowledgement, no loss
    daemon = busbar(store={"path": "busbar.db", "durability": "crash", "max_size": "12MiB"},
                    target={"concurrency": 32})
    daemon.cli("targets", "hold", "mw")
    total = 8000
    for n in range(total):  # about 20 MB: far more than there is room for
        publisher.send(f"plant/l1/m{n}/job", {"celsius": n, "fill": FILL})
    publisher.flush()
    wait_until(lambda: daemon.get("/readyz").status == 503, 20, "full")
    assert sandbox.tasks() == []
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: sandbox.counts()["distinct"] == total, 90, "all of them")
    assert sandbox.counts()["tasks"] == total
    wait_until(lambda: daemon.get("/readyz").status == 200, 20, "ready again")
    assert (daemon.folder / "busbar.db").stat().st_size < 1.11 * 12 * 2**20  # verdicts may use a tenth more
    assert daemon.metrics().sum("busbar_store_bytes") < 80e6  # with the write-ahead log, cut soon after 40 MB
