# SPDX-License-Identifier: Apache-2.0
"""Many messages in few requests, through the real daemon: what shares one, what is merged, and what becomes of each
when the request fails, is refused in part, or loses its answer (MW-C10, U12)."""

import collections
import contextlib
import json
import pathlib
import random
import re
import time

import pytest

from busbar_harness import BINARY, command_route, wait_until

STOCK = "/partners/v1/spare-parts/stock"
EQUIPMENTS = "/partners/v1/equipments"


def stock_route(**members):
    return {"name": "stock", "from": "erp/stock/{part}", "to": "mw.spare_part.set_stock",
            "body": {"id": "${part}", "quantity": "${.}"}, **members}


def equipment_route(**members):
    return {"name": "equipment", "from": "erp/equipment/{code}", "to": "mw.equipment.create",
            "body": {"name": "${.name}", "itemCode": "${code}"}, **members}


def sent(sandbox, path):
    """The bodies of the requests, in order."""
    return [r["body"] for r in sandbox.requests(path)]


def items(body):
    return [(item["id"]["value"], item["quantity"]) for item in json.loads(body)]


def stock(sandbox):
    return sandbox.control("GET", "stores")["stock"]


def ledger(daemon, route, verdict):
    return daemon.metrics().sum("busbar_deliveries_total", route=route, verdict=verdict)


def still_open(daemon):
    metrics = daemon.metrics()
    return sum(metrics.sum("busbar_deliveries", state=state, target="mw") for state in ("pending", "retrying"))


def accepted(daemon):
    return daemon.metrics().sum("busbar_messages_total", outcome="accepted")


def wait_for_all(daemon, count, deadline=120):
    wait_until(lambda: accepted(daemon) >= count, deadline, f"{count} to be accepted")
    wait_until(lambda: still_open(daemon) == 0, deadline, "the queue to be empty")


@contextlib.contextmanager
def together(daemon, publisher, count):
    """What is published in it is pending together, and goes when all of it is there."""
    daemon.cli("targets", "hold", "mw", "--reason", "test")
    yield
    publisher.flush()
    wait_until(lambda: accepted(daemon) == count, 60)
    daemon.cli("targets", "resume", "mw")


def test_the_last_values_of_25000_updates_are_one_request(busbar, sandbox, publisher):
    """MW-C10, MW-E02, settled 15, 17."""
    daemon = busbar([stock_route(batch={"wait": "20s"})])
    parts = [f"P{i}" for i in range(8000)]
    updates = parts + random.choices(parts, k=17000)
    random.shuffle(updates)
    last = {}
    began = time.monotonic()
    for n, part in enumerate(updates):
        last[part] = n
        publisher.send(f"erp/stock/{part}", n)
    publisher.flush()
    wait_until(lambda: accepted(daemon) == 25000, 20, "all to be accepted")
    assert time.monotonic() - began < 20, "this machine is too slow for this test's wait"
    wait_for_all(daemon, 25000)
    (body,) = sent(sandbox, STOCK)
    assert dict(items(body)) == last and len(items(body)) == 8000
    assert [quantity for _, quantity in items(body)] == sorted(last.values())  # in order of acceptance
    assert stock(sandbox) == last
    assert ledger(daemon, "stock", "delivered") == 8000 and ledger(daemon, "stock", "merged") == 17000
    assert daemon.metrics().sum("busbar_batch_items_count") == 1
    merged = next(d for d in daemon.json("queue", "list", "--state", "delivered", "--limit", "1000")["items"]
                  if d["merged_into"])
    newest = daemon.json("queue", "show", merged["merged_into"])
    assert newest["lane"] == merged["lane"] and newest["batch"] and newest["merged_into"] is None
    (row,) = daemon.json("queue", "show", merged["id"])["history"]
    assert row["what"] == "merge" and newest["id"] in row["detail"]


def test_status_shows_what_is_gathered(busbar, sandbox, publisher):
    daemon = busbar([stock_route(batch={"max": 500, "wait": "1h"})])
    assert "BATCH OF" not in daemon.cli("status").stdout, "nothing yet"
    for part in range(3):
        publisher.publish(f"erp/stock/P-{part}", part)
    publisher.publish("erp/stock/P-0", 7)  # the same part: one item

    def gathered():
        (target,) = daemon.json("status")["targets"]
        return [b for b in target["batches"] if b["gathering"]]

    wait_until(lambda: [b["gathering"] for b in gathered()] == [3], 10, "three items")
    assert gathered() == [{"operation": "spare_part.set_stock", "max": 500, "wait_ms": 3600000, "gathering": 3}]
    shown = daemon.cli("status").stdout
    assert re.search(r"BATCH OF +GATHERED +AT MOST +WAIT MS\n.*spare_part.set_stock +3 +500 +3600000", shown), shown


def test_20000_equipments_are_two_requests(busbar, sandbox, publisher):
    """MW-C10, MW-E04. A batch that is full does not wait, and what was accepted by 202 is not confirmed (MW-C06)."""
    daemon = busbar([equipment_route(batch={"max": 10000, "wait": "1h"})])
    for n in range(20000):
        publisher.send(f"erp/equipment/E{n}", {"name": f"Press {n}"})
    publisher.flush()
    wait_for_all(daemon, 20000)
    bodies = sent(sandbox, EQUIPMENTS)
    assert [len(json.loads(body)) for body in bodies] == [10000, 10000]
    assert [item["itemCode"] for body in bodies for item in json.loads(body)] == [f"E{n}" for n in range(20000)]
    assert len(sandbox.control("GET", "stores")["equipments"]) == 20000
    assert ledger(daemon, "equipment", "delivered") == 20000
    some = daemon.json("queue", "list", "--state", "delivered", "--limit", "1000")["items"]
    assert len(some) == 1000 and all(d["unconfirmed"] for d in some)
    assert len({d["batch"] for d in some}) == 1
    # What was said is kept once, not 20,000 times, and every item shows it.
    assert pathlib.Path(daemon.config["store"]["path"]).stat().st_size < 20000 * 2500
    shown = [daemon.json("queue", "show", d["id"]) for d in (some[0], some[999])]
    assert shown[0]["request"] == shown[1]["request"] and "POST" in shown[0]["request"]
    assert "202" in shown[0]["response"]


def test_three_bad_items_of_10000_are_three_dead_letters(busbar, sandbox, publisher, subscribe):
    """U12, MW-C20, F-U10: each item has its verdict, its pointers and its event; the others go through."""
    failures = subscribe("busbar/events/mw/sync/failed")
    unknown = {"P17", "P9000"}
    sandbox.configure(spare_parts=[f"P{n}" for n in range(10000) if f"P{n}" not in unknown])
    daemon = busbar([stock_route()])
    with together(daemon, publisher, 10000):
        for n in range(10000):
            publisher.send(f"erp/stock/P{n}", -1 if n == 4711 else n)
    wait_for_all(daemon, 10000)
    assert ledger(daemon, "stock", "delivered") == 9997 and ledger(daemon, "stock", "rejected") == 3
    assert [len(items(body)) for body in sent(sandbox, STOCK)] == [9999, 9997]
    assert stock(sandbox) == {f"P{n}": n for n in range(10000) if n != 4711 and f"P{n}" not in unknown}
    dead = {d["body"]["id"]: d for d in
            (daemon.json("queue", "show", d["id"]) for d in daemon.deliveries(state="rejected"))}
    assert {part: (d["error"]["class"], d["error"]["rejected_fields"][0]["pointer"]) for part, d in dead.items()} == {
        "P17": ("identity", "/id"), "P9000": ("identity", "/id"), "P4711": ("validation", "/quantity")}
    assert all(d["attempts"] == 1 and d["request"] for d in dead.values())
    told = failures.wait("busbar/events/mw/sync/failed", 3)
    assert sorted(json.loads(m.payload)["data"]["error"]["delivery"] for m in told) == sorted(
        d["id"] for d in dead.values())
    daemon.cli("queue", "edit", dead["P4711"]["id"], "--body", '{"id": "P4711", "quantity": 1}')
    wait_until(lambda: stock(sandbox).get("P4711") == 1, 10)


def test_a_batch_whose_answer_is_lost_goes_again_byte_by_byte(busbar, sandbox, publisher):
    """Settled 15: kill -9 while the target works. Newer values wait; nothing is lost, nothing overtakes."""
    daemon = busbar([stock_route()])
    sandbox.fail("hang", path=STOCK, after=True)
    with together(daemon, publisher, 300):
        for n in range(300):
            publisher.send(f"erp/stock/P{n % 100}", n)
    wait_until(lambda: sent(sandbox, STOCK), 10, "the request")
    publisher.send("erp/stock/P7", 1007)
    publisher.send("erp/stock/NEW", 5)
    publisher.flush()
    wait_until(lambda: accepted(daemon) == 302, 20)
    wait_until(lambda: len(sent(sandbox, STOCK)) == 2, 10, "NEW, which waits for nobody")
    daemon.kill()
    sandbox.forgive()
    daemon.start()
    publisher.publish("erp/stock/P8", 1008)
    wait_until(lambda: accepted(daemon) == 1, 10)
    wait_until(lambda: still_open(daemon) == 0, 30)
    first, new, *rest = sent(sandbox, STOCK)
    assert len(items(first)) == 100 and dict(items(first)) == {f"P{n % 100}": n for n in range(200, 300)}
    assert sorted(rest[:2]) == sorted([first, new])  # the same bytes
    assert stock(sandbox) == {**{f"P{n % 100}": n for n in range(200, 300)}, "P7": 1007, "P8": 1008, "NEW": 5}
    assert collections.Counter(part for body in rest for part, _ in items(body))["P7"] == 2
    merged = [d for d in daemon.json("queue", "list", "--state", "delivered", "--limit", "1000")["items"]
              if d["merged_into"]]
    assert len(merged) == 200


def test_an_answer_that_breaks_off_is_asked_for_again(busbar, sandbox, make_proxy, publisher):
    """A create is parked instead (test below); a stock is set again."""
    proxy = make_proxy(sandbox.port)
    daemon = busbar([stock_route()], target={"url": f"http://127.0.0.1:{proxy.port}"})
    sandbox.fail("truncate", path=STOCK, times=1)
    with together(daemon, publisher, 50):
        for n in range(50):
            publisher.send(f"erp/stock/P{n}", n)
    wait_for_all(daemon, 50)
    first, second = sent(sandbox, STOCK)
    assert first == second and len(items(first)) == 50
    assert {d["attempts"] for d in daemon.deliveries(state="delivered")} == {2}


def test_a_batch_of_creates_whose_answer_is_lost_is_parked(busbar, sandbox, publisher):
    daemon = busbar([equipment_route()])
    sandbox.fail("reset", path=EQUIPMENTS, after=True, times=1)
    with together(daemon, publisher, 20):
        for n in range(20):
            publisher.send(f"erp/equipment/E{n}", {"name": f"Press {n}"})
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 20, 10)
    assert {d["error"]["code"] for d in daemon.deliveries(state="rejected")} == {"uncertain_outcome"}
    assert len(sent(sandbox, EQUIPMENTS)) == 1


def test_a_batch_that_is_refused_for_now_goes_again_as_it_is(busbar, sandbox, publisher):
    """503 for the whole of it; what comes meanwhile is another batch; an operator may take an item out."""
    daemon = busbar([stock_route()], target={"retry": {"first": "2s", "max": "2s", "attempts": 50, "max_age": "7d"}})
    sandbox.fail("status", status=503, path=STOCK, times=1)
    with together(daemon, publisher, 40):
        for n in range(40):
            publisher.send(f"erp/stock/P{n}", n)
    wait_until(lambda: len(daemon.deliveries(state="retrying")) == 40, 10)
    waiting = daemon.deliveries(state="retrying")
    assert len({d["batch"] for d in waiting}) == 1
    assert all(d["error"]["provider_http_status"] == 503 and d["attempts"] == 1 for d in waiting)
    publisher.publish("erp/stock/P3", 1003)
    wait_until(lambda: accepted(daemon) == 41, 10)
    out = next(d for d in waiting if d["lane"] == "erp/stock/P9")
    daemon.cli("queue", "discard", out["id"])
    daemon.cli("queue", "retry", waiting[0]["id"])  # and with it its batch
    wait_until(lambda: still_open(daemon) == 0, 10)
    first, second, third = [items(body) for body in sent(sandbox, STOCK)]
    assert second == [item for item in first if item[0] != "P9"]
    assert third == [("P3", 1003)]
    assert "P9" not in stock(sandbox) and stock(sandbox)["P3"] == 1003


def test_a_credential_that_is_refused_keeps_the_batch(busbar, sandbox, publisher):
    daemon = busbar([stock_route()])
    sandbox.fail("status", status=401, path=STOCK, times=1)
    with together(daemon, publisher, 30):
        for n in range(30):
            publisher.send(f"erp/stock/P{n}", n)
    wait_until(lambda: any(t["holds"] for t in daemon.json("targets", "list")["items"]), 10)
    assert {d["attempts"] for d in daemon.deliveries(state="pending")} == {0}
    daemon.kill()  # the batch outlives the process
    daemon.start()
    daemon.cli("targets", "resume", "mw")
    wait_until(lambda: still_open(daemon) == 0, 10)
    first, second = sent(sandbox, STOCK)
    assert first == second


def test_a_value_does_not_overtake_another_operation_of_its_lane(busbar, sandbox, publisher):
    update = {"name": "update", "from": "erp/part/{part}/set", "to": "mw.spare_part.update", "key": "${part}",
              "body": {"id": "${part}", "description": "${.}"}}
    daemon = busbar([stock_route(key="${part}"), update])
    with together(daemon, publisher, 6):
        for topic, value in (("erp/stock/A", 1), ("erp/stock/A", 2), ("erp/part/A/set", "deep groove"), ("erp/stock/A", 3),
                             ("erp/stock/B", 4), ("erp/stock/B", 5)):
            publisher.publish(topic, json.dumps(value))
    wait_for_all(daemon, 6)
    told = [(r["path"].rsplit("/", 1)[1], r["body"]) for r in sandbox.requests() if r["method"] != "GET"]
    assert [path for path, _ in told] == ["stock", "attributes", "stock"]
    assert items(told[0][1]) == [("A", 2), ("B", 5)] and items(told[2][1]) == [("A", 3)]


def test_poison_in_a_batch_is_found_and_the_others_are_not_dead(busbar, sandbox, publisher):
    """Settled 4, 5: two deaths take the batch apart, two more find the guilty. Nothing had been sent: nothing is parked."""
    daemon = busbar([{"name": "things", "from": "thing/{n}", "to": "poison.thing.create", "body": "${.}"}], start=False)
    daemon.config["targets"]["poison"] = {"plugin": str(BINARY.parent / "tests" / "plugins" / "poison.so"),
                                          "url": sandbox.url, "mode": "write_back"}
    daemon.write()
    daemon.start()
    daemon.cli("targets", "hold", "poison", "--reason", "test")
    for n in range(20):
        publisher.send(f"thing/{n}", {"what": "bomb" if n == 13 else "egg"})
    publisher.flush()
    wait_until(lambda: accepted(daemon) == 20, 10)
    daemon.cli("targets", "resume", "poison", expect=None)  # it may die of it before it answers
    deaths = 0

    def settled():
        nonlocal deaths
        if not daemon.runs():
            deaths += 1
            assert deaths <= 5, "a crash loop"
            daemon.start(ready=False)
        return daemon.runs() and daemon.ready() and len(daemon.deliveries(target="poison", state="delivered")) == 19

    wait_until(settled, 60, "the eggs to arrive")
    assert deaths == 4
    (dead,) = daemon.deliveries(state="rejected")
    assert dead["topic"] == "thing/13" and dead["error"]["code"] == "plugin_crashed"


@pytest.mark.parametrize("batch, said", [
    ({"max": 10001}, "spare_part.set_stock takes 10000 in one request at most, not 10001"),
    ({"max": 0}, "'max' must be"),
    ({"wait": "2d"}, "'wait' must be"),
    ({"most": 5}, "unknown key 'most'"),
])
def test_a_batch_that_cannot_be_is_an_error(busbar, batch, said):
    daemon = busbar([stock_route(batch=batch)], start=False)
    done = daemon.cli("check", expect=1)
    assert said in done.stderr and "busbar.yaml:" in done.stderr


def test_an_operation_without_batches_says_so(busbar):
    daemon = busbar([command_route(batch={"max": 2})], start=False)
    assert "task.schedule takes no batches: one message is one request" in daemon.cli("check", expect=1).stderr
