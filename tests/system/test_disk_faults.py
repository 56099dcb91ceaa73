# SPDX-License-Identifier: Apache-2.0
"""A disk that takes nothing: the broker keeps the messages, the vendor the webhooks, and one look tells why.

Faults come from tests/disk (the daemon's own calls fail), and, where namespaces are allowed, from a real file system."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time

import pytest

from busbar_harness import BINARY, ROOT, wait_until

sys.path.insert(0, str(ROOT / "tests" / "disk"))
from disk import Disk  # noqa: E402

JOBS = 300


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path / "store", tmp_path / "aside", random.Random(1))


@pytest.fixture
def on_disk(busbar, disk):
    """on_disk(**options of busbar): a daemon whose store lies on that disk."""

    def make(durability="power_loss", **options):
        daemon = busbar(start=False, store={"path": str(disk.folder / "busbar.db"), "durability": durability}, **options)
        plain = daemon.environment
        daemon.environment = lambda: {**plain(), **disk.environment()}
        return daemon

    return make


def hook(daemon, key):
    return daemon.hook(json.dumps({"_event": "SparePartWasConsumed", "_idempotencyKey": key}).encode())


def trouble(daemon):
    return daemon.json("status")["store_trouble"]


def send(publisher, first, count):
    for n in range(first, first + count):
        publisher.send(f"plant/l1/m{n % 9}/job", {"celsius": n})
    publisher.flush()


def keeps_off(daemon, sandbox, publisher, name, word):
    """What is sent now stays where it is, and the operator is told which condition it is and what to do."""
    taken = sandbox.counts()["tasks"]
    before = time.time() - 2
    send(publisher, JOBS, JOBS)
    wait_until(lambda: not daemon.ready() and word in daemon.get("/readyz").body.decode(), 20, f"not ready: {word}")
    answer = hook(daemon, "refused")
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0
    assert daemon.get("/healthz").status == 200
    found = wait_until(lambda: trouble(daemon), 10, "the trouble")
    assert found["name"] == name and word in found["text"]
    assert found["since"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))
    assert f"store   {name} since {found['since']}" in daemon.cli("status").stdout
    assert word in daemon.cli("status", "--ready", expect=1).stdout
    metrics = daemon.metrics()
    assert metrics.sum("busbar_store_trouble") == 1 and metrics.sum("busbar_store_failures_total") > 0
    assert sandbox.counts()["tasks"] == taken, "nothing that could not be kept is worked on"
    assert f'"trouble":"{name}"' in daemon.tail(200)


def goes_on(daemon, sandbox, events, total):
    """By itself."""
    daemon.wait_ready(40)
    wait_until(lambda: sandbox.counts()["distinct"] == total, 60, "every job")
    assert sandbox.counts()["twice"] == []
    assert trouble(daemon) is None and daemon.metrics().sum("busbar_store_trouble") == 0
    assert hook(daemon, "refused").status == 200, "the vendor's next try"
    wait_until(lambda: events.seen(), 10, "its event")
    assert len(events.seen()) == 1, "stored twice: it was kept when it was refused"


FAULTS = {
    "no space": ({"write_errno": errno.ENOSPC}, "disk_full", "disk of the store is full"),
    "over quota": ({"write_errno": errno.EDQUOT}, "disk_full", "disk of the store is full"),
    "writes fail": ({"write_errno": errno.EIO}, "disk_fails", "I/O error"),
    "read only": ({"write_errno": errno.EROFS}, "read_only", "read-only"),
    "no more files": ({"write_errno": errno.EMFILE}, "open_files", "too many files are open"),
    "fsync fails": ({"sync_errno": errno.EIO}, "disk_fails", "I/O error"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_takes_nothing(on_disk, disk, sandbox, publisher, subscribe, fault):
    """settled 2: no PUBACK, the broker keeps the messages; settled 21: 503."""
    members, name, word = FAULTS[fault]
    events = subscribe("busbar/events/#")
    daemon = on_disk()
    daemon.start()
    send(publisher, 0, JOBS)
    wait_until(lambda: sandbox.counts()["distinct"] == JOBS, 30, "the first jobs")
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries") == 0, 10, "their verdicts")
    disk.control.set(**members)
    keeps_off(daemon, sandbox, publisher, name, word)
    disk.control.heal()
    goes_on(daemon, sandbox, events, 2 * JOBS)
    assert disk.control.hits > 0


@pytest.mark.parametrize("limit", [8, 10, 12, 14, 16])
def test_too_few_open_files_are_no_failing_disk(busbar, limit):
    daemon = busbar(start=False)
    done = subprocess.run(["sh", "-c", f'ulimit -n {limit}; exec "{BINARY}" run -c "{daemon.file}"'], capture_output=True,
                          env=daemon.environment(), timeout=30, check=False, text=True)
    assert done.returncode == 1 and "the store cannot be opened" in done.stderr, done.stderr
    assert "oo many" in done.stderr and "I/O error" not in done.stderr


def test_a_disk_that_is_slow(on_disk, disk, sandbox, publisher):
    """Two seconds for an fsync: what cannot be said to be kept is not said to be; probes and metrics answer meanwhile."""
    daemon = on_disk()
    daemon.start()
    disk.control.set(sync_delay_ms=2000)
    began = time.monotonic()
    send(publisher, 0, 50)
    answer = hook(daemon, "slow")
    assert answer.status == 200 and time.monotonic() - began >= 2, "answered before it was synced"
    wait_until(lambda: sandbox.counts()["distinct"] == 50, 60, "the jobs")
    disk.control.heal()
    send(publisher, 50, 50)
    wait_until(lambda: sandbox.counts()["distinct"] == 100, 30, "the jobs after it")
    assert sandbox.counts()["twice"] == []
    assert daemon.ready()


def test_a_slow_disk_holds_nobody_up_who_need_not_wait_for_it(on_disk, disk, sandbox, publisher):
    """With durability `crash` only the checkpoint waits for the disk, and nobody for the checkpoint."""
    daemon = on_disk(durability="crash")
    daemon.start()
    before = disk.syncs_over()
    disk.control.set(sync_delay_ms=5000)
    sent = 0

    def begun():
        nonlocal sent
        send(publisher, sent, 100)
        sent += 100
        return disk.control.hits

    wait_until(begun, 60, "a checkpoint")
    assert hook(daemon, "meanwhile").status == 200
    assert daemon.json("status")
    assert disk.syncs_over() == before, "answered after it"
    disk.control.heal()
    wait_until(lambda: sandbox.counts()["distinct"] == sent, 60, "the jobs")


@pytest.mark.parametrize("fault", ["no space", "writes fail", "fsync fails"])
def test_a_disk_that_takes_nothing_at_the_start(on_disk, disk, fault):
    members, _, word = FAULTS[fault]
    daemon = on_disk()
    disk.control.set(**members)
    daemon.start(ready=False)
    assert daemon.process.wait(20) == 1
    said = daemon.tail(20)
    assert word in said or os.strerror(members.get("write_errno", 0)) in said
    disk.control.heal()
    daemon.start()


def test_a_store_that_is_removed_is_not_written_into(busbar, sandbox, publisher, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    daemon = busbar(store={"path": str(folder / "busbar.db")})
    send(publisher, 0, 10)
    wait_until(lambda: sandbox.counts()["distinct"] == 10, 20)
    shutil.rmtree(folder)
    send(publisher, 10, 10)
    wait_until(lambda: "removed or replaced" in daemon.get("/readyz").body.decode(), 20, "the reason")
    assert hook(daemon, "a").status == 503
    assert trouble(daemon)["name"] == "removed"
    assert sandbox.counts()["distinct"] == 10
    daemon.kill()
    folder.mkdir()
    daemon.start()  # a new store; the broker kept what it had
    wait_until(lambda: sandbox.counts()["distinct"] == 20, 20, "what the broker kept")


# ---- real file systems

class Mount:
    """A tmpfs over a folder, in a namespace of its own, so that neither root nor a clean-up is needed."""

    def __init__(self, folder, options):
        folder.mkdir()
        self.folder = folder
        self.holder = subprocess.Popen(
            ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "sh", "-c",
             f"mount -t tmpfs -o {options},mode=0700 none '{folder}' && echo mounted && exec sleep 3600"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "mounted\n":
            pytest.skip(f"LOUD: no mount namespace here: {self.holder.stderr.read()}")

    def within(self, *command):
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self.holder.pid}", "--mount", *user, f"--wd={os.getcwd()}", "--", *command]

    def sh(self, text):
        subprocess.run(self.within("sh", "-c", text), check=True, cwd=self.folder)

    def close(self):
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def mounted(busbar, tmp_path):
    """mounted(options) -> daemon, mount: the store lies on a small file system of its own."""
    mounts = []

    def make(options):
        mount = Mount(tmp_path / "mounted", options)
        mounts.append(mount)
        daemon = busbar(start=False, store={"path": str(mount.folder / "busbar.db"), "durability": "crash"})
        launch = daemon.launch
        daemon.launch = lambda command, stdout=None: launch(mount.within(*command), stdout)
        return daemon, mount

    yield make
    for mount in mounts:
        mount.close()


def fill(mount):
    mount.sh(f"cat /dev/zero >'{mount.folder}/filler' 2>/dev/null || true")


def test_a_full_file_system(mounted, sandbox, publisher, subscribe):
    events = subscribe("busbar/events/#")
    daemon, mount = mounted("size=96m")
    daemon.start()
    send(publisher, 0, JOBS)
    wait_until(lambda: sandbox.counts()["distinct"] == JOBS, 30, "the first jobs")
    daemon.cli("targets", "hold", "mw")
    fill(mount)
    # What SQLite has of its log already it writes over: more than that is needed.
    for n in range(JOBS, 2 * JOBS):
        publisher.send(f"plant/l1/m{n % 9}/job", {"celsius": n, "fill": "x" * 20000})
    publisher.flush()
    wait_until(lambda: "disk of the store is full" in daemon.get("/readyz").body.decode(), 20, "full")
    assert trouble(daemon)["name"] == "disk_full"
    mount.sh(f"rm '{mount.folder}/filler'")
    wait_until(daemon.ready, 40, "ready again")
    daemon.cli("targets", "resume", "mw")
    goes_on(daemon, sandbox, events, 2 * JOBS)


def test_a_read_only_file_system(mounted, sandbox, publisher):
    daemon, mount = mounted("size=16m")
    daemon.start()
    send(publisher, 0, 10)
    wait_until(lambda: sandbox.counts()["distinct"] == 10, 20)
    assert daemon.terminate() == 0
    mount.sh(f"mount -o remount,ro '{mount.folder}'")
    daemon.start(ready=False)
    assert daemon.process.wait(20) == 1
    assert os.strerror(errno.EROFS) in daemon.tail(20)
    mount.sh(f"mount -o remount,rw '{mount.folder}'")
    daemon.start()
    send(publisher, 10, 10)
    wait_until(lambda: sandbox.counts()["distinct"] == 20, 20)


def test_a_file_system_without_inodes(mounted):
    daemon, mount = mounted("size=16m,nr_inodes=8")
    mount.sh(f"cd '{mount.folder}' && touch full1 full2 full3 full4 full5 full6 full7 full8 2>/dev/null || true")
    daemon.start(ready=False)
    assert daemon.process.wait(20) == 1
    assert os.strerror(errno.ENOSPC) in daemon.tail(20)
    mount.sh(f"rm '{mount.folder}'/full*")
    daemon.start()
