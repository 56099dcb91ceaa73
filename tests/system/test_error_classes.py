# SPDX-License-Identifier: Apache-2.0
"""The six error classes, each on every target system: what the target answers, what the delivery says of it, what
busbar does by itself, and what is left for its owner to do. FV-09f.

A further system is one more entry in TARGETS; the stand-in's faults are the same for all."""

import pytest

from assetic_orders import full_order
from busbar_harness import KEY, AsseticSandbox, FactVerseSandbox, Sandbox, configuration, mw_target, wait_until

RETRY = {"first": "200ms", "max": "200ms", "attempts": 50, "max_age": "7d"}


class MobilityWork:
    stand_in, operation, path = Sandbox, "task.schedule", "/partners/v1/tasks"
    body = {"equipment": {"type": "external", "value": "P-101"}, "description": "Bearing hot",
            "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2026-01-01T02:00:00Z", "allDay": False,
            "assignees": ["maintenance@example.com"]}
    refusal = {"http_status_code": 400, "code": "400001", "message": "Invalid", "more_info_url": None,
               "extended_message": {"global_errors": [], "property_errors": {
                   "/description": [{"messageKey": "error.payload.min_length", "parameters": {"min": 3}}]}}}
    pointer = "/description"
    codes = {400: "400001", 401: "401001", 403: "403001"}  # its own, where it says one

    @staticmethod
    def settings(standin):
        return mw_target(standin, webhook_secret=None)

    @staticmethod
    def made(standin):
        return standin.tasks()


class Assetic:
    stand_in, operation, path = AsseticSandbox, "work_order.create", "/api/v2/workorder"
    body = full_order("PREP")
    refusal = {"Message": "The request is invalid.", "ModelState": {"workOrder.RequestorId": ["must be an Employee"]}}
    pointer = "/RequestorId"
    codes = {}

    @staticmethod
    def settings(standin):
        return {"plugin": "assetic", "url": standin.url, "user": "api.user", "token": KEY, "time_zone": "UTC0",
                "mode": "write_back", "poll": "1h"}

    @staticmethod
    def made(standin):
        return standin.orders()


class FactVerse:
    stand_in, operation, path = FactVerseSandbox, "work_order.create", "/work-orders"
    body = {"asset_ref": "P-101", "title": "Bearing hot", "priority": "high"}
    refusal = {"class": "validation", "code": "http_400", "message": "The title is too long.", "rejected_fields": [
        {"pointer": "/title", "key": "max_length", "parameters": {"max": 5}}]}
    pointer = "/title"
    codes = {401: "token", 403: "scope"}

    @staticmethod
    def settings(standin):
        return {"plugin": "factverse", "url": standin.url, "provider_id": "fv", "tenant": "north", "token": KEY,
                "mode": "write_back"}

    @staticmethod
    def made(standin):
        return standin.orders()


TARGETS = {"mobility_work": MobilityWork, "assetic": Assetic, "factverse": FactVerse}


class Rig:
    """One target between a daemon and its stand-in, and one message at a time."""

    def __init__(self, system, standin, daemon, publisher):
        self.system, self.standin, self.daemon, self.publisher = system, standin, daemon, publisher

    def fail(self, action, **rule):
        self.standin.fail(action, method="POST", path=self.system.path, **rule)

    def made(self):
        return self.system.made(self.standin)

    def delivery(self):
        (delivery,) = self.daemon.deliveries(route="work")
        return self.daemon.json("queue", "show", delivery["id"])

    def send(self, *states, when=None):
        """Publishes the message and answers its delivery in one of these states, with its error."""
        self.publisher.publish("work", self.system.body)

        def there():
            found = self.daemon.deliveries(route="work")
            return found and found[0]["state"] in states and found[0]["error"] and (when is None or when(found[0]))
        wait_until(there, 15, f"a delivery that is {' or '.join(states)}, with an error")
        return self.delivery()

    def holds(self):
        (target,) = [t for t in self.daemon.json("targets", "list")["items"] if t["name"] == "out"]
        return [hold["operation"] for hold in target["holds"]]

    def delivered_once(self):
        wait_until(lambda: self.delivery()["state"] == "delivered", 15, "the delivery")
        assert len(self.made()) == 1, "and only once"


@pytest.fixture(params=TARGETS)
def rig(request, tmp_path, broker, make_sandbox, make_busbar, publisher):
    system = TARGETS[request.param]
    standin = make_sandbox(kind=system.stand_in)
    target = {**system.settings(standin), "timeout": "1s", "retry": RETRY}
    route = {"name": "work", "from": "work", "to": f"out.{system.operation}", "body": "${.}"}
    return Rig(system, standin, make_busbar(configuration(tmp_path, broker, {"out": target}, [route])), publisher)


def says(rig, delivery, error_class, status, code=None):
    """The error record: class, code, what the target answered, and something for its owner to do."""
    error = delivery["error"]
    code = code or rig.system.codes.get(status, f"http_{status}")
    assert (error["class"], error["code"], error["provider_http_status"]) == (error_class, code, status)
    assert error["message"] and error["owner_action"]
    return error


def test_authentication_holds_the_target(rig):  # FV-07a, FV-09f
    rig.standin.configure(key="replaced")
    held = rig.send("pending", "retrying", when=lambda delivery: delivery["held_reason"])
    error = says(rig, held, "authentication", 401)
    assert "resume" in error["owner_action"].lower() and held["attempts"] == 0 and held["due"]
    assert rig.holds() == [None], "the whole target"
    assert rig.made() == []
    rig.standin.configure(key=KEY)
    rig.daemon.cli("targets", "resume", "out")
    rig.delivered_once()


def test_authorization_holds_the_operation(rig):  # FV-07b, FV-09f
    rig.standin.configure(forbidden=True)
    held = rig.send("pending", "retrying", when=lambda delivery: delivery["held_reason"])
    error = says(rig, held, "authorization", 403)
    assert "resume" in error["owner_action"].lower() and held["attempts"] == 0
    assert rig.holds() == [rig.system.operation], "this operation alone"
    rig.standin.configure(forbidden=False)
    rig.daemon.cli("targets", "resume", "out")
    rig.delivered_once()


def rejected(rig, status, error_class, **rule):
    """A dead letter after one attempt; an operator's retry gets it through once the cause is mended."""
    rig.fail("status", status=status, **rule)
    dead = rig.send("rejected")
    error = says(rig, dead, error_class, status)
    assert (dead["attempts"], dead["due"], rig.made()) == (1, None, [])
    assert rig.holds() == [], "nobody else waits for it"
    rig.standin.forgive()
    rig.daemon.cli("queue", "retry", dead["id"])
    rig.delivered_once()
    return error


def test_validation_is_a_dead_letter(rig):  # FV-07c, FV-09f
    error = rejected(rig, 400, "validation", body=rig.system.refusal)
    assert [field["pointer"] for field in error["rejected_fields"]] == [rig.system.pointer]
    assert "rejected fields" in error["owner_action"]


def test_identity_is_a_dead_letter(rig):  # FV-07d, FV-09f
    assert "asset reference" in rejected(rig, 404, "identity")["owner_action"]


def test_conflict_is_a_dead_letter(rig):  # FV-07e, FV-09f
    assert "present state" in rejected(rig, 409, "conflict")["owner_action"]


def test_a_busy_provider_is_tried_again(rig):  # FV-07f, FV-09f
    rig.fail("status", status=503)
    waiting = rig.send("retrying")
    error = says(rig, waiting, "provider_unavailable", 503)
    assert "retry" in error["owner_action"] and waiting["attempts"] >= 1 and waiting["due"]
    assert rig.made() == [] and rig.holds() == []
    rig.standin.forgive()
    rig.delivered_once()


@pytest.mark.parametrize("action", ["hang", "reset"])  # the timeout, and a connection that ends
def test_a_provider_that_does_not_answer_is_tried_again(rig, action):  # FV-07f, FV-09f
    rig.fail(action)
    waiting = rig.send("retrying")
    error = says(rig, waiting, "provider_unavailable", None, "answer_lost")
    assert "retry" in error["owner_action"] and waiting["attempts"] >= 1 and waiting["due"] and waiting["uncertain"]
    assert rig.made() == [] and rig.holds() == []
    rig.standin.forgive()
    rig.delivered_once()


def test_a_provider_that_is_away_is_waited_for(rig):  # FV-07f, FV-09f
    rig.standin.control("POST", "down")
    waiting = rig.send("retrying", "pending")
    error = says(rig, waiting, "provider_unavailable", None, "not_reached")
    assert "retry" in error["owner_action"] and waiting["due"] and not waiting["uncertain"]
    rig.standin.control("POST", "up")
    rig.delivered_once()
