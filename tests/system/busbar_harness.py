# SPDX-License-Identifier: Apache-2.0
"""What the system tests are made of: a real broker, the stand-in, busbar itself, MQTT and HTTP helpers.

Nothing here sleeps to let something happen: wait_until() polls a condition and has a deadline.
Ports are free ones of the loopback; every process logs into the test's folder (conftest.py shows the
logs of a failed test) and is killed by the fixture that started it.
"""

import contextlib
import fcntl
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ROOT = pathlib.Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "tests" / "sandbox"
sys.path.insert(0, str(SANDBOX))

from mobility_work import sign  # noqa: E402  (the stand-in's signature is the tests' too)

DATA = ROOT.parent / "shared" / "data"
BINARY = pathlib.Path(os.environ.get("BUSBAR_BIN", ROOT / "build" / "release" / "busbar"))
KEY = "0123456789abcdef0123456789abcdef01234567"
SECRET = "busbar-test-secret"
NETWORK_ID = "17df9a0f-5c04-43c8-b010-b48e1237e6ff"


PORTS = itertools.cycle(range(0, 1500))


def free_port():
    """One that nobody listens on, and that neither another worker of the run nor an outgoing connection is given before it
    is used: below the ephemeral ports, from the worker's own range."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10
    for n in PORTS:
        port = 15000 + 1500 * worker + (n + os.getpid() * 37) % 1500
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition, deadline=10.0, what=None):
    """The first true value of condition(), asked again and again; fails past the deadline (seconds)."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what or condition}; last value: {value!r}")
        time.sleep(0.02)


def npm_modules(source, folder, files=()):
    """What package-lock.json in `source` pins, installed once in `folder`, whichever worker comes first; its node_modules."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("LOUD: no node or npm here")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("package.json", "package-lock.json", *files):
            shutil.copy(source / name, folder)
        stamp, wanted = folder / "installed", (source / "package-lock.json").read_text()
        if not stamp.exists() or stamp.read_text() != wanted:
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=False,
                                  capture_output=True, text=True, timeout=300)
            if done.returncode != 0:
                pytest.skip(f"LOUD: npm cannot install {source.name}: {done.stderr.strip()[-300:]}")
            stamp.write_text(wanted)
    return folder / "node_modules"


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def http_call(port, method, path, body=None, headers=None, timeout=30, host="127.0.0.1"):
    """One request. A dict or list goes out as JSON, bytes as they are."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Process:
    """A child with a folder and its log in it, killed at the end of its `with`. Subclasses say start()."""

    name = "process"

    def __init__(self, folder, logs):
        self.folder, self.process = folder, None
        folder.mkdir(exist_ok=True)
        self.log = folder / f"{self.name}.log"
        logs[f"{self.name} {len(logs)}"] = self.log

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.kill()

    def environment(self):
        return dict(os.environ)

    def launch(self, command, stdout=None):
        assert self.process is None or self.process.poll() is not None, f"{self.name} still runs"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log,
                                            env=self.environment(), cwd=self.folder)

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def wait_up(self, condition, deadline, what):
        def up():
            assert self.runs(), f"{self.name} ended with {self.process.poll()}:\n{self.tail()}"
            return condition()
        wait_until(up, deadline, f"{self.name} {what}")

    def tail(self, lines=60):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self):
        if self.runs():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def terminate(self, deadline=20):
        """SIGTERM; answers the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {deadline} s of SIGTERM:\n{self.tail()}") from None


class Broker(Process):
    """mosquitto with persistent sessions that survive its restart, and no limit on its queues."""

    name = "mosquitto"

    def __init__(self, folder, logs, **settings):
        super().__init__(folder, logs)
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        lines = {"listener": f"{self.port} 127.0.0.1", "allow_anonymous": "true", "persistence": "true",
                 "persistence_location": f"{folder}/", "max_queued_messages": "0", "max_inflight_messages": "0",
                 "log_dest": "stderr", **settings}
        if os.geteuid() == 0:
            lines["user"] = "root"  # else it drops to a user that may not write the test's folder
        self.config.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))

    def start(self):
        program = next((p for p in ("/usr/sbin/mosquitto", "/usr/bin/mosquitto") if os.path.exists(p)), "mosquitto")
        self.launch([program, "-c", str(self.config)])
        self.wait_up(lambda: listens(self.port), 10, "does not listen")

    def stop(self):
        self.terminate()

    def forget(self):
        """Comes back without a memory: no session, no retained message."""
        self.terminate()
        (self.folder / "mosquitto.db").unlink(missing_ok=True)
        self.start()

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"


class Sandbox(Process):
    """The stand-in, steered over its control port."""

    name = "stand-in"
    program = "mobility_work.py"

    def __init__(self, folder, logs, *arguments):
        super().__init__(folder, logs)
        self.arguments = arguments
        self.port = self.control_port = 0

    def start(self):
        self.launch([sys.executable, str(SANDBOX / self.program), "--key", KEY, "--port", str(self.port),
                     "--control-port", str(self.control_port), *self.arguments], stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line, f"the stand-in did not start:\n{self.tail()}"
        ready = json.loads(line)
        self.port, self.control_port = ready["port"], ready["control_port"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def control(self, method, name, body=None):
        answer = http_call(self.control_port, method, f"/_control/{name}", body, timeout=120)
        assert answer.status == 200, f"{method} {name}: {answer.status} {answer.body}"
        return answer.json

    def items(self, name):
        return self.control("GET", name)["items"]

    def tasks(self):
        return self.items("tasks")

    def requests(self, path=None):
        return [r for r in self.items("requests") if path is None or r["path"] == path]

    def counts(self):
        return self.control("GET", "counts")

    def fail(self, action, **rule):
        return self.control("POST", "fail", dict(rule, action=action))

    def forgive(self):
        self.control("DELETE", "fail")

    def configure(self, **settings):
        return self.control("POST", "config", settings)

    def send(self, event, **command):
        """Webhooks of an event; answers their idempotency keys."""
        return self.control("POST", "webhook", dict(command, event=event))["keys"]

    def tell(self, task, event):
        return self.control("POST", "task", {"task": task, "event": event})["key"]


class AsseticSandbox(Sandbox):
    """The stand-in for Brightly Assetic (see tests/sandbox/assetic.py)."""

    name = "assetic"
    program = "assetic.py"

    def orders(self):
        return self.items("orders")

    def asked(self, path):
        """The requests for a path, whatever the query."""
        return [r for r in self.items("requests") if r["path"].partition("?")[0] == path]

    def set_status(self, order, status):
        return self.control("POST", "status", {"order": order, "status": status})


class FactVerseSandbox(Sandbox):
    """The stand-in for FactVerse (see tests/sandbox/factverse.py)."""

    name = "factverse"
    program = "factverse.py"

    def orders(self):
        return self.items("orders")

    def change(self, order, **fields):
        return self.control("POST", "change", {"order": order, **fields})


class AtlasSandbox(Sandbox):
    """The stand-in for Atlas CMMS (see tests/sandbox/atlas.py)."""

    name = "atlas"
    program = "atlas.py"

    def orders(self):
        return self.items("orders")


class ErpNextSandbox(Sandbox):
    """The stand-in for ERPNext's Issues (see tests/sandbox/erpnext.py)."""

    name = "erpnext"
    program = "erpnext.py"

    def orders(self):
        return self.items("issues")


class IdentitySandbox(Sandbox):
    """The stand-in for an identity provider and the API behind it (see tests/sandbox/identity.py)."""

    name = "identity"
    program = "identity.py"


class Proxy(Process):
    """A TCP proxy before `to_port` that delays, stalls, drops, resets and refuses (see tests/sandbox/proxy.py)."""

    name = "proxy"

    def __init__(self, folder, logs, to_port, certificate=()):
        super().__init__(folder, logs)
        self.to_port, self.port, self.control_port, self.certificate = to_port, 0, 0, certificate

    def start(self):
        tls = ["--tls", *self.certificate] if self.certificate else []
        self.launch([sys.executable, str(SANDBOX / "proxy.py"), "--to", f"127.0.0.1:{self.to_port}", *tls],
                    stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line, f"the proxy did not start:\n{self.tail()}"
        ready = json.loads(line)
        self.port, self.control_port = ready["port"], ready["control_port"]

    def control(self, method, name, body=None):
        answer = http_call(self.control_port, method, f"/_control/{name}", body)
        assert answer.status == 200, f"{method} {name}: {answer.status} {answer.body}"
        return answer.json

    def state(self):
        return self.control("GET", "state")

    def set(self, **faults):
        return self.control("POST", "faults", faults)

    def heal(self):
        return self.control("POST", "heal")

    def cut(self, how="reset"):
        return self.control("POST", "cut", {"how": how})

    def show(self, certificate):
        """Another certificate, as (cert, key), from the next connection on."""
        self.control("POST", "certificate", dict(zip(("cert", "key"), map(str, certificate))))


class Metrics:
    """A scrape: {(name, ((label, value), ..)): number}."""

    line = re.compile(r'([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)$')
    label = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text, self.values = text, {}
        for line in text.splitlines():
            match = None if line.startswith("#") else self.line.match(line)
            if match:
                labels = tuple(sorted(self.label.findall(match[2] or "")))
                self.values[match[1], labels] = float(match[3])

    def sum(self, name, /, **labels):
        wanted = set(labels.items())
        return sum(v for (n, has), v in self.values.items() if n == name and wanted <= set(has))

    def has(self, name):
        return any(n == name for n, _ in self.values)


class Busbar(Process):
    """The daemon with its configuration, and its command line."""

    name = "busbar"

    def __init__(self, folder, logs, config):
        super().__init__(folder, logs)
        self.file = folder / "busbar.yaml"
        self.config = config
        self.write()

    def write(self):
        """With BUSBAR_TEST_ISOLATE, every plugin runs in a process of its own."""
        config = self.config
        if os.environ.get("BUSBAR_TEST_ISOLATE") and isinstance(config, dict):
            targets = {name: {"isolate": True, **settings} for name, settings in config["targets"].items()}
            config = {**config, "targets": targets}
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        self.file.write_text(text)
        self.admin_port, self.hook_port = self.port_of("admin", text), self.port_of("webhooks", text)

    @staticmethod
    def port_of(listener, text):
        """The port in a line such as `admin: 127.0.0.1:9080`; the text need be no good YAML."""
        match = re.search(rf"\b{listener}: \S*:(\d+)", text)
        return int(match[1]) if match else 0

    def end(self):
        """After a test. What is killed counts no lines: that build is let go by itself."""
        if self.runs() and BINARY.parent.name == "coverage":
            with contextlib.suppress(AssertionError):
                self.terminate()
        self.kill()

    def environment(self):
        return dict(os.environ, BUSBAR_PLUGIN_PATH=os.environ.get("BUSBAR_PLUGIN_PATH", str(BINARY.parent / "plugins")))

    def start(self, ready=True, deadline=30):
        self.launch([str(BINARY), "run", "-c", str(self.file)])
        if ready:
            self.wait_ready(deadline)

    def wait_ready(self, deadline=30):
        self.wait_up(self.ready, deadline, "is not ready")

    def ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/readyz").status == 200
        return False

    def get(self, path):
        return http_call(self.admin_port, "GET", path)

    def api(self, method, path, body=None):
        return http_call(self.admin_port, method, f"/api/v1/{path}", body)

    def metrics(self):
        answer = self.get("/metrics")
        assert answer.status == 200
        return Metrics(answer.body.decode())

    def hook(self, body, target="mw", headers=None, secret=SECRET, when=None, nonce=None, method="POST"):
        """One webhook from us; signed unless secret is None."""
        head = {"Content-Type": "application/json", "User-Agent": "Mobility Work - Webhook Service v1"}
        if secret is not None:
            head["X-MW-Signature"] = sign(secret, body, when, nonce)
        return http_call(self.hook_port, method, f"/hooks/{target}", body, {**head, **(headers or {})})

    def cli(self, *arguments, config=True, expect=0, stdin=None):
        """A verb with its arguments; -c is put behind them. expect None: any exit status."""
        command = [str(BINARY), *arguments] + (["-c", str(self.file)] if config else [])
        done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=120, check=False,
                              env=self.environment(), cwd=self.folder)
        if expect is not None:
            assert done.returncode == expect, (f"{' '.join(command)}: exit {done.returncode}, wanted {expect}\n"
                                               f"{done.stdout}\n{done.stderr}")
        return done

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "--json").stdout)

    def deliveries(self, **filters):
        arguments = [part for name, value in filters.items() for part in (f"--{name}", str(value))]
        return self.json("queue", "list", *arguments)["items"]


class Subscriber:
    """Collects what arrives on filters. As MQTT 5, so that properties are seen."""

    def __init__(self, port, *filters):
        self.messages, self.ready, self.lock = [], threading.Event(), threading.Lock()
        self.filters = filters
        self.client = paho.Client(client_id="", protocol=paho.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe([(f, paho.SubscribeOptions(qos=1)) for f in filters])
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = self.took
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10), f"no SUBACK for {filters}"

    def took(self, _client, _data, message):
        with self.lock:
            self.messages.append(message)

    def seen(self, topic=None):
        with self.lock:
            return [m for m in self.messages if topic is None or paho.topic_matches_sub(topic, m.topic)]

    def payloads(self, topic=None):
        return [json.loads(m.payload) for m in self.seen(topic)]

    def wait(self, topic, count=1, deadline=10):
        wait_until(lambda: len(self.seen(topic)) >= count, deadline, f"{count} messages on {topic}")
        return self.seen(topic)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Publisher:
    """Publishes at QoS 1 and waits for the broker's acknowledgements."""

    def __init__(self, port):
        self.connected, self.acked, self.sent = threading.Event(), 0, 0
        self.client = paho.Client(client_id="", protocol=paho.MQTTv5)
        self.client.max_inflight_messages_set(1000)
        self.client.on_connect = lambda *_: self.connected.set()
        self.client.on_publish = self.count
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.connected.wait(10), "no CONNACK"

    def count(self, *_):
        self.acked += 1

    def send(self, topic, payload, retain=False, user=None, qos=1):
        if not isinstance(payload, (bytes, str)):
            payload = json.dumps(payload)
        properties = None
        if user:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = list(user.items())
        self.sent += 1
        self.client.publish(topic, payload, qos=qos, retain=retain, properties=properties)

    def flush(self, deadline=120):
        wait_until(lambda: self.acked >= self.sent, deadline, "acknowledgements of what was published")

    def publish(self, topic, payload, **options):
        self.send(topic, payload, **options)
        self.flush(10)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


TASK_BODY = {
    "equipment": {"type": "external", "value": "${asset}"},
    "description": "Bearing at ${.celsius} °C on ${asset}",
    "startDateTime": "${now}", "endDateTime": "${now+2h}", "allDay": False,
    "assignees": ["maintenance@example.com"],
}


def command_route(name="job", topic="plant/{line}/{asset}/job", to="mw.task.schedule", **members):
    """A route without trigger: each message is a command."""
    return {"name": name, "from": topic, "to": to, "body": TASK_BODY, **members}


def hot_route(**trigger):
    return {"name": "bearing-hot", "from": "plant/{line}/{asset}/temperature",
            "trigger": {"value": "${.celsius}", "above": 85, "clear": 80, "cooldown": "0s", "key": "${line}/${asset}",
                        **trigger},
            "to": "mw.task.schedule", "body": TASK_BODY}


def mw_target(sandbox, **settings):
    """A target's settings; None takes one away."""
    target = {"plugin": "mobility_work", "url": sandbox.url, "api_key": KEY, "network_name": "Factory Inc.",
              "webhook_secret": SECRET, "mode": "write_back", "concurrency": 32,
              "retry": {"first": "200ms", "max": "1s", "attempts": 50, "max_age": "7d"}, **settings}
    return {name: value for name, value in target.items() if value is not None}


def configuration(folder, broker, targets, routes, **sections):
    """A whole busbar.yaml as a dict; further sections replace or add."""
    return {
        "instance": "edge-01", "bus": {"url": broker.url},
        "store": {"path": str(folder / "busbar.db"), "durability": "crash"},
        "http": {"webhooks": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}"},
        "targets": targets, "routes": routes, **sections}
