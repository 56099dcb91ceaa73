# SPDX-License-Identifier: Apache-2.0
"""A broker that sends what MQTT forbids: a topic with a NUL, with a wildcard, with what is no UTF-8."""

import contextlib
import socket
import struct
import threading

import pytest

from busbar_harness import command_route, configuration, mw_target, wait_until


class RogueBroker:
    """MQTT 5 as far as a session begins; then it sends its publications, one packet id each, and keeps their PUBACKs."""

    def __init__(self, *publications):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self.listener.getsockname()[1]}"
        self.publications, self.acked, self.connections = publications, set(), 0
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

    def serve(self, link):
        with contextlib.suppress(OSError, IndexError), link, link.makefile("rb") as stream:
            while True:
                first, body = self.read(stream)
                kind = first >> 4
                if kind == 1:
                    link.sendall(b"\x20\x03\x00\x00\x00")
                elif kind == 3 and first & 6:
                    at = 2 + struct.unpack(">H", body[:2])[0]
                    link.sendall(b"\x40\x02" + body[at:at + 2])
                elif kind == 4:
                    self.acked.add(struct.unpack(">H", body[:2])[0])
                elif kind == 8:
                    at, filters = 3 + body[2], 0
                    while at < len(body):
                        at, filters = at + 3 + struct.unpack(">H", body[at:at + 2])[0], filters + 1
                    link.sendall(bytes([0x90, 3 + filters]) + body[:2] + b"\x00" + b"\x01" * filters)
                    for number, (topic, payload) in enumerate(self.publications, 1):
                        sent = struct.pack(">H", len(topic)) + topic + struct.pack(">H", number) + b"\x00" + payload
                        link.sendall(bytes([0x32, len(sent)]) + sent)
                elif kind == 12:
                    link.sendall(b"\xd0\x00")

    def close(self):
        self.listener.close()


@pytest.fixture
def rogue():
    made = []

    def make(*publications):
        made.append(RogueBroker(*publications))
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
