# SPDX-License-Identifier: Apache-2.0
"""What every stand-in of a target system shares: a small, quick HTTP/1.1 server on asyncio that records
what it gets, fails on demand, sends webhooks and is steered over /_control/.

Standard library only. A stand-in subclasses StandIn and answers handle(request) -> Reply; all else is here.

Two listeners: the API's, which `down` closes as a dead host would, and the control's, which stays. The
control paths are served on both. One process, one loop, one thread: nothing here needs a lock.

Control (all JSON)
  GET    /_control/health | counts | tasks | requests | webhooks | fail | config | stalls (when it got no processor)
         lists take ?since=N (skip the first N) and ?limit=N; answer {"items": [...], "total": N}
  POST   /_control/reset                       forgets records, tasks, rules
  POST   /_control/config  {...}               changes settings (see the stand-in)
  POST   /_control/fail    {action, ...}       adds a rule, answers {"rule": id}; DELETE removes all
  POST   /_control/down    {"seconds": S?}     closes the API listener and its connections
  POST   /_control/up
A rule: {"action": A, "times": N or null (for ever), "skip": N, "method": M?, "path": prefix?, "contains": text?}
  status    answer "status" (with "retry_after": seconds, or "retry_after_date": seconds from now as an
            HTTP date; "headers", "body", or "page": text of a page of HTML); "after": true does the work first
  delay     "seconds", then as usual
  hang      never answer; "after": true does the work first
  reset     TCP reset instead of an answer; "after": true does the work first (the answer is lost)
  truncate  does the work, sends half of the answer and closes
  garbage   does the work, answers 2xx with a body that is no JSON
  nonsense  does the work, answers bytes that are no HTTP
  drip      does the work, then answers byte by byte, one "every" so many seconds
  huge      does the work, then answers with a body of "bytes" (100 MB); "length": false does not say so before
A stand-in's clock may be wrong: its setting `clock` is the seconds by which it is ahead (Date, Retry-After).
"""

import argparse
import asyncio
import base64
import email.utils
import http
import json
import os
import socket
import struct
import sys
import time
import urllib.parse

MAX_HEAD = 64 * 1024
MAX_BODY = 16 * 1024 * 1024
STALL = 0.5  # seconds


def now_text(when=None):
    when = time.time() if when is None else when
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(when))


async def watch_stalls(stalls):
    """For ever: notes [from, to] of each time that this process got no processor for long: what it then answers, or notes
    as its time, is late."""
    while True:
        before = time.time()
        await asyncio.sleep(STALL / 2)
        if time.time() - before > STALL:
            stalls.append([before, time.time()])


def minified(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Request:
    __slots__ = ("method", "target", "path", "query", "headers", "body", "time", "peer")

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")
        self.time = time.time()


class Reply:
    __slots__ = ("status", "body", "headers", "note")

    def __init__(self, status, value=None, headers=None, body=None):
        self.status = status
        self.body = minified(value) if body is None else body
        self.headers = headers or {}
        self.note = None  # goes into the record


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other, also when a rule delays one."""

    def __init__(self, standin, api):
        self.standin, self.api = standin, api
        self.buffer = bytearray()
        self.busy = False
        self.continued = False
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.api:
            self.standin.connections.add(self)

    def connection_lost(self, error):
        self.standin.connections.discard(self)

    def data_received(self, data):
        self.buffer += data
        self.work()

    def work(self):
        while not self.busy and not self.transport.is_closing():
            request = self.parse()
            if request is None:
                return
            self.standin.serve(self, request)

    def parse(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > MAX_HEAD:
                self.refuse(431)
            return None
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return self.refuse(400)
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or name in headers and name in ("api-key", "content-length", "content-type"):
                return self.refuse(400)
            headers[name] = value.strip()
        if "transfer-encoding" in headers:
            return self.refuse(411)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return self.refuse(413)
        stop = end + 4 + int(length)
        if len(self.buffer) < stop:
            if headers.get("expect", "").lower() == "100-continue" and not self.continued:
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        self.continued = False
        body = bytes(self.buffer[end + 4 : stop])
        del self.buffer[:stop]
        return Request(words[0], words[1], headers, body)

    def refuse(self, status):
        self.transport.write(encode(Reply(status, None), self.standin.next_request_id(), close=True))
        self.transport.close()

    def reset(self):
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


REASON = {status.value: status.phrase for status in http.HTTPStatus}


def encode(reply, request_id, close=False):
    head = [
        f"HTTP/1.1 {reply.status} {REASON.get(reply.status, 'Other')}",
        f"Content-Type: {reply.headers.pop('Content-Type', 'application/json')}",
        f"Request-Id: {request_id}",
        f"Content-Length: {len(reply.body)}",
    ]
    head += [f"{name}: {value}" for name, value in reply.headers.items()]
    if close:
        head.append("Connection: close")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + reply.body


class Rule:
    ACTIONS = ("status", "delay", "hang", "reset", "truncate", "garbage", "nonsense", "drip", "huge")

    def __init__(self, number, spec):
        if spec.get("action") not in self.ACTIONS:
            raise ValueError(f"action: one of {', '.join(self.ACTIONS)}")
        self.number, self.spec = number, spec
        self.action = spec["action"]
        self.left = spec.get("times")
        self.skip = spec.get("skip", 0)
        self.used = 0

    def takes(self, request):
        spec = self.spec
        if self.left == 0 or request.method != spec.get("method", request.method):
            return False
        if not request.path.startswith(spec.get("path", "")):
            return False
        if spec.get("contains", "").encode() not in request.body:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        self.used += 1
        return True

    def reply(self, clock):
        now = time.time() + clock
        headers = {"Date": email.utils.formatdate(now, usegmt=True), **self.spec.get("headers", {})}
        if "retry_after" in self.spec:
            headers["Retry-After"] = str(self.spec["retry_after"])
        if "retry_after_date" in self.spec:
            headers["Retry-After"] = email.utils.formatdate(now + self.spec["retry_after_date"], usegmt=True)
        if "page" in self.spec:
            headers["Content-Type"] = "text/html; charset=utf-8"
            return Reply(self.spec.get("status", 503), headers=headers, body=self.spec["page"].encode())
        return Reply(self.spec.get("status", 503), self.spec.get("body"), headers)


class StandIn:
    secret_headers = ("api-key", "authorization")  # never recorded
    adjustable = ("key",)  # attributes that may be configured, beside what stands in `settings`

    def __init__(self, host="127.0.0.1", port=0, control_port=0, key="test-key", state=None):
        self.host, self.port, self.control_port, self.key, self.state = host, port, control_port, key, state
        self.connections = set()
        self.requests, self.tasks, self.rules = [], {}, []
        self.rule_count = self.request_count = 0
        self.run = base64.b32encode(os.urandom(5)).decode().lower()
        self.api_server = self.control_server = None
        self.counts = {}
        self.clock, self.stalls, self.settings = 0, [], {}
        self.background = set()
        self.control = {
            ("GET", "health"): lambda request: Reply(200, {"up": self.api_server is not None}),
            ("GET", "counts"): lambda request: Reply(200, self.count()),
            ("GET", "tasks"): lambda request: self.listed(request, list(self.tasks.values())),
            ("GET", "requests"): lambda request: self.listed(request, self.requests),
            ("GET", "stalls"): lambda request: self.listed(request, self.stalls),
            ("GET", "fail"): lambda request: Reply(200, {"items": [dict(r.spec, used=r.used) for r in self.rules]}),
            ("DELETE", "fail"): lambda request: self.control_forgive(),
            ("POST", "fail"): self.control_fail,
            ("POST", "reset"): lambda request: self.control_reset(),
            ("POST", "down"): self.control_down,
            ("POST", "up"): lambda request: self.control_up(),
            ("GET", "config"): lambda request: Reply(200, self.config()),
            ("POST", "config"): self.control_config,
        }

    # ---- what a stand-in fills in

    def handle(self, request):
        """Does the work of one API request and answers a Reply."""
        raise NotImplementedError

    def config(self):
        return dict(self.settings)

    def configure(self, settings):
        for name, value in settings.items():
            if name in self.adjustable:
                setattr(self, name, value)
            elif name in self.settings:
                self.settings[name] = value
            else:
                raise ValueError(f"{name}: no such setting")

    def count(self):
        return {"requests": self.request_count, "tasks": len(self.tasks), "statuses": self.counts}

    # ---- serving

    def next_request_id(self):
        self.request_count += 1
        return f"{self.run}-{self.request_count:08d}"

    def serve(self, connection, request):
        if request.path.startswith("/_control/"):
            connection.transport.write(encode(self.steer(request), "control"))
            return
        rule = next((rule for rule in self.rules if rule.takes(request)), None)
        request_id = self.next_request_id()
        close = request.headers.get("connection", "").lower() == "close"
        if rule is None:
            self.answer(connection, self.worked(request, request_id, None), request_id, close)
            return
        connection.busy = True
        self.spawn(self.misbehave(connection, request, rule, request_id, close))

    def worked(self, request, request_id, rule):
        reply = self.handle(request)
        self.record(request, request_id, reply.status, rule, reply.note)
        return reply

    def answer(self, connection, reply, request_id, close):
        if connection.transport.is_closing():
            return
        connection.transport.write(encode(reply, request_id, close))
        if close:
            connection.transport.close()

    async def misbehave(self, connection, request, rule, request_id, close):
        action, spec = rule.action, rule.spec
        if action == "delay":
            await asyncio.sleep(spec.get("seconds", 1))
            self.answer(connection, self.worked(request, request_id, action), request_id, close)
        elif action == "status" and not spec.get("after"):
            reply = rule.reply(self.clock)
            self.record(request, request_id, reply.status, action, None)
            self.answer(connection, reply, request_id, close)
        elif action in ("hang", "reset") and not spec.get("after"):
            self.record(request, request_id, 0, action, None)
        else:
            reply = self.worked(request, request_id, action)
            if action == "status":
                self.answer(connection, rule.reply(self.clock), request_id, close)
            elif action == "truncate":
                whole = encode(Reply(reply.status, body=reply.body + b" " * 64), request_id)
                connection.transport.write(whole[:-40])
                connection.transport.close()
            elif action == "garbage":
                self.answer(connection, Reply(reply.status, body=b"<html>\x00\xff it works"), request_id, close)
            elif action == "nonsense":
                connection.transport.write(b"SSH-2.0-nonsense\r\n")
                connection.transport.close()
            elif action == "drip":
                await self.drip(connection, encode(reply, request_id, close), spec.get("every", 0.1))
            elif action == "huge":
                await self.flood(connection, reply, request_id, spec)
        if action == "reset":
            connection.reset()
        if action != "hang":
            connection.busy = False
            connection.work()

    @staticmethod
    async def drip(connection, answer, seconds):
        for byte in answer:
            if connection.transport.is_closing():
                return
            connection.transport.write(bytes((byte,)))
            await asyncio.sleep(seconds)

    @staticmethod
    async def flood(connection, reply, request_id, spec):
        """Never held whole in memory here; what the other side does with it is its test."""
        piece, size = b" " * 65536, spec.get("bytes", 100_000_000)
        length = b"Content-Length: %d\r\n" % size if spec.get("length", True) else b""
        head = encode(Reply(reply.status, body=b""), request_id, True)
        connection.transport.write(head.replace(b"Content-Length: 0\r\n", length))
        for _ in range(size // len(piece) + 1):
            while connection.transport.get_write_buffer_size() > len(piece):
                await asyncio.sleep(0.001)
            if connection.transport.is_closing():
                return
            connection.transport.write(piece)
        connection.transport.close()

    def record(self, request, request_id, status, rule, note):
        self.counts[str(status)] = self.counts.get(str(status), 0) + 1
        try:
            body, coding = request.body.decode(), "text"
        except UnicodeDecodeError:
            body, coding = base64.b64encode(request.body).decode(), "base64"
        self.requests.append({
            "n": len(self.requests), "time": request.time, "request_id": request_id, "method": request.method,
            "path": request.target, "status": status, "rule": rule, "note": note, "coding": coding, "body": body,
            "headers": {k: v for k, v in request.headers.items() if k not in self.secret_headers},
        })

    def spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return task

    # ---- control

    def steer(self, request):
        name = request.path[len("/_control/") :]
        command = self.control.get((request.method, name))
        if command is None:
            known = sorted({f"{method} /_control/{known}" for method, known in self.control})
            return Reply(404, {"error": f"no {request.method} {request.path}", "known": known})
        try:
            return command(request)
        except (ValueError, KeyError, TypeError) as error:
            return Reply(400, {"error": f"{type(error).__name__}: {error}"})

    def listed(self, request, items):
        query = dict(urllib.parse.parse_qsl(request.query))
        since = int(query.get("since", 0))
        stop = since + int(query.get("limit", len(items)))
        return Reply(200, {"items": items[since:stop], "total": len(items)})

    def control_fail(self, request):
        self.rule_count += 1
        self.rules.append(Rule(self.rule_count, json.loads(request.body)))
        return Reply(200, {"rule": self.rule_count})

    def control_forgive(self):
        self.rules.clear()
        return Reply(200, {})

    def control_reset(self):
        self.requests.clear()
        self.tasks.clear()
        self.rules.clear()
        self.counts.clear()
        return Reply(200, {})

    def control_config(self, request):
        self.configure(json.loads(request.body))
        return Reply(200, self.config())

    def control_down(self, request):
        seconds = json.loads(request.body or b"{}").get("seconds")
        self.close_api()
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.control_up)
        return Reply(200, {})

    def control_up(self):
        if self.api_server is None:
            self.spawn(self.open_api())
        return Reply(200, {})

    def close_api(self):
        if self.api_server is not None:
            self.api_server.close()
            self.api_server = None
        for connection in list(self.connections):
            connection.reset()

    async def open_api(self):
        loop = asyncio.get_running_loop()
        self.api_server = await loop.create_server(
            lambda: Connection(self, True), self.host, self.port, reuse_address=True, backlog=1024)
        self.port = self.api_server.sockets[0].getsockname()[1]

    async def open(self):
        loop = asyncio.get_running_loop()
        await self.open_api()
        self.control_server = await loop.create_server(lambda: Connection(self, False), self.host, self.control_port)
        self.control_port = self.control_server.sockets[0].getsockname()[1]

    async def run_until_killed(self, **ready):
        await self.open()
        print(json.dumps(dict(ready, port=self.port, control_port=self.control_port)), flush=True)
        await watch_stalls(self.stalls)


class Courier:
    """Sends webhooks the way the vendor does: at most `deliveries` attempts, again only after a status > 399
    or no answer at all. Keeps a log of every attempt."""

    def __init__(self, concurrency=16, timeout=15.0, deliveries=3, retry_delay=0.2):
        self.timeout, self.deliveries, self.retry_delay = timeout, deliveries, retry_delay
        self.concurrency, self.slots = concurrency, None
        self.log, self.given_up = [], []

    async def deliver(self, url, headers_of, body, tag):
        """headers_of(attempt) makes the headers. Answers whether one attempt was taken."""
        if self.slots is None:
            self.slots = asyncio.Semaphore(self.concurrency)
        for attempt in range(1, self.deliveries + 1):
            async with self.slots:
                entry = dict(tag, attempt=attempt, time=time.time(), status=None, error=None)
                try:
                    entry["status"] = await asyncio.wait_for(self.post(url, headers_of(attempt), body), self.timeout)
                except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                    entry["error"] = f"{type(error).__name__}: {error}"
                entry["seconds"] = round(time.time() - entry["time"], 4)
                self.log.append(entry)
            if entry["status"] is not None and entry["status"] <= 399:
                return True
            if attempt < self.deliveries:
                await asyncio.sleep(self.retry_delay)
        self.given_up.append(tag)
        return False

    @staticmethod
    async def post(url, headers, body):
        parts = urllib.parse.urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            head = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}",
                    "Content-Type: application/json", "Connection: close"]
            head += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
            await writer.drain()
            line = await reader.readline()
            if not line.startswith(b"HTTP/1."):
                raise ValueError(f"no HTTP answer: {line[:40]!r}")
            await reader.read()
            return int(line.split()[1])
        finally:
            writer.close()


def command_line(what):
    """The options that every stand-in has; each is an argument of its constructor."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    return parser


def main_loop(standin, **ready):
    try:
        asyncio.run(standin.run_until_killed(**ready))
    except KeyboardInterrupt:
        sys.exit(0)
