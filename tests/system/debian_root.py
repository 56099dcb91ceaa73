# SPDX-License-Identifier: Apache-2.0
"""A fresh Debian 12 in a folder, for what must be true of the packages on a machine that never saw our tree."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from busbar_harness import ROOT

SOURCES = pathlib.Path("/etc/apt")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run(*command, expect=0, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=600,
                          **options)
    assert expect is None or done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def inside(root, *command, **options):
    return run("chroot", root, *command, env=ENVIRONMENT, **options)


def build_packages():
    """The .deb files of this tree by the package's name."""
    run(ROOT / "deploy" / "package")
    found = {file.name.split("_")[0]: file for file in (ROOT / "build" / "package").glob("*.deb")}
    assert set(found) == {"busbar", "busbar-dev"}
    for file in found.values():
        print(f"{file.name}: {file.stat().st_size // 1024} KiB")
    return found


def make_root(folder, packages, *wanted):
    """A minimal Debian 12 in `folder`, with what the packages depend on and what is wanted. The packages lie in /tmp."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        pytest.skip("LOUD: needs root and Debian's mmdebstrap")
    depends = run("dpkg-deb", "-f", packages["busbar"], "Depends").strip()
    include = [re.sub(r" .*", "", name) for name in depends.split(", ")] + list(wanted)
    settings = folder.parent / f"{folder.name}-apt.conf"  # how this machine reaches its mirror
    settings.write_text("".join(line + "\n" for line in run("apt-config", "dump").splitlines()
                                if line.startswith("Acquire::")))
    sources = [file for pattern in ("*.sources", "*.list") for file in (SOURCES / "sources.list.d").glob(pattern)]
    sources += [file for file in [SOURCES / "sources.list"] if file.exists() and file.stat().st_size]
    run("mmdebstrap", "--mode=root", "--variant=minbase", "--skip=check/empty", f"--aptopt={settings}",
        "--include=" + ",".join(include), "bookworm", folder, *sources)
    for name in ("proc", "dev"):
        run("mount", "--bind", f"/{name}", folder / name)
    for file in packages.values():
        shutil.copy(file, folder / "tmp")


def install(root, packages):
    inside(root, "dpkg", "-i", *(f"/tmp/{file.name}" for file in packages.values()))


def remove_root(folder):
    for name in ("proc", "dev"):
        run("umount", "-l", folder / name, expect=None)
    if folder.exists() and not any(os.path.ismount(folder / name) for name in ("proc", "dev")):
        shutil.rmtree(folder, ignore_errors=True)
