# SPDX-License-Identifier: Apache-2.0
"""The two ends of the bus: a plant that publishes numbered messages, and a reader of all events.

The plant speaks MQTT 5 by hand, because it must know what a client library hides: which of its messages it had to
publish twice (the broker's acknowledgement was lost), and which the broker acknowledged without anybody to hear them
(reason 0x10: the session was gone), so that a careful publisher repeats them.

Message n is a command when n is even, else a reading; n // 2 counts each kind, and goes around the assets. An asset's
readings are hot and cold in turn, so each hot one fires, if none before it went missing. At most one message of an
asset is unanswered at a time, so that a repetition never overtakes its successor."""

import json
import re
import select
import socket
import struct
import threading
import time
from collections import deque

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ASSETS = 40
NOBODY_HEARD = 0x10
HELD = re.compile(rb'"n": (\d+)')  # what a broker's file still has of ours


def is_command(n):
    return n % 2 == 0


def is_hot(n):
    return not is_command(n) and n // 2 // ASSETS % 2 == 0


def before(n):
    """The asset's message before this one, of the same kind."""
    return n - 2 * ASSETS


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


def packet(kind, body):
    length, head = len(body), bytearray([kind])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


class Plant(threading.Thread):
    def __init__(self, port, rate):
        super().__init__(daemon=True)
        self.port, self.rate = port, rate
        self.next, self.open, self.again = 0, {}, deque()  # open: packet id -> n
        self.sent_at, self.acked = {}, {}
        self.twice, self.unheard = set(), 0  # twice: the broker may have it twice
        self.socket, self.buffer = None, b""
        self.running, self.over = threading.Event(), threading.Event()
        self.running.set()
        self.last = time.monotonic()

    # ---- what the others call

    def pause(self, deadline=30):
        """No new messages; answers once all that were sent are answered, or the broker is away."""
        self.running.clear()
        end = time.monotonic() + deadline
        while (self.open or self.again) and self.socket and time.monotonic() < end:
            time.sleep(0.01)

    def resume(self):
        self.running.set()

    def finish(self, deadline=60):
        """No new messages; answers once all that were ever sent are acknowledged."""
        self.running.clear()
        end = time.monotonic() + deadline
        while (self.open or self.again) and time.monotonic() < end:
            time.sleep(0.05)
        self.over.set()
        self.join(5)
        return not self.open and not self.again

    # ---- the thread

    def run(self):
        while not self.over.is_set():
            try:
                if self.socket is None:
                    self.connect()
                self.publish_due()
                self.read(0.02)
            except OSError:
                self.lose()
                time.sleep(0.1)

    def connect(self):
        link = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(packet(0x10, text("MQTT") + bytes([5, 2]) + struct.pack(">H", 60) + b"\0" + text("")))
        self.socket, self.buffer = link, b""
        deadline = time.monotonic() + 5
        while not self.read(0.1, wants=0x20):
            if time.monotonic() > deadline:
                raise OSError("no CONNACK")

    def lose(self):
        """What was sent and not answered goes out again, first."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        lost = sorted(self.open.values())
        self.twice.update(lost)
        self.again = deque(sorted(set(self.again) | set(lost)))
        self.open.clear()

    def publish_due(self):
        now = time.monotonic()
        self.last = max(self.last, now - 1)  # what a standstill missed is not made up for
        while self.again and self.may_send(self.again[0]):
            self.send(self.again.popleft())
        while not self.again and self.running.is_set() and self.last < now and self.may_send(self.next):
            self.last += 1 / self.rate
            self.send(self.next)
            self.next += 1

    def may_send(self, n):
        return before(n) not in self.open.values() and len(self.open) < 2 * ASSETS

    def send(self, n):
        asset = n // 2 % ASSETS
        body = {"n": n} if is_command(n) else {"n": n, "celsius": 91.5 if is_hot(n) else 20}
        topic = f"plant/l1/a{asset}/{'job' if is_command(n) else 'temperature'}"
        packet_id = next(i for i in range(1, 65536) if i not in self.open)
        self.open[packet_id] = n
        self.sent_at.setdefault(n, time.time())
        self.socket.sendall(packet(0x32, text(topic) + struct.pack(">H", packet_id) + b"\0" + json.dumps(body).encode()))

    def read(self, seconds, wants=None):
        ready, _, _ = select.select([self.socket], [], [], seconds)
        if not ready:
            return False
        data = self.socket.recv(65536)
        if not data:
            raise OSError("closed")
        self.buffer += data
        kinds = []
        while len(self.buffer) >= 2 and len(self.buffer) >= 2 + self.buffer[1]:  # all that we get is short
            kind, body = self.buffer[0], self.buffer[2:2 + self.buffer[1]]
            self.buffer = self.buffer[2 + self.buffer[1]:]
            kinds.append(kind)
            if kind == 0x40:
                self.answered(struct.unpack(">H", body[:2])[0], body[2] if len(body) > 2 else 0)
            elif kind == 0xE0:
                raise OSError("disconnected")
        return wants in kinds

    def answered(self, packet_id, reason):
        n = self.open.pop(packet_id, None)
        if n is None:
            return
        if reason == NOBODY_HEARD:
            self.unheard += 1
            self.again = deque(sorted({*self.again, n}))
            time.sleep(0.02)
        elif reason < 0x80:
            self.acked[n] = time.time()


class Reader:
    """All events and records of failures, with a session that outlives its link. hold() makes it a slow reader."""

    def __init__(self, port):
        self.events, self.failures, self.subscribed = {}, set(), threading.Event()
        self.count, self.open = 0, threading.Event()
        self.open.set()
        self.client = paho.Client(client_id="chaos-reader", protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(0.1, 0.5)
        self.client.on_connect = self.connected
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self.took
        expiry = Properties(PacketTypes.CONNECT)
        expiry.SessionExpiryInterval = 86400
        self.client.connect("127.0.0.1", port, clean_start=False, properties=expiry)
        self.client.loop_start()
        assert self.subscribed.wait(10), "the reader got no SUBACK"

    def connected(self, client, *_):
        client.subscribe([("busbar/events/#", paho.SubscribeOptions(qos=1))])

    def took(self, _client, _data, message):
        self.open.wait()
        event = json.loads(message.payload)
        self.count += 1
        if event["type"] == "sync.failed":
            self.failures.add(event["data"]["error"]["delivery"])
            return
        raw = (event["data"].get("provider") or {}).get("raw")  # what busbar says by itself has no provider
        key = raw.get("_idempotencyKey") if isinstance(raw, dict) else None
        if key:
            ids = self.events.setdefault(key, {})
            ids[event["id"]] = ids.get(event["id"], 0) + 1

    def hold(self):
        self.open.clear()

    def release(self):
        self.open.set()

    def close(self):
        self.release()
        self.client.loop_stop()
        self.client.disconnect()
