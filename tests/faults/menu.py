# SPDX-License-Identifier: Apache-2.0
"""The faults. Each is a function of the house and the dice; `@fault` names it for the table and the command line.

To kill at a chosen stage, the stage is made long (a stall, an answer that does not come) or watched for (a counter
that moves); the dice then choose the instant in it."""

import contextlib
import signal
import time

from busbar_harness import wait_until

TASKS = "/partners/v1/tasks"
FAULTS = {}  # name -> (weight, uncertain, function)
LONG = ("SIGSTOP for a minute",)  # only in runs of five minutes and more
NEVER = 0  # a weight: the dice do not choose it


def fault(name, weight=1, uncertain=False):
    """uncertain: while it lasts, what the target answers may not arrive."""
    def enter(function):
        FAULTS[name] = (weight, uncertain, function)
        return function
    return enter


def let_run(seconds):
    time.sleep(seconds)  # the dice's instant itself, not a synchronisation


def soon(condition, deadline=2.0):
    """Waits for an instant that load usually brings; without it the kill is a kill at random."""
    with contextlib.suppress(AssertionError):
        wait_until(condition, deadline)


def moved(counter):
    start = counter()
    return lambda: counter() > start


def perhaps_kill(house, dice, chance=0.5):
    if dice.random() < chance:
        house.kill()


def bad_certificate(house, dice, proxy):
    """Expired, another host's, or of an unknown authority; until it is mended."""
    proxy.show(dice.choice(house.bad))
    proxy.cut()
    let_run(dice.uniform(0.5, 3))
    perhaps_kill(house, dice)
    let_run(dice.uniform(0, 1))
    proxy.show(house.good)


# ---- the process


@fault("kill -9", weight=8)
def kill(house, dice):
    house.wait_ready()
    let_run(dice.uniform(0, 0.8))
    house.kill()


@fault("kill -9 while it starts", weight=3)
def kill_starting(house, dice):
    for _ in range(dice.randint(2, 5)):
        house.kill()
        let_run(dice.uniform(0, 0.25))
    house.kill()


@fault("kill -9 between PUBLISH and PUBACK", weight=4)
def kill_before_puback(house, dice):
    house.wait_ready()
    house.bus.set(stall_up=True)
    soon(moved(lambda: house.bus.state()["bytes_down"]))
    let_run(dice.uniform(0, 0.05))
    house.die()
    house.bus.cut()
    house.bus.heal()
    house.daemon.start(ready=False)


def dam(house, dice, proxy):
    """What comes from there is held back for a while, so that it all comes in the moment of the kill."""
    house.wait_ready()
    proxy.set(stall_down=True)
    let_run(dice.uniform(0.2, 1.2))
    proxy.heal()
    let_run(dice.uniform(0, 0.02))
    house.kill()


@fault("kill -9 as a burst of PUBLISH arrives", weight=4)
def kill_at_publish(house, dice):
    dam(house, dice, house.bus)


@fault("kill -9 between request and answer", weight=4, uncertain=True)
def kill_before_answer(house, dice):
    house.wait_ready()
    seen = house.mw.control("GET", "requests?limit=0")["total"]
    house.mw.fail("hang", path=TASKS, after=dice.random() < 0.5)
    soon(lambda: any(r["rule"] == "hang" for r in house.mw.control("GET", f"requests?since={seen}")["items"]))
    let_run(dice.uniform(0, 0.2))
    house.die()
    house.mw.forgive()
    house.daemon.start(ready=False)


@fault("kill -9 as answers arrive", weight=4, uncertain=True)
def kill_at_answer(house, dice):
    dam(house, dice, house.door)


@fault("kill -9 between a webhook and its 200", weight=4)
def kill_before_200(house, dice):
    house.wait_ready()
    house.hooks.set(stall_down=True)
    taken = moved(lambda: house.hooks.state()["bytes_up"])
    house.mw.send("SparePartWasConsumed", count=dice.randint(1, 20))
    soon(taken)
    let_run(dice.uniform(0, 0.1))
    house.die()
    house.hooks.cut()
    house.hooks.heal()
    house.daemon.start(ready=False)


@fault("kill -9 between an event and its PUBACK", weight=4)
def kill_before_event_puback(house, dice):
    house.wait_ready()
    house.bus.set(stall_down=True)
    sent = moved(lambda: house.bus.state()["bytes_up"])
    house.mw.send("SparePartWasRestocked", count=dice.randint(1, 20))
    soon(sent)
    let_run(dice.uniform(0, 0.1))
    house.die()
    house.bus.cut()
    house.bus.heal()
    house.daemon.start(ready=False)


@fault("kill -9 while it reloads", weight=2)
def kill_reloading(house, dice):
    house.wait_ready()
    house.signal(signal.SIGHUP)
    let_run(dice.uniform(0, 0.5))
    house.kill()


@fault("kill -9 while it ends", weight=2)
def kill_ending(house, dice):
    house.wait_ready()
    house.signal(signal.SIGTERM)
    let_run(dice.uniform(0, 0.3))
    if house.daemon.runs():
        house.die()
    house.daemon.process.wait()
    house.daemon.start(ready=False)


@fault("SIGTERM", weight=2)
def terminate(house, _dice):
    house.wait_ready()
    house.end()
    house.daemon.start(ready=False)


@fault("SIGHUP", weight=2)
def reload(house, dice):
    house.wait_ready()
    for _ in range(dice.randint(1, 4)):
        house.signal(signal.SIGHUP)
        let_run(dice.uniform(0, 0.3))
    house.wait_ready()


@fault("SIGSTOP", uncertain=True)
def stop(house, dice):
    house.wait_ready()
    house.signal(signal.SIGSTOP)
    let_run(dice.choice((dice.uniform(0.5, 3), dice.uniform(5, 15))))
    house.signal(signal.SIGCONT)
    perhaps_kill(house, dice, 0.3)


@fault("SIGSTOP for a minute", weight=0.15, uncertain=True)
def stop_long(house, dice):
    house.wait_ready()
    house.signal(signal.SIGSTOP)
    let_run(dice.uniform(60, 90))
    house.signal(signal.SIGCONT)


@fault("out of memory", weight=3)
def out_of_memory(house, _dice):
    house.wait_ready()
    killed = moved(house.cage.kills)
    house.cage.squeeze(house.daemon.process.pid)
    soon(lambda: not house.daemon.runs(), 3)
    if house.daemon.runs():
        house.injection().detail = ": it did without, and was killed"
        house.die()
    else:
        house.injection().detail = ": killed by the kernel" if killed() else ": it ended"
        house.note_death()
    house.daemon.start(ready=False)


# ---- the broker


@fault("broker restarts")
def broker_restarts(house, dice):
    house.stop_broker()
    let_run(dice.uniform(0, 1))
    perhaps_kill(house, dice)
    house.start_broker()


@fault("broker away", weight=0.5)
def broker_away(house, dice):
    house.stop_broker()
    for _ in range(dice.randint(1, 3)):
        let_run(dice.uniform(0.5, 3))
        perhaps_kill(house, dice)
    house.start_broker()


@fault("broker restarts without its memory", weight=0.7)
def broker_forgets(house, dice):
    perhaps_kill(house, dice)
    house.forget_broker()


@fault("session lost", weight=0.7)
def session_lost(house, dice):
    perhaps_kill(house, dice)
    house.take_session()
    perhaps_kill(house, dice)


@fault("link reset", weight=2)
def link_reset(house, dice):
    house.bus.cut(dice.choice(("reset", "close")))
    perhaps_kill(house, dice)


@fault("half-open link")
def half_open(house, dice):
    house.bus.set(stall_up=True, stall_down=True)
    let_run(dice.choice((dice.uniform(1, 4), dice.uniform(15, 20))))  # keep alive: 5 s
    perhaps_kill(house, dice)
    house.bus.cut()
    house.bus.heal()


@fault("slow link")
def slow_link(house, dice):
    house.bus.set(delay_up=dice.uniform(0.05, 0.5), delay_down=dice.uniform(0.05, 0.5))
    let_run(dice.uniform(1, 4))
    perhaps_kill(house, dice)
    house.bus.heal()


@fault("receive maximum 1", weight=0.7)
def receive_maximum(house, dice):
    house.wait_ready()
    house.reload(receive_maximum=1)
    let_run(dice.uniform(0.5, 3))
    perhaps_kill(house, dice, 0.8)
    house.wait_ready()
    house.reload(receive_maximum=1024)


@fault("packets of 3000 bytes", weight=0.7)
def small_packets(house, dice):
    house.stop_broker()
    house.start_broker(max_packet_size=3000)
    house.wait_ready()
    house.mw.send("SparePartWasConsumed", count=3, body={"filler": "x" * 4000})
    let_run(dice.uniform(0.5, 2))
    perhaps_kill(house, dice)
    house.stop_broker()
    house.start_broker()


@fault("the broker's certificate is bad", weight=0.7)
def broker_certificate(house, dice):
    bad_certificate(house, dice, house.bus)


@fault("slow reader")
def slow_reader(house, dice):
    house.reader.hold()
    house.mw.send("SparePartWasConsumed", count=dice.randint(20, 200))
    let_run(dice.uniform(0.5, 4))
    perhaps_kill(house, dice)
    house.reader.release()


# ---- the target


def target_faults(house, dice, action, seconds=(0.3, 2.5), **rule):
    house.mw.fail(action, path=TASKS, **rule)
    let_run(dice.uniform(*seconds))
    perhaps_kill(house, dice)
    house.mw.forgive()


@fault("target refuses connections", uncertain=True)
def target_refused(house, dice):
    house.door.set(refuse=True)
    house.door.cut()
    let_run(dice.uniform(0.5, 3))
    perhaps_kill(house, dice)
    house.door.heal()


@fault("the target's certificate is bad", weight=0.7, uncertain=True)
def target_certificate(house, dice):
    bad_certificate(house, dice, house.door)


@fault("target is a black hole", uncertain=True)
def target_black(house, dice):
    house.door.set(**dice.choice(({"stall_up": True}, {"stall_down": True}, {"stall_up": True, "stall_down": True})))
    let_run(dice.uniform(0.5, 6))
    perhaps_kill(house, dice)
    house.door.cut()
    house.door.heal()


@fault("target drips", uncertain=True)
def target_drips(house, dice):
    target_faults(house, dice, "drip", seconds=(0.5, 6), every=dice.choice((0.001, 0.02, 0.2)))


@fault("target resets in mid-answer", uncertain=True)
def target_resets(house, dice):
    house.door.set(**{dice.choice(("reset_down", "close_down")): dice.randint(1, 150)})
    house.door.cut()
    let_run(dice.uniform(0.3, 2))
    perhaps_kill(house, dice)
    house.door.heal()


@fault("answer lost, the work done", uncertain=True)
def answer_lost(house, dice):
    target_faults(house, dice, dice.choice(("reset", "hang")), after=True)


@fault("answer is garbage", uncertain=True)
def garbage(house, dice):
    target_faults(house, dice, dice.choice(("garbage", "nonsense", "truncate")))


@fault("answer of 100 MB", weight=0.7, uncertain=True)
def huge(house, dice):
    target_faults(house, dice, "huge", times=dice.randint(1, 3), bytes=100_000_000)


@fault("redirect", weight=0.7)
def redirect(house, dice):
    target_faults(house, dice, "status", status=dice.choice((301, 302, 303, 307, 308)),
                  headers={"Location": f"http://127.0.0.1:{house.mw.port}{TASKS}"})
    house.resume_target()


@fault("a status of 100..599", weight=4, uncertain=True)
def status(house, dice):
    code = dice.randint(100, 599)
    house.injection().detail = f": {code}"
    # What says that it is done is done.
    target_faults(house, dice, "status", seconds=(0.1, 0.7), status=code, after=200 <= code < 300,
                  times=dice.randint(1, 20))
    house.resume_target()


@fault("clock an hour off", weight=0.7)
def clock(house, dice):
    offset = dice.choice((-3600, 3600))
    house.mw.configure(clock=offset)
    target_faults(house, dice, "status", status=503, retry_after_date=1, times=10)
    house.mw.send("SparePartWasConsumed", count=3)
    let_run(0.5)
    house.mw.configure(clock=0)
