# SPDX-License-Identifier: Apache-2.0
"""The store fills up: nothing is acknowledged that is not kept, history gives way, and it goes on by itself."""

import json

from busbar_harness import command_route, wait_until

FILL = "x" * 2000


def test_a_full_store_loses_nothing(busbar, sandbox, publisher, broker):  # settled 2: no acknowledgement, no loss
    daemon = busbar(store={"path": "busbar.db", "durability": "crash", "max_size": "3MiB"},
                    target={"concurrency": 8})
    daemon.cli("targets", "hold", "mw")
    total = 2000
    for n in range(total):  # about 9 MB: far more than there is room for
        publisher.send(f"plant/l1/m{n}/job", {"celsius": n, "fill": FILL})
    publisher.flush()
    wait_until(lambda: daemon.get("/readyz").status == 503, 20, "full")
    answer = daemon.hook(json.dumps({"_event": "TaskWasStarted", "taskId": "1", "fill": 400 * FILL}).encode())
    assert answer.status == 503 and answer.headers["Retry-After"]
    assert sandbox.tasks() == []
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: sandbox.counts()["distinct"] == total, 90, "all of them")
    assert sandbox.counts()["tasks"] == total
    wait_until(lambda: daemon.get("/readyz").status == 200, 20, "ready again")
    assert (daemon.folder / "busbar.db").stat().st_size < 1.11 * 3 * 2**20  # verdicts may use a tenth more
    assert daemon.metrics().sum("busbar_store_bytes") < 60e6  # with the write-ahead log, which is cut at 40 MB
