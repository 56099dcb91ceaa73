# SPDX-License-Identifier: Apache-2.0
"""What a target or a plugin answers that is no text, or more than is meant, or no memory at all: it costs its own attempt, and
whatever is told of it is JSON."""

import json
import sqlite3

from busbar_harness import wait_until

NAMED = "Ger\ufffdt"  # what becomes of b"Ger\xe4t", for people


def desk_route(**members):
    return {"name": "order", "from": "order/+", "to": "desk.work_order.create", "body": {"text": "${.text}"}, **members}


def tells(daemon):
    """All that the API and the command line tell, each read as UTF-8 and JSON."""
    told = {}
    for name in ("deliveries", "orders", "audit", "targets", "status"):
        told[name] = json.loads(daemon.api("GET", name).body.decode())
    for words in (["queue", "list"], ["orders", "list"], ["audit"]):
        daemon.cli(*words)
        told[" ".join(words)] = json.loads(daemon.cli(*words, "--json").stdout)
    return told


def test_a_latin_1_answer_of_the_target_is_shown(desk_busbar, desk, publisher, subscribe):
    events = subscribe("busbar/events/#")
    daemon = desk_busbar([desk_route()])
    desk.usual = (422, b'{"message":"unbekanntes Ger\xe4t"}')
    publisher.publish("order/1", {"text": "x"})
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    events.wait("busbar/events/desk/sync/failed")
    (failed,) = events.payloads("busbar/events/desk/sync/failed")
    assert f"unbekanntes {NAMED}" in failed["data"]["error"]["provider_response"]
    assert f"unbekanntes {NAMED}" in daemon.api("GET", f"deliveries/{dead['id']}").json["response"]
    assert f"unbekanntes {NAMED}" in daemon.cli("queue", "show", dead["id"]).stdout
    assert f"unbekanntes {NAMED}" in daemon.json("queue", "show", dead["id"])["response"]
    assert tells(daemon)


def test_a_store_that_holds_no_text_is_told_as_text(desk_busbar, desk, publisher):
    """As one that an earlier busbar wrote may."""
    daemon = desk_busbar([desk_route()])
    publisher.publish("order/1", {"text": "x"})
    wait_until(lambda: daemon.deliveries(state="delivered", target="desk"), 10)
    desk.usual = (422, {})
    publisher.publish("order/2", {"text": "x"})
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10)
    daemon.kill()
    bad = "CAST(x'476572e474' AS TEXT)"
    with sqlite3.connect(daemon.config["store"]["path"]) as store:
        store.execute(f"UPDATE deliveries SET error_code={bad}, error_message={bad}, owner_action={bad}, request_id={bad},"
                      f" rejected_fields=CAST(x'5b22e4225d' AS TEXT) WHERE id=?", (dead["id"],))
        store.execute(f"UPDATE exchanges SET request={bad}, response={bad}")
        store.execute(f"UPDATE audit SET error_code={bad}, owner_action={bad}, detail={bad}")
        store.execute(f"UPDATE orders SET source_id={bad}, asset_ref={bad}, source_status={bad}, source_priority={bad}")
    store.close()
    for start in (False, True):  # from the store alone, and by the daemon
        if start:
            daemon.start()
            told = tells(daemon)
            assert told["orders"]["items"][0]["source_work_order_id"] == NAMED
            assert [d["error"]["code"] for d in told["deliveries"]["items"] if d["error"]] == [NAMED]
        assert daemon.json("orders", "list")["items"][0]["source_status"] == NAMED
        shown = daemon.json("queue", "show", dead["id"])
        assert shown["error"]["message"] == NAMED and shown["response"] == NAMED
        assert NAMED in daemon.cli("audit").stdout
        assert NAMED in daemon.cli("orders", "show", daemon.json("orders", "list")["items"][0]["common_work_order_id"]).stdout
    assert daemon.runs()
