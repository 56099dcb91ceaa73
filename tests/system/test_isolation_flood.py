# SPDX-License-Identifier: Apache-2.0
"""A plugin that crashes, loops, eats memory or writes past its own, and what becomes of the others meanwhile: with
`isolate: true` they go on as if nothing were; without, the process is started anew, twice, and then they go on."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from busbar_harness import ROOT, Process, command_route, wait_until
from test_isolation import rogue_target, route
from test_poison import supervise

DEEDS = ["crash", "loop", "leak", "overflow"]
FLOOD = 1500


def flood(publisher, sandbox, already):
    """Seconds until the other target had all of it."""
    began = time.monotonic()
    for n in range(FLOOD):
        publisher.send(f"plant/l1/m{n % 50}/job", {"celsius": n})
    wait_until(lambda: sandbox.counts()["tasks"] >= already + FLOOD, 120, "the flood at the other target")
    return time.monotonic() - began


@pytest.fixture
def both(busbar, desk):
    """both(isolate): the plugin that does as its message says, and another target."""

    def make(**settings):
        daemon = busbar([command_route(key="${.celsius}"), route(key="${.n}")], start=False)
        daemon.config["targets"]["rogue"] = rogue_target(desk, **settings)
        daemon.write()
        return daemon

    return make


@pytest.mark.parametrize("deed", DEEDS)
def test_isolated_the_others_go_on_at_their_rate(both, sandbox, publisher, deed):
    daemon = both()
    daemon.start()
    pid = daemon.process.pid
    flood(publisher, sandbox, 0)  # warm
    alone = flood(publisher, sandbox, FLOOD)
    for n in range(5):
        publisher.send("do/bad", {"do": deed, "n": n})
    beside = flood(publisher, sandbox, 2 * FLOOD)
    print(f"{deed}: {FLOOD / alone:.0f}/s alone, {FLOOD / beside:.0f}/s beside it, ratio {alone / beside:.2f}")
    assert beside < 3 * alone + 1, "the others wait for it"  # figures: tests/bench/run; a loop has a core of its own
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 5, 60, "five dead letters")
    assert all(d["error"]["code"] == "plugin_crashed" and d["attempts"] == 2 for d in daemon.deliveries(state="rejected"))
    assert daemon.process.pid == pid and daemon.runs()
    assert sandbox.counts()["tasks"] == 3 * FLOOD and sandbox.counts()["twice"] == []


@pytest.mark.parametrize("deed", DEEDS)
def test_not_isolated_the_process_starts_anew_and_the_others_go_on(both, sandbox, publisher, monkeypatch, deed):
    daemon = both(isolate=None, isolate_timeout=None, isolate_memory=None)
    monkeypatch.setattr(daemon, "launch", lambda command, stdout=None: Process.launch(
        daemon, ["prlimit", "--data=400000000", *command], stdout))  # a machine of its size
    daemon.start()
    publisher.publish("do/bad", {"do": deed, "n": 0})
    for n in range(50):
        publisher.send(f"plant/l1/m{n}/job", {"celsius": n})
    publisher.flush()
    assert supervise(daemon, 3, 90) == 2
    (dead,) = daemon.deliveries(state="rejected")
    assert dead["route"] == "do" and dead["error"]["code"] == "plugin_crashed" and dead["attempts"] == 2
    wait_until(lambda: len({t["body"]["description"] for t in sandbox.tasks()}) == 50, 30, "the others")


# The same tests as elsewhere, with each plugin in a process of its own.
SHIPPED = {
    "mobility_work": ["test_main_job.py", "test_mobility_work_bulk.py::test_each_operation_arrives",
                      "test_batches.py::test_three_bad_items_of_10000_are_three_dead_letters"],
    "assetic": ["test_assetic.py::test_a_reading_becomes_a_valid_order", "test_assetic.py::test_lookups_are_asked_once",
                "test_assetic.py::test_a_lost_answer_makes_one_order",
                "test_assetic.py::test_changes_come_back_as_events",
                "test_assetic.py::test_an_attachment_follows_its_order"],
    "factverse": ["test_factverse.py::test_a_reading_becomes_a_work_order",
                  "test_factverse.py::test_every_event_arrives_in_its_shape",
                  "test_factverse.py::test_a_poll_tells_what_changed_and_goes_on_where_it_was",
                  "test_factverse.py::test_an_order_goes_its_whole_way"],
    "http": ["test_http_plugin.py::test_an_alarm_becomes_an_order_in_its_system_s_words",
             "test_http_plugin.py::test_what_becomes_of_it_comes_back",
             "test_http_plugin.py::test_our_own_steps_are_made_there"],
}


@pytest.mark.slow
@pytest.mark.parametrize("plugin", SHIPPED)
def test_a_shipped_plugin_does_the_same_there(tmp_path, plugin):
    tests = [f"tests/system/{name}" for name in SHIPPED[plugin]]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider",
                           f"--basetemp={tmp_path}/isolated", *tests], cwd=ROOT, capture_output=True, text=True,
                          timeout=500, check=False, env=dict(os.environ, BUSBAR_TEST_ISOLATE="1"))
    assert done.returncode == 0 and "skipped" not in done.stdout.splitlines()[-1], done.stdout[-8000:] + done.stderr
    files = list(pathlib.Path(tmp_path).glob("isolated/*/busbar*/busbar.yaml"))
    assert files and any("isolate: true" in file.read_text() for file in files)
