# SPDX-License-Identifier: Apache-2.0
"""The broker's session has a subscription that the store does not know: the store was put back, or made anew. A message
that also comes for that one is judged once; what came for that one alone, while the daemon was away, is judged too."""

import shutil

import pytest

from busbar_harness import wait_until
from flood import numbered

OLD, NEW = "sx/{asset}/t", "sx/{asset...}"


def job(topic):
    return {**numbered(), "from": topic}


def known_to_the_session(daemon, topic):
    """The daemon once more, with a subscription that the store it has afterwards knows nothing of."""
    daemon.config["routes"][0]["from"] = topic
    daemon.write()
    daemon.start()
    assert daemon.terminate() == 0


@pytest.fixture
def put_back(busbar):
    """A daemon that is down; its store is an older copy, or gone; the broker's session knows NEW besides."""

    def make(how, routes=None, after=NEW, **bus):
        daemon = busbar(routes or [job(OLD)], store={"path": "busbar.db"}, start=False)
        daemon.config["bus"].update(bus)
        daemon.write()
        daemon.start()
        copy, store = daemon.folder / "copy.db", daemon.folder / "busbar.db"
        daemon.cli("store", "backup", str(copy))
        assert daemon.terminate() == 0
        before = daemon.config["routes"][0]["from"]
        known_to_the_session(daemon, after)
        daemon.config["routes"][0]["from"] = before
        daemon.write()
        for file in daemon.folder.glob("busbar.db*"):
            file.unlink()
        if how == "copy":
            shutil.copy(copy, store)
        return daemon

    return make


def received(daemon):
    return daemon.metrics().sum("busbar_messages_received_total")


def judged(daemon):
    """The intake ledger is whole; its outcomes."""
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_received_total") == metrics.sum("busbar_messages_total")
    return {name: metrics.sum("busbar_messages_total", outcome=name) for name in ("accepted", "duplicate")}


@pytest.mark.parametrize("how", ["copy", "fresh"])
def test_a_message_is_one_delivery_and_none_is_lost(put_back, sandbox, publisher, subscribe, how):
    daemon = put_back(how)
    alerts = subscribe("busbar/alerts")
    for n in range(5):
        publisher.send("sx/1/t", {"n": n})  # waits in the session, for NEW alone
    publisher.send("sx/1/t", {"n": 4})  # the same again is another message
    publisher.flush()
    daemon.start()
    wait_until(lambda: len(sandbox.tasks()) == 6, 10, "what waited")
    for n in range(100, 110):
        publisher.send(f"sx/{n % 3}/t", {"n": n}, qos=n % 2)
    publisher.send("sx/1/t", {"n": 4})
    publisher.send("sx/1/other", {"n": 1})
    publisher.flush()
    wait_until(lambda: received(daemon) == 6 + 22, 10, "two copies of each")
    wait_until(lambda: len(sandbox.tasks()) == 17, 10, "one delivery each")
    assert judged(daemon) == {"accepted": 17, "duplicate": 11}
    assert daemon.metrics().sum("busbar_bus_stale_copies_total") == 6 + 11 + 1
    assert daemon.metrics().sum("busbar_bus_unrouted_total") == 1
    assert daemon.tail(1000).count("a subscription that the store does not know") == 1
    wait_until(alerts.seen, 10, "an alert")
    assert [alert["alert"] for alert in alerts.payloads()] == ["bus_stale_subscription"]


def test_overlapping_filters_of_ours_each_have_their_copy(put_back, sandbox, publisher):
    second = {**job("sx/{asset}/+"), "name": "second"}
    daemon = put_back("copy", [job(OLD), second])
    publisher.publish("sx/1/t", {"n": 1})
    daemon.start()
    publisher.publish("sx/1/t", {"n": 2})
    wait_until(lambda: received(daemon) >= 2 + 3, 10, "copies")
    wait_until(lambda: len(sandbox.tasks()) == 4, 10, "one of each route and message")
    assert judged(daemon)["accepted"] == 4


def test_a_retained_message_of_a_new_subscription_is_no_copy_of_one_before(put_back, sandbox, publisher):
    daemon = put_back("copy", [{**job(OLD), "retained": True}], after="sx/{asset}/+")
    publisher.send("sx/1/t", {"n": 1}, retain=True)
    publisher.flush()
    daemon.start()
    publisher.publish("sx/1/t", {"n": 2})
    wait_until(lambda: len(sandbox.tasks()) == 3, 10, "as it waited, as it is retained, and the next")


def test_with_311_it_says_what_it_cannot_know(put_back, sandbox, publisher):
    daemon = put_back("fresh", version="3.1.1")
    daemon.start()
    assert "a session of ours that the store does not know" in daemon.tail(1000)
    publisher.publish("sx/1/t", {"n": 1})
    wait_until(sandbox.tasks, 10, "the delivery")
