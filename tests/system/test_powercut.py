# SPDX-License-Identifier: Apache-2.0
"""The power goes at random instants (tests/powercut): what was acknowledged is there, and the store is whole."""

import json
import os
import random
import subprocess

import pytest

from busbar_harness import ROOT

pytestmark = pytest.mark.slow


def cut(cuts, *options):
    """Answers the exit status and the figures; the whole output goes to pytest."""
    seed = os.environ.get("BUSBAR_SEED", str(random.randrange(1 << 32)))
    done = subprocess.run([ROOT / "tests" / "powercut", "--cuts", str(cuts), "--seed", seed, "--json", *options],
                          capture_output=True, text=True, timeout=1800, check=False)
    print(done.stdout, done.stderr)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_power_cut_loses_nothing_that_was_acknowledged(full):
    status, found = cut(200 if full else 25)
    assert (status, found["lost"], found["unaccounted"], found["damage"]) == (0, 0, 0, [])
    assert found["cuts"] >= 25 and found["commands"] > 500 and found["webhooks"] > 50, "the cuts met no load"


def test_an_fsync_that_failed_is_not_believed(full):
    """What it should have written is gone from the page cache, as after EIO on Linux: nobody was told it is kept."""
    status, found = cut(60 if full else 15, "--sync-errors", "10")
    assert (status, found["lost"], found["unaccounted"], found["damage"]) == (0, 0, 0, [])
    assert found["injected"] > 5, "no fsync failed"


def test_without_power_loss_the_store_is_whole_all_the_same(full):
    status, found = cut(60 if full else 12, "--durability", "crash")
    assert (status, found["damage"]) == (0, [])


def test_what_never_reached_the_disk_is_missed():
    """The harness bites: a disk that only says that it synced loses what was acknowledged."""
    status, found = cut(10, "--lie")
    assert status == 1 and found["lost"] > 0
