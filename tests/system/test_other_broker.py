# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 against a broker of another family: aedes (npm), as its lock file pins it. Its sessions outlive a client, not
the broker: what it forgets when it dies is its own."""

import json
import os
import threading
import time

import paho.mqtt.client as paho
import pytest

import busbar_harness as harness
from busbar_harness import ROOT, SANDBOX, Process, command_route, hot_route, listens, npm_modules, wait_until

FILES = SANDBOX / "aedes"


@pytest.fixture(scope="session")
def modules():
    return npm_modules(FILES, ROOT / "build" / "aedes")


class Aedes(Process):
    name = "aedes"

    def __init__(self, folder, logs, modules):
        super().__init__(folder, logs)
        self.modules, self.port = modules, harness.free_port()

    def environment(self):
        return dict(os.environ, NODE_PATH=str(self.modules))

    def start(self):
        self.launch(["node", str(FILES / "broker.js"), str(self.port)])
        self.wait_up(lambda: listens(self.port), 30, "does not listen")

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"


@pytest.fixture
def aedes(tmp_path, logs, modules):
    with Aedes(tmp_path, logs, modules) as broker:
        yield broker


@pytest.fixture
def plant(aedes):
    """A client of 3.1.1: publishes, and keeps the events that it hears."""
    client = paho.Client(client_id="plant", protocol=paho.MQTTv311)
    client.max_inflight_messages_set(1000)
    client.events, client.acked, client.ready = [], 0, threading.Event()

    def count(*_):
        client.acked += 1

    client.on_publish = count
    client.on_connect = lambda *_: client.subscribe("busbar/events/#", qos=1)
    client.on_subscribe = lambda *_: client.ready.set()
    client.on_message = lambda _client, _data, message: client.events.append(json.loads(message.payload))
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", aedes.port)
    client.loop_start()
    assert client.ready.wait(10)
    yield client
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def house(tmp_path, aedes, sandbox, make_busbar):
    def make(routes):
        target = {"mw": harness.mw_target(sandbox)}
        bus = {"url": aedes.url, "version": "3.1.1"}
        return make_busbar(harness.configuration(tmp_path, aedes, target, routes, bus=bus))
    return make


def test_both_directions(house, plant, sandbox):
    daemon = house([command_route(), hot_route()])
    for n in range(100):
        plant.publish(f"plant/l1/m{n}/job", json.dumps({"celsius": n}), qos=1)
    for celsius in (70, 91, 92, 70, 91):
        plant.publish("plant/l1/fan/temperature", json.dumps({"celsius": celsius}), qos=1)
    wait_until(lambda: sandbox.counts()["distinct"] == 102, 20, "every command, and the two firings")
    for n in range(20):
        assert daemon.hook(json.dumps({"_event": "SparePartWasConsumed", "_idempotencyKey": f"k{n}"}).encode()).status == 200
    wait_until(lambda: len(plant.events) == 20, 20, "every event")
    assert sandbox.counts()["twice"] == [] and daemon.metrics().sum("busbar_bus_duplicates_total") == 0


@pytest.mark.slow
def test_no_command_is_lost_when_busbar_dies(house, plant, sandbox):
    """The session holds what came meanwhile, and what was not acknowledged comes again. aedes 1.2.0 sends it again without
    DUP (MQTT-3.3.1-1 asks for it): then it cannot be told from a new command that says the same, and is one (settled 6)."""
    total, deaths, killed = 3000, 10, []
    daemon = house([command_route(key="${.n}")])
    sent = 0
    for death in range(deaths):
        for sent in range(sent, (death + 1) * total // deaths):
            plant.publish("plant/l1/m1/job", json.dumps({"n": sent, "celsius": sent}), qos=1)
        sent += 1
        wait_until(lambda: sandbox.counts()["tasks"] > death * 10, 20, "under way")
        daemon.kill()
        killed.append(time.time())
        daemon.start()
    wait_until(lambda: plant.acked >= total, 30, "all acknowledged by the broker")
    wait_until(lambda: {t["body"]["description"].split()[2] for t in sandbox.tasks()} == set(map(str, range(total))), 60,
               "every command")
    ids = {}
    for task in sandbox.tasks():
        found = ids.setdefault(task["body"]["description"].split()[2], {})
        found.setdefault(task["body"]["metadata"]["busbarId"], task["time"])
    again = [sorted(found.values()) for found in ids.values() if len(found) > 1]
    print(f"{len(again)} of {total} were sent again without DUP")
    assert all(len(times) == 2 and any(times[0] - 1 < death < times[1] for death in killed) for times in again), \
        "twice, but for a death"


def test_a_broker_that_forgot_us_is_subscribed_again(house, aedes, plant, sandbox):
    daemon = house([command_route()])
    plant.ready.clear()
    aedes.kill()
    wait_until(lambda: not daemon.ready(), 20)
    aedes.start()
    daemon.wait_ready()
    assert plant.ready.wait(20)
    assert daemon.metrics().sum("busbar_bus_session_lost_total") == 1
    plant.publish("plant/l1/m1/job", json.dumps({"celsius": 1}), qos=1)
    wait_until(sandbox.tasks, 10, "what came after it")
