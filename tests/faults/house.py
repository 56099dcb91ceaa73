# SPDX-License-Identifier: Apache-2.0
"""The house that is shaken: mosquitto, busbar, Mobility Work's stand-in, and a proxy in each of the three doors. To broker
and target busbar speaks TLS, which ends in the proxy: what is counted and broken is what is said within."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import time

import paho.mqtt.client as paho

import busbar_harness as harness
from busbar_harness import wait_until
from certificates import REASONS, Authority, bad_certificate
from plant import HELD, Plant, Reader

TIMEOUT = 3  # seconds, of a request to the target
RETAINED = 500
VENDOR_WAITS = 5  # seconds between two tries of a webhook
KEYS = re.compile(rb'"_idempotencyKey":"([0-9a-zA-Z]+)"')
FAILED = re.compile(rb'"delivery":"([0-9a-f-]{36})"')


class Injection:
    """One fault as it happened. uncertain: an answer of the target may have been lost while it lasted."""

    def __init__(self, fault, uncertain):
        self.fault, self.uncertain = fault, uncertain
        self.began, self.ended = time.time(), None
        self.deaths, self.detail = [], ""


class Cage:
    """A memory cgroup whose limit is a little more than nothing; where none can be made, a limit on the address space."""

    KINDS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control"),
             ("/sys/fs/cgroup", "memory.max", "memory.events"))

    def __init__(self):
        self.folder = self.limit = self.told = None
        for parent, limit, told in self.KINDS:
            folder = pathlib.Path(parent) / f"busbar-chaos-{os.getpid()}"
            with contextlib.suppress(OSError):
                folder.mkdir()
                if (folder / limit).exists():
                    self.folder, self.limit, self.told = folder, folder / limit, folder / told
                    return
                folder.rmdir()

    def kills(self):
        """How many the kernel has killed in it."""
        return 0 if self.folder is None else int(re.search(r"^oom_kill (\d+)", self.told.read_text(), re.M)[1])

    def squeeze(self, pid):
        if self.folder is None:
            used = int(re.search(r"VmSize:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024
            resource.prlimit(pid, resource.RLIMIT_AS, (used, used))
            return
        self.limit.write_text(str(128 * 1024))
        (self.folder / "cgroup.procs").write_text(str(pid))

    def close(self):
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self.folder.rmdir()


class Meter:
    """What busbar spends, from now on."""

    def __init__(self, house):
        self.house, self.pid = house, house.daemon.process.pid
        self.cpu, self.memory, self.tries = self.cpu_seconds(), self.megabytes("VmRSS"), house.bus.state()["accepted"]

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self, name):
        return int(re.search(rf"{name}:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024

    def read(self):
        return (f"CPU {self.cpu_seconds() - self.cpu:.1f} s, memory {self.memory:.0f} -> {self.megabytes('VmRSS'):.0f} MiB"
                f" (at most {self.megabytes('VmHWM'):.0f}), {self.house.bus.state()['accepted'] - self.tries} connections"
                " to the broker tried")


class House:
    def __init__(self, folder, rate, say, outage=0):
        self.folder, self.say, self.logs, self.outage = folder, say, {}, outage
        self.injections, self.forgotten_n, self.forgotten_keys, self.forgotten_failures = [], set(), set(), set()
        self.died_alone = []
        self.cage = Cage()
        if self.cage.folder is None:
            say("LOUD: no memory cgroup can be made here: out of memory is a limit on the address space")
        self.broker = harness.Broker(self.make("broker"), self.logs)
        self.broker.start()
        ours, theirs = (Authority(self.make(name), name) for name in ("ours", "theirs"))
        self.tls, self.good = {"ca": str(ours.cert)}, ours.make("server")
        self.bad = [bad_certificate(which, ours, theirs) for which in REASONS]
        self.bus = self.proxy("bus", self.broker.port, self.good)
        self.mw = harness.Sandbox(self.make("mw"), self.logs, "--secret", harness.SECRET, "--life", "scheduled=0")
        self.mw.start()
        self.door = self.proxy("door", self.mw.port, self.good)  # the target's
        self.daemon = harness.Busbar(self.make("busbar"), self.logs, self.config())
        self.hooks = self.proxy("hooks", self.daemon.hook_port)
        self.mw.configure(webhook_url=f"http://127.0.0.1:{self.hooks.port}/hooks/mw", retry_delay=VENDOR_WAITS)
        self.reader = Reader(self.broker.port)
        self.plant = Plant(self.broker.port, rate)
        self.fill_retained()
        self.daemon.start()
        self.plant.start()

    def make(self, name):
        path = self.folder / name
        path.mkdir(parents=True)
        return path

    def proxy(self, name, port, certificate=()):
        proxy = harness.Proxy(self.make(f"{name}-proxy"), self.logs, port, certificate)
        proxy.start()
        return proxy

    def config(self):
        body = {"equipment": "${asset}", "startDateTime": "${now}", "endDateTime": "${now+1h}", "allDay": False,
                "assignees": ["maintenance@example.com"]}
        job = harness.command_route(key="${line}/${asset}", body={**body, "description": "job ${.n}"})
        hot = harness.hot_route()
        hot["body"] = {**body, "description": "hot ${.n}"}
        flood = harness.command_route("flood", "flood/{asset}", body={**body, "description": "flood ${.n}"})
        target = harness.mw_target(
            self.mw, url=f"https://localhost:{self.door.port}", tls=self.tls, concurrency=16, timeout=f"{TIMEOUT}s",
            connect_timeout="1s", retry={"first": "200ms", "max": "1s", "attempts": 10000, "max_age": "7d"})
        bus = {"url": f"mqtts://localhost:{self.bus.port}", "tls": self.tls, "keep_alive": "5s"}
        return harness.configuration(self.folder, self.broker, {"mw": target}, [job, hot, flood], bus=bus,
                                     store={"path": str(self.folder / "busbar.db")})

    def fill_retained(self):
        """Before busbar has a session: with each new one it gets all of them."""
        publisher = harness.Publisher(self.broker.port)
        for n in range(RETAINED):
            publisher.send(f"flood/a{n}", {"n": -1}, retain=True)
        publisher.flush()
        publisher.close()

    # ---- busbar

    def injection(self):
        return self.injections[-1]

    def note_death(self):
        self.injection().deaths.append(time.time())

    def ensure_runs(self):
        """Starts it again as systemd would; a death that nobody here caused is a finding."""
        if not self.daemon.runs():
            self.died_alone.append((time.time(), self.daemon.process.returncode))
            self.say(f"busbar died by itself: {self.daemon.process.returncode}")
            self.daemon.start(ready=False)

    def die(self):
        """kill -9."""
        if self.daemon.runs():
            self.daemon.kill()
            self.note_death()
        else:
            self.ensure_runs()

    def kill(self):
        self.die()
        self.daemon.start(ready=False)

    def signal(self, number):
        self.daemon.process.send_signal(number)

    def end(self):
        """SIGTERM; what does not end in time is killed."""
        self.signal(signal.SIGTERM)
        try:
            self.daemon.process.wait(20)
        except Exception:  # noqa: BLE001  (subprocess.TimeoutExpired)
            self.say("busbar did not end within 20 s of SIGTERM")
            self.died_alone.append((time.time(), "SIGTERM"))
            self.die()

    def reload(self, **bus):
        self.daemon.config["bus"].update(bus)
        self.daemon.write()
        self.signal(signal.SIGHUP)

    def wait_ready(self, deadline=60):
        def up():
            self.ensure_runs()
            return self.daemon.ready()
        wait_until(up, deadline, f"busbar is ready\n{self.daemon.tail(20)}")

    def resume_target(self):
        with contextlib.suppress(OSError):
            self.daemon.api("POST", "targets/mw/resume")

    # ---- the broker

    def stop_broker(self):
        if self.broker.runs():
            self.broker.stop()

    def start_broker(self, **settings):
        lines = [line for line in self.broker.config.read_text().splitlines()
                 if line.split()[0] not in ("max_packet_size",)]
        self.broker.config.write_text("\n".join([*lines, *(f"{k} {v}" for k, v in settings.items())]) + "\n")
        self.broker.start()

    def take_evidence(self):
        """What the broker held when it forgot: its own file says so."""
        held = (self.broker.folder / "mosquitto.db").read_bytes()
        self.forgotten_n.update(int(n) for n in HELD.findall(held))
        self.forgotten_keys.update(key.decode() for key in KEYS.findall(held))
        self.forgotten_failures.update(found.decode() for found in FAILED.findall(held))

    def forget_broker(self):
        """A restart without its memory. busbar stays out until the reader, who cannot ask again, is back."""
        self.bus.set(refuse=True)
        self.bus.cut()
        self.stop_broker()
        self.take_evidence()
        (self.broker.folder / "mosquitto.db").unlink()
        self.reader.subscribed.clear()
        self.start_broker()
        assert self.reader.subscribed.wait(60), "the reader did not come back"
        self.bus.heal()

    def take_session(self):
        """The broker lives, busbar's session is gone: session present = 0, and all that is retained comes again."""
        self.plant.pause()
        self.bus.set(refuse=True)
        self.bus.cut()
        saved = self.broker.folder / "mosquitto.db"
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        self.broker.process.send_signal(signal.SIGUSR1)  # it writes its memory down
        wait_until(lambda: saved.exists() and saved.stat().st_mtime_ns > before, 20, "the broker's memory as a file")
        self.take_evidence()
        rival = paho.Client(client_id="busbar-edge-01", protocol=paho.MQTTv5)
        rival.connect("127.0.0.1", self.broker.port, clean_start=True)
        rival.loop_start()
        wait_until(rival.is_connected, 10, "the rival")
        rival.disconnect()
        rival.loop_stop()
        self.bus.heal()
        self.plant.resume()

    # ---- at the end

    def stalls(self):
        """When what stands between busbar and a task got no processor."""
        return self.mw.items("stalls") + self.door.control("GET", "stalls")["items"]

    def heal(self):
        self.reader.release()
        for proxy in (self.bus, self.door, self.hooks):
            proxy.heal()
        self.bus.show(self.good)
        self.door.show(self.good)
        self.mw.forgive()
        self.mw.control("POST", "up")
        self.mw.configure(clock=0)
        if not self.broker.runs():
            self.start_broker()
        self.plant.resume()
        self.ensure_runs()

    def close(self):
        self.plant.over.set()
        self.reader.close()
        for process in (self.daemon, self.mw, self.bus, self.door, self.hooks, self.broker):
            with contextlib.suppress(Exception):
                process.kill()
        self.cage.close()
