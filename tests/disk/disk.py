# SPDX-License-Identifier: Apache-2.0
"""What a disk holds after the power went: files as they were at their last fsync, and whatever else it had got to.

disk.so stands under the daemon (LD_PRELOAD) and writes down what is done to the files of one folder. A Disk replays that
and keeps, for each file, what is durable and what was written since. power_cut() then makes the folder anew:

* what an fsync that returned covers is there;
* of all else each sector is there or not, by a seeded dice: nothing, all, all up to an instant, or any of them in any
  order; a file is as long as the last of it that is there, with zeros between;
* a name that was made, removed or changed since its folder's last fsync is there or not in the same way;
* an fsync that failed covers nothing, and the next one does not cover what it should have (Linux marks the pages clean);
* of what is written through a mapping (-shm, .crumb) it has some earlier state, another one, zeros, or nothing.

A process that is only killed loses nothing of what it wrote: replay() then goes on where it was.
"""

import contextlib
import mmap
import os
import pathlib
import random
import struct
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = pathlib.Path(os.environ.get("BUSBAR_BIN", ROOT / "build" / "release" / "busbar")).parent / "tests" / "disk.so"
CREATED, WRITTEN, CUT, SYNC_BEGUN, SYNCED, SYNC_FAILED, REMOVED, RENAMED = range(1, 9)
RECORD = struct.Struct("=IIQQ")
MAPPED = (".crumb", "-shm", ".lock")  # SQLite's index of its log, our breadcrumb, and the lock, whose content is a remark
HOW = ("nothing", "all", "prefix", "any", "any")


class Control:
    """The faults that the daemon meets, changed while it runs. disk.c has the same order."""

    MEMBERS = ("write_errno", "sync_errno", "sync_delay_ms", "lies", "one_in", "hits")

    def __init__(self, path):
        path.write_bytes(bytes(4 * len(self.MEMBERS)))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def set(self, **members):
        for name, value in members.items():
            struct.pack_into("=I", self.memory, 4 * self.MEMBERS.index(name), value)

    def heal(self):
        self.set(write_errno=0, sync_errno=0, sync_delay_ms=0, lies=0)

    @property
    def hits(self):
        return struct.unpack_from("=I", self.memory, 4 * self.MEMBERS.index("hits"))[0]


class File:
    """durable: the bytes that no power cut takes. pending: (number, offset, bytes), or (number, size, None), in order."""

    def __init__(self, durable=b""):
        self.durable, self.pending = bytearray(durable), []


def write(data, offset, piece):
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(piece)] = piece


def cut_to(data, size):
    del data[size:]
    data.extend(bytes(size - len(data)))


class Disk:
    """One folder. environment() is what the process gets that shall write there."""

    def __init__(self, folder, aside, dice):
        self.folder, self.aside, self.dice = pathlib.Path(folder), pathlib.Path(aside), dice
        self.folder.mkdir(exist_ok=True)
        self.aside.mkdir(exist_ok=True)
        self.trace, self.boot_id = self.aside / "trace", self.aside / "boot_id"
        self.control = Control(self.aside / "control")
        self.sectors = 512
        self.power_on()

    def environment(self):
        return {"LD_PRELOAD": str(LIBRARY), "DISK_FOLDER": str(self.folder), "DISK_TRACE": str(self.trace),
                "DISK_CONTROL": str(self.aside / "control"), "DISK_BOOT_ID": str(self.boot_id),
                "ASAN_OPTIONS": "verify_asan_link_order=0"}

    # ---- what happened

    def power_on(self):
        """All that is there is durable."""
        self.boot_id.write_text(f"{uuid.UUID(int=self.dice.getrandbits(128))}\n")
        self.trace.write_bytes(b"")
        self.number, self.syncs = 0, {}
        self.names, self.files = {}, {}  # by name, as the folder has it durably; by inode, as it is now
        self.entries = []  # what was done to names since: (number, what, name, other name or File)
        for path in self.folder.iterdir():
            self.names[path.name] = self.files[path.stat().st_ino] = File(path.read_bytes())
        self.mapped = {path.name: [path.read_bytes()] for path in self.folder.iterdir() if path.name.endswith(MAPPED)}

    def look(self):
        """Remembers what the mapped files hold just now: the kernel may write them back whenever it likes."""
        for path in self.folder.iterdir():
            if path.name.endswith(MAPPED):
                with contextlib.suppress(OSError):
                    self.mapped.setdefault(path.name, []).append(path.read_bytes())

    def records(self):
        """What the trace says: (kind, inode, where, data) each."""
        trace, at = self.trace.read_bytes(), 0
        while at + RECORD.size <= len(trace):
            kind, length, inode, where = RECORD.unpack_from(trace, at)
            data = trace[at + RECORD.size:at + RECORD.size + length]
            if len(data) < length:
                break  # killed while it wrote this down, so before it was done
            at += RECORD.size + length
            yield kind, inode, where, data

    def syncs_over(self):
        """How many have come to an end so far."""
        return sum(kind in (SYNCED, SYNC_FAILED) for kind, *_ in self.records())

    def replay(self):
        """Takes in what the trace says. Only while no process writes."""
        self.look()
        for kind, inode, where, data in self.records():
            self.number += 1
            self.take(kind, inode, where, data)
        self.trace.write_bytes(b"")
        self.syncs = {}

    def take(self, kind, inode, where, data):
        if kind == CREATED:
            self.files[inode] = File()  # a new one, though its number may be an old one's
            self.entries.append((self.number, kind, data.decode(), self.files[inode]))
        elif kind == REMOVED:
            self.entries.append((self.number, kind, data.decode(), None))
        elif kind == RENAMED:
            self.entries.append((self.number, kind, *data.decode().split("/")))
        elif kind == SYNC_BEGUN:
            self.syncs[where] = self.number
        elif kind in (SYNCED, SYNC_FAILED):
            self.settle(inode, self.syncs.pop(where), kind == SYNCED)
        else:
            file = self.files.setdefault(inode, File())
            file.pending.append((self.number, where, data if kind == WRITTEN else None))

    def settle(self, inode, before, done):
        """What was written before the fsync began is durable; or, when it failed, is so by chance, and for ever."""
        file = self.files.get(inode)
        if file is not None:
            covered = [p for p in file.pending if p[0] < before]
            file.pending = [p for p in file.pending if p[0] >= before]
            self.apply(file.durable, covered, "all" if done else "any")
        elif done and inode == self.folder.stat().st_ino:
            covered = [e for e in self.entries if e[0] < before]
            self.entries = [e for e in self.entries if e[0] >= before]
            self.names = self.renamed(covered, "all")

    # ---- what is left

    def chosen(self, pending, how):
        if how == "prefix":
            return pending[:self.dice.randint(0, len(pending))]
        return [] if how == "nothing" else pending

    def apply(self, data, pending, how):
        chance = self.dice.choice((0.1, 0.5, 0.9)) if how == "any" else 1
        pending = self.chosen(pending, how)
        for index, (_, where, piece) in enumerate(pending):
            torn = how == "any" or how == "prefix" and index == len(pending) - 1
            if piece is None:
                if not torn or self.dice.random() < chance:
                    cut_to(data, where)
            elif not torn:
                write(data, where, piece)
            else:
                self.tear(data, where, piece, min(chance, 0.5) if how == "prefix" else chance)

    def tear(self, data, where, piece, chance):
        end = where + len(piece)
        while where < end:
            next_sector = min(end, (where // self.sectors + 1) * self.sectors)
            if self.dice.random() < chance:
                write(data, where, piece[len(piece) - (end - where):len(piece) - (end - next_sector)])
            where = next_sector

    def renamed(self, entries, how):
        names, chance = dict(self.names), 0.5 if how == "any" else 1
        for _, kind, name, other in self.chosen(entries, how):
            if self.dice.random() >= chance:
                continue
            if kind == CREATED:
                names[name] = other
            elif kind == REMOVED:
                names.pop(name, None)
            elif name in names:
                names[other] = names.pop(name)
        return names

    def mapped_content(self, name):
        """Of -shm a crash may leave anything; the others lie within one sector."""
        states = self.mapped.get(name, [b""])
        some = self.dice.choice(states)
        rubbish = [self.dice.randbytes(len(some))] if name.endswith("-shm") else []
        return self.dice.choice([some, states[0], states[-1], bytes(len(some)), b"", *rubbish])

    def power_cut(self):
        """The folder as the disk may hold it. Answers how it was chosen."""
        self.replay()
        self.sectors = self.dice.choice((512, 4096))
        how = self.dice.choice(HOW)
        contents = {}
        for name, file in self.renamed(self.entries, how).items():
            data = bytearray(file.durable)
            self.apply(data, file.pending, how)
            contents[name] = self.mapped_content(name) if name.endswith(MAPPED) else bytes(data)
        for path in self.folder.iterdir():
            path.unlink()
        for name, data in contents.items():
            descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
        self.power_on()
        return f"{how}/{self.sectors}"
