# SPDX-License-Identifier: Apache-2.0
"""The work-order read model and the audit, as people and programs ask for them (FV-12, FV-16)."""

import json
import sqlite3
import time

from busbar_harness import wait_until

DAY_MS = 86_400_000


def test_orders_are_listed_shown_and_paged(busbar, sandbox, publisher):  # FV-01, FV-12
    daemon = busbar(life={"scheduled": 0})
    for n in range(5):
        publisher.send(f"plant/l1/m{n}/job", {"celsius": n})
    publisher.flush()
    wait_until(lambda: [o for o in daemon.json("orders", "list")["items"] if o["source_work_order_id"]][4:], 10)
    items = daemon.json("orders", "list")["items"]
    assert sorted(o["asset_ref"] for o in items) == [f"m{n}" for n in range(5)]
    assert {o["common_status"] for o in items} == {"assigned"} and {o["provider_id"] for o in items} == {"mw"}
    shown = daemon.json("orders", "show", items[0]["common_work_order_id"])
    assert shown == items[0]
    assert daemon.json("queue", "show", shown["delivery"])["order"] == shown["common_work_order_id"]
    seen, path = [], "orders?limit=2"
    while path:
        page = daemon.api("GET", path).json
        seen += [o["common_work_order_id"] for o in page["items"]]
        path = f"orders?limit=2&cursor={page['next']}" if page["next"] else None
    assert sorted(seen) == sorted(o["common_work_order_id"] for o in items)
    assert "m3" in daemon.cli("orders", "list").stdout
    assert daemon.json("orders", "list", "--target", "nobody")["items"] == []  # FV-09a
    daemon.cli("orders", "show", "no-such-id", expect=1)
    daemon.cli("orders", "paint", expect=2)
    assert daemon.terminate() == 0
    assert len(daemon.json("orders", "list")["items"]) == 5, "readable when the daemon is down"


def test_what_is_over_for_long_is_forgotten(busbar, sandbox, publisher, subscribe):
    """In the store and on the bus. What is open stays, unless nothing was heard of it for a year."""
    topics = "busbar/orders/#"
    ages = {"m0": ("closed", 91), "m1": ("canceled", 89), "m2": ("assigned", 91), "m3": ("assigned", 366),
            "m4": ("completed", 200)}
    daemon = busbar(life={"scheduled": 0})
    before = subscribe(topics)
    for asset in ages:
        publisher.publish(f"plant/l1/{asset}/job", {"celsius": 1})
    wait_until(lambda: len([o for o in daemon.json("orders", "list")["items"] if o["source_work_order_id"]]) == 5, 10)
    wait_until(lambda: len({m.topic for m in before.seen() if b"source_work_order_id" in m.payload}) == 5, 10)
    assert daemon.terminate() == 0
    store = sqlite3.connect(daemon.config["store"]["path"])
    now = time.time() * 1000
    for asset, (status, days) in ages.items():
        store.execute("UPDATE orders SET status = ?, updated_ms = ? WHERE asset_ref = ?",
                      (status, now - days * DAY_MS, asset))
    store.commit()
    store.close()
    daemon.start()
    wait_until(lambda: len(before.seen()) and sum(not m.payload for m in before.seen()) == 3, 10, "three are taken away")
    assert {o["asset_ref"] for o in daemon.json("orders", "list")["items"]} == {"m1", "m2"}
    after = subscribe(topics)
    after.wait(topics, 2)
    assert {json.loads(m.payload)["asset_ref"] for m in after.seen()} == {"m1", "m2"}
    publisher.publish("plant/l1/m0/job", {"celsius": 2})  # it goes on
    wait_until(lambda: len(daemon.json("orders", "list")["items"]) == 3, 10)


def test_the_audit_tells_who_did_what(busbar, sandbox, publisher):  # FV-09b, FV-16
    daemon = busbar()
    daemon.cli("targets", "hold", "mw", "--reason", "upgrade")
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: daemon.deliveries(state="delivered"), 10)
    (delivery,) = daemon.deliveries(state="delivered")
    told = [(a["who"], a["what"], a["outcome"]) for a in daemon.json("audit", "--since", "1h")["items"]]
    assert told == [("busbar", "attempt", "delivered"), ("operator", "resume", "resumed"), ("operator", "hold", "held")]
    (mine,) = daemon.json("audit", "--id", delivery["id"])["items"]
    assert mine["what"] == "attempt" and mine["operation"] == "task.schedule" and mine["route"] == "job"
    assert "upgrade" in daemon.cli("audit").stdout
    daemon.cli("audit", "--since", "yesterday", expect=1)


def test_the_store_is_backed_up_while_it_runs_and_restored(busbar, sandbox, publisher):  # settled 26
    daemon = busbar()
    daemon.cli("targets", "hold", "mw")
    for n in range(50):
        publisher.send("plant/l1/m1/job", {"celsius": n})
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="mw", state="pending") == 50, 10)
    copy = daemon.folder / "copy.db"
    daemon.cli("store", "backup", str(copy))
    daemon.cli("store", "backup", str(copy), expect=1)  # never over a file
    assert daemon.terminate() == 0
    daemon.config["store"]["path"] = str(copy)
    daemon.write()
    daemon.start()
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: len(sandbox.tasks()) == 50, 10, "all of the copy")
