# SPDX-License-Identifier: Apache-2.0
"""Triggers in the whole daemon: what time fires, what survives kill -9, the latch and the closed loop. MW-P20 .. MW-P28."""

import json
import random
import re
import subprocess
from xml.etree import ElementTree

import pytest
import yaml

from busbar_harness import BINARY, ROOT, hot_route, wait_until

PAGE = (ROOT / "config" / "TRIGGERS.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```text trigger\n(.*?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def clock(seconds):
    return f"2026-03-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000Z"


@pytest.mark.parametrize("trigger, lines", EXAMPLES, ids=[t for t, _ in EXAMPLES])
def test_examples_of_the_page(busbar, tmp_path, trigger, lines):
    """Each example of config/TRIGGERS.md through `try --replay`: every line's reason, in time and order."""
    route = hot_route()
    route["trigger"] = {"key": "${asset}", **yaml.safe_load(trigger)}
    route["body"] = {**route["body"], "description": "at ${value}"}
    wanted, recorded = [], tmp_path / "recorded.ndjson"
    with open(recorded, "w", encoding="utf-8") as file:
        for line in lines.splitlines():
            at, *payload, reason = line.split()
            minutes, seconds = map(int, at.split(":"))
            time = clock(60 * minutes + seconds)
            wanted.append((time, reason))
            if payload:
                file.write(json.dumps({"time": time, "topic": "plant/l1/p7/temperature", "payload": payload[0]}) + "\n")
        if not payload:  # time goes on to there
            file.write(json.dumps({"time": time, "topic": "another/topic", "payload": ""}) + "\n")
    daemon = busbar([route], start=False)
    done = json.loads(daemon.cli("try", "--replay", str(recorded), "--all", "--json").stdout)
    assert [(d["time"], d["reason"]) for d in done["decisions"]] == wanted


def test_the_page_has_examples():
    assert len(EXAMPLES) >= 11


def temperature(publisher, celsius, asset="p7"):
    publisher.publish(f"plant/l1/{asset}/temperature", {"celsius": celsius})


def decided(daemon, reason, count=1, **labels):
    wait_until(lambda: daemon.metrics().sum("busbar_decisions_total", reason=reason, **labels) >= count, 20,
               f"{count} x {reason}")


def tasks(sandbox):
    return [task["body"]["description"] for task in sandbox.tasks()]


def audit(daemon, **wanted):
    return [row for row in daemon.json("audit")["items"] if all(row[k] == v for k, v in wanted.items())]


def test_on_delay_survives_kill(busbar, sandbox, publisher):
    """A pending `for` is not forgotten by kill -9, fires once by time, and not again after another kill."""
    daemon = busbar([hot_route(**{"for": "4s"})])
    temperature(publisher, 91.5)
    decided(daemon, "waiting")
    daemon.kill()
    daemon.start()
    wait_until(lambda: sandbox.tasks(), 20, "the task that time fires")
    assert tasks(sandbox) == ["Bearing at 91.5 °C on p7"]
    metrics = daemon.metrics()
    assert metrics.sum("busbar_timed_total", route="bearing-hot", outcome="accepted") == 1
    assert metrics.sum("busbar_messages_total", outcome="accepted") == 0, "time is no message"
    daemon.kill()
    daemon.start()
    temperature(publisher, 92)
    decided(daemon, "tripped")
    assert len(sandbox.tasks()) == 1


def test_on_delay_that_is_broken_fires_nothing(busbar, sandbox, publisher):
    daemon = busbar([hot_route(**{"for": "2s"})])
    temperature(publisher, 91)
    temperature(publisher, 70)
    decided(daemon, "not_held")
    temperature(publisher, 91, "p8")
    decided(daemon, "fired")
    assert tasks(sandbox) in ([], ["Bearing at 91 °C on p8"])
    wait_until(lambda: tasks(sandbox) == ["Bearing at 91 °C on p8"], 10, "p8's task alone")


def test_silence_fires_and_a_broker_that_is_away_does_not(busbar, broker, sandbox, publisher):
    route = hot_route()
    route["trigger"] = {"absent": "3s", "key": "${asset}"}
    daemon = busbar([route])
    temperature(publisher, 20)
    wait_until(lambda: sandbox.tasks(), 20, "the silent sensor's task")
    assert tasks(sandbox) == ["Bearing at 20 °C on p7"]
    temperature(publisher, 21)
    decided(daemon, "rearmed")
    publisher.close()
    broker.stop()
    wait_until(lambda: not daemon.ready(), 10, "the broker's absence")
    began = len(sandbox.tasks())
    wait_until(lambda: daemon.get("/healthz").status == 200, 5)
    assert len(sandbox.tasks()) == began
    broker.start()
    wait_until(daemon.ready, 30, "the broker's return")
    wait_until(lambda: len(sandbox.tasks()) == began + 1, 20, "3 s of silence that could be heard")


def test_latch_is_one_open_order_a_key(busbar, sandbox, publisher):
    """MW-P23: while the task is open, crossings are counted and told; its completion (a webhook) re-arms the key."""
    daemon = busbar([hot_route(until="closed")])
    temperature(publisher, 90)
    wait_until(lambda: sandbox.tasks(), 10, "the first task")
    for _ in range(2):
        temperature(publisher, 70)
        temperature(publisher, 90)
    decided(daemon, "open_order", 2)
    rows = audit(daemon, what="suppress", outcome="open_order")
    assert len(rows) == 2 and "value 90" in rows[0]["detail"] and rows[0]["route"] == "bearing-hot"
    daemon.kill()
    daemon.start()
    temperature(publisher, 70)
    temperature(publisher, 90)
    decided(daemon, "open_order", 1)
    assert len(sandbox.tasks()) == 1
    sandbox.tell(sandbox.tasks()[0]["id"], "TaskWasCompleted")
    wait_until(lambda: "completed" in [o["common_status"] for o in daemon.json("orders", "list")["items"]], 10,
               "the completed order")
    temperature(publisher, 70)
    temperature(publisher, 95)
    wait_until(lambda: len(sandbox.tasks()) == 2, 10, "the second task")


def test_latch_opens_when_the_order_was_refused(busbar, sandbox, publisher):
    """A dead letter is no open order: the next crossing fires."""
    daemon = busbar([hot_route(until="closed")])
    sandbox.fail("status", status=400, times=1, method="POST")
    temperature(publisher, 90)
    wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the dead letter")
    temperature(publisher, 70)
    temperature(publisher, 91)
    wait_until(lambda: sandbox.tasks(), 10, "the second crossing's task")


def test_budget_raises_one_alarm(busbar, sandbox, publisher, subscribe):
    """MW-P22: what is over the budget is suppressed, counted, told in the audit and on the alerts topic."""
    alerts = subscribe("busbar/alerts")
    daemon = busbar([hot_route(budget="2/1d")])
    for n in range(4):
        temperature(publisher, 90 + n)
        temperature(publisher, 70)
    decided(daemon, "budget", 2)
    assert len(audit(daemon, what="suppress", outcome="budget")) == 2
    alert = json.loads(alerts.wait("busbar/alerts")[0].payload)
    assert alert["alert"] == "over_budget" and alert["route"] == "bearing-hot" and alert["target"] is None
    wait_until(lambda: len(sandbox.tasks()) == 2, 10, "what is inside the budget")
    assert len(alerts.seen()) == 1


def test_each_route_over_its_budget_is_named(busbar, publisher, subscribe):
    """MW-P22"""
    alerts = subscribe("busbar/alerts")
    routes = [{**hot_route(budget="1/1d"), "name": name, "from": f"{name}/{{line}}/{{asset}}"} for name in ("north", "south", "well")]
    daemon = busbar(routes)
    for _ in range(3):
        for name in ("north", "south"):
            publisher.send(f"{name}/l1/p1", json.dumps({"celsius": 90}))
            publisher.send(f"{name}/l1/p1", json.dumps({"celsius": 60}))
    publisher.flush()
    decided(daemon, "budget", 4)
    wait_until(lambda: len(alerts.seen()) == 2, 10, "an alert each")
    assert sorted(json.loads(message.payload)["route"] for message in alerts.seen()) == ["north", "south"]


def test_story_of_a_firing(busbar, sandbox, publisher):
    """MW-P28: time, cause (topic, value, rule) of each trigger in the audit, with the attempts behind it."""
    daemon = busbar([hot_route()])
    temperature(publisher, 90)
    temperature(publisher, 91)
    temperature(publisher, 60)
    temperature(publisher, 92)
    wait_until(lambda: len(sandbox.tasks()) == 2, 10, "two tasks")
    delivery = daemon.deliveries(state="delivered")[0]
    story = daemon.json("audit", "--id", delivery["id"])["items"]
    fired = [row for row in story if row["what"] == "fire"]
    assert len(fired) == 1 and fired[0]["who"] == "rules" and fired[0]["route"] == "bearing-hot"
    assert fired[0]["detail"].startswith("key l1/p7, value 92, topic plant/l1/p7/temperature")
    assert [row["what"] for row in story][0] == "attempt"


@pytest.mark.parametrize("condition, readings, fired", [
    ({"equals": ["FAULT", "ALARM"]}, ["RUN", "FAULT", "ALARM", "RUN", "ALARM"], ["FAULT", "ALARM"]),
    ({"changes": 0.5}, ["20", "20.4", "20.5", "20.6", "19.9"], ["20.5", "19.9"]),
    ({"every": 250}, ["240", "251", "300", "510", "3", "260"], ["251", "510", "260"]),
    ({"above": 5, "repeat": 2}, ["6", "5", "6", "7", "8"], ["7"]),
])
def test_conditions_through_a_real_broker(busbar, sandbox, publisher, condition, readings, fired):
    route = hot_route()
    route["trigger"] = {"key": "${asset}", **condition}
    route["body"] = {**route["body"], "description": "at ${value}"}
    daemon = busbar([route])
    for value in readings:
        publisher.publish("plant/l1/p7/temperature", value)
    decided(daemon, "fired", len(fired))
    wait_until(lambda: len(sandbox.tasks()) == len(fired), 10, f"{len(fired)} tasks")
    assert sorted(tasks(sandbox)) == sorted(f"at {value}" for value in fired)
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total") == len(readings), 10, "all decided")
    assert daemon.metrics().sum("busbar_messages_received_total") == len(readings)


STORM = {"keys": 50, "within": "15s",
         "body": {"equipment": {"type": "external", "value": "site"}, "description": "${.count} machines: ${.list}",
                  "startDateTime": "${now}", "endDateTime": "${now+2h}", "allDay": False,
                  "assignees": ["maintenance@example.com"]}}


def test_storm_of_500_machines_is_one_order(busbar, sandbox, publisher):
    """500 machines alarm at once, around a kill -9: 50 orders, then one that lists all 500; the other 450 are counted, none is lost."""
    daemon = busbar([hot_route(storm=STORM, key="${asset}")])
    for n in range(500):
        publisher.send(f"plant/l1/p{n:03}/temperature", {"celsius": 90})
        if n == 300:  # in the middle of it
            publisher.flush()
            decided(daemon, "storm", 200)
            daemon.kill()
            daemon.start()
    publisher.flush()
    # What was in flight at the death may be there twice, under one mark.
    wait_until(lambda: sandbox.counts()["distinct"] == 51, 60, "the storm's order")
    (order,) = {text for text in tasks(sandbox) if "machines" in text}
    assert order == "500 machines: " + ",".join(f"p{n:03}" for n in range(500))
    assert {text[-4:] for text in tasks(sandbox) if "machines" not in text} == {f"p{n:03}" for n in range(50)}
    assert len(audit(daemon, what="fire", outcome="storm_order")) == 1
    assert daemon.metrics().sum("busbar_decisions_total", reason="storm") >= 199, "those since the kill"


def test_shelf_is_durable_listed_counted_and_ends(busbar, sandbox, publisher):
    daemon = busbar([hot_route()])
    daemon.cli("routes", "shelve", "bearing-hot", "--key", "l1/p7", "--for", "1h", "--reason", "bearing is being changed")
    daemon.kill()
    daemon.start()
    shelf, = daemon.json("routes", "shelves")["items"]
    assert (shelf["route"], shelf["key"], shelf["reason"]) == ("bearing-hot", "l1/p7", "bearing is being changed")
    temperature(publisher, 90)
    decided(daemon, "shelved")
    temperature(publisher, 90, "p8")
    wait_until(lambda: tasks(sandbox) == ["Bearing at 90 °C on p8"], 10, "the other machine's task")
    key, = [k for k in daemon.json("routes", "keys", "bearing-hot")["items"] if k["key"] == "l1/p7"]
    assert (key["phase"], key["suppressed"]) == ("tripped", 1)
    daemon.cli("routes", "unshelve", "bearing-hot", "--key", "l1/p7")
    assert daemon.json("routes", "shelves")["items"] == []
    temperature(publisher, 70)
    temperature(publisher, 91)
    wait_until(lambda: len(sandbox.tasks()) == 2, 10, "the task after the shelf")
    assert [row["what"] for row in daemon.json("audit")["items"] if "shelve" in row["what"]] == ["unshelve", "shelve"]
    daemon.cli("routes", "shelve", "bearing-hot", "--for", "2s", "--reason", "strike")
    temperature(publisher, 90, "p9")
    decided(daemon, "shelved")
    wait_until(lambda: daemon.json("routes", "shelves")["items"] == [], 10, "its end")
    done = daemon.cli("routes", "shelve", "nothing", "--for", "2s", "--reason", "x", expect=1)
    assert "no such route" in done.stderr
    assert "give --for" in daemon.cli("routes", "shelve", "bearing-hot", "--for", "2s", expect=2).stderr


def test_rules_of_one_plan_share_its_budget(busbar, sandbox, publisher, subscribe):
    """MW-P22, S0's statement 9: two rules, one plan: 24 a day together, then suppressed with an alarm."""
    alerts = subscribe("busbar/alerts")
    plan = [{"name": name, "from": f"plant/{name}/{{n}}", "trigger": {"above": 5, "cooldown": "0s"},
             "to": "mw.maintenance_plan.trigger", "body": {"planId": "plan-7"}} for name in ("a", "b")]
    daemon = busbar(plan)
    for n in range(15):
        publisher.send(f"plant/a/{n}", "6")
        publisher.send(f"plant/b/{n}", "6")
    publisher.flush()
    decided(daemon, "destination_budget", 6)
    assert daemon.metrics().sum("busbar_decisions_total", reason="fired") == 24
    alert = json.loads(alerts.wait("busbar/alerts")[0].payload)
    assert alert["alert"] == "over_budget" and alert["route"] in ("a", "b")


def several_rules():
    """Rules of many kinds on the same readings."""
    kinds = {"level": {"above": 85, "clear": 80, "cooldown": "0s"}, "delay": {"above": 85, "for": "2s"},
             "creep": {"changes": 5}, "mean": {"window": {"avg": "1h"}, "above": 74, "repeat": 2},
             "latch": {"above": 85, "until": "closed"}, "meter": {"value": "${.hours}", "every": 250},
             "budget": {"outside": [60, 85], "budget": "2/1d"}}
    return [{**hot_route(), "name": name, "trigger": {"value": "${.celsius}", "key": "${asset}", **trigger},
             "body": {**hot_route()["body"], "description": name + " ${value} ${asset}"}}
            for name, trigger in kinds.items()]


def test_recorded_traffic_is_decided_alike_by_try_and_daemon(busbar, sandbox, publisher, tmp_path):
    """The same traffic, once live and once recorded by `busbar record` and replayed: the same decisions for the same reasons,
    and the same bodies; what time alone fires too."""
    daemon = busbar(several_rules())
    recorded, picture = tmp_path / "recorded.ndjson", tmp_path / "timeline.svg"
    with open(recorded, "wb") as file:
        recorder = subprocess.Popen([str(BINARY), "record", "-c", str(daemon.file), "--for", "60s"], stdout=file,
                                    stderr=subprocess.PIPE, env=daemon.environment())
    try:
        assert b"recording" in recorder.stderr.readline()
        draw = random.Random(7)
        for n in range(300):
            reading = {"celsius": round(draw.uniform(55, 95), 1), "hours": 3 * n}
            publisher.send(f"plant/l1/p{n % 3}/temperature", reading)
        publisher.flush()
        for asset in ("p0", "p1", "p2"):
            temperature(publisher, 91, asset)
        decided(daemon, "fired", route="delay")
        wait_until(lambda: daemon.metrics().sum("busbar_timed_total", route="delay", outcome="accepted") == 3, 20,
                   "what time fires")
        publisher.publish("plant/l1/p0/temperature", "no reading")  # time went on to here
        publisher.publish("plant/l1/p0/temperature", b"\xff\x00")
        wait_until(lambda: recorded.read_bytes().count(b"\n") == 305, 10, "the recording")
        recorder.terminate()
        assert recorder.wait(10) == 0
    finally:
        recorder.kill()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total") == 7 * 305, 20, "all decided")
    done = daemon.cli("try", "--replay", str(recorded), "--json", "--svg", str(picture))
    replayed = json.loads(done.stdout)
    metrics = daemon.metrics()
    for route in replayed["routes"]:
        live = {dict(labels)["reason"]: int(value) for (name, labels), value in metrics.values.items()
                if name == "busbar_decisions_total" and dict(labels)["route"] == route["name"] and value > 0}
        assert live == route["reasons"], route["name"]
    fired = sorted(d["body"]["description"] for d in replayed["decisions"] if d["outcome"] == "accepted")
    wait_until(lambda: len(sandbox.tasks()) == len(fired), 20, "all tasks")
    assert sorted(tasks(sandbox)) == fired
    for name in ("level", "delay", "creep", "mean", "latch", "meter", "budget"):
        assert any(text.startswith(name) for text in fired), f"{name} proves nothing"
    drawn = ElementTree.parse(picture).getroot()
    titles = [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert sum(int(t.split()[0]) for t in titles if t.endswith(" created")) == len(fired)
    assert "meter" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_try_tells_why_in_a_table(busbar, tmp_path):
    daemon = busbar([hot_route(**{"for": "30s"})], start=False)
    recorded = tmp_path / "recorded.ndjson"
    recorded.write_text("".join(json.dumps({"time": clock(at), "topic": "plant/l1/p7/temperature",
                                            "payload": {"celsius": celsius}}) + "\n"
                                for at, celsius in ((0, 90), (10, 91), (60, 92), (70, 60))))
    lines = daemon.cli("try", "--replay", str(recorded)).stdout.splitlines()
    assert lines[-2].split() == ["bearing-hot", "4", "1", "1", "2", "0", "1", "1"]
    assert lines[-1].split() == ["why:", "waiting", "2", "fired", "1", "tripped", "1", "rearmed", "1"]
    assert "--svg goes with --replay" in daemon.cli("try", "-t", "a", "-p", "1", "--svg", "x", expect=2).stderr


def test_record_listens_to_what_it_is_told(busbar, publisher, tmp_path):
    daemon = busbar([hot_route()])
    publisher.publish("other/kept", "7", retain=True)
    recorder = subprocess.Popen([str(BINARY), "record", "-c", str(daemon.file), "--topic", "other/{x}", "--for", "3s"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=daemon.environment())
    assert "recording" in recorder.stderr.readline()
    publisher.publish("other/a", {"b": 1.50}, user={"shift": "night"})
    publisher.publish("plant/l1/p7/temperature", "1")
    lines = [json.loads(line) for line in recorder.communicate(timeout=20)[0].splitlines()]
    assert recorder.returncode == 0
    assert [(r["topic"], r["payload"], r.get("retain"), r.get("user")) for r in lines] == [
        ("other/kept", 7, True, None), ("other/a", '{"b": 1.5}', None, {"shift": "night"})]
    assert daemon.ready(), "the daemon's own session was disturbed"


def test_latch_opens_where_a_dead_letter_was_only_counted(busbar, sandbox, publisher):
    """What cannot be mapped is ten whole dead letters a minute, the rest a count: no key of those waits for an order that
    is none. And the order of a reading holds the next one of the same message."""
    route = hot_route(until="closed", key="${.s}")
    route["each"], route["body"] = "${.readings}", {**route["body"], "description": "${.note}"}
    daemon = busbar([route])

    def send(*readings):
        publisher.publish("plant/l1/p7/temperature", {"readings": list(readings)})

    keys = [f"s{n:02}" for n in range(15)]
    send(*({"s": key, "celsius": 90} for key in keys))
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total", outcome="invalid") == 15, 10, "15 invalid")
    send(*({"s": key, "celsius": celsius, "note": f"{key} hot"} for key in keys for celsius in (70, 90, 70, 90)))
    wait_until(lambda: len(sandbox.tasks()) >= 15, 20, "an order for each key")
    decided(daemon, "open_order", 15)
    assert sorted(tasks(sandbox)) == [f"{key} hot" for key in keys]
