# SPDX-License-Identifier: Apache-2.0
"""Attacks on the webhook door, each in a process of its own, while genuine webhooks keep coming over new connections: what the
attacker was answered, what it cost, and how long the genuine ones had to wait. tests/doors prints the table."""

import collections
import contextlib
import functools
import json
import multiprocessing
import os
import resource
import selectors
import socket
import ssl
import statistics
import threading
import time

from busbar_harness import SECRET, sign
from door_shapes import ask, post, shapes

HEAD = b"POST /hooks/mw HTTP/1.1\r\nHost: busbar\r\nContent-Type: application/json\r\n"
TICK = os.sysconf("SC_CLK_TCK")


def genuine(key):
    return post(key, "Content-Length: {n}\r\nConnection: close")


def schedule_of(pid):
    return f"/proc/{pid}/task/{pid}/schedstat"


def waited(status):
    """How long a thread that could run had to wait for a processor, in seconds, by its schedstat."""
    with open(status, encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9


class Prober(threading.Thread):
    """A genuine webhook every 20 ms, each over a connection of its own, from an address of its own or the attacker's. `shares`
    are the times without what this thread itself took of a processor, and what it and busbar's reactor waited for one:
    attacker, sender and busbar are on one machine."""

    def __init__(self, daemon, wrap, address):
        super().__init__(daemon=True)
        self.address, self.reactor = (address, 0), schedule_of(daemon.process.pid)
        self.port, self.wrap, self.times, self.shares, self.missed, self.over = daemon.hook_port, wrap, [], [], [], threading.Event()
        self.cut = 0

    def run(self):
        n = 0
        while not self.over.wait(0.02):
            n += 1
            self.probe(genuine(f"probe-{os.getpid()}-{time.monotonic_ns()}-{n}"))

    def probe(self, request):
        """What is cut is sent once more, as a vendor does: the time is that of both."""
        start, own = time.monotonic(), self.own()
        for last in (False, True):
            try:
                self.ask(request)
                self.times.append(time.monotonic() - start)
                self.shares.append(max(0.0, self.times[-1] - (self.own() - own)))
                return
            except (OSError, AssertionError) as error:
                if last or not isinstance(error, (ConnectionError, ssl.SSLEOFError)) and error.args != (b"",):
                    self.missed.append(repr(error))
                    return
                self.cut += 1

    def own(self):
        return time.thread_time() + waited("/proc/thread-self/schedstat") + waited(self.reactor)

    def ask(self, request):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=self.address) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as HTTP clients do
            connection = self.wrap(raw) if self.wrap else raw
            connection.sendall(request)
            answer = connection.recv(64)
        assert answer.startswith(b"HTTP/1.1 200 "), answer

    def stop(self):
        self.over.set()
        self.join(30)


class Watch(threading.Thread):
    """The daemon's memory and descriptors at their most, and the time it took of the processor."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.rss, self.fds, self.over = pid, 0, 0, threading.Event()
        self.cpu_before, self.rss_before, self.fds_before = self.cpu(), self.memory(), self.descriptors()
        self.waited_before = self.waited()

    def waited(self):
        return waited(schedule_of(self.pid))

    def memory(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def run(self):
        with contextlib.suppress(FileNotFoundError):
            while not self.over.wait(0.05):
                self.rss, self.fds = max(self.rss, self.memory()), max(self.fds, self.descriptors())

    def stop(self):
        self.over.set()
        self.join()


class Target:
    """Where an attack goes: the port, for how long, with how many connections."""

    def __init__(self, port, seconds, connections, tls=False):
        self.port, self.seconds, self.connections, self.tls = port, seconds, connections, tls

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return raw

    def wrap(self, raw):
        return trusting().wrap_socket(raw, server_hostname="localhost") if self.tls else raw


@functools.cache
def trusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def hold(target, first, drip=b"", every=1.0, count=None):
    """Opens connections one after the other and keeps them; each says `first`, then `drip` now and then. Those that are closed
    are opened again. Answers how they ended, by the status that they were told."""
    ends, waiting, poll = collections.Counter(), {}, selectors.DefaultSelector()
    until, next_drip = time.monotonic() + target.seconds, time.monotonic() + every
    count = target.connections if count is None else count

    def close(connection, how):
        ends[how] += 1
        poll.unregister(connection)
        del waiting[connection]
        connection.close()

    while time.monotonic() < until:
        for _ in range(min(200, count - len(waiting))):
            try:
                connection = socket.socket()
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", target.port))
            except OSError:
                ends["no connection"] += 1
                break
            waiting[connection] = first
            poll.register(connection, selectors.EVENT_READ | (selectors.EVENT_WRITE if first else 0))
        for key, events in poll.select(0.05):
            connection = key.fileobj
            try:
                if events & selectors.EVENT_READ:
                    data = connection.recv(4096)
                    close(connection, data[9:12].decode() if data.startswith(b"HTTP/") else "closed")
                elif events & selectors.EVENT_WRITE:
                    sent = connection.send(waiting[connection][:65536])
                    waiting[connection] = waiting[connection][sent:]
                    if not waiting[connection]:
                        poll.modify(connection, selectors.EVENT_READ)
            except OSError:
                close(connection, "reset")
        if drip and time.monotonic() > next_drip:
            next_drip += every
            for connection in [c for c, left in waiting.items() if not left]:
                with contextlib.suppress(OSError):
                    connection.send(drip)
    ends["still open"] = len(waiting)
    for connection in list(waiting):
        connection.close()
    return ends


def repeat(target, step):
    """step() again and again; answers what it answered, counted."""
    ends, until = collections.Counter(), time.monotonic() + target.seconds
    while time.monotonic() < until:
        try:
            ends[step()] += 1
        except OSError as error:
            ends[type(error).__name__] += 1
    return ends


def flood(target, make):
    def step():
        with target.connect() as raw, target.wrap(raw) as connection:
            connection.sendall(make())
            return connection.recv(64)[9:12].decode()
    return repeat(target, step)


def crowd(target, make, count=32):
    """flood() by so many at a time."""
    ends = []
    every = [threading.Thread(target=lambda: ends.append(flood(target, make))) for _ in range(count)]
    for each in every:
        each.start()
    for each in every:
        each.join()
    return sum(ends, collections.Counter())


def churn(target):
    def step():
        target.connect().close()
        return "closed by us"
    return repeat(target, step)


def odd_shapes(target):
    every, wrap = list(shapes()), target.wrap if target.tls else None
    ends, until, n = collections.Counter(), time.monotonic() + target.seconds, 0
    while time.monotonic() < until:
        n += 1
        try:
            statuses, closed, _, _ = ask(target.port, every[n % len(every)].request, wait=0.1, wrap=wrap)
            ends[str(statuses[0]) if statuses else "closed" if closed else "nothing"] += 1
        except OSError as error:
            ends[type(error).__name__] += 1
    return ends


BAD = {"t": "1", "nonce": "n"}
REPLAYED = genuine("replayed")


def bad_signature():
    body = json.dumps({"_event": "SparePartWasConsumed", "_idempotencyKey": str(time.monotonic_ns())}).encode()
    return post("", body=body, signature=sign("a guess", body))


FROM_ONE = "idle connections, all of one address"
NOBODY = {"nobody": lambda t: hold(t, b"", count=0)}
ATTACKS = {
    **NOBODY,
    "idle connections": lambda t: hold(t, b""),
    FROM_ONE: lambda t: hold(t, b""),  # the genuine too: behind an ingress it is so
    "slow headers": lambda t: hold(t, HEAD + b"X-A: ", b"a", count=1000),
    "slow body": lambda t: hold(t, HEAD + b"Content-Length: 1000\r\n\r\n{", b" ", count=1000),
    "large bodies that never end": lambda t: hold(t, HEAD + b"Content-Length: 1048576\r\n\r\n" + b" " * 1048000, count=600),
    "slow chunks": lambda t: hold(t, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n \r\n", count=1000),
    "chunk lines without end": lambda t: hold(t, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100000, count=200),
    "connections opened and closed": churn,
    "shapes (door_shapes.py)": odd_shapes,
    "bad signatures": lambda t: flood(t, bad_signature),
    "bad signatures, 32 at a time": lambda t: crowd(t, bad_signature),
    "unsigned": lambda t: flood(t, lambda: HEAD + b"Content-Length: 2\r\n\r\n{}"),
    "one genuine webhook replayed": lambda t: flood(t, lambda: REPLAYED),
    "no such path": lambda t: flood(t, lambda: HEAD.replace(b"/mw", b"/" + b"x" * 4000) + b"Content-Length: 0\r\n\r\n"),
}
TLS_ATTACKS = {
    **NOBODY,
    "half a TLS handshake": lambda t: hold(t, bytes.fromhex("16030100c8010000c40303") + b"\xaa" * 32, count=1000),
    "TLS handshakes and no request": lambda t: repeat(t, lambda: (t.wrap(t.connect()).close(), "closed by us")[1]),
    **{name: run for name, run in ATTACKS.items() if name.startswith("bad signatures")},
}
COMPARED = {"genuine webhooks": lambda t: flood(t, lambda: genuine(str(time.monotonic_ns())))}


class Row:
    """What became of one attack."""

    def __init__(self, name, ends, seconds, prober, watch):
        self.name, self.ends, self.seconds = name, collections.Counter(ends), seconds
        self.times, self.shares = sorted(prober.times), sorted(prober.shares)
        self.missed, self.cut = prober.missed, prober.cut
        self.rss_before, self.rss, self.fds_before, self.fds = watch.rss_before, watch.rss, watch.fds_before, watch.fds
        self.cpu, self.waited = watch.cpu() - watch.cpu_before, watch.waited() - watch.waited_before

    @property
    def answered(self):
        """How often the attacker was let in or refused: what the processor's time was spent on."""
        return sum(n for end, n in self.ends.items() if end != "still open")

    @staticmethod
    def at(times, share):
        return times[min(len(times) - 1, int(share * len(times)))] * 1000 if times else float("nan")

    def of(self, share):
        return self.at(self.times, share)

    def line(self):
        told = ", ".join(f"{n:,} x {end}" for end, n in self.ends.most_common(4) if n)
        return (f"| {self.name} | {told} | {self.cpu / self.seconds:.0%} + {self.waited / self.seconds:.0%} | "
                f"{self.rss_before >> 20} -> {self.rss >> 20} | "
                f"{self.fds_before} -> {self.fds} | {len(self.times)} | {len(self.missed)} | "
                f"{statistics.median(self.times or [0]) * 1000:.1f} | {self.of(0.99):.1f} | {self.of(1):.1f} | "
                f"{self.at(self.shares, 0.99):.1f} | {self.at(self.shares, 1):.1f} |")


HEADLINE = ("| attack | the attacker is answered | processor + waited for one | memory MB | descriptors | genuine | missed | median ms "
            "| p99 ms | most ms | beside processor and waiting for one: p99 ms | most ms |\n"
            "|---|---|---|---|---|---|---|---|---|---|---|---|")


def attack(daemon, name, run, seconds, connections=10000, tls=False):
    """Runs one; answers its Row."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = Target(daemon.hook_port, seconds, min(connections, hard - 500), tls)
    receiving, sending = multiprocessing.Pipe(duplex=False)

    def child():
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        sending.send(dict(run(target)))

    prober = Prober(daemon, target.wrap if tls else None, "127.0.0.1" if name == FROM_ONE else "127.0.0.2")
    watch, start = Watch(daemon.process.pid), time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=child)
    for part in (prober, watch, process):
        part.start()
    try:
        assert receiving.poll(seconds + 60), f"{name}: the attacker did not come back"
        ends = receiving.recv()
    finally:
        prober.stop()
        watch.stop()
        process.kill()
        process.join()
    return Row(name, ends, time.monotonic() - start, prober, watch)
