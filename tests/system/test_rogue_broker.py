# SPDX-License-Identifier: Apache-2.0
"""A broker that sends what MQTT forbids: a topic with a NUL, with a wildcard, with what is no UTF-8; or that sends what it
may, but otherwise than others: several packets in one record of TLS."""

import contextlib
import json
import shutil
import socket
import ssl
import struct
import threading
import time

import pytest

from busbar_harness import command_route, configuration, mw_target, wait_until
from certificates import Authority


class RogueBroker:
    """MQTT 5 as far as a session begins; then it sends its publications, one packet id each, and keeps their PUBACKs. With a
    certificate it speaks TLS, and sends them in one piece with the answer to the first ping. It ends the link with what it is
    sent on a topic of `hates`, with that reason in its DISCONNECT (None: without one)."""

    def __init__(self, *publications, certificate=None, hates=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self.listener.getsockname()[1]}"
        self.publications, self.acked, self.connections, self.pings = publications, set(), 0, []
        self.context, self.hates, self.took, self.ends, self.alerts = None, hates or {}, [], [], 0
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
            self.url = self.url.replace("mqtt://127.0.0.1", "mqtts://localhost")
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    @staticmethod
    def read(stream):
        """(first byte, body) of a packet; the body is short: busbar sends no long ones here."""
        first, length, shift = stream.read(1)[0], 0, 0
        while True:
            byte = stream.read(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return first, stream.read(length)

    def published(self):
        packets = b""
        for number, (topic, payload) in enumerate(self.publications, 1):
            sent = struct.pack(">H", len(topic)) + topic + struct.pack(">H", number) + b"\x00" + payload
            packets += bytes([0x32, len(sent)]) + sent
        return packets

    def serve(self, link):
        if self.context:
            link = self.context.wrap_socket(link, server_side=True)
        with contextlib.suppress(OSError, IndexError), link, link.makefile("rb") as stream:
            while True:
                first, body = self.read(stream)
                kind = first >> 4
                if kind == 1:
                    link.sendall(b"\x20\x03\x00\x00\x00")
                elif kind == 3 and first & 6:
                    at = 2 + struct.unpack(">H", body[:2])[0]
                    topic = body[2:at].decode()
                    if topic in self.hates:
                        self.ends.append(topic)
                        reason = self.hates[topic]
                        link.sendall(b"" if reason is None else bytes([0xe0, 1, reason]))
                        link.shutdown(socket.SHUT_RDWR)
                        return
                    self.took.append(topic)
                    self.alerts += topic == "busbar/alerts" and b'"broker_refuses"' in body
                    link.sendall(b"\x40\x02" + body[at:at + 2])
                elif kind == 4:
                    self.acked.add(struct.unpack(">H", body[:2])[0])
                elif kind == 8:
                    at, filters = 3 + body[2], 0
                    while at < len(body):
                        at, filters = at + 3 + struct.unpack(">H", body[at:at + 2])[0], filters + 1
                    link.sendall(bytes([0x90, 3 + filters]) + body[:2] + b"\x00" + b"\x01" * filters)
                    if not self.context:
                        link.sendall(self.published())
                elif kind == 12:
                    self.pings.append(time.monotonic())
                    link.sendall(b"\xd0\x00" + (self.published() if self.context and len(self.pings) == 1 else b""))

    def close(self):
        self.listener.close()


@pytest.fixture
def rogue():
    made = []

    def make(*publications, **options):
        made.append(RogueBroker(*publications, **options))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


# What is no UTF-8, and how the dead letter shows it.
TOPICS = {b"plant/l/a\x00b/job": r"plant/l/a\u0000b/job", b"plant/l/\xff/job": "plant/l/\ufffd/job",
          b"plant/l/\xed\xa0\x80/job": "plant/l/\ufffd\ufffd\ufffd/job", b"plant/+/a/job": "plant/+/a/job",
          b"plant/l/#/job": "plant/l/#/job"}


def test_a_topic_that_nobody_may_publish_on_is_a_dead_letter(tmp_path, sandbox, make_busbar, rogue):
    """Nothing of it reaches a target, and what shows it stays JSON; what comes behind it is served."""
    broker = rogue(*((topic, b'{"celsius": 1}') for topic in TOPICS), (b"plant/l/good/job", b'{"celsius": 2}'))
    daemon = make_busbar(configuration(tmp_path, broker, {"mw": mw_target(sandbox)}, [command_route()]))
    wait_until(lambda: len(sandbox.tasks()) == 1 and len(broker.acked) == len(TOPICS) + 1, 10, "the good one, all PUBACKs")
    dead = daemon.deliveries(state="rejected")
    assert sorted(d["topic"] for d in dead) == sorted(TOPICS.values())
    assert len(daemon.deliveries()) == len(TOPICS) + 1 and broker.connections == 1
    said = daemon.json("queue", "show", dead[0]["id"])
    assert "nobody may publish on" in said["error"]["message"]
    assert len(sandbox.requests("/partners/v1/tasks")) == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="LOUD: no openssl to make certificates with")
def test_what_comes_in_one_record_of_tls_with_a_ping_is_read_at_once(tmp_path, sandbox, make_busbar, rogue):
    """OpenSSL has read it all by then: no poll of the socket tells of the rest."""
    ours = Authority(tmp_path, "ours")
    broker = rogue(*((b"plant/l/m%d/job" % n, b'{"celsius": 1}') for n in range(5)), certificate=ours.make("server"))
    bus = {"url": broker.url, "keep_alive": "5s", "tls": {"ca": str(ours.cert)}}
    make_busbar(configuration(tmp_path, broker, {"mw": mw_target(sandbox)}, [command_route()], bus=bus))
    wait_until(lambda: broker.pings, 20, "a ping")
    wait_until(lambda: len(broker.acked) == 5, 20, "all PUBACKs")
    assert time.monotonic() - broker.pings[0] < 2.5 and len(broker.pings) == 1, "read with the ping's answer, not after the next"
    wait_until(lambda: len(sandbox.tasks()) == 5, 10, "the tasks")


EVENTS = "busbar/events/mw/provider/mobility_work/"


@pytest.mark.parametrize("reason,ends", ((0x82, 3), (0x81, 3), (0x83, 5), (None, 5)))
def test_what_the_broker_ends_the_link_for_is_a_dead_letter(tmp_path, sandbox, make_busbar, rogue, reason, ends):
    """At the third end when it says that it is for what it was sent; two have made it go alone. Else at the fifth."""
    broker = rogue(hates={EVENTS + "Bad": reason})
    daemon = make_busbar(configuration(tmp_path, broker, {"mw": mw_target(sandbox)}, []))
    for number, event in enumerate(("Good", "Bad", "Good", "Bad")):
        body = json.dumps({"_event": event, "_idempotencyKey": str(number)}).encode()
        assert daemon.hook(body).status == 200
    dead = wait_until(lambda: [d for d in [daemon.deliveries(state="rejected")] if len(d) == 2], 120, "both as dead letters")[0]
    assert {(d["topic"], d["error"]["code"]) for d in dead} == {(EVENTS + "Bad", "broker_refuses")}
    assert broker.ends.count(EVENTS + "Bad") >= ends
    wait_until(lambda: broker.alerts == 2, 20, "an alert of each")
    assert broker.took.count(EVENTS + "Good") == 2
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", target="bus", state="pending") == 0, 10, "an even ledger")


@pytest.mark.parametrize("reason", (0x8B, 0x97))
def test_what_the_broker_ends_the_link_for_otherwise_is_kept(tmp_path, sandbox, make_busbar, rogue, reason):
    """It shuts down, or there was too much of something: nothing becomes a dead letter, the others go on."""
    broker = rogue(hates={EVENTS + "Bad": reason})
    daemon = make_busbar(configuration(tmp_path, broker, {"mw": mw_target(sandbox)}, []))
    assert daemon.hook(json.dumps({"_event": "Bad", "_idempotencyKey": "1"}).encode()).status == 200
    wait_until(lambda: len(broker.ends) >= 4, 60, "four ends")
    assert daemon.deliveries(state="rejected") == []
    broker.hates = {}
    wait_until(lambda: broker.took.count(EVENTS + "Bad") == 1, 40, "it goes out")
