# SPDX-License-Identifier: Apache-2.0
"""deploy/k8s: each overlay as kustomize renders it, against Kubernetes' own types with unknown fields refused, against
the restricted Pod security profile, and against itself: what names something names what is there.

The types are those of the npm package kubernetes-models 5.1.0 and @kubernetes-models/prometheus-operator 6.0.0, both
generated from the projects' OpenAPI documents (tests/k8s). They cannot see what an API server adds: defaults, immutable
fields, rules between fields, admission; the references between objects are therefore checked here.
"""

import functools
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from busbar_harness import BINARY, ROOT, npm_modules

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
TYPES = ROOT / "build" / "k8s"


def run(*command, expect=0, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False,
                          **options)
    assert expect is None or done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@functools.cache
def rendered(overlay):
    if shutil.which("kubectl") is None:
        pytest.skip("LOUD: no kubectl: the Kubernetes manifests are not rendered")
    return tuple(yaml.safe_load_all(run("kubectl", "kustomize", K8S / "overlays" / overlay).stdout))


def of_kind(overlay, kind):
    return [document for document in rendered(overlay) if document["kind"] == kind]


def one(overlay, kind):
    (document,) = of_kind(overlay, kind)
    return document


def pod_of(overlay):
    return one(overlay, "StatefulSet")["spec"]["template"]["spec"]


def containers(overlay):
    pod = pod_of(overlay)
    return pod["containers"] + pod.get("initContainers", [])


def busbar_of(overlay):
    return next(each for each in pod_of(overlay)["containers"] if each["name"] == "busbar")


def size(text):
    number, unit = re.fullmatch(r"(\d+)\s*([KMG]i?)B?", text.removesuffix("B")).groups()
    return int(number) * (1024 if unit.endswith("i") else 1000) ** ("KMG".index(unit[0]) + 1)


# ---- types

def check_types(documents, tmp_path):
    npm_modules(ROOT / "tests" / "k8s", TYPES, files=["check.mjs"])
    file = tmp_path / "manifests.json"
    file.write_text(json.dumps(documents))
    return run("node", "check.mjs", file, cwd=TYPES, expect=None)


def test_the_manifests_are_what_kubernetes_knows(tmp_path):
    documents = [document for overlay in OVERLAYS for document in rendered(overlay)]
    done = check_types(documents, tmp_path)
    assert done.returncode == 0 and f"{len(documents)} objects, 0 findings" in done.stdout, done.stdout + done.stderr


def test_what_kubernetes_does_not_know_is_refused(tmp_path):
    """The checker itself: a field too many at any depth, a wrong type, a wrong unit, a field too few."""
    documents = json.loads(json.dumps(rendered(OVERLAYS[0])))
    kinds = {document["kind"]: document for document in documents}
    pod = kinds["StatefulSet"]["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"]["readOnlyRoot"] = True
    pod["volumes"][0]["projected"]["sources"][0]["configMap"]["optionl"] = True
    pod["containers"][0]["readinessProbe"]["periodSeconds"] = "5"
    kinds["StatefulSet"]["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "1 GB"
    kinds["ServiceMonitor"]["spec"]["endpoints"][0]["token"] = "x"
    kinds["NetworkPolicy"]["metadata"]["label"] = {}
    del kinds["PrometheusRule"]["spec"]["groups"][0]["name"]
    done = check_types(documents, tmp_path)
    assert done.returncode == 1
    for word in ("'\"readOnlyRoot\"' does not exist", "'\"optionl\"' does not exist", "'string' is not assignable",
                 "match format \"quantity\"", "'\"token\"' does not exist", "'\"label\"' does not exist",
                 "Property '\"name\"' is missing"):
        assert word in done.stdout, f"{word} in\n{done.stdout}"


# ---- the restricted profile (Pod Security Standards, v1.31)

def restricted(pod):
    """What of the profile the Pod does not keep."""
    wrong = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    volumes = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    wrong += [f"volume {v['name']}" for v in pod.get("volumes", []) if set(v) - {"name"} - volumes]
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("securityContext", {})
        both = {**pod.get("securityContext", {}), **own}
        wrong += [f"{container['name']}: {what}" for what, good in (
            ("privileged", not own.get("privileged")),
            ("allowPrivilegeEscalation", own.get("allowPrivilegeEscalation") is False),
            ("runAsNonRoot", both.get("runAsNonRoot") is True and both.get("runAsUser") != 0),
            ("seccompProfile", both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost")),
            ("capabilities", own.get("capabilities", {}).get("drop") == ["ALL"]
             and set(own["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}),
            ("hostPort", not any(port.get("hostPort") for port in container.get("ports", []))),
            ("procMount", own.get("procMount", "Default") == "Default"),
            ("sysctls", not both.get("sysctls"))) if not good]
    return wrong


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pod_keeps_the_restricted_profile_and_more(overlay):
    pod = pod_of(overlay)
    assert restricted(pod) == []
    assert pod["automountServiceAccountToken"] is False, "it asks the API server for nothing"
    for container in containers(overlay):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"]["memory"] and container["resources"]["limits"]["memory"]
    loose = json.loads(json.dumps(pod))
    loose["containers"][0]["securityContext"] = {"capabilities": {"drop": []}}
    loose["volumes"][0] = {"name": "root", "hostPath": {"path": "/"}}
    loose["securityContext"].pop("seccompProfile")
    assert len(restricted(loose)) >= 4, "the check itself"


# ---- what names something names what is there

@pytest.mark.parametrize("overlay", OVERLAYS)
def test_names_lead_somewhere(overlay):
    stateful, pod = one(overlay, "StatefulSet")["spec"], pod_of(overlay)
    labels = stateful["template"]["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for each in containers(overlay) for port in each["ports"]}
    maps = {each["metadata"]["name"] for each in of_kind(overlay, "ConfigMap")}
    services = {each["metadata"]["name"]: each for each in of_kind(overlay, "Service")}

    def selects(selector):
        """Our Pods, and no others: an empty selector would be every Pod of the namespace."""
        return selector and set(selector.items()) <= set(labels.items())

    assert selects(stateful["selector"]["matchLabels"])
    assert services[stateful["serviceName"]]["spec"]["clusterIP"] == "None"
    for name, service in services.items():
        assert selects(service["spec"]["selector"]), name
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports), name
    for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert selects(one(overlay, kind)["spec"][path].get("matchLabels")), kind
    policy = one(overlay, "NetworkPolicy")["spec"]
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= set(ports)
    monitor = one(overlay, "ServiceMonitor")["spec"]
    scraped = [s for s in services.values()
               if monitor["selector"]["matchLabels"].items() <= s["metadata"].get("labels", {}).items()]
    assert [s["metadata"]["name"] for s in scraped] == ["busbar-pods"]
    assert scraped[0]["metadata"]["labels"][monitor["jobLabel"]] == "busbar", "the job of the alert BusbarDown"
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in scraped[0]["spec"]["ports"]}

    claims = {claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for container in containers(overlay):
        assert {mount["name"] for mount in container["volumeMounts"]} <= claims | set(volumes), container["name"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            where = container.get(probe, {}).get("httpGet") or container.get(probe, {}).get("tcpSocket")
            assert where is None or where["port"] in ports
    sources = [source for volume in volumes.values() for source in volume["projected"]["sources"]]
    assert {source["configMap"]["name"] for source in sources if "configMap" in source} <= maps
    credentials = monitor["endpoints"][0]["authorization"]["credentials"]
    assert any(source["secret"]["name"] == credentials["name"] and credentials["key"] in
               {item["key"] for item in source["secret"]["items"]} for source in sources if "secret" in source)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_grace_and_sizes_are_those_of_the_program(overlay):
    busbar, pod, config = busbar_of(overlay), pod_of(overlay), configuration(overlay)
    ports = {port["name"]: port["containerPort"] for port in busbar["ports"]}
    assert config["http"]["admin"] == f"0.0.0.0:{ports['admin']}", "the kubelet asks at the Pod's address"
    assert config["http"]["webhooks"] in (f"0.0.0.0:{ports['webhooks']}", None)
    assert {busbar[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")} == {"/healthz"}
    assert busbar["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for service in of_kind(overlay, "Service"):
        if service["metadata"]["name"] != "mosquitto":
            assert service["spec"]["publishNotReadyAddresses"] is True
    drain = int(re.search(r"#define DRAIN_MS (\d+)", (ROOT / "core" / "cmd_run.c").read_text())[1]) / 1000
    assert drain + 5 <= pod["terminationGracePeriodSeconds"] <= drain * 3
    mount = next(mount for mount in busbar["volumeMounts"] if mount["name"] == "store")
    assert os.path.dirname(config["store"]["path"]) == mount["mountPath"]
    claim = next(claim for claim in one(overlay, "StatefulSet")["spec"]["volumeClaimTemplates"]
                 if claim["metadata"]["name"] == "store")
    room = size(claim["spec"]["resources"]["requests"]["storage"])
    assert size(config["store"]["max_size"]) * 1.1 + 80e6 < room, "what ends, and the write-ahead log"
    assert size(busbar["resources"]["limits"]["memory"]) == 64 << 20, "what tests/system/test_image.py runs it with"
    version = re.search(r"project\(busbar VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    assert busbar["image"] == f"busbar:{version}"


# ---- the configuration in it

def text_of(overlay, name="busbar-config", key="busbar.yaml"):
    return next(each["data"][key] for each in of_kind(overlay, "ConfigMap") if each["metadata"]["name"].startswith(name))


def configuration(overlay):
    return yaml.safe_load(text_of(overlay))


def lay_out(overlay, folder):
    """/etc/busbar as the projected volume makes it, and the environment."""
    volume = next(volume for volume in pod_of(overlay)["volumes"] if volume["name"] == "config")
    items = next(source["secret"]["items"] for source in volume["projected"]["sources"] if "secret" in source)
    (folder / "busbar.yaml").write_text(text_of(overlay))
    for item in items:
        file = folder / item["path"]
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"secret-{item['key']}")
        file.chmod(0o440)
    assert volume["projected"]["defaultMode"] == 0o440
    names = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in busbar_of(overlay)["env"]}
    assert names == {"POD_NAME": "metadata.name"}
    return dict(os.environ, POD_NAME="busbar-0", BUSBAR_PLUGIN_PATH=str(BINARY.parent / "plugins"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_is_good_and_its_secrets_are_mounted(overlay, tmp_path):
    environment = lay_out(overlay, tmp_path)
    done = run(BINARY, "check", "-c", tmp_path / "busbar.yaml", env=environment)
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if "warning" in line]
    assert "good: 1 target, 1 route" in done.stdout
    assert warnings == []
    for name in re.findall(r"\$\{file:([^}]+)\}", text_of(overlay)):
        assert (tmp_path / name).exists(), name
    assert configuration(overlay)["instance"] == "${env:POD_NAME}", "each replica its own session at the broker"


def test_the_sidecars_reach_each_other():
    broker = text_of("sidecar", "mosquitto-config", "mosquitto.conf")
    own = re.search(r"^listener (\d+) 127\.0\.0\.1$", broker, re.MULTILINE)[1]
    assert configuration("sidecar")["bus"]["url"] == f"mqtt://127.0.0.1:{own}"
    (mosquitto,) = pod_of("sidecar")["initContainers"]
    assert mosquitto["restartPolicy"] == "Always", "starts before busbar, stops after it"
    assert re.search(rf"^listener {mosquitto['ports'][0]['containerPort']}$", broker, re.MULTILINE)
    mounts = {mount["name"]: mount["mountPath"] for mount in mosquitto["volumeMounts"]}
    assert f"persistence_location {mounts['broker']}/" in broker
    assert f"password_file {mounts['mosquitto-config']}/secrets/passwords" in broker


def test_what_is_shared_keeps_no_memory():
    """Triggers and webhooks belong to one busbar; the overlay of several has neither."""
    config, stateful = configuration("shared"), one("shared", "StatefulSet")["spec"]
    assert stateful["replicas"] > 1 and config["bus"]["share"]
    assert all("trigger" not in route for route in config["routes"]) and config["http"]["webhooks"] is None
    assert [each["metadata"]["name"] for each in of_kind("shared", "Service")] == ["busbar-pods"]
    for overlay in set(OVERLAYS) - {"shared"}:
        assert one(overlay, "StatefulSet")["spec"]["replicas"] == 1 and "share" not in configuration(overlay)["bus"]


# ---- deploy/README.md

PAGE = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")


def test_the_pages_commands():
    """Without a cluster: a Secret is made as text, and what would be applied is rendered."""
    (block,) = re.findall(r"^```sh k8s\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    create, apply = block.splitlines()
    if shutil.which("kubectl") is None:
        pytest.skip("LOUD: no kubectl")
    secret = yaml.safe_load(run(*create.split(), "--dry-run=client", "-o", "yaml").stdout)
    folder = re.fullmatch(r"kubectl apply -k deploy/k8s/overlays/(\w+)", apply)[1]
    volume = next(volume for volume in pod_of(folder)["volumes"] if volume["name"] == "config")
    wanted = next(source["secret"] for source in volume["projected"]["sources"] if "secret" in source)
    assert secret["metadata"]["name"] == wanted["name"]
    assert set(secret["data"]) == {item["key"] for item in wanted["items"]}


def test_the_page_tells_of_all_overlays_and_alerts():
    assert set(re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \|$", PAGE, re.MULTILINE)) >= set(OVERLAYS)
    rules = yaml.safe_load((K8S / "base" / "alerts.yaml").read_text())["spec"]["groups"][0]["rules"]
    table = dict(re.findall(r"^\| `(Busbar\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert table == {rule["alert"]: rule["labels"]["severity"] for rule in rules}
    assert re.search(rf"^\* \*\*Grace\*\*: {pod_of('standalone')['terminationGracePeriodSeconds']} s", PAGE, re.MULTILINE)
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "deploy" / link).exists(), link
