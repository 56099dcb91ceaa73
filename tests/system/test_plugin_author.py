# SPDX-License-Identifier: Apache-2.0
"""The plugin author's afternoon: a Debian that has nothing of ours but the two packages, and the installed first page
followed to the letter. What comes of it carries a message from a real broker to an HTTP server."""

import json
import re
import subprocess
import time

import pytest

from busbar_harness import ROOT, free_port, http_call, wait_until
from debian_root import ENVIRONMENT, build_packages, inside, make_root, remove_root, run
from plugin_pages import PAGES, follow, links
from servers import Handler, Server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packages")]
PAGE_FOLDER = "usr/share/doc/busbar-dev"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The packages lie there, they are not installed: the page says how."""
    folder, packages = tmp_path_factory.mktemp("author") / "root", build_packages()
    try:
        make_root(folder, packages, "build-essential", "cmake")
        yield folder
    finally:
        remove_root(folder)


@pytest.fixture(scope="module")
def followed(root):
    """The folder in which the installed page was followed, by a user without rights."""
    inside(root, "useradd", "--home-dir", "/srv/author", "--create-home", "author")
    home = root / "srv" / "author"
    for package in (root / "tmp").glob("*.deb"):
        package.rename(home / package.name)
    inside(root, "sh", "-c", "cd /srv/author && dpkg -i busbar-dev_*.deb")  # for the page; it says so again
    page = (root / PAGE_FOLDER / "README.md").read_text()
    took = {}

    def execute(script, kind):
        inside(root, "chown", "-R", "author:", "/srv/author")
        user = "root" if kind == "root" else "author"
        started = time.monotonic()
        done = subprocess.run(["chroot", str(root), "su", user, "-c", f"set -eu; cd /srv/author; {script}"],
                              capture_output=True, text=True, timeout=600, check=False,
                              env=ENVIRONMENT)
        took[f"{len(took)} {script.splitlines()[0]}"] = time.monotonic() - started
        return done.returncode, done.stdout + done.stderr

    assert follow(page, home, execute) > 8
    assert took
    print("the page's commands took " + ", ".join(f"{line!r} {seconds:.1f} s" for line, seconds in took.items()))
    return home


def test_nothing_but_the_packages_was_there(root, followed):
    listed = set(inside(root, "dpkg-query", "-W", "-f", "${binary:Package}\n").split())
    assert {"busbar", "busbar-dev", "cmake"} <= listed
    assert not [name for name in listed if re.match(r"libjson-c-dev|libcurl.*-dev|libssl-dev", name)]
    assert not list((root / "usr/include").glob("json-c")), "the plugin was built with more than busbar-dev"


def test_the_installed_pages_lead_somewhere(root, followed):
    folder = root / PAGE_FOLDER
    for name in [*PAGES, "CASES.md", "ABI.md"]:
        missing = [link for link in links((folder / name).read_text()) if not (folder / link).exists()]
        assert missing == [], name
    for plugin in ("mobility_work", "assetic", "factverse", "http"):
        assert (folder / plugin / f"{plugin}.md").exists()
    for file in ("acme.c", "acme.cpp", "acme.rs", "busbar.rs", "cases/acme.case"):
        assert (folder / "examples" / "acme" / file).read_bytes() == (ROOT / "plugins/examples/acme" / file).read_bytes()


class Acme(Handler):
    def do_POST(self):
        body = json.loads(self.read())
        self.server.seen.append((self.path, self.headers["Authorization"], self.headers["Idempotency-Key"], body))
        self.answer(201, Location=f"{self.path}/7")


@pytest.fixture
def acme():
    with Server(Acme, seen=[]) as server:
        yield server


def test_the_plugin_carries_a_message(root, followed, tmp_path, broker, publisher, acme):
    """The page's own configuration; broker, system and port are this machine's."""
    port = free_port()
    config = (followed / "busbar.yaml").read_text()
    for old, new in (("mqtt://localhost:1883", broker.url), ("https://api.acme.example", acme.url),
                     ("127.0.0.1:8081", f"127.0.0.1:{port}")):
        assert config.count(old) == 1
        config = config.replace(old, new)
    (followed / "run.yaml").write_text(config)
    with open(tmp_path / "busbar.log", "ab") as log:
        daemon = subprocess.Popen(["chroot", "--userspec=author", str(root), "env", "--chdir=/srv/author", "busbar", "run",
                                   "-c", "run.yaml"], stdout=log, stderr=log, env=ENVIRONMENT)
    try:
        wait_until(lambda: up(port), 20, "busbar is up: " + (tmp_path / "busbar.log").read_text())
        publisher.publish("plant/P-101/temperature", "91")
        wait_until(lambda: acme.seen, 20, "the message reached Acme")
        (delivery,) = wait_until(lambda: delivered(port), 20, "it is delivered")
        assert acme.seen == [("/sites/North%20Hall/work-orders", "Bearer t0ken", delivery["id"],
                              {"title": "Bearing of P-101 at 91 °C"})]
        orders = inside(root, "su", "author", "-c", "cd && busbar orders list -c run.yaml --json")
        assert json.loads(orders)["items"][0]["source_work_order_id"] == "7"
    finally:
        daemon.terminate()
        daemon.wait(20)


def up(port):
    try:
        return http_call(port, "GET", "/readyz").status == 200
    except OSError:
        return False


def delivered(port):
    return json.loads(http_call(port, "GET", "/api/v1/deliveries?state=delivered").body)["items"]


def test_the_build_directory_is_ignored(followed):
    assert "/build/" in (followed / "acme" / ".gitignore").read_text().splitlines()
    assert run("nm", "--dynamic", "--defined-only", followed / "acme/build/acme.so").split()[-1] == "busbar_plugin"
