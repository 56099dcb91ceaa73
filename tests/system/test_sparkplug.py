# SPDX-License-Identifier: Apache-2.0
"""Sparkplug B through the real daemon: births, data by alias, a restart in between, deaths, rebirths asked for. Once
with messages made here, once with an edge node that none of us wrote (sparkplug-client of npm)."""

import json
import os
import subprocess

import pytest

import sparkplug_encoder as sp
from busbar_harness import ROOT, SANDBOX, Process, npm_modules, wait_until

FROM = "spBv1.0/{group}/{type}/{node}/{device...}"
EDGE = SANDBOX / "sparkplug"


def route(name, **more):
    """Every reading of it is a task, whose description is the reading."""
    what = "${group}/${node}/${.device?-} ${.metric} ${.datatype} ${.value?\"null\"} ${.quality} ${.type}"
    body = {"equipment": "${node}", "description": what, "startDateTime": "${now}", "endDateTime": "${now+2h}",
            "allDay": False, "assignees": ["a@example.com"]}
    return {"name": name, "from": FROM, "format": "sparkplug", "to": "mw.task.schedule", "body": body, **more}


def told(sandbox):
    return sorted(t["body"]["description"] for t in sandbox.tasks())


def wait_told(sandbox, *expected):
    """Exactly these, since the last time."""
    try:
        wait_until(lambda: len(sandbox.tasks()) >= len(expected), 15)
    finally:
        assert told(sandbox) == sorted(expected)
    sandbox.control("POST", "reset")


@pytest.fixture
def commands(subscribe):
    """What busbar asks of edge nodes."""
    return subscribe("spBv1.0/+/NCMD/#")


class Node:
    """An edge node of ours: QoS 0, as the specification wants it."""

    def __init__(self, publisher, group, name):
        self.publisher, self.group, self.name, self.seq = publisher, group, name, 0

    def send(self, kind, metrics, device=None, seq=True):
        topic = f"spBv1.0/{self.group}/{kind}/{self.name}" + (f"/{device}" if device else "")
        if kind == "NBIRTH":
            self.seq = 0
        self.publisher.publish(topic, sp.payload(metrics, self.seq if seq else None), qos=0)
        self.seq = (self.seq + 1) % 256 if seq else self.seq

    def births(self, bdseq=5):
        self.send("NBIRTH", [sp.metric(sp.UINT64, bdseq, "bdSeq"),
                             sp.metric(sp.INT64, -(2**53) - 1, "Offset", 1)])
        self.send("DBIRTH", [sp.metric(sp.INT32, -12, "Temperature", 2), sp.metric(sp.FLOAT, 2.7, "Vibration", 3)],
                  device="m7")


def sparkplug_counts(daemon, what):
    return daemon.metrics().sum("busbar_sparkplug_total", what=what)


def test_births_aliases_restart_and_death(busbar, sandbox, publisher, commands):
    daemon = busbar([route("all", metric=["Temp*", "Offset"])])
    node = Node(publisher, "plant", "edge-1")
    node.births()
    wait_told(sandbox, "plant/edge-1/- Offset Int64 -9007199254740993 good NBIRTH",
              "plant/edge-1/m7 Temperature Int32 -12 good DBIRTH")
    node.send("DDATA", [sp.metric(sp.INT32, -40, alias=2, told=False), sp.metric(sp.FLOAT, 3.5, alias=3, told=False)],
              device="m7")
    wait_told(sandbox, "plant/edge-1/m7 Temperature Int32 -40 good DDATA")
    assert commands.messages == [], "nothing is missing"
    wait_until(lambda: sum(daemon.metrics().sum("busbar_deliveries", state=s) for s in ("pending", "retrying")) == 0, 10,
               "all answers, or one is asked again")

    daemon.kill()
    daemon.start()
    node.send("DDATA", [sp.metric(sp.INT32, -41, alias=2, told=False, quality=500)], device="m7")
    wait_told(sandbox, "plant/edge-1/m7 Temperature Int32 -41 stale DDATA")
    (asked,) = wait_until(lambda: commands.messages, 10)
    assert asked.topic == "spBv1.0/plant/NCMD/edge-1" and not asked.retain and asked.qos == 0
    (metric,) = [what for number, what in sp.fields(asked.payload) if number == 2]
    told_to = dict(sp.fields(metric))
    assert told_to[1] == b"Node Control/Rebirth" and told_to[4] == sp.BOOLEAN and told_to[14] == 1
    node.births()
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)
    sandbox.control("POST", "reset")
    node.send("DDATA", [sp.metric(sp.INT32, 7, alias=2, told=False)], device="m7")
    wait_told(sandbox, "plant/edge-1/m7 Temperature Int32 7 good DDATA")
    assert len(commands.messages) == 1, "asked once"

    node.send("NDEATH", [sp.metric(sp.UINT64, 4, "bdSeq")], seq=False)  # of a session before
    node.send("NDEATH", [sp.metric(sp.UINT64, 5, "bdSeq")], seq=False)
    wait_told(sandbox, "plant/edge-1/- Offset Int64 null stale NDEATH", "plant/edge-1/m7 Temperature Int32 null stale NDEATH")
    assert sparkplug_counts(daemon, "old_death") == 1
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_received_total") == metrics.sum("busbar_messages_total")


def test_a_gap_asks_for_births_once(busbar, sandbox, publisher, commands):
    daemon = busbar([route("all", metric="Temperature")])
    node = Node(publisher, "plant", "edge-2")
    node.births()
    node.seq += 1  # one is lost
    node.send("DDATA", [sp.metric(sp.INT32, 1, alias=2, told=False)], device="m7")
    node.send("DDATA", [sp.metric(sp.INT32, 2, alias=99, told=False)], device="m7")
    wait_told(sandbox, "plant/edge-2/m7 Temperature Int32 -12 good DBIRTH", "plant/edge-2/m7 Temperature Int32 1 good DDATA")
    wait_until(lambda: commands.messages, 10)
    wait_until(lambda: sparkplug_counts(daemon, "unknown_alias") == 1, 10)
    assert [m.topic for m in commands.messages] == ["spBv1.0/plant/NCMD/edge-2"]
    assert sparkplug_counts(daemon, "gap") == 1 and sparkplug_counts(daemon, "rebirth") == 1


def test_thresholds_bad_quality_and_a_death(busbar, sandbox, publisher):
    hot = route("hot", metric="Temperature", trigger={"value": "${.value}", "above": 85, "key": "${node}/${device}"})
    dead = route("dead", trigger={"when": ".alive == false", "key": "${node}"})
    daemon = busbar([hot, dead])
    node = Node(publisher, "plant", "edge-3")
    node.births()
    node.send("DDATA", [sp.metric(sp.INT32, 99, alias=2, told=False, quality=0)], device="m7")
    node.send("DDATA", [sp.metric(sp.INT32, 90, alias=2, told=False)], device="m7")
    wait_told(sandbox, "plant/edge-3/m7 Temperature Int32 90 good DDATA")
    node.send("NDEATH", [sp.metric(sp.UINT64, 5, "bdSeq")], seq=False)
    wait_until(lambda: len(sandbox.tasks()) == 1, 10)
    assert "NDEATH" in told(sandbox)[0], "one for the node, whatever the number of its metrics"
    assert daemon.metrics().sum("busbar_decisions_total", route="hot", reason="bad_quality") == 1


# ---- an edge node of npm's


class EdgeNode(Process):
    name = "edge-node"

    def __init__(self, folder, logs, broker, modules):
        super().__init__(folder, logs)
        self.broker, self.modules, self.events = broker, modules, folder / "events"

    def environment(self):
        return dict(os.environ, NODE_PATH=str(self.modules))

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["node", str(EDGE / "edge_node.js"), self.broker.url, "plant", "edge-js"], stdin=subprocess.PIPE,
                stdout=open(self.events, "wb"), stderr=log, env=self.environment(), text=True)

    def order(self, **what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def seen(self, event):
        return [e for e in map(json.loads, self.events.read_text().splitlines()) if e["event"] == event]


@pytest.fixture(scope="session")
def modules():
    """sparkplug-client as its lock file pins it; kept in build/ between runs."""
    return npm_modules(EDGE, ROOT / "build" / "sparkplug-client")


@pytest.fixture
def edge(tmp_path, logs, broker, modules):
    node = EdgeNode(tmp_path, logs, broker, modules)
    yield node
    node.kill()


BORN = ["plant/edge-js/- Offset Int16 -300 good NBIRTH", "plant/edge-js/motor-7 Motor/Serial String M-ä 7 good DBIRTH",
        "plant/edge-js/motor-7 Motor/Speed UInt32 4000000000 good DBIRTH",
        "plant/edge-js/motor-7 Motor/Temperature Int32 -12 good DBIRTH",
        "plant/edge-js/motor-7 Motor/Vibration Float 2.7 good DBIRTH"]


def test_an_edge_node_of_npm(busbar, sandbox, edge, commands):
    """Must show 4 of the triggers-and-inputs issue: right values, right types, rebirth requested."""
    daemon = busbar([route("all", metric=["Motor/*", "Offset"])])
    edge.start()
    wait_told(sandbox, *BORN)
    data = [{"alias": 11, "type": "Int32", "value": -41}, {"alias": 13, "type": "Float", "value": 3.25}]
    edge.order(do="data", device="motor-7", metrics=data)
    edge.order(do="data", device=None, metrics=[{"alias": 1, "type": "Int16", "value": -301}])
    wait_told(sandbox, "plant/edge-js/motor-7 Motor/Temperature Int32 -41 good DDATA",
              "plant/edge-js/motor-7 Motor/Vibration Float 3.25 good DDATA",
              "plant/edge-js/- Offset Int16 -301 good NDATA")
    assert edge.seen("ncmd") == [] and len(edge.seen("birth")) == 1

    daemon.kill()
    daemon.start()
    edge.order(do="data", device="motor-7", metrics=[{"alias": 11, "type": "Int32", "value": -42}])
    wait_until(lambda: edge.seen("ncmd"), 10, "the rebirth that is asked for")
    assert edge.seen("ncmd") == [{"event": "ncmd", "metrics": [{"name": "Node Control/Rebirth", "value": True}]}]
    wait_told(sandbox, "plant/edge-js/motor-7 Motor/Temperature Int32 -42 good DDATA", *BORN)
    edge.order(do="data", device="motor-7", metrics=[{"alias": 12, "type": "UInt32", "value": 4294967295}])
    wait_told(sandbox, "plant/edge-js/motor-7 Motor/Speed UInt32 4294967295 good DDATA")
    assert len(edge.seen("birth")) == 2 and len(commands.messages) == 1

    edge.order(do="die")
    wait_told(sandbox, *[" ".join([*line.split(" ")[:3], "null", "stale", "NDEATH"]) for line in BORN])
