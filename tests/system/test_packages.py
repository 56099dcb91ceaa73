# SPDX-License-Identifier: Apache-2.0
"""The packages: installed in a fresh Debian 12, run as the unit runs them, removed and purged."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from busbar_harness import ROOT, configuration, command_route, mw_target, wait_until
from debian_root import build_packages, inside, install, make_root, remove_root, run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packages")]
UNIT = ROOT / "deploy" / "systemd" / "busbar.service"


@pytest.fixture(scope="module")
def packages():
    return build_packages()


@pytest.fixture(scope="module")
def root(packages, tmp_path_factory):
    """A minimal Debian 12 with what the packages depend on, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("debian") / "root"
    try:
        make_root(folder, packages, "systemd")
        yield folder
    finally:
        remove_root(folder)


@pytest.fixture(scope="module")
def installed(root, packages):
    install(root, packages)
    return root


def test_what_is_shipped_is_where_it_belongs(installed):
    listed = inside(installed, "dpkg", "-L", "busbar").split()
    for file in ("/etc/busbar/busbar.yaml", "/usr/bin/busbar", "/usr/lib/systemd/system/busbar.service",
                 "/usr/share/man/man1/busbar.1.gz", "/usr/share/man/man5/busbar.yaml.5.gz",
                 "/usr/share/bash-completion/completions/busbar"):
        assert file in listed
    assert re.search(r"/usr/lib/\S+/busbar/plugins/mobility_work.so", "\n".join(listed))
    assert (installed / "var/lib/busbar").stat().st_mode & 0o777 == 0o750
    assert (installed / "etc/busbar/secrets").stat().st_mode & 0o777 == 0o700
    assert inside(installed, "stat", "-c", "%U", "/var/lib/busbar").strip() == "busbar"


def test_what_is_shipped_is_hardened(installed):
    """Position independent, read-only after relocation, checked: read out of the installed files."""
    plugins = list((installed / "usr/lib").glob("*/busbar/plugins/*.so"))
    assert len(plugins) >= 3
    run(ROOT / "tests/lint/hardened", installed / "usr/bin/busbar", *plugins)


def test_the_shipped_configuration_is_good(installed):
    assert "good: 0 targets, 0 routes" in inside(installed, "busbar", "check")
    assert "mobility_work" in inside(installed, "busbar", "plugins", "list")
    for example in (installed / "usr/share/doc/busbar/examples").glob("*.yaml"):
        assert example.stat().st_size > 100


def test_the_unit_is_right_and_hardened(installed):
    said = inside(installed, "systemd-analyze", "--man=no", "verify", "/usr/lib/systemd/system/busbar.service",
                  expect=None)
    assert "busbar" not in said, said
    score = inside(installed, "systemd-analyze", "security", "--offline=true", "busbar.service", expect=None)
    (figure,) = re.findall(r"Overall exposure level for busbar.service: ([0-9.]+)", score)
    print(f"systemd-analyze security: {figure}")
    assert float(figure) < 1.5, score


def test_the_manual_and_the_completion_say_what_the_program_says(installed):
    page = run("zcat", installed / "usr/share/man/man1/busbar.1.gz").replace("\\-", "-")
    for verb in re.findall(r"^  ([a-z]+)  ", inside(installed, "busbar", "--help"), re.MULTILINE):
        assert f".SS busbar {verb}" in page
    if shutil.which("man"):
        assert run("man", "--warnings", "-l", installed / "usr/share/man/man1/busbar.1.gz").count("warning") == 0
    script = f"""
        busbar() {{ chroot {installed} /usr/bin/busbar "$@"; }}
        . {installed}/usr/share/bash-completion/completions/busbar
        try() {{ COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _busbar; echo "${{COMPREPLY[*]}}"; }}
        try busbar ha; try busbar queue re; try busbar queue list --st; try busbar queue list --state del"""
    assert run("bash", "-c", script).splitlines() == ["handoff", "retry", "--state", "delivered"]


def test_a_plugin_is_built_from_the_dev_package_alone(installed, tmp_path):
    """pkg-config and find_package lead to the header and to where plugins belong."""
    pc = next((installed / "usr/lib").glob("*/pkgconfig/busbar.pc"))
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent), "PKG_CONFIG_SYSROOT_DIR": str(installed)}
    flags = run("pkg-config", "--cflags", "busbar", env=environment).split()
    source = tmp_path / "x.c"
    source.write_text("#include <busbar/plugin.h>\nint abi = BB_ABI;\n")
    run("cc", "-std=c17", "-c", "-o", tmp_path / "x.o", source, *flags)
    assert run("pkg-config", "--variable=plugindir", "busbar", env=environment).strip().endswith("/busbar/plugins")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(x C)\nfind_package(busbar 0.1 REQUIRED)\n"
        "add_library(x MODULE x.c)\ntarget_link_libraries(x PRIVATE busbar::plugin)\n"
        "message(STATUS \"belongs in ${busbar_PLUGIN_DIR}\")\n")
    said = run("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-Dbusbar_DIR={pc.parent.parent / 'cmake/busbar'}")
    assert re.search(r"belongs in \S+/busbar/plugins", said)
    run("cmake", "--build", tmp_path / "b")


def test_the_units_command_does_the_main_job(installed, tmp_path, broker, sandbox, publisher, make_busbar):
    """As the unit's user, without capabilities, with a read-only file system and a NOTIFY_SOCKET. What systemd adds to
    that and this does not show: its seccomp filter, its device and address-family rules, private users."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("LOUD: no mount namespaces here: the unit's read-only file system cannot be had")
    unit = UNIT.read_text()
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1].split()
    (installed / "etc/busbar/secrets/mw-api-key").write_text("k" * 32)
    credentials = installed / "run/credentials/busbar.service"
    credentials.mkdir(parents=True, exist_ok=True)
    target = mw_target(sandbox)
    (credentials / "mw-api-key").write_text(target["api_key"])
    target["api_key"] = "${file:/run/credentials/busbar.service/mw-api-key}"
    config = configuration(tmp_path, broker, {"mw": target}, [command_route()])
    config["store"] = {"path": "/var/lib/busbar/busbar.db"}
    client = make_busbar(config, start=False)  # writes the file, knows the ports
    kept = (installed / "etc/busbar/busbar.yaml").read_text()
    (installed / "etc/busbar/busbar.yaml").write_text(client.file.read_text())
    told = installed / "run" / "notify"
    script = f"""
        mount --bind {installed} {installed}
        mount -o remount,ro,bind {installed}
        mount --bind {installed}/var/lib/busbar {installed}/var/lib/busbar
        mount -o remount,rw,bind {installed}/var/lib/busbar
        exec chroot {installed} setpriv --reuid=busbar --regid=busbar --clear-groups --no-new-privs \\
            --bounding-set=-all --inh-caps=-all -- {' '.join(command)}"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(told))
        told.chmod(0o777)
        listener.settimeout(30)
        with open(tmp_path / "unit.log", "ab") as log:
            daemon = subprocess.Popen(["unshare", "--mount", "bash", "-ec", script], stdout=log, stderr=log,
                                      env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": "/run/notify"})
        try:
            assert listener.recv(4096).decode().startswith("READY=1"), (tmp_path / "unit.log").read_text()
            wait_until(client.ready, 20, "ready")
            publisher.publish("plant/l1/m1/job", {"celsius": 91})
            wait_until(sandbox.tasks, 20, "a task")
            (process,) = run("pgrep", "-f", " ".join(command)).split()
            status = open(f"/proc/{process}/status").read()
            assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE) and "NoNewPrivs:\t1" in status
            assert f"Uid:\t{inside(installed, 'id', '-u', 'busbar').strip()}\t" in status
            daemon.terminate()
            assert daemon.wait(20) == 0
        finally:
            daemon.kill()
            daemon.wait()
    (installed / "etc/busbar/busbar.yaml").write_text(kept)
    told.unlink()
    shutil.rmtree(credentials)


def test_removal_keeps_what_purge_takes(installed, packages):
    """The last one: what the packages leave behind."""
    inside(installed, "dpkg", "-r", "busbar-dev")
    (installed / "var/lib/busbar/busbar.db").touch()
    inside(installed, "dpkg", "-r", "busbar")
    for kept in ("etc/busbar/busbar.yaml", "etc/busbar/secrets", "var/lib/busbar/busbar.db"):
        assert (installed / kept).exists(), f"{kept} is not ours to remove"
    inside(installed, "dpkg", "-P", "busbar")
    left = run("find", installed / "etc", installed / "usr", installed / "var/lib/busbar", "-iname", "*busbar*",
               "-not", "-path", "*/dpkg/info/*", expect=None)
    assert [line for line in left.splitlines() if line.startswith(str(installed))] == []
    assert "busbar" in (installed / "etc/passwd").read_text(), "Debian's policy: a user stays"
