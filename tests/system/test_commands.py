# SPDX-License-Identifier: Apache-2.0
"""<prefix>/commands/<target>/<operation>: a delivery from the bus, answered where MQTT 5 says (README, On the bus)."""

import json

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from busbar_harness import wait_until

TASK = {"equipment": "m1", "description": "from the ERP", "startDateTime": "2026-01-01T00:00:00+00:00",
        "endDateTime": "2026-01-01T02:00:00+00:00", "allDay": False, "assignees": ["a@example.com"]}
ON = "busbar/commands/mw/task.schedule"


@pytest.fixture
def daemon(busbar, broker):
    def make(routes=(), version=None, **options):
        bus = {"url": broker.url, "commands": True, **({"version": version} if version else {})}
        return busbar(list(routes), bus=bus, **options)
    return make


@pytest.fixture
def answers(subscribe):
    return subscribe("erp/answers/#")


def command(publisher, topic, payload, answer=None, correlation=None, retain=False):
    properties = Properties(PacketTypes.PUBLISH)
    if answer:
        properties.ResponseTopic = answer
    if correlation:
        properties.CorrelationData = correlation
    publisher.sent += 1
    text = payload if isinstance(payload, str) else json.dumps(payload)
    publisher.client.publish(topic, text, qos=1, retain=retain, properties=properties)
    publisher.flush(10)


def answered(answers, count=1):
    wait_until(lambda: len(answers.messages) >= count, 15, "the answer")
    assert len(answers.messages) == count
    return [(m.topic, m.properties.CorrelationData if hasattr(m.properties, "CorrelationData") else None,
             json.loads(m.payload)) for m in answers.messages]


def outcomes(daemon):
    metrics = daemon.metrics()
    assert metrics.sum("busbar_messages_received_total", route="$commands") \
        == metrics.sum("busbar_messages_total", route="$commands")
    return {o: int(metrics.sum("busbar_messages_total", route="$commands", outcome=o))
            for o in ("accepted", "invalid", "ignored", "duplicate")}


def test_a_command_is_done_and_answered(daemon, sandbox, publisher, answers):
    one = daemon()
    command(publisher, ON, TASK, "erp/answers/7", b"\x00order-7\xff")
    ((topic, correlation, answer),) = answered(answers)
    (task,) = sandbox.tasks()
    assert task["body"]["description"] == "from the ERP"
    assert (topic, correlation) == ("erp/answers/7", b"\x00order-7\xff")
    assert answer["state"] == "delivered" and answer["error"] is None
    assert (answer["target"], answer["operation"]) == ("mw", "task.schedule")
    assert answer["common_work_order_id"] == answer["delivery"], "the order that came of it"
    assert one.json("queue", "show", answer["delivery"])["state"] == "delivered"
    assert outcomes(one) == {"accepted": 1, "invalid": 0, "ignored": 0, "duplicate": 0}


def test_an_answer_outlives_a_kill(daemon, sandbox, publisher, answers):
    one = daemon()
    sandbox.fail("status", status=503, times=1000)
    command(publisher, ON, TASK, "erp/answers/8", b"8")
    wait_until(lambda: one.deliveries(state="retrying"), 10)
    assert answers.messages == [], "only what is settled is answered"
    one.kill()
    sandbox.forgive()
    one.start()
    ((_, correlation, answer),) = answered(answers)
    assert correlation == b"8" and answer["state"] == "delivered" and len(sandbox.tasks()) == 1


def test_a_refusal_is_answered_with_its_reason(daemon, sandbox, publisher, answers):
    one = daemon()
    command(publisher, ON, {**TASK, "description": "x"}, "erp/answers/a", b"a")
    ((_, _, answer),) = answered(answers)
    assert answer["state"] == "rejected" and answer["error"]["class"] == "validation"
    one.cli("queue", "discard", answer["delivery"])
    assert answered(answers, 2)[1][2]["state"] == "discarded"


def test_modes_still_apply(daemon, sandbox, publisher, answers):  # FV-08a
    daemon(target={"mode": "read"})
    command(publisher, ON, TASK, "erp/answers/r", b"r")
    ((_, correlation, answer),) = answered(answers)
    assert correlation == b"r" and answer["state"] == "rejected"
    assert (answer["error"]["class"], answer["error"]["code"]) == ("authorization", "mode_refuses")
    assert sandbox.tasks() == []


def test_a_draft_waits_and_is_answered_then(daemon, sandbox, publisher, answers):
    one = daemon(target={"mode": "draft"})
    command(publisher, ON, TASK, "erp/answers/d", b"d")
    (draft,) = wait_until(lambda: one.deliveries(state="draft"), 10)
    assert answers.messages == []
    one.cli("queue", "approve", draft["id"])
    assert answered(answers)[0][2]["state"] == "delivered"


@pytest.mark.parametrize("topic, payload, code, message", [
    ("busbar/commands/mv/task.schedule", TASK, "unknown_target", "no target 'mv', did you mean 'mw'?"),
    ("busbar/commands/mw/task.shedule", TASK, "unknown_operation",
     "target 'mw' has no operation 'task.shedule', did you mean 'task.schedule'?"),
    (ON, "{not json", "mapping_failed", "the payload is no JSON: "),
])
def test_what_cannot_be_a_delivery_is_answered_or_a_dead_letter(daemon, sandbox, publisher, answers, topic, payload,
                                                                code, message):
    one = daemon()
    command(publisher, topic, payload, "erp/answers/e", b"e")
    ((_, correlation, answer),) = answered(answers)
    assert correlation == b"e" and answer["state"] == "rejected" and answer["delivery"] is None
    assert answer["error"]["code"] == code and answer["error"]["message"].startswith(message)
    assert one.deliveries(state="rejected") == []
    command(publisher, topic, payload)
    (dead,) = wait_until(lambda: one.deliveries(state="rejected"), 10)
    assert dead["error"]["code"] == code and dead["error"]["message"].startswith(message)
    assert outcomes(one) == {"accepted": 0, "invalid": 2, "ignored": 0, "duplicate": 0}
    assert len(answers.messages) == 1 and sandbox.tasks() == []


def test_an_answer_never_goes_where_commands_come_from(daemon, sandbox, publisher, subscribe):
    one = daemon()
    heard = subscribe("busbar/commands/#")
    command(publisher, ON, TASK, ON, b"loop")
    wait_until(lambda: one.deliveries(state="delivered"), 10)
    heard.wait("busbar/commands/#")
    assert [m.topic for m in heard.messages] == [ON], "the command, and no answer"
    assert outcomes(one)["accepted"] == 1


@pytest.mark.parametrize("version", [5, "3.1.1"])
def test_a_command_comes_once_beside_a_wide_route(daemon, sandbox, publisher, version):
    """A filter # of a route brings the broker's copy of it, too. Retained ones are not commands."""
    wide = {"name": "wide", "from": "#", "to": "mw.task.schedule", "trigger": {"when": "false"}, "body_jq": "."}
    one = daemon([wide], version=version)
    command(publisher, ON, TASK)
    command(publisher, ON, TASK, retain=True)
    wait_until(lambda: len(sandbox.tasks()) == 2, 10)  # live: the retain flag is for those who come later
    wait_until(lambda: len(one.deliveries(state="delivered")) == 2, 10, "both answers, or one is asked again")
    one.kill()
    one.start()
    assert outcomes(one)["accepted"] == 0
    assert len(sandbox.tasks()) == 2


def test_commands_are_off_by_default(busbar, sandbox, publisher):
    daemon = busbar()
    command(publisher, ON, TASK)
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(sandbox.tasks, 10)
    assert len(sandbox.tasks()) == 1
    assert daemon.metrics().sum("busbar_messages_total", route="$commands") == 0


def test_a_response_topic_that_brokers_throw_us_out_for_is_not_used(daemon, sandbox, publisher, answers):
    """mosquitto ends the link of who publishes on more than 200 levels: the command is done, the answers to others go on."""
    one = daemon()
    command(publisher, ON, TASK, "r" + "/" * 200, b"deep")
    wait_until(lambda: len(sandbox.tasks()) == 1, 10, "the task")
    command(publisher, ON, TASK, "erp/answers/" + "/" * 29, b"32")
    ((_, correlation, _),) = answered(answers)
    assert correlation == b"32" and one.metrics().sum("busbar_bus_reconnects_total") == 0
    command(publisher, ON, TASK, "erp/answers/" + "/" * 30, b"33")
    wait_until(lambda: len(sandbox.tasks()) == 3, 10, "the third task")
    assert one.tail(1000).count("its response topic has too many levels") == 2 and len(answers.messages) == 1
