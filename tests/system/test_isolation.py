# SPDX-License-Identifier: Apache-2.0
"""A plugin in a process of its own (`isolate: true`): what it does there costs its own attempt and nothing else."""

import os
import re
import signal

import pytest

from busbar_harness import BINARY, KEY, configuration, wait_until

ROGUE = BINARY.parent / "tests" / "plugins" / "rogue.so"
RETRY = {"first": "50ms", "max": "100ms", "attempts": 4}

# What the plugin does, the words that tell it, and the reason it is counted by.
ENDS = [
    ("crash", "was ended by SIGSEGV in step", "crash"),
    ("overflow", "was ended by SIGSEGV in step", "crash"),
    ("loop", "did not come back from step within 300 ms", "timeout"),
    ("leak", "had used up its memory (64 MiB)", "memory"),
    ("alloc", "asked for more memory than it may have (64 MiB) in step", "memory"),
    ("socket", "made a system call that it may not make (SIGSYS) in step", "forbidden"),
    ("open", "made a system call", "forbidden"),
    ("fork", "made a system call", "forbidden"),
    ("code", "made a system call", "forbidden"),
    ("share", "made a system call", "forbidden"),
    ("kill", "made a system call", "forbidden"),
    ("exit", "ended its process (exit status 7) in step", "exit"),
    ("talk", "answered nonsense in step", "protocol"),
]


def route(operation="thing.do", **members):
    return {"name": "do", "from": "do/+", "to": f"rogue.{operation}", "body": "${.}", **members}


def rogue_target(desk, **settings):
    target = {"plugin": str(ROGUE), "url": desk.url, "mode": "write_back", "isolate": True, "isolate_timeout": "300ms",
              "isolate_memory": "64MiB", "allow_unsigned": True, "poll": "1h", "retry": RETRY, **settings}
    return {name: value for name, value in target.items() if value is not None}


@pytest.fixture
def rogue(tmp_path, broker, desk, make_busbar):
    """rogue(settings of the target..): a daemon before the plugin that does as its message says."""

    def make(routes=None, start=True, **settings):
        config = configuration(tmp_path, broker, {"rogue": rogue_target(desk, **settings)}, routes or [route()])
        return make_busbar(config, start=start)

    return make


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def shown(daemon, name="rogue"):
    return next(t for t in daemon.json("targets", "list")["items"] if t["name"] == name)


def is_fit(desk, publisher, before):
    """What the plugin is asked now is done."""
    publisher.publish("do/good", {"do": "ask"})
    wait_until(lambda: len(desk.sent("POST")) > before, 10, "the next message goes through")


@pytest.mark.parametrize("deed,words", [
    ("events", "more than 10000 events in one job"), ("headers", "the plugin sets more than 64 headers")])
def test_what_is_too_much_is_said_and_ends_nothing(rogue, desk, publisher, deed, words):
    daemon = rogue(isolate_timeout="5s")
    publisher.publish("do/bad", {"do": deed})
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 30, "a dead letter")
    assert dead["error"]["code"] == "plugin_misuse" and dead["attempts"] == 1 and words in dead["error"]["message"]
    assert daemon.metrics().sum("busbar_plugin_restarts_total", target="rogue") == 0
    is_fit(desk, publisher, 0)


@pytest.mark.parametrize("deed,words,reason", ENDS, ids=[deed for deed, _, _ in ENDS])
def test_what_a_plugin_dies_of_is_a_dead_letter_after_two_counted_attempts(rogue, desk, publisher, deed, words, reason):
    daemon = rogue()
    pid = daemon.process.pid
    publisher.publish("do/bad", {"do": deed})
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 30, "a dead letter")
    assert dead["error"]["code"] == "plugin_crashed" and dead["attempts"] == 2 and dead["error"]["owner_action"]
    assert words in dead["error"]["message"]
    told = daemon.cli("queue", "show", dead["id"]).stdout
    assert words in told
    assert daemon.metrics().sum("busbar_plugin_restarts_total", target="rogue", reason=reason) == 2
    assert daemon.metrics().sum("busbar_plugin_restarts_total", target="rogue") == 2
    is_fit(desk, publisher, 0)
    process = shown(daemon)["process"]
    assert process["up"] and process["restarts"] == 2 and words in process["ended"] and process["ended_at"]
    assert words in daemon.log.read_text()
    assert daemon.runs() and daemon.process.pid == pid and len(daemon.deliveries(state="rejected")) == 1


def test_the_others_of_the_same_target_wait_but_are_not_charged(rogue, desk, publisher):
    daemon = rogue([route(key="${.n}")], concurrency=8)
    for n in range(200):
        publisher.send("do/x", {"do": "crash" if n % 20 == 3 else "ask", "n": n})
    publisher.flush()
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 10, 30, "ten dead letters")
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries_total", verdict="delivered", target="rogue") == 190, 30)
    assert all(dead["attempts"] == 2 for dead in daemon.deliveries(state="rejected"))
    asked = [body["n"] for _, _, body in desk.sent("POST")]
    assert len(asked) == len(set(asked)) == 190, "each was asked once, whatever died beside it"
    assert all(d["attempts"] == 1 for d in daemon.deliveries(state="delivered", target="rogue"))


def test_poison_in_a_batch_is_found_and_the_others_are_not_dead(busbar, sandbox, publisher):
    """As where the plugin runs in busbar (test_batches.py): two ends take the batch apart, a third finds the guilty."""
    daemon = busbar([{"name": "things", "from": "thing/{n}", "to": "poison.thing.create", "body": "${.}"}], start=False)
    daemon.config["targets"]["poison"] = {"plugin": str(ROGUE.parent / "poison.so"), "url": sandbox.url,
                                          "mode": "write_back", "isolate": True}
    daemon.write()
    daemon.start()
    daemon.cli("targets", "hold", "poison", "--reason", "test")
    for n in range(20):
        publisher.send(f"thing/{n}", {"what": "bomb" if n == 13 else "egg"})
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_messages_total", outcome="accepted") == 20, 10)
    daemon.cli("targets", "resume", "poison")
    wait_until(lambda: len(daemon.deliveries(target="poison", state="delivered")) == 19, 30, "the eggs to arrive")
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the bomb")
    assert "bomb" in daemon.cli("queue", "show", dead["id"]).stdout
    assert dead["error"]["code"] == "plugin_crashed" and dead["attempts"] == 3
    assert shown(daemon, "poison")["process"]["restarts"] == 3


def test_an_attempt_goes_on_in_the_next_process(rogue, desk, publisher, subscribe):
    """Its request is on its way when another one ends the plugin: the answer is judged with the state as it was."""
    events = subscribe("busbar/events/#")
    daemon = rogue([route(key="${.n}")])
    desk.gate.clear()
    publisher.publish("do/x", {"do": "ask", "n": 1})
    wait_until(lambda: desk.sent("POST"), 10, "the request")
    publisher.publish("do/x", {"do": "crash", "n": 2})
    wait_until(lambda: daemon.deliveries(state="rejected"), 10, "the other one's end")
    assert shown(daemon)["process"]["restarts"] == 2
    desk.gate.set()
    (told,) = events.wait("busbar/events/rogue/provider/rogue/asked")
    assert b"asked after nobody" in told.payload
    (done,) = daemon.deliveries(state="delivered", target="rogue")
    assert done["attempts"] == 1 and len(desk.sent("POST")) == 1
    assert daemon.metrics().sum("busbar_plugin_events_total", target="rogue", name="asked") == 1, "counted once"


def test_what_it_died_of_behind_its_request_may_have_been_done(rogue, desk, publisher):  # settled 16
    daemon = rogue([route("thing.park")])
    publisher.publish("do/x", {"do": "judge"})
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "a dead letter")
    assert dead["error"]["code"] == "uncertain_outcome" and dead["attempts"] == 1 and len(desk.sent("POST")) == 1


def test_a_webhook_that_ends_the_plugin(rogue, desk, publisher, subscribe):  # settled 5
    events = subscribe("busbar/events/#")
    daemon = rogue()
    assert daemon.hook(b'{"event":"e","do":"crash"}', target="rogue", secret=None).status == 200
    assert daemon.hook(b'{"event":"e","do":"nothing"}', target="rogue", secret=None).status == 200
    events.wait("busbar/events/rogue/provider/rogue/heard")
    (dead,) = wait_until(lambda: daemon.deliveries(state="rejected"), 10, "a dead letter")
    assert "SIGSEGV in decode" in dead["error"]["message"] and dead["attempts"] == 2


def test_a_poll_that_ends_the_plugin_is_due_again(rogue, desk, publisher):
    daemon = rogue(poll="1s")
    is_fit(desk, publisher, 0)  # from then on each poll dies
    wait_until(lambda: (shown(daemon)["poll"] or {}).get("error") == "plugin_crashed", 10, "the poll's end")
    wait_until(lambda: shown(daemon)["poll"]["failures_in_a_row"] >= 2, 20, "and again")
    is_fit(desk, publisher, 1)
    assert daemon.deliveries(state="rejected") == []


@pytest.mark.parametrize("deed,words", [("crash", "SIGSEGV in open"), ("refuse", "the settings say so"),
                                        ("socket", "system call that it may not make (SIGSYS) in open")])
def test_check_says_what_open_dies_of(rogue, deed, words):
    daemon = rogue(start=False, at_open=deed)
    done = daemon.cli("check", expect=1)
    assert words in done.stderr and "busbar.yaml:" in done.stderr


def test_check_and_try_ask_the_process_too(rogue, desk):
    daemon = rogue([route(body={"do": "wrong"})], start=False)
    assert "there is nothing wrong to do" in daemon.cli("check", expect=1).stderr
    daemon = rogue([route()], start=False)
    done = daemon.cli("try", "--topic", "do/x", "--payload", '{"do":"ask"}')
    assert "POST" in done.stdout and "/orders" in done.stdout
    done = daemon.cli("try", "--topic", "do/x", "--payload", '{"do":"crash"}', expect=None)
    assert "the plugin was ended by SIGSEGV in step" in done.stdout + done.stderr


def test_it_has_nothing_of_ours(rogue, desk, publisher, monkeypatch):
    """No variable, no descriptor but one socket, no way to more rights, and it ends with us."""
    monkeypatch.setenv("A_SECRET_OF_OURS", KEY)
    daemon = rogue()
    is_fit(desk, publisher, 0)
    (child,) = children(daemon.process.pid)
    status = open(f"/proc/{child}/status", encoding="utf-8").read()
    assert re.search(r"^Seccomp:\t2$", status, re.M) and re.search(r"^NoNewPrivs:\t1$", status, re.M)
    assert KEY.encode() not in open(f"/proc/{child}/environ", "rb").read()
    assert [os.readlink(f"/proc/{child}/fd/{fd}").partition(":")[0] for fd in os.listdir(f"/proc/{child}/fd")] == ["socket"]
    limits = open(f"/proc/{child}/limits", encoding="ascii").read()
    assert re.search(r"^Max core file size +0 ", limits, re.M) and re.search(r"^Max open files +0 ", limits, re.M)
    assert re.search(rf"^Max data size +{64 << 20} ", limits, re.M)
    daemon.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{child}") or "State:\tZ" in open(f"/proc/{child}/status").read(), 10)


def test_signals_to_the_whole_group_end_no_attempt(rogue, desk, publisher):
    """As systemd and a terminal send them: the daemon drains, and its plugin goes on until it is done."""
    daemon = rogue()
    desk.gate.clear()
    publisher.publish("do/x", {"do": "ask"})
    wait_until(lambda: desk.sent("POST"), 10)
    for child in children(daemon.process.pid):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(child, number)
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: '"draining"' in daemon.log.read_text(), 10, "draining")
    desk.gate.set()
    assert daemon.process.wait(20) == 0
    assert "ended" not in daemon.log.read_text()
    daemon.start()
    (done,) = daemon.deliveries(state="delivered", target="rogue")
    assert done["attempts"] == 1


def policy(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[38])


def test_a_child_that_takes_long_has_the_processor_when_nobody_else_wants_it(rogue, desk, publisher):
    daemon = rogue(isolate_timeout="30s")
    is_fit(desk, publisher, 0)
    (child,) = children(daemon.process.pid)
    assert policy(child) == os.SCHED_OTHER
    publisher.publish("do/bad", {"do": "loop"})
    wait_until(lambda: policy(child) == os.SCHED_IDLE, 20, "behind all others")
    assert children(daemon.process.pid) == [child] and policy(daemon.process.pid) == os.SCHED_OTHER


def test_a_reload_leaves_no_process_behind(rogue, desk, publisher):
    daemon = rogue()
    is_fit(desk, publisher, 0)
    before = children(daemon.process.pid)
    for n in range(3):
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda n=n: daemon.log.read_text().count('"starting"') == n + 2, 20, "started anew")
        daemon.wait_ready()
        is_fit(desk, publisher, n + 1)
        now = wait_until(lambda: len(children(daemon.process.pid)) == 1 and children(daemon.process.pid), 10, "one child")
        assert now != before, "the child of before is gone"
        before = now
    assert daemon.deliveries(state="rejected") == []


def test_a_child_that_someone_kills_is_started_anew(rogue, desk, publisher):
    daemon = rogue()
    for n in range(3):
        is_fit(desk, publisher, n)
        (child,) = children(daemon.process.pid)
        os.kill(child, signal.SIGKILL)
        wait_until(lambda child=child: children(daemon.process.pid) not in ([child], []), 10, "another one")
    assert "SIGKILL" in shown(daemon)["process"]["ended"] and daemon.deliveries(state="rejected") == []
