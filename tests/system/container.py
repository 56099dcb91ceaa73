# SPDX-License-Identifier: Apache-2.0
"""busbar's image, built here and run here: what test_image.py is made of.

No registry is asked for anything. The base is a Debian root made by mmdebstrap, with the packages that the build needs
(deploy/install-packages then finds nothing missing) and mosquitto, so that the broker is a container too; it is kept
from run to run under the hash of what went into it. Containers share the host's network, as those of one Pod share
theirs.
"""

import atexit
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

import pytest

import busbar_harness as harness
from busbar_harness import ROOT, wait_until

USER = 10001
LIMIT = 64 << 20
TOOLS = ("buildah", "podman", "runc", "mmdebstrap")
# What a machine may lack for the container's own comfort; they bind nobody here.
RUN = ["podman", "--runtime", "runc", "run", "--network=host", "--ulimit", "nofile=1024:1024", "--ulimit",
       "nproc=1024:1024"]
STRICT = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges",
          "--pids-limit=32"]


def do(*command, expect=0, timeout=600, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False,
                          **options)
    assert expect is None or done.returncode == expect, (
        f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


def require_tools():
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"LOUD: no {', '.join(missing)}: the image is neither built nor run "
                    "(deploy/install-packages container)")
    if os.geteuid() != 0:
        pytest.skip("LOUD: not root: the image is neither built nor run")


def packages():
    lines = (line.split() for line in (ROOT / "deploy" / "packages.txt").read_text().splitlines())
    return sorted({word[1] for word in lines if word and word[0] in ("build", "image")} | {"mosquitto"})


@functools.cache
def base_image():
    """Made by one at a time: tests/run begins with it early, `container.py` as a program."""
    with open(pathlib.Path(tempfile.gettempdir()) / "busbar-test-base.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return make_base_image()


def make_base_image():
    name = "localhost/busbar-test-base:" + hashlib.sha256(" ".join(packages()).encode()).hexdigest()[:12]
    if do("podman", "image", "exists", name, expect=None).returncode != 0:
        with tempfile.TemporaryDirectory() as folder:
            tar = pathlib.Path(folder) / "base.tar"
            do("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages())}", "bookworm", tar)
            if do("podman", "import", "--quiet", tar, name, expect=None).returncode != 0:
                pytest.skip("LOUD: podman makes no images here (in a chroot, for one)")
    return name


@functools.cache
def image():
    """Built once a run, through deploy/image, as anyone would; removed at its end."""
    require_tools()
    name, began = f"localhost/busbar-test:{uuid.uuid4().hex[:12]}", time.monotonic()
    atexit.register(do, "podman", "image", "rm", "--force", name, expect=None)
    printed = do(ROOT / "deploy" / "image", "--base", base_image(), "--tag", name, "--", "--isolation", "chroot",
                 "--network", "host", env=dict(os.environ, BUILDER="buildah")).stdout
    print(f"\n{printed.strip()}, built in {time.monotonic() - began:.0f} s")
    return name


@functools.cache
def limits_memory(image):
    """Whether this machine's cgroups take a limit."""
    return do(*RUN, "--rm", "--memory=64m", image, "--version", expect=None).returncode == 0


def inspect(what, kind="container"):
    return json.loads(do("podman", kind, "inspect", what).stdout)[0]


class Contained:
    """A harness.Process in a container: `podman run` stays in the foreground and hands signals on."""

    container = None

    def run(self, image, options, arguments=()):
        self.container = f"busbar-test-{uuid.uuid4().hex[:12]}"
        super().launch([*RUN, "--rm", "--name", self.container, *options, image, *arguments])

    def kill(self):
        if self.container is not None:
            do("podman", "kill", "--signal=KILL", self.container, expect=None)
            if self.process is not None:
                self.process.wait(30)
            do("podman", "rm", "--force", "--volumes", self.container, expect=None)

    def signal(self, which):
        do("podman", "kill", f"--signal={signal.Signals(which).name}", self.container)

    def pid(self):
        """Of its process 1, as the host sees it."""
        return int(inspect(self.container)["State"]["Pid"])

    def proc(self, name, pid=None):
        return pathlib.Path(f"/proc/{pid or self.pid()}/{name}").read_text()


class Broker(Contained, harness.Broker):
    def start(self):
        self.run(base_image(), ["-v", f"{self.folder}:{self.folder}"], ["/usr/sbin/mosquitto", "-c", str(self.config)])
        self.wait_up(lambda: harness.listens(self.port), 30, "does not listen")


class Busbar(Contained, harness.Busbar):
    """Its folder is /etc/busbar, its store a volume of its own that outlives it."""

    def __init__(self, folder, logs, config, image, options=()):
        super().__init__(folder, logs, config)
        self.image, self.options = image, list(options)
        self.volume = f"busbar-test-{uuid.uuid4().hex[:12]}"
        do("podman", "volume", "create", self.volume)

    def start(self, ready=True, deadline=30):
        limit = [f"--memory={LIMIT}", f"--memory-swap={LIMIT}"] if limits_memory(self.image) else []
        self.run(self.image, [*STRICT, *limit, "-v", f"{self.folder}:/etc/busbar:ro", "-v",
                              f"{self.volume}:/var/lib/busbar", *self.options])
        if ready:
            self.wait_ready(deadline)

    def cli(self, *arguments, config=False, expect=0, stdin=None):
        """In the container, which knows where its configuration is."""
        done = do("podman", "--runtime", "runc", "exec", self.container, "busbar", *arguments, expect=expect)
        return done

    def healthy(self):
        """What the image's own HEALTHCHECK says."""
        return do("podman", "--runtime", "runc", "healthcheck", "run", self.container, expect=None).returncode == 0

    def end(self, deadline=20):
        """SIGTERM to its process 1; answers the exit status."""
        self.signal(signal.SIGTERM)
        wait_until(lambda: not self.runs(), deadline, "the end after SIGTERM")
        return self.process.returncode

    def remove(self):
        self.kill()
        do("podman", "volume", "rm", "--force", self.volume, expect=None)

    def memory(self):
        """(resident, highest resident) of its process, bytes."""
        lines = dict(line.split(":", 1) for line in self.proc("status").splitlines() if ":" in line)
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))

    def cgroup_memory(self, name):
        """A file of its memory cgroup, v1 or v2; None when there is none."""
        v1 = {"limit": "memory.limit_in_bytes", "failures": "memory.failcnt", "most": "memory.max_usage_in_bytes"}
        v2 = {"limit": "memory.max", "failures": None, "most": "memory.peak"}
        for line in self.proc("cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            for wanted, root, files in (("memory", "/sys/fs/cgroup/memory", v1), ("", "/sys/fs/cgroup", v2)):
                file = pathlib.Path(root + path) / (files[name] or "-")
                if controllers == wanted and file.exists():
                    return int(file.read_text())
        return None


if __name__ == "__main__" and os.geteuid() == 0 and all(map(shutil.which, TOOLS)):
    base_image()
