# SPDX-License-Identifier: Apache-2.0
"""The systemd unit's SystemCallFilter= without a systemd that runs: `unit_filter.py PROGRAM ARGUMENT...` runs a program
under it, which any other call ends, as it does there."""

import ctypes
import os
import re
import subprocess
import sys

UNIT = os.path.join(os.path.dirname(__file__), "../../deploy/systemd/busbar.service")
LIBRARY = "libseccomp.so.2"
KILL, ALLOW = 0x80000000, 0x7fff0000


def group(name):
    """The calls of a set of systemd's own version, those of the sets in it too."""
    lines = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True,
                           check=True).stdout.splitlines()[1:]
    return expand(line.strip() for line in lines if not line.strip().startswith("#"))


def expand(words):
    return {call for word in words for call in (group(word) if word.startswith("@") else [word])}


def allowed():
    calls = group("@default")
    with open(UNIT, encoding="utf-8") as file:
        for said in re.findall(r"^SystemCallFilter=(.*)$", file.read(), re.MULTILINE):
            calls = calls - expand(said[1:].split()) if said.startswith("~") else calls | expand(said.split())
    return calls


def confine(calls):
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    filtered = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(KILL)))
    for call in calls:
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            assert library.seccomp_rule_add(filtered, ctypes.c_uint32(ALLOW), number, 0) == 0, call
    assert library.seccomp_load(filtered) == 0


if __name__ == "__main__":
    # The unit has a user of its own; SQLite, as root, hands its files to whoever owns the store.
    confine(allowed() | ({"fchown"} if os.geteuid() == 0 else set()))
    os.execv(sys.argv[1], sys.argv[1:])
