# SPDX-License-Identifier: Apache-2.0
"""One alarm, five systems, two of them by YAML alone: the same route makes a work order in each, and what becomes of it is told in
one shape."""

import json
import pathlib

import pytest
import yaml

from busbar_harness import (KEY, SECRET, AsseticSandbox, AtlasSandbox, ErpNextSandbox, FactVerseSandbox, Sandbox, configuration,
                            mw_target, wait_until)

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "config" / "examples"

ROUTES = """\
routes:
  - name: {target}-bearing-hot
    from: plant/{{line}}/{{asset}}/temperature
    trigger: {{value: "${{.celsius}}", above: 85, clear: 80, key: "${{asset}}"}}
    to: {target}.work_order.create
    body:
      asset_ref: ${{asset}}
      title: Bearing at ${{value}} °C on ${{asset}}
      description: Stop line ${{line}} first
      location: ${{line}}
      priority: high
      sla_due_at: ${{now+8h}}
"""
NATIVE = {  # what each alone demands, when its target's settings have no defaults
    "mw": {"assignees": ["jane@example.com"]},
    "at": {"EstimatedDuration": 2, "WorkOrderType": {"Id": 6}, "RemedyCodeId": 3},
    "fv": {},
    "atlas": {},
    "erp": {},
}
KINDS = {"mw": Sandbox, "at": AsseticSandbox, "fv": FactVerseSandbox, "atlas": AtlasSandbox, "erp": ErpNextSandbox}
TALKERS = ("mw", "fv", "atlas", "erp")  # with webhooks
ARGUMENTS = {"mw": ("--secret", SECRET, "--life", "scheduled=0"), "at": ()}


def by_yaml(example, name, sandbox, auth):
    """A target of the plugin http, as the example has it."""
    target = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())["targets"][name]
    return {**target, "url": sandbox.url, "auth": {"header": auth}, "webhook_secret": SECRET, "poll": "1s"}


class Plant:
    """Five stand-ins behind one daemon."""

    def __init__(self, folder, logs):
        self.made = {}
        for name, kind in KINDS.items():
            (folder / name).mkdir()
            self.made[name] = kind(folder / name, logs, *ARGUMENTS.get(name, ("--secret", SECRET)))
            self.made[name].start()
        self.mw, self.at, self.fv, self.atlas, self.erp = (self.made[name] for name in KINDS)

    def targets(self, defaults=True):
        mw = mw_target(self.mw)
        at = {"plugin": "assetic", "url": self.at.url, "user": "api.user", "token": KEY, "time_zone": "UTC0",
              "mode": "write_back", "poll": "1s", "map": {"priority": {1: "critical", 2: "high", 3: "medium", 5: "low"}}}
        fv = {"plugin": "factverse", "url": self.fv.url, "provider_id": "fv", "tenant": "north", "token": KEY,
              "webhook_secret": SECRET, "mode": "write_back"}
        if defaults:
            mw["defaults"] = NATIVE["mw"]
            at["defaults"] = NATIVE["at"]
        return {"mw": mw, "at": at, "fv": fv,
                "atlas": by_yaml("atlas_cmms", "atlas", self.atlas, {"name": "x-api-key", "value": KEY}),
                "erp": by_yaml("erpnext", "erp", self.erp, {"name": "Authorization", "value": f"token {KEY}"})}

    def orders(self):
        return {name: made.tasks() if name == "mw" else made.orders() for name, made in self.made.items()}

    def each_has_one(self):
        wait_until(lambda: all(self.orders().values()), 15, "a work order in each")
        assert {name: len(orders) for name, orders in self.orders().items()} == dict.fromkeys(KINDS, 1)
        return {name: orders[0] for name, orders in self.orders().items()}

    def move(self, orders, status):
        """Somebody does something about it, in each system's own way: two of them have no word for assigned."""
        mw, at, word, atlas, erp = {
            "assigned": (None, "RFE", "Assigned", None, None),
            "in_progress": ("TaskWasStarted", "INPRG", "In Progress", "IN_PROGRESS", "Replied"),
            "completed": ("TaskWasCompleted", "TCOMP", "Completed", "COMPLETE", "Resolved")}[status]
        if mw:
            self.mw.tell(orders["mw"]["id"], mw)
        self.at.set_status(orders["at"]["Id"], at)
        self.fv.change(orders["fv"]["common_work_order_id"], common_status=status, source_status=word)
        if atlas:
            self.atlas.control("POST", "status", {"order": orders["atlas"]["id"], "status": atlas})
            self.erp.control("POST", "change", {"name": orders["erp"]["name"], "status": erp})


@pytest.fixture
def plant(tmp_path, logs):
    plant = Plant(tmp_path, logs)
    yield plant
    for sandbox in plant.made.values():
        sandbox.kill()


@pytest.fixture
def run(tmp_path, broker, plant, make_busbar):
    """run(targets, route files by name): a daemon that includes them"""

    def start(targets, files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        config = configuration(tmp_path, broker, targets, [], include=[str(tmp_path / f"{name}.yaml") for name in files])
        daemon = make_busbar(config)
        for name in TALKERS:
            plant.made[name].configure(webhook_url=f"http://127.0.0.1:{daemon.hook_port}/hooks/{name}")
        return daemon

    return start


def route_file(target, native=None):
    route = yaml.safe_load(ROUTES.format(target=target))
    if native:
        route["routes"][0]["body"]["native"] = native
    return yaml.safe_dump(route, allow_unicode=True)


def without_target(text, target, *members):
    route = yaml.safe_load(text)["routes"][0]
    for member in members:
        route["body"].pop(member, None)
    return json.dumps(route).replace(f'"{target}.', '"<target>.').replace(f'"{target}-', '"<target>-')


def shape(value):
    """Members and the kinds of their values; null is any text."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return "text" if value is None or isinstance(value, str) else type(value).__name__


def test_one_route_five_systems(plant, run, publisher, subscribe):  # FV-04, FV-06a..c, FV-10
    events = subscribe("busbar/events/+/work_order/#")
    files = {name: route_file(name) for name in plant.made}
    assert len({without_target(text, name) for name, text in files.items()}) == 1, "nothing but the target's name"
    daemon = run(plant.targets(), files)
    publisher.publish("plant/hall-2/P-101/temperature", {"celsius": 91})
    orders = plant.each_has_one()
    assert orders["mw"]["body"]["equipment"]["value"] == "P-101" and "Priority: high" in orders["mw"]["body"]["description"]
    assert (orders["at"]["BriefDescription"], orders["at"]["PriorityId"]) == ("Bearing at 91 °C on P-101", 2)
    assert (orders["fv"]["title"], orders["fv"]["priority"]) == ("Bearing at 91 °C on P-101", "high")
    assert (orders["atlas"]["title"], orders["atlas"]["priority"]) == ("Bearing at 91 °C on P-101", "HIGH")
    assert (orders["erp"]["subject"], orders["erp"]["priority"]) == ("Bearing at 91 °C on P-101", "High")

    def told(name, common):
        return [event for event in events.payloads(f"busbar/events/{name}/work_order/#")
                if event["data"]["work_order"]["common_status"] == common]

    for status in ("assigned", "in_progress", "completed"):
        plant.move(orders, status)
        who = ("mw", "at", "fv") if status == "assigned" else KINDS
        wait_until(lambda s=status, who=who: all(told(name, s) for name in who), 15, f"{status} of each")
    for name in plant.made:
        mine = events.payloads(f"busbar/events/{name}/work_order/#")
        types = list(dict.fromkeys(event["type"] for event in mine))
        assert types == ["work_order.created", "work_order.updated", "work_order.completed"], name
        assert len({event["subject"] for event in mine}) == 1, "one record over its whole life"
        assert {event["data"]["work_order"]["asset_ref"] for event in mine} == {"P-101"}
    last = {name: told(name, "completed")[0] for name in plant.made}
    for event in last.values():
        event["data"]["provider"].pop("raw")  # the provider's own object, as it came
    assert [name for name in KINDS if shape(last[name]) != shape(last["mw"])] == []
    records = {order["provider_id"]: order for order in daemon.json("orders", "list")["items"]}
    assert {name: record["common_status"] for name, record in records.items()} == dict.fromkeys(KINDS, "completed")
    assert len({frozenset(record) for record in records.values()}) == 1
    assert daemon.deliveries(state="rejected") == []


def test_what_one_alone_demands_is_its_native_block(plant, run, publisher):  # FV-10
    files = {name: route_file(name, NATIVE[name]) for name in plant.made}
    assert len({without_target(text, name, "native") for name, text in files.items()}) == 1
    daemon = run(plant.targets(defaults=False), files)
    publisher.publish("plant/hall-2/P-101/temperature", {"celsius": 91})
    orders = plant.each_has_one()
    assert orders["mw"]["body"]["assignees"] == [{"type": "email", "value": "jane@example.com"}]
    assert (orders["at"]["EstimatedDuration"], orders["at"]["RemedyCodeId"]) == (2, 3)
    assert daemon.deliveries(state="rejected") == []
