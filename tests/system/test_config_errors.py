# SPDX-License-Identifier: Apache-2.0
"""A wrong configuration: every problem, each with file, line, column and what would be right."""

import re

import pytest

from busbar_harness import ROOT

GOOD = """\
instance: edge-01
bus:
  url: mqtt://127.0.0.1:1883
store:
  path: busbar.db
http:
  webhooks: 127.0.0.1:18080
  admin: 127.0.0.1:19080
targets:
  mw:
    plugin: mobility_work
    url: http://127.0.0.1:18081
    api_key: 0123456789abcdef
    network_name: Factory Inc.
    webhook_secret: busbar-test-secret
    mode: write_back
routes:
  - name: bearing-hot
    from: plant/{line}/{asset}/temperature
    trigger:
      value: ${.celsius}
      above: 85
      clear: 80
      cooldown: 1h
      key: ${line}/${asset}
    to: mw.task.schedule
    body:
      equipment: {type: external, value: "${asset}"}
      description: Bearing at ${value} on ${asset}
      startDateTime: ${now}
      endDateTime: ${now+2h}
      allDay: false
      assignees: [maintenance@example.com]
"""

WRONG = {  # name -> (text to replace, by what, words that the message must hold); the line is that of the text
    "unknown-key": ("    mode: write_back", "    mod: write_back", ["mod", "mode"]),
    "unknown-section": ("store:", "stroe:", ["stroe", "store"]),
    "unknown-mode": ("mode: write_back", "mode: writeback", ["writeback", "write_back"]),
    "wrong-type": ("above: 85", "above: hot", ["above", "hot"]),
    "wrong-duration": ("cooldown: 1h", "cooldown: 1 hour", ["1 hour"]),
    "unknown-target": ("to: mw.task.schedule", "to: mv.task.schedule", ["mv", "mw"]),
    "unknown-operation": ("to: mw.task.schedule", "to: mw.task.shedule", ["shedule", "task.schedule"]),
    "unknown-plugin": ("plugin: mobility_work", "plugin: mobility_wrok", ["mobility_wrok"]),
    "unknown-placeholder": ("value: \"${asset}\"", "value: \"${aset}\"", ["aset", "asset"]),
    "broken-placeholder": ("on ${asset}", "on ${asset", ["${asset"]),
    "bad-filter": ("from: plant/{line}/{asset}/temperature", "from: plant/{line}/#/temperature", ["#"]),
    "bad-url": ("mqtt://127.0.0.1:1883", "tcp-127.0.0.1", ["tcp-127.0.0.1"]),
    "http-to-afar": ("url: http://127.0.0.1:18081", "url: http://example.com", ["https"]),
    "url-that-walks": ("url: http://127.0.0.1:18081", "url: http://127.0.0.1:18081/api/../v2", ["/../", "leads to"]),
    "url-that-stays": ("url: http://127.0.0.1:18081", "url: http://127.0.0.1:18081/./v2", ["/./", "leads to"]),
    "url-that-walks-encoded": ("url: http://127.0.0.1:18081", "url: http://127.0.0.1:18081/api/%2e%2E", ["%2e", "leads to"]),
    "missing-file": ("api_key: 0123456789abcdef", "api_key: ${file:/no/such/file}", ["/no/such/file"]),
    "missing-env": ("api_key: 0123456789abcdef", "api_key: ${env:NO_SUCH_VARIABLE}", ["NO_SUCH_VARIABLE"]),
    "duplicate-key": ("      above: 85", "      above: 85\n      above: 86", ["above"]),
    "no-option": ("    network_name: Factory Inc.", "    network_nam: Factory Inc.", ["network_nam", "network_name"]),
    "unquoted-in-flow": ('value: "${asset}"}', "value: ${asset}}", ["quote"]),
    "admin-without-token": ("admin: 127.0.0.1:19080", "admin: 0.0.0.0:19080", ["admin_token"]),
    "clear-above-threshold": ("clear: 80", "clear: 90", ["clear"]),
}


def check(make_busbar, text, expect):
    daemon = make_busbar(text, start=False)
    done = daemon.cli("check", expect=expect)
    return daemon, done.stdout + done.stderr


def test_a_good_configuration(make_busbar):
    check(make_busbar, GOOD, 0)


@pytest.mark.parametrize("name", WRONG)
def test_wrong(make_busbar, name):
    old, new, words = WRONG[name]
    assert GOOD.count(old) == 1
    text = GOOD.replace(old, new)
    line = GOOD[: GOOD.index(old)].count("\n") + 1 + (name == "duplicate-key")
    daemon, said = check(make_busbar, text, 1)
    found = [m for m in re.findall(r"busbar\.yaml:(\d+):(\d+): (.*)", said) if int(m[0]) == line]
    assert found, f"no problem at line {line}:\n{said}"
    assert any(all(word in message for word in words) for _, _, message in found), said
    refused = daemon.cli("run", expect=1)
    assert f"busbar.yaml:{line}:" in refused.stdout + refused.stderr


def test_every_problem_is_told_at_once(make_busbar):
    text = GOOD.replace("mode: write_back", "mode: writeback").replace("above: 85", "above: hot") \
        .replace("to: mw.task.schedule", "to: mv.task.schedule")
    _, said = check(make_busbar, text, 1)
    lines = {int(n) for n, _ in re.findall(r"busbar\.yaml:(\d+):(\d+): ", said)}
    assert {16, 22, 26} <= lines, said


def test_a_column_is_right(make_busbar):
    _, said = check(make_busbar, GOOD.replace("above: 85", "abvoe: 85"), 1)
    assert "busbar.yaml:22:7: " in said and "above" in said


def test_not_even_yaml(make_busbar):
    _, said = check(make_busbar, "bus: [1, 2\nroutes: }", 1)
    assert re.search(r"busbar\.yaml:\d+:\d+: ", said)


def test_no_file(make_busbar):
    daemon = make_busbar(GOOD, start=False)
    done = daemon.cli("check", "-c", "no-such-file.yaml", config=False, expect=1)
    assert "no-such-file.yaml" in done.stderr + done.stdout


def test_mode_read_by_omission_is_warned_of(make_busbar):  # settled 18
    _, said = check(make_busbar, GOOD.replace("    mode: write_back\n", ""), 0)
    assert "mode" in said and "read" in said


def test_secrets_are_not_printed(make_busbar, tmp_path):  # MW-C02
    secret = tmp_path / "key"
    secret.write_text("hidden-hidden-hidden\n")
    text = GOOD.replace("api_key: 0123456789abcdef", f"api_key: ${{file:{secret}}}")
    daemon, said = check(make_busbar, text, 0)
    said += daemon.cli("check", "--defaults").stdout
    said += daemon.cli("try", "--topic", "plant/l1/m1/temperature", "--payload", '{"celsius": 90}').stdout
    assert "hidden-hidden" not in said and "mw.task.schedule" in said


def test_the_reference_configuration_is_right(make_busbar):
    """config/busbar.yaml shows what runs; only its secret files are not here."""
    reference = ROOT / "config" / "busbar.yaml"
    assert reference.exists()
    text = re.sub(r"\$\{(file|env):[^}]*\}", "a-secret-for-the-test", reference.read_text())
    check(make_busbar, text, 0)


def test_a_missing_secret_matters_only_where_webhooks_come(make_busbar):  # MW-S01
    """Without http.webhooks nothing is refused, as nothing can come."""
    bare = GOOD.replace("    webhook_secret: busbar-test-secret\n", "")
    _, said = check(make_busbar, bare, 0)
    assert "target mw has no webhook_secret: its webhooks are refused" in said
    for closed in ("", "  webhooks: null\n"):
        assert "webhook" not in check(make_busbar, bare.replace("  webhooks: 127.0.0.1:18080\n", closed), 0)[1]


def test_a_trigger_on_a_shared_subscription_is_warned_of(make_busbar):
    _, said = check(make_busbar, GOOD.replace("bus:\n", "bus:\n  share: plant\n"), 0)
    assert re.search(r"busbar\.yaml:\d+:\d+: warning: route 'bearing-hot' has a trigger, and with bus.share", said), said


def test_an_event_s_secret_is_for_an_event_that_there_is(make_busbar):
    secret = "    webhook_secret: busbar-test-secret\n"
    several = "    webhook_secret: {TaskWasStarted: a, TaskWasStrted: b}\n    map: {event: {TaskWasDone: work_order.updated}}\n"
    _, said = check(make_busbar, GOOD.replace(secret, several), 0)
    assert "webhook_secret of target mw: the plugin mobility_work knows no event TaskWasStrted; did you mean TaskWasStarted?" in said
    assert "map of target mw: the plugin mobility_work knows no event TaskWasDone" in said and "no event TaskWasStarted" not in said
    _, said = check(make_busbar, GOOD.replace(secret, "    webhook_secret: {'': a}\n"), 1)
    assert "the name of an event has 1 to 128 letters" in said
