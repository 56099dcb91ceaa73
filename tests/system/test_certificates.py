# SPDX-License-Identifier: Apache-2.0
"""Certificates that go bad under a running daemon, each in its way, and are mended: nothing is lost, nothing is done twice,
what is wrong is told, and all goes on by itself."""

import json
import shutil

import pytest

from busbar_harness import command_route, configuration, mw_target, wait_until
from certificates import REASONS, Authority, bad_certificate
from test_reload import lines

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="LOUD: no openssl to make certificates with")
COMMANDS, WEBHOOKS = 20, 5  # while a certificate is bad


class Site:
    """A daemon between a broker and a target, both of which speak TLS by a proxy that shows what it is told to."""

    def __init__(self, folder, broker, sandbox, make_busbar, make_proxy, publisher, subscribe):
        ours, theirs = (Authority(folder, name) for name in ("ours", "theirs"))
        self.good = ours.make("server")
        self.bad = {which: bad_certificate(which, ours, theirs) for which in REASONS}
        self.bus, self.door = make_proxy(broker.port, self.good), make_proxy(sandbox.port, self.good)
        self.sandbox, self.publisher, self.sent, self.told = sandbox, publisher, 0, 0
        self.events = subscribe("busbar/events/mw/provider/#")
        self.alerts = subscribe("busbar/alerts")
        tls = {"ca": str(ours.cert)}
        target = mw_target(sandbox, url=f"https://localhost:{self.door.port}", tls=tls)
        self.daemon = make_busbar(configuration(
            folder, broker, {"mw": target}, [command_route(key="${.celsius}")],
            bus={"url": f"mqtts://localhost:{self.bus.port}", "tls": tls}))

    def go_on(self):
        """Messages come, and webhooks are taken, whatever the certificates."""
        for _ in range(COMMANDS):
            self.publisher.send("plant/l1/m1/job", {"celsius": self.sent})
            self.sent += 1
        self.publisher.flush()
        for _ in range(WEBHOOKS):
            body = {"_event": "SparePartWasConsumed", "_idempotencyKey": f"k{self.told}"}
            assert self.daemon.hook(json.dumps(body).encode()).status == 200
            self.told += 1

    def published(self):
        """(key, id) of each event; what is published again after a death carries the same id."""
        return {(event["data"]["provider"]["raw"]["_idempotencyKey"], event["id"]) for event in self.events.payloads()}

    def all_is_done(self):
        wait_until(lambda: len(self.sandbox.tasks()) == self.sent, 30, "each command as a task")
        wait_until(lambda: len(self.published()) == self.told, 30, "each webhook as an event")
        wait_until(lambda: sum(self.daemon.metrics().sum("busbar_deliveries", state=s) for s in ("pending", "retrying")) == 0,
                   10, "nothing waits")
        counts = self.sandbox.counts()
        assert counts["distinct"] == self.sent and counts["twice"] == []
        assert len({key for key, _ in self.published()}) == self.told
        assert self.daemon.deliveries(state="rejected") == []


each = pytest.mark.parametrize("which", REASONS)


@pytest.fixture
def site(tmp_path, broker, sandbox, make_busbar, make_proxy, publisher, subscribe):
    return Site(tmp_path, broker, sandbox, make_busbar, make_proxy, publisher, subscribe)


@each
def test_the_brokers_certificate_goes_bad_and_is_mended(site, which):
    site.go_on()
    site.all_is_done()
    site.bus.show(site.bad[which])
    site.bus.cut()
    (said, *_) = wait_until(lambda: lines(site.daemon, "bus cannot be connected"), 20, "told")
    assert "TLS" in said["reason"] and "bus.tls.ca" in said["action"]
    assert not site.daemon.ready() and "TLS" in site.daemon.api("GET", "status").json["bus"]["reason"]
    assert "TLS" in site.daemon.cli("status").stdout
    site.go_on()
    site.bus.show(site.good)
    site.daemon.wait_ready(60)
    site.all_is_done()
    assert site.daemon.api("GET", "status").json["bus"]["reason"] is None
    assert site.daemon.metrics().sum("busbar_bus_session_lost_total") == 0


@each
def test_the_targets_certificate_goes_bad_and_is_mended(site, which):
    site.go_on()
    site.all_is_done()
    site.door.show(site.bad[which])
    site.door.cut()
    asked = site.door.state()["bytes_up"]
    site.go_on()
    site.alerts.wait("busbar/alerts")
    (alert,) = site.alerts.payloads()
    assert (alert["alert"], alert["target"]) == ("target_untrusted", "mw") and "certificate" in alert["reason"]
    (said,) = lines(site.daemon, "target not trusted")
    assert "certificate" in said["reason"] and "tls.ca" in said["action"]
    wait_until(lambda: REASONS[which] in site.daemon.json("targets", "list")["items"][0]["reason"], 10, "told why")
    assert site.daemon.json("targets", "list")["items"][0]["state"] == "away"
    wait_until(lambda: len(site.published()) == site.told, 20, "the bus goes on")
    metrics = site.daemon.metrics()
    assert sum(metrics.sum("busbar_deliveries", target="mw", state=s) for s in ("pending", "retrying")) == COMMANDS
    site.daemon.kill()
    site.daemon.start()
    site.alerts.wait("busbar/alerts", 2)  # who starts anew meets it anew, and nothing holds on to it
    assert site.door.state()["bytes_up"] == asked, "nothing was said to a stranger"
    site.door.show(site.good)
    site.all_is_done()
    assert len(site.alerts.seen()) == 2 and site.daemon.metrics().sum("busbar_target_held", target="mw") == 0
