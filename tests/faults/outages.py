# SPDX-License-Identifier: Apache-2.0
"""The long faults: each once, for as long as `--outage` says, with all that goes on meanwhile, and what it cost."""

import signal
import time

from busbar_harness import wait_until
from house import Meter
from menu import NEVER, fault

HELD_BACK = 5  # seconds of commands that wait when the broker goes
LATE = 5  # seconds that what is sent may be old when all is well again
# SIGSTOP first: behind the others the vendor has thousands of webhooks to tell of, signed when their time was, and would find
# them too old afterwards.
OUTAGES = ("SIGSTOP for long", "broker away for long", "target is a black hole for long")


def let_pass(house, seconds, webhooks=True):
    """With a webhook each second: its event is to be published."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if webhooks:
            house.mw.send("SparePartWasConsumed")
        time.sleep(1)


def waiting(house, target):
    return sum(house.daemon.metrics().sum("busbar_deliveries", target=target, state=s) for s in ("pending", "retrying"))


def received(house):
    return house.daemon.metrics().sum("busbar_messages_received_total")


def is_up_to_date(house, target):
    """The plant goes on, so that there is always something on its way."""
    return house.daemon.metrics().sum("busbar_deliveries_oldest_seconds", target=target) < LATE


def tell(house, meter, *stages):
    """How long each of the stages of being well again took, from now; each is (what, condition)."""
    spent, began, took = meter.read(), time.monotonic(), []
    for what, condition in stages:
        wait_until(condition, 60 + house.outage, what)
        took.append(f"{what} after {time.monotonic() - began:.1f} s")
    house.injection().detail = f": {spent}; {', '.join(took)}; then memory {meter.megabytes('VmRSS'):.0f} MiB"


@fault(OUTAGES[0], NEVER, uncertain=True)
def stopped(house, _dice):
    """The vendor sends nothing meanwhile: it would give up, and that is not ours to account for."""
    house.wait_ready()
    meter, taken, sent = Meter(house), received(house), len(house.plant.acked)
    house.signal(signal.SIGSTOP)
    let_pass(house, house.outage, webhooks=False)
    kept = len(house.plant.acked) - sent
    house.signal(signal.SIGCONT)
    tell(house, meter, ("ready", house.daemon.ready),
         (f"{kept} messages taken from the broker", lambda: received(house) - taken >= kept),
         ("their deliveries sent", lambda: is_up_to_date(house, "mw")))


@fault(OUTAGES[1], NEVER)
def broker_away(house, _dice):
    """Commands wait when it goes, webhooks come, the target answers: nothing may be uncertain."""
    house.wait_ready()
    house.daemon.api("POST", "targets/mw/hold")
    let_pass(house, HELD_BACK)
    meter = Meter(house)
    house.stop_broker()
    assert waiting(house, "mw") > 0, "nothing waits"
    house.resume_target()
    let_pass(house, house.outage)
    assert not house.daemon.ready() and house.daemon.get("/healthz").status == 200
    wait_until(lambda: waiting(house, "mw") == 0, 20, "what waited is sent: the target needs no broker")
    kept = waiting(house, "bus")
    assert kept >= house.outage / 2, f"only {kept:.0f} events wait"
    house.start_broker()
    tell(house, meter, ("ready", house.daemon.ready), (f"{kept:.0f} events published", lambda: waiting(house, "bus") < 20))


@fault(OUTAGES[2], NEVER, uncertain=True)
def target_black(house, _dice):
    house.wait_ready()
    meter = Meter(house)
    house.door.set(stall_up=True, stall_down=True)
    let_pass(house, house.outage)
    assert house.daemon.ready(), "a target that is away makes nobody else unready"
    kept = waiting(house, "mw")
    house.door.cut()
    house.door.heal()
    tell(house, meter, (f"{kept:.0f} deliveries sent", lambda: is_up_to_date(house, "mw")))
