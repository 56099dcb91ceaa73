# SPDX-License-Identifier: Apache-2.0
"""Several busbars in one shared subscription (deploy/k8s/overlays/shared): what deploy/README.md promises of it, and what
it warns of."""

import collections

import pytest

import busbar_harness as harness
from busbar_harness import hot_route, wait_until
from flood import numbered


@pytest.fixture
def group(tmp_path, broker, sandbox, make_busbar):
    """group(routes): two of them, each with a name and a store of its own."""

    def make(routes):
        return [make_busbar(harness.configuration(
            tmp_path, broker, {"mw": harness.mw_target(sandbox)}, routes, instance=name,
            bus={"url": broker.url, "share": "busbar"},
            store={"path": str(tmp_path / f"{name}.db"), "durability": "crash"})) for name in ("busbar-0", "busbar-1")]

    return make


def received(daemon):
    return daemon.metrics().sum("busbar_messages_received_total")


def test_each_command_is_one_busbars_also_when_one_restarts(group, sandbox, publisher):
    members, total = group([numbered()]), 600
    for n in range(total):
        publisher.send(f"plant/l1/m{n % 10}/job", {"n": n})
        if n % 200 == 199:
            publisher.flush()
        if n == 299:
            assert members[0].terminate() == 0
        elif n == 499:
            members[0].start()
    wait_until(lambda: sandbox.counts()["distinct"] == total, 60, "every command")
    seen = collections.Counter(task["body"]["description"] for task in sandbox.tasks())
    assert len(seen) == total and set(seen.values()) == {1}, "lost or doubled"
    assert all(received(member) > 0 for member in members), "both took part"


def test_a_trigger_has_a_memory_in_each(group, sandbox, publisher):
    """Why the overlay has none: one asset over its limit, once, makes a task in every member."""
    members = group([hot_route()])
    for n in range(40):
        publisher.publish("plant/l1/m7/temperature", {"celsius": 90 + n % 3})
    wait_until(lambda: sum(map(received, members)) == 40, 20, "all readings")
    wait_until(lambda: len(sandbox.tasks()) == len(members), 10, "a task of each")
