# SPDX-License-Identifier: Apache-2.0
"""The alerts of deploy/k8s: each fires when what it watches happens to a real daemon, and none does before.

A daemon is scraped when all is well and again when something is wrong; promtool is given the two scrapes as series (the
first for ten minutes, then the second) and evaluates the rules with their real waiting times.
"""

import json
import re
import shutil
import sqlite3
import subprocess

import pytest
import yaml

from busbar_harness import ROOT, command_route, free_port, http_call, wait_until
from test_disk_faults import FAULTS, disk, on_disk, send  # noqa: F401: fixtures
from test_k8s import one, run

RULES = [rule for group in yaml.safe_load((ROOT / "deploy/k8s/base/alerts.yaml").read_text())["spec"]["groups"]
         for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy/k8s/base/busbar-dashboard.json").read_text())
WELL, ILL = 10, 40  # minutes


@pytest.fixture(autouse=True)
def promtool():
    if shutil.which("promtool") is None:
        pytest.skip("LOUD: promtool is not installed (package prometheus)")


def rule_file(folder):
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": one("standalone", "PrometheusRule")["spec"]["groups"]}))
    return file


def scrape(daemon):
    """As Prometheus would see it; what does not answer has no samples, and `up` says so."""
    try:
        metrics = daemon.metrics()
    except OSError:
        return {("up", ()): 0}
    return {**metrics.values, ("up", ()): 1}


def series(well, ill):
    where = (("job", "busbar"), ("namespace", "plant"), ("pod", "busbar-0"))
    for name, labels in sorted(well.keys() | ill.keys()):
        if name.endswith("_bucket"):
            continue
        text = ",".join(f'{key}="{value}"' for key, value in (*labels, *where))
        before, after = well.get((name, labels)), ill.get((name, labels))
        values = [f"_x{WELL}" if before is None else f"{before:.17g}+0x{WELL}",
                  f"_x{ILL}" if after is None else f"{after:.17g}+0x{ILL}"]
        yield {"series": f"{name}{{{text}}}", "values": " ".join(values)}


def firing(folder, well, ill, minute):
    """The names of the alerts that fire at a minute; promtool says by what it expected less."""
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({
        "rule_files": [str(rule_file(folder))], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": list(series(well, ill)), "promql_expr_test": [
            {"expr": 'group by (alertname) (ALERTS{alertstate="firing"})', "eval_time": f"{minute}m",
             "exp_samples": []}]}]}))
    done = run("promtool", "test", "rules", file, expect=None)
    assert done.returncode == 0 or "got:" in done.stderr, done.stdout + done.stderr
    return set(re.findall(r'alertname="?\\?"?(\w+)', done.stderr))


def assert_fires(folder, well, ill, *names):
    longest = max(int(rule.get("for", "0m").rstrip("m")) for rule in RULES if rule["alert"] in names)
    assert firing(folder, well, ill, WELL) == set(), "all was well"
    if longest > 1:
        late = {rule["alert"] for rule in RULES if int(rule.get("for", "0m").rstrip("m")) == longest} & set(names)
        assert not firing(folder, well, ill, WELL + longest) & late, "only after its waiting time"
    assert firing(folder, well, ill, WELL + longest + 2) == set(names)


def test_the_rules_please_promtool(tmp_path):
    done = run("promtool", "check", "rules", rule_file(tmp_path))
    assert f"{len(RULES)} rules found" in done.stdout
    assert len({rule["alert"] for rule in RULES}) == len(RULES) >= 5
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"] and len(rule["annotations"]["description"]) > 80, rule["alert"]


def test_every_alert_is_caused_here():
    caused = set(re.findall(r'"(Busbar\w+)"', open(__file__, encoding="utf-8").read()))
    assert {rule["alert"] for rule in RULES} <= caused


def test_a_held_target(busbar, tmp_path):
    daemon = busbar()
    well = scrape(daemon)
    daemon.cli("targets", "hold", "mw", "--reason", "a test")
    assert_fires(tmp_path, well, scrape(daemon), "BusbarTargetHeld")


def test_dead_letters(busbar, sandbox, publisher, tmp_path):
    daemon = busbar()
    well = scrape(daemon)
    sandbox.configure(unknown_equipments=["m1"])
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.deliveries(state="rejected"), 10, "a dead letter")
    assert_fires(tmp_path, well, scrape(daemon), "BusbarDeadLetters")


def test_no_broker(busbar, broker, tmp_path):
    daemon = busbar()
    well = scrape(daemon)
    broker.kill()
    wait_until(lambda: not daemon.ready(), 20)
    assert_fires(tmp_path, well, scrape(daemon), "BusbarBusDown")


def test_an_old_backlog(busbar, sandbox, publisher, tmp_path):
    """The deliveries are made older than they are: nobody waits for half an hour here."""
    daemon = busbar()
    well = scrape(daemon)
    oldest = "busbar_deliveries_oldest_seconds"
    assert daemon.metrics().sum(oldest, target="mw") == 0, "nothing waits"
    sandbox.fail("status", status=503)
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(lambda: daemon.metrics().sum(oldest, target="mw") > 0, 10, "one waits")
    wait_until(lambda: daemon.metrics().sum(oldest, target="bus") == 0, 10, "what told of it is published")
    young = scrape(daemon)
    daemon.kill()
    with sqlite3.connect(tmp_path / "busbar.db") as store:
        assert store.execute("UPDATE deliveries SET accepted_ms = accepted_ms - 7200000").rowcount >= 1
    daemon.start()
    assert 7200 < daemon.metrics().sum(oldest, target="mw") < 7300
    quiet = {"BusbarBacklogOld"}
    assert firing(tmp_path, well, young, WELL + 20) & quiet == set(), "young, it is no reason"
    assert_fires(tmp_path, well, scrape(daemon), "BusbarBacklogOld")
    sandbox.forgive()
    wait_until(lambda: daemon.metrics().sum(oldest, target="mw") == 0, 20, "sent: nothing waits")


def test_a_store_that_fills(busbar, publisher, tmp_path):
    """Nearly full first, then full; the target is held, and that alert is there too."""
    daemon = busbar(store={"path": str(tmp_path / "busbar.db"), "durability": "crash", "max_size": "2MiB"})
    well = scrape(daemon)
    daemon.cli("targets", "hold", "mw")

    def part():
        metrics = daemon.metrics()
        return metrics.sum("busbar_store_bytes") / metrics.sum("busbar_store_max_bytes")

    assert daemon.metrics().sum("busbar_store_max_bytes") == 2 << 20 and part() < 0.5
    sent = 0
    while part() < 0.86:
        publisher.publish(f"plant/l1/m{sent}/job", {"celsius": sent, "fill": "x" * 1000})
        sent += 1
        assert sent < 3000
    assert_fires(tmp_path, well, scrape(daemon), "BusbarStoreNearlyFull", "BusbarTargetHeld")

    for n in range(3000):
        publisher.send(f"plant/l1/n{n}/job", {"celsius": n, "fill": "x" * 1000})
    publisher.flush()
    wait_until(lambda: daemon.metrics().sum("busbar_store_failures_total") > 0, 20, "a refused commit")
    wait_until(lambda: not daemon.ready(), 20, "full")
    during = firing(tmp_path, well, scrape(daemon), WELL + 2)
    assert {"BusbarStoreFails", "BusbarTargetHeld"} <= during, during


def test_a_store_whose_disk_takes_nothing(on_disk, disk, publisher, tmp_path):  # noqa: F811
    """As long as it lasts, also when nobody writes any more; by then the link to the broker is dropped, and that alert is there too."""
    daemon = on_disk()
    daemon.start()
    well = scrape(daemon)
    disk.control.set(**FAULTS["no space"][0])
    send(publisher, 0, 10)
    wait_until(lambda: daemon.metrics().sum("busbar_store_trouble") == 1, 20, "the trouble")
    ill = scrape(daemon)
    names = [firing(tmp_path, well, ill, WELL + minute) for minute in (0, 1, 3, ILL - 1)]
    assert ["BusbarStoreTrouble" in found for found in names] == [False, False, True, True], names
    disk.control.heal()
    wait_until(lambda: daemon.metrics().sum("busbar_store_trouble") == 0 and daemon.ready(), 40, "it goes on")
    assert "BusbarStoreTrouble" not in firing(tmp_path, ill, scrape(daemon), WELL + 2)


def test_a_lost_session(busbar, broker, tmp_path):
    daemon = busbar()
    well = scrape(daemon)
    broker.forget()
    wait_until(lambda: daemon.metrics().sum("busbar_bus_session_lost_total") == 1 and daemon.ready(), 30, "told")
    assert_fires(tmp_path, well, scrape(daemon), "BusbarSessionLost")


def test_no_busbar(busbar, tmp_path):
    daemon = busbar()
    well = scrape(daemon)
    daemon.kill()
    assert_fires(tmp_path, well, scrape(daemon), "BusbarDown")


def test_what_the_alerts_tell_to_do_can_be_done(busbar, sandbox, publisher):
    """Each command in them, asked of a daemon with a dead letter and a held target."""
    daemon = busbar()
    sandbox.configure(unknown_equipments=["m1"])
    for n in range(5):
        publisher.publish("plant/l1/m1/job", {"celsius": n})
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 5, 10, "dead letters")
    texts = " ".join(rule["annotations"]["description"] for rule in RULES)
    commands = set(re.findall(r"`busbar ([^`]+)`", texts))
    assert len(commands) >= 8
    for command in sorted(commands, key=lambda c: "resume" in c):
        letter = wait_until(lambda: daemon.deliveries(state="rejected"), 10)[-1]["id"]
        if "resume" in command:
            daemon.cli("targets", "hold", "mw")
        daemon.cli(*command.replace("{{ $labels.target }}", "mw").replace("ID", letter).split())


# ---- the dashboard

def test_the_dashboard_asks_for_what_there_is(busbar, sandbox, publisher, tmp_path):
    """Its expressions parse, and name metrics and labels that a daemon which did its job exports."""
    daemon = busbar([command_route()])
    publisher.publish("plant/l1/m1/job", {"celsius": 1})
    wait_until(sandbox.tasks, 10, "a task")
    assert daemon.hook(b"{}", secret="wrong").status == 401
    sandbox.send("TaskWasStarted")
    wait_until(lambda: daemon.metrics().sum("busbar_webhooks_total", outcome="accepted") > 0, 10, "a webhook")
    daemon.cli("targets", "hold", "mw")
    publisher.publish("plant/l1/m1/job", {"celsius": 2})
    wait_until(lambda: daemon.deliveries(state="pending"), 10, "something to carry over")
    text = daemon.metrics().text
    daemon.kill()
    daemon.start()
    text += daemon.metrics().text
    there = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    for expression in expressions:
        for name, selector in re.findall(r"\b(busbar_\w+)\{([^}]*)\}", expression):
            assert re.sub(r"_bucket$", "", name) in there, expression
        assert not re.findall(r"\b(busbar_\w+)(?![\w{])", expression), f"without the chosen pods: {expression}"
    labels = set(re.findall(r"(\w+)=", text)) | {"pod", "state", "verdict"}
    assert set(re.findall(r"(\w+)=~?\"", " ".join(expressions))) <= labels
    assert {word for group in re.findall(r"by \(([^)]*)\)", " ".join(expressions)) for word in group.split(", ")} <= labels
    rules = tmp_path / "dashboard.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "5m").replace("$pod", ".*")}
        for n, expression in enumerate(expressions)]}]}))
    assert f"{len(expressions)} rules found" in run("promtool", "check", "rules", rules).stdout


def test_the_dashboards_ledgers_are_zero(busbar, sandbox, publisher, tmp_path):
    """By a real daemon's numbers: promtool evaluates the two panels."""
    daemon = busbar([command_route()])
    sandbox.configure(unknown_equipments=["m1"])
    for n in range(9):
        publisher.publish(f"plant/l1/m{n % 3}/job", {"celsius": n})
    wait_until(lambda: len(daemon.deliveries(state="rejected")) == 3 and len(sandbox.tasks()) == 6, 10)
    daemon.cli("queue", "discard", daemon.deliveries(state="rejected")[0]["id"])
    daemon.cli("targets", "hold", "mw")
    publisher.publish("plant/l1/m2/job", {"celsius": 1})
    wait_until(lambda: daemon.metrics().sum("busbar_deliveries", state="pending", target="mw") == 1, 10)
    ledgers = [panel["targets"][0]["expr"].replace("$pod", ".*") for panel in DASHBOARD["panels"] if "ledger" in panel["title"]]
    assert len(ledgers) == 2
    tests = [{"expr": f"max(abs({expression}))", "eval_time": "5m", "exp_samples": [{"labels": "{}", "value": 0}]}
             for expression in ledgers]
    now = scrape(daemon)
    file = tmp_path / "test.yaml"

    def passes(numbers):
        file.write_text(yaml.safe_dump({"rule_files": [str(rule_file(tmp_path))], "evaluation_interval": "1m", "tests": [
            {"interval": "1m", "input_series": list(series(numbers, numbers)), "promql_expr_test": tests}]}))
        return subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)

    done = passes(now)
    assert done.returncode == 0, done.stdout + done.stderr
    lost = {key: value + (key[0] == "busbar_deliveries_accepted_total") for key, value in now.items()}
    assert passes(lost).returncode != 0, "the check itself: one delivery more began than ended"


def test_scrapes_are_taken_with_the_token(busbar):
    """What the ServiceMonitor relies on: probes are open, metrics are not."""
    daemon = busbar(http={"webhooks": None, "admin": f"0.0.0.0:{free_port()}", "admin_token": "a-token-of-32-letters-or-more-xxx"})
    assert daemon.get("/healthz").status == 200 and daemon.get("/metrics").status == 401
    head = {"Authorization": "Bearer a-token-of-32-letters-or-more-xxx"}
    assert http_call(daemon.admin_port, "GET", "/metrics", headers=head).status == 200

