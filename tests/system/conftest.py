# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests. What runs in a test logs into its tmp_path; a failed test shows the logs."""

import contextlib
import itertools
import json

import pytest

import busbar_harness as harness
from desk import Desk


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="whole sizes and durations (the long tier)")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: runs only with --full")
    config.addinivalue_line("markers", "slow: not in tests/run --fast")
    config.addinivalue_line("markers", "xdist_group: tests that one worker runs, for what they share")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    for item in items:
        if "full" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="the long tier: tests/run --full"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for name, log in getattr(item, "process_logs", {}).items():
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()[-80:]
                report.sections.append((f"{name} ({log})", "\n".join(lines)))


@pytest.fixture
def full(request):
    return request.config.getoption("--full")


@pytest.fixture
def logs(request):
    request.node.process_logs = {}
    return request.node.process_logs


@pytest.fixture
def broker(tmp_path, logs):
    with harness.Broker(tmp_path / "broker", logs) as broker:
        yield broker


@pytest.fixture
def make_sandbox(tmp_path, logs):
    """make_sandbox(argument.., kind=Sandbox): a stand-in that runs, by itself Mobility Work's"""
    with contextlib.ExitStack() as made:
        folders = (tmp_path / f"sandbox{n}" for n in itertools.count())
        yield lambda *arguments, kind=harness.Sandbox: made.enter_context(kind(next(folders), logs, *arguments))


@pytest.fixture
def sandbox(make_sandbox):
    return make_sandbox("--secret", harness.SECRET, "--life", "scheduled=never")


@pytest.fixture
def assetic(make_sandbox):
    return make_sandbox(kind=harness.AsseticSandbox)


@pytest.fixture
def factverse(make_sandbox):
    return make_sandbox("--secret", harness.SECRET, kind=harness.FactVerseSandbox)


@pytest.fixture
def identity(make_sandbox):
    return make_sandbox(kind=harness.IdentitySandbox)


@pytest.fixture
def make_proxy(tmp_path, logs):
    """make_proxy(port, (cert, key) for TLS) -> Proxy that listens before what listens there"""
    with contextlib.ExitStack() as made:
        folders = (tmp_path / f"proxy{n}" for n in itertools.count())
        yield lambda *arguments: made.enter_context(harness.Proxy(next(folders), logs, *arguments))


@pytest.fixture
def make_busbar(tmp_path, logs):
    """make_busbar(config as dict or text, start=True) -> Busbar"""
    if not harness.BINARY.exists():
        pytest.fail(f"{harness.BINARY} is not built: cmake --preset release && cmake --build --preset release")
    with contextlib.ExitStack() as made:
        folders = (tmp_path / f"busbar{n}" for n in itertools.count())

        def make(config, start=True, **options):
            busbar = harness.Busbar(next(folders), logs, config)
            made.callback(busbar.end)
            if start:
                busbar.start(**options)
            return busbar

        yield make


@pytest.fixture
def busbar(tmp_path, broker, sandbox, make_busbar):
    """busbar(routes=[..], **sections): a daemon between the broker and the stand-in, whose webhooks come to it."""

    def make(routes=None, target=None, start=True, life=None, **sections):
        targets = {"mw": harness.mw_target(sandbox, **(target or {}))}
        routes = routes if routes is not None else [harness.command_route()]
        config = harness.configuration(tmp_path, broker, targets, routes, **sections)
        daemon = make_busbar(config, start=start)
        sandbox.configure(webhook_url=f"http://127.0.0.1:{daemon.hook_port}/hooks/mw", life=life or {})
        return daemon

    return make


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.shutdown()


@pytest.fixture
def desk_busbar(tmp_path, broker, desk, make_busbar):
    """desk_busbar(routes, target's settings..): a daemon before the target that answers as it is told."""

    def make(routes=(), http=None, **settings):
        config = harness.configuration(tmp_path, broker, {"desk": desk.target(**settings)}, list(routes))
        config["http"].update(http or {})
        return make_busbar(config)

    return make


@pytest.fixture
def publisher(broker):
    publisher = harness.Publisher(broker.port)
    yield publisher
    publisher.close()


@pytest.fixture
def subscribe(broker):
    made = []

    def make(*filters):
        made.append(harness.Subscriber(broker.port, *filters))
        return made[-1]

    yield make
    for subscriber in made:
        subscriber.close()


@pytest.fixture
def ai4i():
    """The rows of the public data set as dicts, numbers converted; skips when the file is not there."""
    import csv

    file = harness.DATA / "ai4i2020.csv"
    if not file.exists():
        pytest.skip(f"LOUD: no {file}; the data set is UCI's number 601, put it there")
    with open(file, newline="", encoding="utf-8-sig") as lines:
        return [{k: v if k in ("Product ID", "Type") else json.loads(v) for k, v in row.items()}
                for row in csv.DictReader(lines)]
