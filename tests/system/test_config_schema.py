# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema for editors against the files that we ship. That its keys are the ones which busbar
takes is proved by tests/unit/test_config.c, which sees the tables."""

import copy
import json
import pathlib
import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "config"
SHIPPED = [CONFIG / "busbar.yaml", *sorted((CONFIG / "examples").glob("*.yaml"))]


class CoreLoader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, busbar reads the core schema of 1.2: there `yes` and `12:30` are text."""


CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] in ("int", "float", "null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read(text):
    return yaml.load(text, Loader=CoreLoader)


@pytest.fixture(scope="module")
def validator():
    schema = json.loads((CONFIG / "busbar.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def reference():
    return copy.deepcopy(read((CONFIG / "busbar.yaml").read_text()))


def complaints(validator, document):
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(document)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_are_valid(validator, path):
    assert complaints(validator, read(path.read_text())) == []


def examples_of(text):
    """The lines of the reference that are commented out, each with the path of keys above it."""
    above = []
    for line in text.splitlines():
        bare = line.lstrip()
        commented = bare.startswith("# ") and ": " in bare and ("# example" in line or "# default" in line)
        if bare.startswith("#") and not commented:
            continue
        indent = len(line) - len(bare)
        body = bare[2:] if commented else bare
        above = [(at, key) for at, key in above if at < indent]
        key = body.lstrip("- ").split(":")[0]
        if commented:
            yield [key for _, key in above], body
        elif bare.startswith("- "):
            above.append((indent, 0))
        else:
            above.append((indent, key))


def test_commented_examples_of_the_reference_are_valid(validator, reference):
    found = 0
    for path, line in examples_of((CONFIG / "busbar.yaml").read_text()):
        value = read(line)
        document = copy.deepcopy(reference)
        place = document
        for key in path:
            place = place[key]
        place.update(value)
        assert complaints(validator, document) == [], line
        found += 1
    assert found >= 12


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(busx={}),
        lambda c: c["bus"].update(prefx="a"),
        lambda c: c["bus"].update(url="http://x"),
        lambda c: c["bus"].update(version=4),
        lambda c: c["store"].update(durability="both"),
        lambda c: c["store"].update(max_size="1TB"),
        lambda c: c["http"].update(admin="9080"),
        lambda c: c["http"].update(tls={"cert": "a"}),
        lambda c: c["targets"].update(bus=c["targets"]["mw"]),
        lambda c: c["targets"]["mw"].pop("plugin"),
        lambda c: c["targets"]["mw"].update(mode="write"),
        lambda c: c["targets"]["mw"].update(rate="10"),
        lambda c: c["targets"]["mw"]["retry"].update(frist="1s"),
        lambda c: c["targets"]["mw"].update(map={"statuses": {}}),
        lambda c: c["targets"]["mw"].update(map={"status": {"A": "done"}}),
        lambda c: c["targets"]["mw"].update(map={"priority": {"1": "urgent"}}),
        lambda c: c["targets"]["mw"].update(map={"event": {"A": "work_order.lost"}}),
        lambda c: c["routes"][0].update(batch={"max": 0}),
        lambda c: c["routes"][0].update(batch={"most": 5}),
        lambda c: c["routes"][0].update(batch={"wait": "soon"}),
        lambda c: c["routes"][0].update(to="mw"),
        lambda c: c["routes"][0].update(body_jq="."),
        lambda c: c["routes"][0]["trigger"].update(abvoe=1),
        lambda c: c["routes"][0]["trigger"].update(below=1),
        lambda c: c["routes"][0]["trigger"].pop("above"),
        lambda c: c["routes"][0]["trigger"].update({"for": "soon"}),
        lambda c: c["routes"][0]["trigger"].update(until="open"),
        lambda c: c["routes"][0]["trigger"].update(budget="24"),
        lambda c: c["routes"][0]["trigger"].update(window={"avg": "10m", "max": "10m"}),
        lambda c: c["routes"][0]["trigger"].update(absent="10m"),
    ],
)
def test_mistakes_are_seen(validator, reference, change):
    change(reference)
    assert complaints(validator, reference) != []


def test_plugin_options_are_free(validator, reference):
    reference["targets"]["mw"]["an_option"] = {"of": ["the plugin"]}
    assert complaints(validator, reference) == []


@pytest.mark.parametrize("route, label, rows", [
    ("heat-dissipation", "HDF", 115), ("power", "PWF", 95), ("overstrain", "OSF", 98)])
def test_ai4i_example_conditions_find_the_labelled_rows(ai4i, route, label, rows):
    if shutil.which("jq") is None:
        pytest.skip("LOUD: the jq program is not installed")
    columns = {"UDI": "udi", "Product ID": "product_id", "Type": "type", "Air temperature [K]": "air_temperature",
               "Process temperature [K]": "process_temperature", "Rotational speed [rpm]": "rotational_speed",
               "Torque [Nm]": "torque", "Tool wear [min]": "tool_wear"}
    example = read((CONFIG / "examples" / "ai4i.yaml").read_text())
    when = next(r for r in example["routes"] if r["name"] == route)["trigger"]["when"]
    readings = [json.dumps({name: row[column] for column, name in columns.items()}) for row in ai4i]
    done = subprocess.run(["jq", "-c", f"select({when}) | .udi"], input="\n".join(readings), capture_output=True,
                          text=True, check=True)
    assert list(map(int, done.stdout.split())) == [row["UDI"] for row in ai4i if row[label] == 1]
    assert len(done.stdout.split()) == rows
