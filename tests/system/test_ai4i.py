# SPDX-License-Identifier: Apache-2.0
"""Real input: 10,000 readings of milling machines with the failures that really were labelled. Three of the
labels are functions of the readings; a rule for each must raise exactly its rows."""

import json
import re
import subprocess

import pytest

from busbar_harness import wait_until

RULES = {
    "HDF": '(.["Process temperature [K]"] - .["Air temperature [K]"]) < 8.6 and .["Rotational speed [rpm]"] < 1380',
    "PWF": '(.["Torque [Nm]"] * .["Rotational speed [rpm]"] * 2 * 3.141592653589793 / 60) as $watt'
           " | $watt < 3500 or $watt > 9000",
    "OSF": '.["Tool wear [min]"] * .["Torque [Nm]"] > {"L": 11000, "M": 12000, "H": 13000}[.Type]',
}
ROWS = {"HDF": 115, "PWF": 95, "OSF": 98}


def routes():
    return [{
        "name": label.lower(), "from": "mill/{product}/reading",
        "trigger": {"when": condition, "key": "${product}"},
        "to": "mw.task.schedule",
        "body": {"equipment": {"type": "external", "value": "${product}"}, "description": f"{label} row ${{.UDI}}",
                 "startDateTime": "${now}", "endDateTime": "${now+2h}", "allDay": False,
                 "assignees": ["maintenance@example.com"]},
    } for label, condition in RULES.items()]


def labelled(rows):
    return {label: {row["UDI"] for row in rows if row[label] == 1} for label in RULES}


def raised(descriptions):
    found = {label: [] for label in RULES}
    for text in descriptions:
        label, udi = re.fullmatch(r"(HDF|PWF|OSF) row (\d+)", text).groups()
        found[label].append(int(udi))
    return found


def assert_exact(rows, descriptions):
    found, wanted = raised(descriptions), labelled(rows)
    for label in RULES:
        assert set(found[label]) == wanted[label], f"{label}: other rows than the labelled"
        assert len(found[label]) == ROWS[label], f"{label}: not each once"


def test_ai4i_rows_become_tasks_through_a_real_broker(busbar, sandbox, publisher, ai4i):
    daemon = busbar(routes())
    for row in ai4i:
        publisher.send(f"mill/{row['Product ID']}/reading", row)
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total") == 3 * len(ai4i), 60, "all readings decided")
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", target="mw", verdict="delivered")
               == sum(ROWS.values()), 60, "all tasks delivered")
    assert_exact(ai4i, [task["body"]["description"] for task in sandbox.tasks()])
    metrics = daemon.metrics()
    for label, count in ROWS.items():
        assert metrics.sum("busbar_messages_total", route=label.lower(), outcome="accepted") == count
    counts = sandbox.counts()
    assert counts["tasks"] == counts["distinct"] == sum(ROWS.values())


def test_ai4i_rows_through_try_replay(busbar, sandbox, ai4i, tmp_path):
    daemon = busbar(routes(), start=False)
    recorded = tmp_path / "recorded.ndjson"
    with open(recorded, "w", encoding="utf-8") as file:
        for n, row in enumerate(ai4i):
            file.write(json.dumps({"time": f"2020-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z",
                                   "topic": f"mill/{row['Product ID']}/reading", "payload": row}) + "\n")
    output = daemon.cli("try", "--replay", str(recorded)).stdout
    assert_exact(ai4i, re.findall(r"\b(?:HDF|PWF|OSF) row \d+", output))
    assert sandbox.requests() == [], "a dry run sent something"


@pytest.mark.parametrize("label", RULES)
def test_ai4i_conditions_are_the_public_rules(ai4i, label):
    """The rules themselves, without busbar: jq alone finds the labelled rows."""
    try:
        jq = subprocess.run(["jq", "-c", f"select({RULES[label]}) | .UDI"], capture_output=True, text=True, check=True,
                            input="\n".join(map(json.dumps, ai4i)))
    except FileNotFoundError:
        pytest.skip("LOUD: the jq program is not installed")
    assert set(map(int, jq.stdout.split())) == labelled(ai4i)[label]
    assert len(labelled(ai4i)[label]) == ROWS[label]


def open_orders(tasks):
    """The most orders of a rule and machine that were open at one time, and how many were completed."""
    changes = {}
    for task in tasks:
        key = task["body"]["description"][:3], task["body"]["equipment"]["value"]
        over = [h["time"] for h in task["history"] if h["event"] == "TaskWasCompleted"]
        changes.setdefault(key, []).extend([(task["time"], 1)] + [(time, -1) for time in over])
    most = closed = 0
    for steps in changes.values():
        count = 0
        for _time, step in sorted(steps):
            count += step
            most, closed = max(most, count), closed + (step < 0)
    return most, closed


def test_ai4i_with_one_open_order_a_machine(busbar, sandbox, publisher, ai4i):
    """The latched variant (MW-P23): ten machines, each reading of the data set in turns; the stand-in completes a task after
    a while. No machine ever has two open orders, and what was suppressed accounts for every other firing."""
    latched = routes()
    for route in latched:
        route["from"] = "mill/{machine}/reading"
        route["trigger"].update(key="${machine}", until="closed")
        route["body"]["equipment"]["value"] = "${machine}"
    daemon = busbar(latched, life={"completed": 0.3})
    labels, holding = labelled(ai4i), {label: 0 for label in RULES}
    for row in ai4i:
        machine = f"M{row['UDI'] % 10}"
        publisher.send(f"mill/{machine}/reading", row)
        for label in RULES:
            holding[label] += row["UDI"] in labels[label]
        if row["UDI"] % 500 == 0:
            publisher.flush()
            wait_until(lambda: daemon.metrics().sum("busbar_deliveries", state="pending") == 0, 30, "an empty outbox")
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total") == 3 * len(ai4i), 60, "all readings decided")
    most, closed = open_orders(sandbox.tasks())
    assert most == 1 and closed > 0, "two open orders of one machine at a time"
    metrics = daemon.metrics()
    for label in RULES:
        fired = metrics.sum("busbar_decisions_total", route=label.lower(), reason="fired")
        latch = metrics.sum("busbar_decisions_total", route=label.lower(), reason="open_order")
        level = metrics.sum("busbar_decisions_total", route=label.lower(), reason="tripped")
        assert fired + latch + level == holding[label], "a firing that is in no count"
        assert 0 < fired < holding[label] and latch > 0
        assert metrics.sum("busbar_messages_total", route=label.lower(), outcome="suppressed") == latch + level
