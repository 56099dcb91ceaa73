# SPDX-License-Identifier: Apache-2.0
"""README.md says what is so: its commands run and print what stands there, its metrics and paths are all there are,
its ledgers balance, its links lead somewhere.

A fenced block whose info string names a file is that file. `sh` runs beside it, `sh live` against a daemon with dead
letters, `sh repo` in the project's folder. The lines of a `text output` block are printed by the block before it, in
their order; times, ids and runs of blanks may differ. Each command of a table runs too; ID is a dead letter's.
"""

import json
import os
import re
import shlex
import shutil
import subprocess

import pytest

from busbar_harness import BINARY, KEY, ROOT, SECRET, Publisher, free_port, wait_until

PAGE = ROOT / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [c for line in TEXT.splitlines() if line.startswith("|") for c in re.findall(r"`(busbar [a-z]+[^`]*)`", line)]
METRIC = re.compile(r"\bbusbar_[a-z_]+\b")


def outputs():
    """(kind of block, commands, the lines that they print) of each sh block."""
    found = []
    for language, info, text in BLOCKS:
        if language == "sh":
            found.append((info, text, []))
        elif (language, info) == ("text", "output"):
            found[-1][2].extend(text.splitlines())
    return found


def blocks_of(kind):
    return [(text, lines) for info, text, lines in outputs() if info == kind]


def plain(text):
    """Without what differs from run to run."""
    for pattern, name in ((r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)", "TIME"), (r"\b\d\d:\d\d:\d\d\b", "CLOCK"),
                          (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"), (r"scheduled [0-9a-f]{8}", "scheduled"),
                          (r" +", " ")):
        text = re.sub(pattern, name, text)
    return text


def shell(text, folder, **variables):
    environment = dict(os.environ, PATH=f"{BINARY.parent}:{os.environ['PATH']}", **variables)
    done = subprocess.run(["bash", "-euc", text], cwd=folder, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout}"
    return done.stdout


def prints(output, lines):
    output, at = plain(output), 0
    for line in lines:
        at = output.find(plain(line), at)
        assert at >= 0, f"{line!r} is not in its order in\n{output}"


def lay_out(folder):
    for language, info, text in BLOCKS:
        if language == "yaml":
            (folder / info).write_text(text, encoding="utf-8")


@pytest.fixture
def live(broker, sandbox, make_busbar):
    """The page's own configuration as a daemon, with five dead letters of press-7 and a webhook of each kind. Broker,
    stand-in and ports are the test's."""
    text = next(text for _, info, text in BLOCKS if info == "busbar.yaml")
    for old, new in (("mqtt://localhost:1883", broker.url), ("127.0.0.1:8080", f"127.0.0.1:{free_port()}"),
                     ("127.0.0.1:9080", f"127.0.0.1:{free_port()}"), ("cooldown: 1h", "cooldown: 0s"),
                     ("plugin: mobility_work", f"plugin: mobility_work\n    isolate: true\n    url: {sandbox.url}")):
        assert old in text, f"{old} is no longer in the page's busbar.yaml"
        text = text.replace(old, new)
    daemon = make_busbar(text, start=False)
    for name, secret in (("mw-api-key", KEY), ("mw-webhook", SECRET)):
        (daemon.folder / name).write_text(secret)
        (daemon.folder / name).chmod(0o600)
    daemon.start()
    sandbox.configure(unknown_equipments=["press-7"], webhook_url=f"http://127.0.0.1:{daemon.hook_port}/hooks/mw",
                      life={"scheduled": 0})
    publisher = Publisher(broker.port)
    for n in range(5):
        publisher.publish("plant/line-1/press-7/temperature", {"celsius": 91 + n})
        publisher.publish("plant/line-1/press-7/temperature", {"celsius": 60})
    publisher.publish("plant/line-1/press-8/temperature", {"celsius": 91})
    publisher.close()
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 5 and sandbox.tasks(), 10, "the dead letters")
    daemon.hook(json.dumps({"_event": "TaskWasStarted"}).encode())  # lacks all that is documented
    daemon.hook(b"{}", secret="wrong")
    return daemon


def oldest_dead_letter(daemon):
    return daemon.deliveries(state="rejected")[-1]["id"]


# ---- commands

def test_the_first_route(tmp_path):
    lay_out(tmp_path)
    promised = 0
    for text, lines in blocks_of(""):
        prints(shell(text, tmp_path), lines)
        promised += len(lines)
    assert promised >= 5


def test_what_a_newcomer_runs(tmp_path):
    """tests/run is what runs this: here it is only asked for its help."""
    commands = blocks_of("repo")
    assert any("deploy/quickstart" in text for text, _ in commands) and any("tests/run" in text for text, _ in commands)
    for text, lines in commands:
        text = re.sub(r"^tests/run$", "tests/run --help", text, flags=re.MULTILINE)
        prints(shell(text, ROOT, DESTDIR=str(tmp_path)), lines)
    installed = tmp_path / "opt" / "busbar"
    assert subprocess.run([str(installed / "bin" / "busbar"), "plugins", "show", "mobility_work"], check=False,
                          capture_output=True).returncode == 0, "the installed program finds its plugins"
    assert (installed / "include" / "busbar" / "plugin.h").exists()


def test_the_operators_commands(live):
    for text, lines in blocks_of("live"):
        prints(shell(text.replace("ID", oldest_dead_letter(live)), live.folder), lines)
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        if command.startswith("busbar targets resume"):
            live.cli("targets", "hold", "mw")
        if "ID" in shlex.split(command):
            wait_until(lambda: live.deliveries(state="rejected"), 10, "a dead letter")
            command = command.replace("ID", oldest_dead_letter(live))
        shell(command, live.folder)
    live.cli("targets", "hold", "mw")
    live.kill()
    for command in ("status", "queue list"):
        shell(f"busbar {command}", live.folder)


def test_every_verb_is_mentioned():
    verbs = re.findall(r"^  (\w+) +\S", subprocess.run([str(BINARY), "--help"], capture_output=True, text=True,
                                                      check=True).stdout, re.MULTILINE)
    assert len(verbs) >= 7 and [v for v in verbs if f"busbar {v}" not in TEXT] == []


# ---- what is exported

def test_metrics_are_the_ones_that_exist(live):
    assert live.terminate() == 0
    live.start()
    exported = set(re.findall(r"^# TYPE (\S+)", live.metrics().text, re.MULTILINE))
    live.cli("targets", "hold", "mw")  # something to carry over
    live.cli("queue", "retry", oldest_dead_letter(live))
    live.kill()
    live.start()
    live.hook(json.dumps({"_event": "TaskWasStarted", "n": 2}).encode())
    live.cli("targets", "resume", "mw")
    wait_until(lambda: not live.deliveries(state="pending"), 10, "the retry's end")
    wait_until(lambda: live.metrics().has("busbar_plugin_events_total"), 10, "what the plugin counts")
    exported |= set(re.findall(r"^# TYPE (\S+)", live.metrics().text, re.MULTILINE))
    named = set(METRIC.findall(TEXT))
    assert named - exported == set(), "on the page, not in /metrics"
    assert exported - named == set(), "in /metrics, not on the page"
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=live.metrics().text, text=True, check=False,
                              capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stdout + done.stderr
    table = set(re.findall(r"^\| `(busbar_[a-z_]+)` \| ([^|]*)\|", TEXT, re.MULTILINE))
    for name, labels in table:
        shown = re.search(rf"^{name}(?:_count)?(?:{{(.*)}})? ", live.metrics().text, re.MULTILINE)
        assert shown, name
        has = re.findall(r'(\w+)="', shown[1] or "")
        assert has == [label.strip() for label in labels.split(",") if label.strip()], name


def test_the_ledgers_balance(live):
    """As the page's formula says, over a restart with open deliveries, a retry and a discard."""
    def balance():
        m = live.metrics()
        routes = {dict(labels)["route"] for _, labels in m.values if "route" in dict(labels)}
        for route in routes - {""}:
            received = m.sum("busbar_messages_received_total", route=route)
            assert received == m.sum("busbar_messages_total", route=route), m.text
        for route in routes:
            began = (m.sum("busbar_deliveries_carried", route=route)
                     + m.sum("busbar_deliveries_accepted_total", route=route)
                     + m.sum("busbar_deliveries_total", route=route, verdict="reopened"))
            ended = sum(m.sum("busbar_deliveries_total", route=route, verdict=v)
                        for v in ("delivered", "rejected", "expired", "discarded"))
            still = sum(m.sum("busbar_deliveries", route=route, state=s) for s in ("draft", "pending", "retrying"))
            assert began == ended + still, (route, began, ended, still)
        return m

    def quiet():
        return not any(live.deliveries(target=t, state=s) for t in ("mw", "bus") for s in ("pending", "retrying"))

    wait_until(quiet, 10)
    assert balance().sum("busbar_messages_received_total", route="bearing-hot") == 11
    live.cli("targets", "hold", "mw")
    first, second = [d["id"] for d in live.deliveries(state="rejected")][:2]
    live.cli("queue", "retry", first)
    live.cli("queue", "discard", second)
    balance()
    live.kill()
    live.start()
    assert balance().sum("busbar_deliveries_carried", route="bearing-hot") == 1
    live.cli("targets", "resume", "mw")
    wait_until(quiet, 10)
    balance()


def test_paths_are_the_ones_that_exist(live):
    api = {f"{method.upper()} {path}" for path, methods in live.get("/api/v1/openapi.json").json["paths"].items()
           for method in methods}
    named = set(re.findall(r"`((?:GET|POST) /[^`]*)`", TEXT)) - {"POST /hooks/<target>"}
    assert named == api


def test_topics_are_the_ones_that_exist(live, sandbox, subscribe):
    seen = subscribe("busbar/#")
    wanted = re.findall(r"^\| `<prefix>/([^`]*)`", TEXT, re.MULTILINE)
    assert len(wanted) == 4
    sandbox.tell(sandbox.tasks()[0]["id"], "TaskWasCompleted")
    refuse_the_key(live)
    for topic in wanted:
        wildcard = re.sub(r"<[^>]*>", "+", topic)
        wait_until(lambda w=wildcard: seen.seen(f"busbar/{w}"), 10, wildcard)


def refuse_the_key(daemon):
    """The target holds itself, which raises the alert."""
    assert daemon.terminate() == 0
    (daemon.folder / "mw-api-key").write_text("another")
    daemon.start()


# ---- the page itself

def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if not link.startswith("https://")]
    assert len(links) > 8 and [link for link in links if not (ROOT / link).exists()] == []


def test_folders_are_the_ones_that_exist():
    listed = {name.split("/")[0] for name in re.findall(r"^\| `([a-z]+/[^`]*)` \|", TEXT, re.MULTILINE)}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("LOUD: no git checkout")
    there = {path.split("/")[0] for path in tracked.stdout.splitlines() if "/" in path and not path.startswith(".")}
    assert listed == there


def test_the_picture_is_readable_and_whole():
    import xml.etree.ElementTree as tree
    root = tree.parse(ROOT / "deploy" / "pipeline.svg").getroot()
    words = " ".join(root.itertext())
    numbers = {int(n) for n in re.findall(r"\b(\d{1,2})(?= |$)", " ".join(
        e.text for e in root.iter("{http://www.w3.org/2000/svg}text") if e.text and e.text[0].isdigit()))}
    assert set(range(1, 16)) <= numbers
    for word in ("sensors", "intake", "commit", "PUBACK", "store", "plugin: step", "verdict", "webhook door",
                 "plugin: decode", "prefers-color-scheme: dark"):
        assert word in words, word
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
