# SPDX-License-Identifier: Apache-2.0
"""A flood of numbered commands under which something happens to the daemon, and what must have become of each."""

import collections
import contextlib
import threading

from busbar_harness import command_route, wait_until


def numbered(topic="plant/{line}/{asset}/job", **members):
    return command_route(topic=topic, key="${.n}", body={
        "equipment": "${asset}", "description": "command ${.n}", "startDateTime": "${now}", "endDateTime": "${now+1h}",
        "allDay": False, "assignees": ["maintenance@example.com"]}, **members)


@contextlib.contextmanager
def flood(publisher, burst, pause=0):
    """While it lasts, a burst as soon as the broker has the last one; the numbers that were sent."""
    over, sent = threading.Event(), []

    def send():
        while not over.is_set():
            for _ in range(burst):
                sent.append(len(sent))
                publisher.send(f"plant/l1/m{len(sent) % 100}/job", {"n": sent[-1]})
            wait_until(lambda: publisher.sent - publisher.acked < burst or over.is_set(), 60)
            over.wait(pause)

    flooding = threading.Thread(target=send)
    flooding.start()
    try:
        yield sent
    finally:
        over.set()
        flooding.join()
    publisher.flush()


def each_became_one_task(daemon, sandbox, sent):
    wait_until(lambda: len(sandbox.tasks()) >= len(sent), 180, f"{len(sent)} tasks")
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", state="pending") == 0, 60, "an empty queue")
    seen = collections.Counter(task["body"]["description"] for task in sandbox.tasks())
    assert set(seen) == {f"command {n}" for n in sent}, "lost"
    assert [n for n, times in seen.items() if times > 1] == [], "doubled"
