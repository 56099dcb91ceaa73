# SPDX-License-Identifier: Apache-2.0
"""The mandatory matrix of Assetic's work orders, every cell: a whole order is made once at each status; without a
member that the status demands, the daemon refuses it with the member's pointer and sends nothing, and the stand-in
refuses it when it is sent straight."""

import pytest

from assetic import STATUSES
from assetic_orders import (FILLED_IN, MATRIX, NEVER, field_of, full_order, holder, playing, straight, wall, without)
from busbar_harness import AsseticSandbox

DEMANDED = [pytest.param(pointer, since, id=f"{row} {pointer}") for row, pointer, since, _ in MATRIX]
REFUSED = [pytest.param(pointer, since, id=f"{row} {pointer}") for row, pointer, _, since in MATRIX if since < NEVER]
LEFT_OUT = [pytest.param(pointer, id=f"{row} {pointer}") for row, pointer, _, since in MATRIX
            if since == NEVER or pointer == "/Labours"]


def name_of(pointer, status):
    return f"{pointer.replace('/', '.')}.{status}"


def statuses_of(pointer):
    """Without a status an order is at PREP: one whose resources are assigned, or done, does not fit that."""
    return STATUSES[:5] if pointer == "/Status" else STATUSES


def variants():
    """name: order"""
    for status in STATUSES:
        yield f"whole.{status}", full_order(status)
        codeless = {**full_order(status), "WorkOrderType": {"Id": 6}}  # asks for no failure and no cause
        codeless = without(without(codeless, "/FailureSubCodeId"), "/CauseSubCodeId")
        yield f"codeless.{status}", codeless
        yield f"remediless.{status}", without({**codeless, "WorkOrderType": {"Id": 8}}, "/RemedyCodeId")
    for _, pointer, _, _ in MATRIX:
        for status in statuses_of(pointer):
            yield name_of(pointer, status), without(full_order(status), pointer)


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    with AsseticSandbox(tmp_path_factory.mktemp("assetic"), {}) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def played(tmp_path_factory, standin):
    with playing(tmp_path_factory.mktemp("matrix"), standin, dict(variants())) as played:
        yield played


@pytest.mark.parametrize("status", STATUSES)
def test_a_whole_order_is_made_once_at_every_status(played, status):  # AS-E01, AS-M01, AS-C09
    order = played.made(f"whole.{status}")
    for name, value in played.sent[f"whole.{status}"].items():
        assert order[name] == value, name


# AS-M02, AS-M03, AS-M04, AS-M05, AS-M06, AS-M10, AS-M11, AS-M12, AS-M13, AS-M14, AS-M16, AS-M17, AS-M18, AS-M19,
# AS-M20, AS-M21, AS-M22
@pytest.mark.parametrize("pointer, since", REFUSED)
def test_the_daemon_refuses_what_the_matrix_demands(played, pointer, since):
    for n, status in enumerate(STATUSES):
        name = name_of(pointer, status)
        if n >= since:
            played.refused(name, "validation", "invalid_work_order", pointer)
        else:
            assert played.made(name)["Status"] == status


# AS-M01, AS-M07, AS-M08, AS-M09, AS-M14, AS-M15, AS-M23
@pytest.mark.parametrize("pointer", LEFT_OUT)
def test_the_daemon_fills_in_what_it_knows(played, pointer):
    for status in STATUSES[:1] if pointer == "/Labours" else statuses_of(pointer):
        order = played.made(name_of(pointer, status))
        at, name = holder(order, pointer)
        if pointer == "/PointString":
            assert name not in at
        elif pointer == "/Scheduling/TargetStart":
            assert wall(-0.1) <= at[name] <= wall()
        else:
            assert at[name] == FILLED_IN[pointer], status


@pytest.mark.parametrize("status", STATUSES)
def test_no_codes_where_the_work_type_asks_for_none(played, status):  # AS-M11, AS-M12, AS-F02
    order = played.made(f"codeless.{status}")
    assert not {"FailureSubCodeId", "CauseSubCodeId"} & set(order)


@pytest.mark.parametrize("status", STATUSES)
def test_a_remedy_whatever_the_work_type_asks_for(played, status):  # AS-M13, A-U2: the matrix over the text
    played.refused(f"remediless.{status}", "validation", "invalid_work_order", "/RemedyCodeId")


# AS-M01, AS-M02, AS-M03, AS-M04, AS-M05, AS-M06, AS-M07, AS-M08, AS-M09, AS-M10, AS-M11, AS-M12, AS-M13, AS-M14,
# AS-M15, AS-M16, AS-M17, AS-M18, AS-M19, AS-M20, AS-M21, AS-M22, AS-M23
@pytest.mark.parametrize("pointer, since", DEMANDED)
def test_sandbox_assetic_demands_what_the_matrix_demands(standin, pointer, since):
    for n, status in enumerate(STATUSES):
        answer = straight(standin, "POST", "/api/v2/workorder", without(full_order(status), pointer))
        assert answer.status == (400 if n >= since else 201), (status, answer.body)
        wrong = set(answer.json.get("ModelState", {}))
        if n >= since and pointer == "/Status":  # then its other members are held against PREP
            assert "workOrder.Status" in wrong
        elif n >= since:
            assert wrong == {f"workOrder.{field_of(pointer)}"}, status
