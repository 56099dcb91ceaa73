# SPDX-License-Identifier: Apache-2.0
"""The stand-in is as strict as the contract: one violation per constraint, and the failures it plays."""

import email.utils
import http.client
import json
import socket
import time

import pytest

from busbar_harness import KEY, NETWORK_ID, SECRET, Sandbox, http_call, listens, sign, wait_until
from mobility_work_contract import GOOD, REFUSAL, REQUESTS, TASK, VIOLATIONS, WRONG_KEY, violated
from servers import Handler, Server

TASKS = "/partners/v1/tasks"


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("standin"), {}, "--secret", SECRET) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def fresh(standin):
    standin.control("POST", "up")
    wait_until(lambda: listens(standin.port), 5, "the API listener")
    standin.control("POST", "reset")
    standin.configure(equipments=None, assignees=None, forbidden=False, plans=["PLAN-1"], webhook_url=None,
                      retry_delay=0.01, unknown_equipments=[], unknown_assignees=[], retry_signature="same")


def post(standin, body, path=TASKS, headers=None, key=KEY):
    head = {"Api-Key": key} if key else {}
    return http_call(standin.port, "POST", path, body, {**head, **(headers or {})})


def changed(**members):
    body = {**TASK, **members}
    return {name: value for name, value in body.items() if value is not ...}


def test_sandbox_schedules_a_task_and_does_not_tell_its_id(standin):  # MW-E08, MW-C05, MW-C09
    answer = post(standin, TASK)
    assert (answer.status, answer.body) == (201, b"null")
    assert answer.headers["Request-Id"]
    assert [task["body"] for task in standin.tasks()] == [TASK]


def test_sandbox_takes_pretty_and_minified_json_alike(standin):  # MW-C03
    assert post(standin, json.dumps(TASK, indent=4).encode(), headers={"Content-Type": "application/json"}).status == 201


def test_sandbox_takes_every_optional_member(standin):
    assert post(standin, changed(tags=[7, "hot", {"type": "code", "value": "cold"}], checklist=None,
                                 sendEmailToAssignees=True, inheritEquipmentTags=False, metadata={"a": [1]},
                                 assignees=[{"type": "native", "value": 3}, {"type": "email", "value": "a@b.de"}],
                                 equipment={"type": "external", "value": "4711"})).status == 201


@pytest.mark.parametrize("member, value, pointer, key", [violation[:4] for violation in VIOLATIONS["task.schedule"]],
                         ids=[f"{violation[0]}-{n}" for n, violation in enumerate(VIOLATIONS["task.schedule"])])
def test_sandbox_refuses(standin, member, value, pointer, key):  # MW-E08, MW-C20
    answer = post(standin, violated("task.schedule", member, value))
    error = answer.json
    assert answer.status == error["http_status_code"] == 400
    assert error["code"] == "400044" and error["message"] == "The request payload is not valid."
    assert error["extended_message"]["global_errors"] == [] and error["more_info_url"] is None
    found = error["extended_message"]["property_errors"]
    assert list(found) == [pointer]
    assert found[pointer][0]["messageKey"] == f"error.payload.{key}"
    assert standin.tasks() == []


def test_sandbox_error_of_the_contract_word_for_word(standin):  # MW-C20: the vendor's own examples
    standin.configure(unknown_equipments=[99999], assignees=["someone@example.com"])
    body = changed(description="X", equipment={"type": "native", "value": 99999},
                   assignees=["jason.doe@example.com", {"type": "email", "value": "john.doe@example.com"}])
    assert post(standin, body).json == REFUSAL
    assert post(standin, body, key="wrong").json == WRONG_KEY


@pytest.mark.parametrize("name", REQUESTS)
def test_sandbox_takes_the_sample(standin, name):  # MW-E02, MW-E03, MW-E05, MW-E08
    operation, body = REQUESTS[name]
    method, path, _ = GOOD[operation]
    answer = http_call(standin.port, method, f"/partners/v1/{path}", body, {"Api-Key": KEY})
    assert (answer.status, answer.body) == (201 if operation == "task.schedule" else 202, b"null")


def test_sandbox_counts_code_points(standin):  # U19
    assert post(standin, changed(description="äöü")).status == 201
    assert post(standin, changed(description="é" * 3000)).status == 201


@pytest.mark.parametrize("key", [None, "", "wrong"])
def test_sandbox_refuses_a_wrong_key(standin, key):  # MW-C02, MW-C07
    answer = post(standin, TASK, key=key)
    assert answer.status == 401 and answer.headers["Request-Id"]
    assert answer.json["code"] == "401001" and answer.json["message"] == "Authentication error"
    assert answer.json["extended_message"]["global_errors"] == [{"messageKey": "Invalid Api Key.", "parameters": {}}]


def test_sandbox_refuses_what_the_plan_forbids(standin):  # MW-C07
    standin.configure(forbidden=True)
    assert post(standin, TASK).status == 403


def test_sandbox_wants_json(standin):  # MW-C03
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert post(standin, json.dumps(TASK).encode(), headers={"Content-Type": kind}).status == 400
    for body in (b"", b"{", b"[]", b"null", b'"x"'):
        assert post(standin, body, headers={"Content-Type": "application/json"}).json["code"] == "400044"


def test_sandbox_knows_its_paths_and_methods(standin):
    assert post(standin, TASK, path=TASKS + "/").status == 404
    assert post(standin, TASK, path="/partners/v1/task").status == 404
    assert http_call(standin.port, "GET", TASKS, headers={"Api-Key": KEY}).status == 405
    assert http_call(standin.port, "PUT", TASKS, TASK, {"Api-Key": KEY}).status == 405


def test_sandbox_tells_network_settings(standin):  # MW-E09
    answer = http_call(standin.port, "GET", "/partners/v1/network/settings", headers={"Api-Key": KEY})
    assert answer.status == 200
    assert answer.json == {"networkId": NETWORK_ID, "legacyNetworkId": 686, "name": "Factory Inc.",
                           "timezone": "Europe/Paris", "currency": "EUR"}


def test_sandbox_triggers_known_plans_only(standin):  # MW-P30, MW-P06
    def path(plan):
        return f"/partners/v1/maintenance-plans/{plan}/trigger"

    first, second = post(standin, {}, path("PLAN-1")), post(standin, {}, path("PLAN-1"))
    assert first.status == second.status == 201 and first.json["taskId"] != second.json["taskId"]
    assert post(standin, {}, path("PLAN-9")).status == 404
    assert post(standin, {}, path("a%2Fb")).status == 404
    assert [task["plan"] for task in standin.tasks()] == ["PLAN-1", "PLAN-1"]


def test_sandbox_records_requests_without_the_key(standin):  # MW-C02, MW-C04
    post(standin, TASK, headers={"User-Agent": "busbar/1 Factory Inc."})
    (record,) = standin.requests()
    assert record["headers"]["user-agent"] == "busbar/1 Factory Inc." and json.loads(record["body"]) == TASK
    assert KEY not in json.dumps(record)


# ---- failing on demand


def test_sandbox_fails_the_next_k_requests(standin):
    standin.fail("status", status=503, times=2, retry_after=7)
    answers = [post(standin, TASK) for _ in range(3)]
    assert [a.status for a in answers] == [503, 503, 201]
    assert answers[0].headers["Retry-After"] == "7" and len(standin.tasks()) == 1


def test_sandbox_says_retry_after_as_a_date(standin):
    standin.fail("status", status=429, times=1, retry_after_date=30)
    when = email.utils.parsedate_to_datetime(post(standin, TASK).headers["Retry-After"])
    assert 25 < when.timestamp() - time.time() < 31


def test_sandbox_fails_only_what_a_rule_names(standin):
    standin.fail("status", status=500, contains="M-7", path=TASKS, skip=1)
    bodies = [changed(equipment={"type": "external", "value": v}) for v in ("M-7", "M-8", "M-7")]
    assert [post(standin, body).status for body in bodies] == [201, 201, 500]


def test_sandbox_delays(standin):
    standin.fail("delay", seconds=0.3, times=1)
    start = time.monotonic()
    assert post(standin, TASK).status == 201 and time.monotonic() - start >= 0.3


@pytest.mark.parametrize("after, tasks", [(False, 0), (True, 1)])
def test_sandbox_resets_before_or_after_the_work(standin, after, tasks):
    standin.fail("reset", times=1, after=after)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        post(standin, TASK)
    assert len(standin.tasks()) == tasks


@pytest.mark.parametrize("after, tasks", [(False, 0), (True, 1)])
def test_sandbox_hangs(standin, after, tasks):
    standin.fail("hang", times=1, after=after)
    with pytest.raises(socket.timeout):
        http_call(standin.port, "POST", TASKS, TASK, {"Api-Key": KEY}, timeout=0.3)
    assert len(standin.tasks()) == tasks


def test_sandbox_cuts_its_answer(standin):
    standin.fail("truncate", times=1)
    with pytest.raises(http.client.IncompleteRead):
        post(standin, TASK)
    assert len(standin.tasks()) == 1


def test_sandbox_talks_garbage(standin):
    standin.fail("garbage", times=1)
    with pytest.raises(ValueError):
        json.loads(post(standin, TASK).body)
    standin.fail("nonsense", times=1)
    with pytest.raises(http.client.BadStatusLine):
        post(standin, TASK)


def test_sandbox_goes_down_and_comes_back(standin):
    standin.control("POST", "down")
    with pytest.raises(OSError):
        post(standin, TASK)
    standin.control("POST", "up")
    wait_until(lambda: listens(standin.port), 5)
    assert post(standin, TASK).status == 201


def test_sandbox_keeps_tasks_in_its_state_file(make_sandbox, tmp_path):
    state = str(tmp_path / "tasks.ndjson")
    sandbox = make_sandbox("--state", state)
    post(sandbox, TASK)
    before = sandbox.tasks()
    sandbox.kill()
    assert make_sandbox("--state", state).tasks()[0]["id"] == before[0]["id"]


# ---- webhooks


class Receiver(Server):
    """Takes webhooks and answers with the statuses that it was given, then 200."""

    class Handler(Handler):
        def do_POST(self):
            self.server.got.append((dict(self.headers), self.read()))
            self.answer(self.server.statuses.pop(0) if self.server.statuses else 200)

    def __init__(self):
        super().__init__(self.Handler, got=[], statuses=[])

    def wait(self, count):
        wait_until(lambda: len(self.got) >= count, 5, f"{count} webhooks")
        return self.got


@pytest.fixture
def receiver(standin):
    with Receiver() as receiver:
        standin.configure(webhook_url=f"{receiver.url}/hooks/mw")
        yield receiver


@pytest.mark.parametrize("secret, body, signature", [  # MW-S02..S05
    (SECRET, b'{"_event":"TaskWasStarted","taskId":"32828f62"}',
     "f0e9c19139d417b9905421b7bf593a109451d5ed720ff2090eb884b06d976965"),  # V1
    (SECRET, '{"_event":"TaskWasStarted","taskId":"été-1"}'.encode(),
     "9ac8581870f67c6b63862d2a03dc1c021d787bc1e0b5722979463af82ca7c235"),  # V2
    (SECRET, b"", "e504e5de8d88713e13000f33206b653e6b5b67a9c3da84c8405e56201ab5492c"),  # V3
    ("k" * 100, b'{"_event":"TaskWasStarted","taskId":"32828f62"}',
     "021fd9ce40914d4f3b76648f1f2f042e2a798fd92a48dc7147ee27b37f9f19b8"),  # V4
])
def test_sandbox_signs_like_the_vectors(secret, body, signature):
    nonce = "752c14ea195c460bac3c3b7896975ee9fd15eeb7"
    assert sign(secret, body, 1660338149, nonce) == f"t=1660338149,nonce={nonce},signature={signature}"


def test_sandbox_tells_of_a_new_task_with_its_metadata(standin, receiver):  # MW-W02
    post(standin, changed(metadata={"busbarId": "42"}))
    headers, raw = receiver.wait(1)[0]
    body = json.loads(raw)
    assert headers["User-Agent"] == "Mobility Work - Webhook Service v1"  # MW-W00
    when = headers["X-MW-Signature"].split(",")[0][2:]
    nonce = headers["X-MW-Signature"].split("nonce=")[1].split(",")[0]
    assert headers["X-MW-Signature"] == sign(SECRET, raw, when, nonce)
    assert body["_event"] == "TaskWasScheduled" and body["metadata"] == {"busbarId": "42"}
    assert body["taskId"] == standin.tasks()[0]["id"]


MEMBERS = {  # section 3 of the contract, beside _event, _idempotencyKey and networkId
    "TaskWasCompleted": "legacyId id doneAt initiator associatedTo tags requiredSpareParts metadata",  # MW-W01
    "TaskWasScheduled": "taskId scheduled associatedTo tags requiredSpareParts metadata",  # MW-W02
    "TaskWasCanceled": "taskId canceled associatedTo tags requiredSpareParts metadata",  # MW-W03
    "TaskWasStarted": "taskId started associatedTo tags requiredSpareParts metadata",  # MW-W04
    "ActivityWasAddedOnTask":
        "_type _sentAt _metadata emittedAt task equipment activity requiredSpareParts",  # MW-W05
    "SparePartWasOutOfStock": "_date _metadata stock sparePart movement",  # MW-W06
    "SparePartStockWasUnderMinThreshold": "_date _metadata stock sparePart movement",  # MW-W07
    "SparePartStockWasUnderMinThresholdPayload": "_date _metadata stock sparePart movement",  # MW-W07
    "SparePartWasManuallyRecounted":
        "_type _sentAt emittedAt _metadata sparePart location initiator recounted",  # MW-W08
    "SparePartWasRestocked":
        "_type _sentAt emittedAt _metadata task sparePart location initiator restocked",  # MW-W09
    "SparePartWasConsumed":
        "_type _sentAt emittedAt _metadata task sparePart location initiator consumed",  # MW-W10
    "SparePartConsumptionWasCanceled":
        "_type _sentAt emittedAt _metadata task sparePart activity location",  # MW-W11
}


@pytest.mark.parametrize("event", MEMBERS)
def test_sandbox_sends_every_member_of(standin, receiver, event):
    standin.send(event)
    body = json.loads(receiver.wait(1)[0][1])
    assert set(body) == {"_event", "_idempotencyKey", "networkId", *MEMBERS[event].split()}
    if "_type" in body:
        assert body["_type"] == f"{event}Webhook"


def test_sandbox_retries_a_webhook_twice_and_no_more(standin, receiver):  # MW-W00
    receiver.statuses = [503, 500, 404]
    (key,) = standin.send("TaskWasStarted")
    wait_until(lambda: standin.items("given_up"), 5, "giving up")
    assert [entry["status"] for entry in standin.items("webhooks")[-3:]] == [503, 500, 404]
    assert len(receiver.got) == 3 and standin.items("given_up")[-1]["key"] == key
    assert len({raw for _, raw in receiver.got}) == 1 and len({h["X-MW-Signature"] for h, _ in receiver.got}) == 1


def test_sandbox_stops_at_399_and_signs_afresh_when_told(standin, receiver):  # MW-W00: > 399 is a failure
    standin.configure(retry_signature="fresh")
    receiver.statuses = [500, 399, 500]
    standin.send("TaskWasStarted")
    receiver.wait(2)
    wait_until(lambda: standin.items("webhooks")[-1]["status"] == 399, 5)
    assert len(receiver.got) == 2 and len({h["X-MW-Signature"] for h, _ in receiver.got}) == 2


def test_sandbox_keys_are_unique(standin, receiver):
    keys = standin.send("SparePartWasConsumed", count=50)
    receiver.wait(50)
    assert len(set(keys)) == 50
