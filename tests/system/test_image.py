# SPDX-License-Identifier: Apache-2.0
"""The image that deploy/Dockerfile builds, run as a container that may do next to nothing: another user than root, a
read-only root, no capability, 64 MB; beside a mosquitto in a container of its own."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import threading
import time
import uuid

import pytest

import busbar_harness as harness
import container
from busbar_harness import ROOT, hot_route, http_call, wait_until
from container import do, inspect
from test_isolation import children, shown
from flood import each_became_one_task, flood, numbered
from test_reload import lines

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("container")]
DRAIN = 10  # seconds: core/cmd_run.c
GRACE = 20  # seconds: terminationGracePeriodSeconds of deploy/k8s, the drain and a margin


@pytest.fixture(scope="module")
def image():
    return container.image()


@pytest.fixture
def broker(image, tmp_path, logs):
    """In the other tests' place of it: everything that they are given talks to this one."""
    with container.Broker(tmp_path / "broker", logs) as broker:
        yield broker


@pytest.fixture
def contained(image, tmp_path, logs, broker, sandbox):
    """contained(routes, options=podman's, **sections): busbar in a container between the broker and the stand-in."""
    made = []

    def make(routes=None, options=(), start=True, target=None, **sections):
        folder = tmp_path / f"busbar{len(made)}"
        folder.mkdir()
        store = {"path": "/var/lib/busbar/busbar.db"}
        config = harness.configuration(folder, broker, {"mw": harness.mw_target(
            sandbox, api_key="${file:secrets/mw-api-key}", **(target or {}))}, routes or [hot_route()],
            **{"store": store, **sections})
        daemon = container.Busbar(folder, logs, config, image, options)
        made.append(daemon)
        secrets = folder / "secrets"
        secrets.mkdir()
        (secrets / "mw-api-key").write_text(harness.KEY)
        (secrets / "mw-api-key").chmod(0o400)
        os.chown(secrets / "mw-api-key", container.USER, container.USER)
        sandbox.configure(webhook_url=f"http://127.0.0.1:{daemon.hook_port}/hooks/mw", life={"scheduled": 0})
        if start:
            daemon.start()
        return daemon

    yield make
    for daemon in made:
        daemon.remove()


# ---- what is in it

def test_the_image_says_how_it_is_run_and_is_small(image):
    told = inspect(image, "image")
    config = told["Config"]
    print(f"image: {told['Size'] / 1e6:.1f} MB")
    assert told["Size"] < 30e6
    assert config["User"] == f"{container.USER}:{container.USER}" and config["StopSignal"] in ("SIGTERM", "15")
    assert config["Entrypoint"] == ["/usr/bin/busbar"] and config["Cmd"] == ["run"]
    assert told["HealthCheck" if "HealthCheck" in told else "Healthcheck"]["Test"] == \
        ["CMD", "/usr/bin/busbar", "status", "--ready"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "busbar"
    version = do(*container.RUN, "--rm", image, "--version").stdout
    assert labels["org.opencontainers.image.version"] in version
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{7,}|unknown", labels["org.opencontainers.image.revision"])


def test_the_image_holds_what_it_needs_and_nothing_else(image):
    root = do("podman", "image", "mount", image).stdout.strip()
    try:
        found = {path: os.lstat(path) for folder, _, names in os.walk(root) for name in names
                 for path in [os.path.join(folder, name)]}
        there = {os.path.relpath(path, root) for path in found}
        programs = {path for path in there if path.startswith(("bin/", "usr/bin/", "usr/sbin/", "sbin/"))}
        assert programs == {"usr/bin/busbar"}, "no shell, no tool: nothing to run but busbar"
        loose = [path for path, stat in found.items() if stat.st_mode & 0o6002 and not os.path.islink(path)]
        assert loose == [], "setuid, or to be written by everyone"
        owned = [path for path, stat in found.items() if stat.st_uid or stat.st_gid]
        assert owned == [], "busbar's user owns no file, only the store's folder"
        store = os.stat(os.path.join(root, "var/lib/busbar"))
        assert (store.st_uid, store.st_mode & 0o777) == (container.USER, 0o700)
        assert "usr/share/zoneinfo/Europe/Paris" in there
        with open(os.path.join(root, "etc/ssl/certs/ca-certificates.crt"), encoding="ascii") as bundle:
            assert bundle.read().count("BEGIN CERTIFICATE") > 50
        described = {path.rsplit("/", 1)[1] for path in there if path.startswith("var/lib/dpkg/status.d/")}
        assert {"libc6", "libcurl4", "libssl3", "libsqlite3-0", "tzdata", "ca-certificates"} <= described
        assert {f"usr/share/doc/{name}/copyright" for name in described} <= there
        ours = [os.path.join(root, path) for path in there if re.search(r"(bin/busbar|busbar/plugins/\w+\.so)$", path)]
        assert len(ours) >= 4
        do(ROOT / "tests/lint/hardened", *ours)
    finally:
        do("podman", "image", "unmount", image)
    assert "good" in do(*container.RUN, *container.STRICT, "--rm", image, "check").stdout, "a configuration to begin with"
    plugins = do(*container.RUN, *container.STRICT, "--rm", image, "plugins", "list").stdout
    ours = {path.parent.name for path in (ROOT / "plugins").glob("*/*.c")} - {"common"}
    assert ours and all(re.search(rf"^{name}\b.*$", plugins, re.MULTILINE) for name in ours), plugins
    assert "cannot be loaded" not in plugins


def test_further_plugins_are_mounted_beside_them(image):
    folder = harness.BINARY.parent / "tests" / "plugins"
    listed = do(*container.RUN, *container.STRICT, "--rm", "-v", f"{folder}:/plugins:ro", image, "plugins", "list").stdout
    assert re.search(r"^good\b", listed, re.MULTILINE) and re.search(r"^mobility_work\b", listed, re.MULTILINE)


def test_the_pages_own_command_runs_it(image, broker, tmp_path):
    """deploy/README.md's `podman run`: the folder, the names and the network are the test's, the rest as it stands."""
    page = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    words = shlex.split(re.search(r"^```text run\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1].replace("\\\n", " "))
    name = f"busbar-test-{uuid.uuid4().hex[:12]}"
    folder = tmp_path / "etc"
    folder.mkdir()  # the folder above is nobody else's to read
    (folder / "busbar.yaml").write_text(
        f"bus: {{url: '{broker.url}'}}\nstore: {{path: /var/lib/busbar/busbar.db}}\n"
        f"http: {{admin: '127.0.0.1:{harness.free_port()}'}}\n")
    assert words[:3] == ["podman", "run", "-d"] and words[-1].startswith("busbar:")
    assert f"--stop-timeout={GRACE}" in words
    at = words.index("-p")
    words[at:at + 2] = []
    swap = {"./busbar:/etc/busbar:ro": f"{folder}:/etc/busbar:ro", "busbar": name,
            "busbar-store:/var/lib/busbar": f"{name}:/var/lib/busbar", words[-1]: image}
    try:
        do(*container.RUN, *(swap.get(word, word) for word in words[2:]))
        wait_until(lambda: do("podman", "--runtime", "runc", "healthcheck", "run", name, expect=None).returncode == 0,
                   20, "healthy")
        do("podman", "stop", name)
        assert inspect(name)["State"]["ExitCode"] == 0
    finally:
        do("podman", "rm", "--force", name, expect=None)
        do("podman", "volume", "rm", "--force", name, expect=None)


# ---- what it does

def test_the_main_job_passes_inside(contained, broker, sandbox, publisher, subscribe):  # MW-E08, MW-W05
    events = subscribe("busbar/events/mw/#")
    daemon = contained([hot_route()])
    for celsius in (70, 90.5, 91):
        publisher.publish("plant/l1/m7/temperature", {"celsius": celsius})
    (task,) = wait_until(sandbox.tasks, 10, "a task")
    assert task["body"]["description"] == "Bearing at 90.5 °C on m7"
    sandbox.tell(task["id"], "TaskWasCompleted")
    wait_until(lambda: events.seen("busbar/events/mw/work_order/completed"), 10, "the event")
    assert "work_order.completed" in events.seen("busbar/events/mw/work_order/completed")[0].payload.decode()
    assert len(daemon.deliveries(state="delivered")) >= 1, "its command line works inside"

    status = dict(line.split(":\t", 1) for line in daemon.proc("status").splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(container.USER)] * 4 and status["Gid"].split() == [str(container.USER)] * 4
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["NSpid"].split()[-1] == "1"
    mounts = [line.split() for line in daemon.proc("mountinfo").splitlines()]
    writable = {mount[4] for mount in mounts if "rw" in mount[5].split(",")}
    # /proc, /dev and /sys are the kernel's; what podman puts into /etc and /run is a file each.
    kernels = re.compile(r"/(proc|dev|sys|etc|run)(/|$)")
    assert {path for path in writable if not kernels.match(path)} == {"/var/lib/busbar"}, "the store, nothing else"
    files = os.listdir(inspect(daemon.volume, "volume")["Mountpoint"])
    assert all(name.startswith("busbar.db") for name in files) and "busbar.db" in files


def test_the_same_binary_answers_its_probes(contained, broker, sandbox):
    daemon = contained([hot_route()])
    assert daemon.cli("status", "--ready").stdout == "ready\n" and daemon.healthy()
    assert daemon.get("/healthz").status == daemon.get("/readyz").status == 200
    broker.kill()
    wait_until(lambda: not daemon.healthy(), 20, "unhealthy without the broker")
    refused = daemon.cli("status", "--ready", expect=1)
    assert "bus" in refused.stdout
    assert daemon.get("/healthz").status == 200 and daemon.get("/readyz").status == 503
    broker.start()
    wait_until(daemon.healthy, 30, "healthy again")


def test_64_megabytes_are_enough(contained, sandbox, publisher, full, image):
    """A target that is away, and what waits for it."""
    if not container.limits_memory(image):
        pytest.skip("LOUD: the cgroups of this machine take no memory limit")
    count = 100_000 if full else 10_000
    daemon = contained([numbered()])
    assert daemon.cgroup_memory("limit") == container.LIMIT
    idle, _ = daemon.memory()
    daemon.cli("targets", "hold", "mw")
    for n in range(count):
        publisher.send(f"plant/l1/m{n % 100}/job", {"n": n})
        if n % 1000 == 999:
            publisher.flush()  # paho's own queue is slow when it is long
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", state="pending") == count, 120, "all stored")
    loaded, highest = daemon.memory()
    print(f"resident: idle {idle / 2**20:.1f} MiB, with {count} pending {loaded / 2**20:.1f} MiB, "
          f"highest {highest / 2**20:.1f} MiB")
    assert idle < 24 << 20 and highest < 48 << 20
    assert daemon.runs() and daemon.ready()


def test_an_isolated_plugin_runs_inside(contained, sandbox, publisher):
    """The container's own filter of calls, its memory and its 32 processes leave the child its place."""
    daemon = contained([numbered()], target={"isolate": True})
    for n in range(200):
        publisher.send(f"plant/l1/m{n % 20}/job", {"n": n})
    wait_until(lambda: len(sandbox.tasks()) == 200, 60, "the tasks")
    (child,) = children(daemon.pid())
    status = dict(line.split(":\t", 1) for line in daemon.proc("status", child).splitlines() if ":\t" in line)
    print(f"resident: the plugin's process {status['VmRSS']}")
    assert status["Seccomp"] == "2" and status["Uid"].split() == [str(container.USER)] * 4
    assert re.search(r"^Max processes +0 +0 ", daemon.proc("limits", child), re.MULTILINE)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: children(daemon.pid()) not in ([child], []), 10, "another one")
    publisher.publish("plant/l1/m1/job", {"n": 200})
    wait_until(lambda: len(sandbox.tasks()) == 201, 20, "a task through it")
    assert shown(daemon, "mw")["process"]["restarts"] == 1 and daemon.end() == 0


# ---- signals

def test_sigterm_ends_it_in_time(contained, sandbox, publisher):
    daemon = contained([numbered()])
    began = time.monotonic()
    assert daemon.end() == 0
    idle = time.monotonic() - began
    daemon.start()
    sandbox.fail("hang", path="/partners/v1/tasks")
    publisher.publish("plant/l1/m1/job", {"n": 1})
    wait_until(lambda: sandbox.requests("/partners/v1/tasks"), 10, "a request that gets no answer")
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.get("/readyz").status == 503, 5, "not ready first")
    assert b"draining" in daemon.get("/readyz").body and daemon.get("/healthz").status == 200
    with pytest.raises(OSError):
        http_call(daemon.hook_port, "POST", "/hooks/mw", b"{}")
    wait_until(lambda: not daemon.runs(), GRACE, "the end")
    hanging = time.monotonic() - began
    assert daemon.process.returncode == 0
    print(f"SIGTERM: {idle:.1f} s idle, {hanging:.1f} s with a request in flight; grace {GRACE} s")
    assert idle < 3 and DRAIN - 1 < hanging < GRACE - 2
    sandbox.forgive()
    daemon.start()
    wait_until(sandbox.tasks, 20, "the task after the restart")


def test_sighup_starts_it_anew_inside(contained, sandbox, publisher):
    daemon = contained([numbered()])
    pid, started = daemon.pid(), daemon.api("GET", "status").json["started"]
    good = daemon.file.read_text()
    daemon.file.write_text(good.replace("mw.task.schedule", "mw.task.schedul"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: lines(daemon, "SIGHUP: the old configuration stays in force"), 20)
    assert daemon.api("GET", "status").json["started"] == started
    daemon.file.write_text(good.replace("plant/{line}", "elsewhere/{line}"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.api("GET", "status").json["started"] != started and daemon.ready(), 20, "started anew")
    assert daemon.pid() == pid and daemon.runs(), "process 1 went on"
    publisher.publish("elsewhere/l1/m1/job", {"n": 7})
    (task,) = wait_until(sandbox.tasks, 10, "a task by the new configuration")
    assert task["body"]["description"] == "command 7"
    assert daemon.healthy() and daemon.end() == 0


def test_a_rolling_restart_under_load_loses_nothing_and_doubles_nothing(contained, sandbox, publisher, full):
    """As a StatefulSet does it: SIGTERM, at most the grace period, then a new container on the same volume."""
    restarts = 10 if full else 4
    daemon = contained([numbered()], store={"path": "/var/lib/busbar/busbar.db", "durability": "power_loss"})
    sandbox.fail("delay", seconds=0.05, path="/partners/v1/tasks")  # so that there is always something in flight
    took = []
    with flood(publisher, 50, 0.05) as sent:  # a load that a target which takes 50 ms can follow
        for _ in range(restarts):
            before = len(sandbox.tasks())
            wait_until(lambda before=before: len(sandbox.tasks()) > before + 20, 30, "tasks on the way")
            began = time.monotonic()
            assert daemon.end(GRACE) == 0
            took.append(time.monotonic() - began)
            daemon.start(ready=False)
        daemon.wait_ready()
    sandbox.forgive()
    each_became_one_task(daemon, sandbox, sent)
    assert daemon.deliveries(state="rejected") == []
    print(f"{restarts} restarts, {len(sent)} messages: none lost, none doubled; SIGTERM to exit "
          f"{min(took):.1f} to {max(took):.1f} s")


# ---- names and trust, which a scratch image is the first to lack

class Resolver(threading.Thread):
    """A name server of one name, at port 53 of a loopback address of its own."""

    address = "127.53.53.53"

    def __init__(self, name):
        super().__init__(daemon=True)
        self.wanted, self.asked = name, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 53))

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                question, peer = self.socket.recvfrom(512)
                self.socket.sendto(self.answer(question), peer)

    def answer(self, message):
        at, labels = 12, []
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        name, kind, question = ".".join(labels), message[at + 1:at + 3], message[12:at + 5]
        self.asked.append(name)
        known, has = name == self.wanted, name == self.wanted and kind == b"\0\1"  # an A record, nothing else
        flags = b"\x84\0" if known else b"\x84\3"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if has else b""
        return message[:2] + flags + b"\0\1" + (b"\0\1" if has else b"\0\0") + bytes(4) + question + record


def test_names_are_looked_up(contained, broker, tmp_path):
    """By DNS, with what is in the image: there is no libnss file in it, glibc has them built in."""
    try:
        server = Resolver("broker.plant.example")
    except OSError as error:
        pytest.skip(f"LOUD: no port 53 at {Resolver.address} for a name server: {error}")
    server.start()
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(f"nameserver {server.address}\n")
    try:
        daemon = contained(options=["-v", f"{configuration}:/etc/resolv.conf:ro"],
                           bus={"url": f"mqtt://broker.plant.example:{broker.port}"})
        assert daemon.ready() and server.wanted in server.asked
    finally:
        server.socket.close()


def test_the_systems_authorities_are_trusted(contained, image, tmp_path, logs):
    """A TLS broker whose authority is the only one in what the system trusts, and one whose is not in it."""
    if shutil.which("openssl") is None:
        pytest.skip("LOUD: no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    do("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
       "-subj", "/CN=broker.plant.example", "-addext", "subjectAltName=DNS:broker.plant.example")
    folder = tmp_path / "tls"
    folder.mkdir()
    secure = container.Broker(folder, logs, certfile=folder / "cert.pem", keyfile=folder / "key.pem")
    for file in (key, certificate):
        (folder / file.name).write_bytes(file.read_bytes())
    secure.start()
    url = f"mqtts://broker.plant.example:{secure.port}"
    hosts = ["--add-host=broker.plant.example:127.0.0.1"]
    try:
        stranger = contained(options=hosts, start=False, bus={"url": url})
        stranger.start(ready=False)
        wait_until(lambda: lines(stranger, "bus cannot be connected"), 20, "a refused certificate")
        assert not stranger.ready()
        stranger.kill()
        trusting = contained(options=[*hosts, "-v", f"{certificate}:/etc/ssl/certs/ca-certificates.crt:ro"], bus={"url": url})
        assert trusting.ready()
        trusting.kill()
    finally:
        secure.kill()
