# SPDX-License-Identifier: Apache-2.0
"""What a target or a plugin answers that is no text, or more than is meant, or no memory at all: it costs its own attempt, and
whatever is told of it is JSON."""

import contextlib
import http.client
import json
import sqlite3

import pytest

from busbar_harness import BINARY, configuration, wait_until
from test_poison import supervise

LIAR = BINARY.parent / "tests" / "plugins" / "liar.so"

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


# ---- what a plugin answers

REFUSED = {  # what it says, and the reason of the dead letter
    "null_body": "the body has a length, and no bytes",
    "endless_body": "the body is over 268435456 bytes",
    "many_headers": "the plugin sets more than 64 headers",
    "latin_header": "a header's value is not UTF-8",
    "long_path": "the path is over 65536 bytes",
    "latin_id": "source_work_order_id is not UTF-8",
    "latin_asset": "asset_ref is not UTF-8",
    "latin_code": "error.code is not UTF-8",
    "latin_event": "emit: name is not UTF-8",
    "latin_dedup": "emit: dedup_id is not UTF-8",
    "latin_status": "emit: a text of the work order is not UTF-8",
    "latin_note": "note_put: the key is not UTF-8",
    "null_raw": "emit: raw has a length, and no bytes",
    "long_raw": "emit: raw is over 16777216 bytes",
}
HEARD = ["latin_event", "latin_dedup", "latin_status", "latin_note", "null_raw", "long_raw", "latin_code"]


def liar_target(desk, **settings):
    return {"plugin": str(LIAR), "url": desk.url, "mode": "write_back", "allow_unsigned": True,
            "retry": {"first": "50ms", "max": "100ms", "attempts": 4}, **settings}


@pytest.fixture
def liar(tmp_path, broker, desk, make_busbar):
    """liar(settings of the target..): a daemon before the plugin that answers as its message says, and before a good one."""

    def make(start=True, **settings):
        targets = {"liar": liar_target(desk, **settings), "desk": desk.target()}
        routes = [{"name": "say", "from": "say/+", "to": "liar.thing.create", "body": "${.}"}, desk_route()]
        return make_busbar(configuration(tmp_path, broker, targets, routes), start=start)

    return make


def others_go_on(daemon, desk, publisher):
    before = len(daemon.deliveries(state="delivered", target="desk"))
    publisher.publish("order/1", {"text": "x"})
    wait_until(lambda: len(daemon.deliveries(state="delivered", target="desk")) > before, 10, "the other target goes on")


@pytest.mark.parametrize("isolate", [False, True], ids=["here", "isolated"])
def test_what_a_plugin_may_not_say_is_a_dead_letter_with_its_reason(liar, desk, publisher, subscribe, isolate):
    records = subscribe("busbar/orders/#", "busbar/events/#")
    daemon = liar(isolate=isolate)
    pid = daemon.process.pid
    for what in REFUSED:
        publisher.publish(f"say/{what}", {"say": what})
    wait_until(lambda: len(daemon.deliveries(state="rejected", target="liar")) == len(REFUSED), 20, "dead letters")
    found = {d["topic"].partition("/")[2]: d["error"] for d in daemon.deliveries(state="rejected", target="liar")}
    assert {what: error["message"] for what, error in found.items()} == REFUSED
    assert {error["code"] for error in found.values()} == {"plugin_misuse"}
    for what in HEARD:
        assert daemon.hook(json.dumps({"event": "e", "say": what}).encode(), target="liar", secret=None).status == 200
    wait_until(lambda: len(daemon.deliveries(state="rejected", target="liar")) == len(REFUSED) + len(HEARD), 20)
    assert {d["error"]["message"] for d in daemon.deliveries(state="rejected", target="liar") if d["direction"] == "in"} == \
        {REFUSED[what] for what in HEARD}
    others_go_on(daemon, desk, publisher)
    assert tells(daemon) and records.payloads()
    assert daemon.process.pid == pid and daemon.runs()


@pytest.mark.parametrize("isolate", [False, True], ids=["here", "isolated"])
def test_what_a_person_reads_is_mended_and_cut(liar, desk, publisher, isolate):
    daemon = liar(isolate=isolate)
    publisher.publish("say/latin", {"say": "latin_error"})
    publisher.publish("say/long", {"say": "long_error"})
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 2, 20)
    found = {d["topic"]: d["error"] for d in daemon.deliveries(state="rejected")}
    assert (found["say/latin"]["code"], found["say/latin"]["message"], found["say/latin"]["owner_action"]) == ("c", NAMED, NAMED)
    assert found["say/latin"]["rejected_fields"] == [{"pointer": "/\ufffd"}]
    assert found["say/long"]["code"] == "c" and len(found["say/long"]["message"]) == 8195
    publisher.publish("say/log", {"say": "latin_log"})
    wait_until(lambda: NAMED in daemon.tail(), 10, "its line in the log")
    assert "error.message is not UTF-8" in daemon.tail(), "its author is told"
    assert tells(daemon)


@pytest.mark.parametrize("what", ["wild_error", "wild_body", "wild_header", "wild_id"])
def test_what_it_points_to_kills_the_daemon_twice_and_no_more(liar, desk, publisher, what):  # settled 5
    daemon = liar()
    publisher.publish("say/bad", {"say": what})
    assert supervise(daemon, 3) == 2
    (dead,) = daemon.deliveries(state="rejected")
    assert dead["error"]["code"] == "plugin_crashed" and dead["attempts"] == 2 and dead["error"]["owner_action"]
    others_go_on(daemon, desk, publisher)


def test_what_a_webhook_makes_it_point_to_too(liar, desk, publisher):  # settled 5
    daemon = liar()
    with contextlib.suppress(http.client.HTTPException):  # it may die before it answers, but not before it is stored
        daemon.hook(b'{"event":"e","say":"wild_error"}', target="liar", secret=None)
    assert supervise(daemon, 3) == 2
    (dead,) = daemon.deliveries(state="rejected")
    assert dead["direction"] == "in" and dead["error"]["code"] == "plugin_crashed"
    others_go_on(daemon, desk, publisher)


@pytest.mark.parametrize("what", ["wild_error", "wild_body", "wild_header", "wild_id"])
def test_in_isolation_it_costs_its_own_process(liar, desk, publisher, what):
    daemon = liar(isolate=True)
    pid = daemon.process.pid
    publisher.publish("say/bad", {"say": what})
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 20)
    assert dead["error"]["code"] == "plugin_crashed" and dead["attempts"] == 2
    others_go_on(daemon, desk, publisher)
    assert daemon.process.pid == pid and daemon.runs()


def test_a_poll_that_kills_the_daemon_holds_its_target(liar, desk, publisher):
    daemon = liar(start=False, at_poll="wild", poll="1s")
    deaths = 0

    def settled():
        nonlocal deaths
        if not daemon.runs():
            deaths += 1
            assert deaths <= 3, "a crash loop"
            daemon.start(ready=False)
        return daemon.runs() and daemon.ready() and deaths == 2

    daemon.start(ready=False)
    wait_until(settled, 30, "an end of it")
    (held,) = [t for t in daemon.json("targets", "list")["items"] if t["name"] == "liar"]
    assert "died twice" in held["holds"][0]["reason"]
    others_go_on(daemon, desk, publisher)
    assert daemon.runs()
