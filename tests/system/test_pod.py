# SPDX-License-Identifier: Apache-2.0
"""The Pod of deploy/k8s/overlays/sidecar as its rendered manifest says it, run by podman in place of a kubelet: users,
capabilities, limits, volumes, environment, commands, order of start and stop are read from it, nothing is added. The
Pod has a network of its own; plant, vendor and probes come to its address from outside.

Of Kubernetes this has no scheduler, no provisioner, no policy of the network. mosquitto is Debian's.
"""

import base64
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import threading
import uuid

import paho.mqtt.client as paho
import pytest

import busbar_harness as harness
import container
from busbar_harness import sign, wait_until
from container import do
from test_k8s import one, pod_of, text_of
from test_reload import lines

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("container")]
NAME = "busbar-0"
SECRETS = {"admin-token": "an-admin-token-of-the-test", "mw-api-key": harness.KEY, "mw-webhook": harness.SECRET}


@pytest.fixture
def network():
    """(how podman joins it, the Pod's address)"""
    if shutil.which("ip") is None:
        pytest.skip("LOUD: no ip (package iproute2): the Pod is not run")
    name, net = f"bb-{uuid.uuid4().hex[:8]}", f"10.213.{random.randrange(256)}"
    outside, inside = f"{name}o", f"{name}i"
    commands = (f"ip netns add {name}", f"ip link add {outside} type veth peer name {inside} netns {name}",
                f"ip addr add {net}.1/30 dev {outside}", f"ip link set {outside} up",
                f"ip -n {name} addr add {net}.2/30 dev {inside}", f"ip -n {name} link set {inside} up",
                f"ip -n {name} link set lo up")
    try:
        for command in commands:
            done = do(*command.split(), expect=None)
            if done.returncode != 0:
                pytest.skip(f"LOUD: no network namespaces here, the Pod is not run: {command}: {done.stderr}")
        yield f"--network=ns:/run/netns/{name}", f"{net}.2"
    finally:
        do("ip", "netns", "delete", name, expect=None)
        do("ip", "link", "delete", outside, expect=None)


class PodContainer(container.Contained, harness.Process):
    def __init__(self, folder, logs, spec, image, flags):
        self.name = spec["name"]
        super().__init__(folder, logs)
        self.spec, self.image, self.flags = spec, image, flags

    def start(self):
        """As `run` of Contained, but in the Pod's network and with the manifest's command."""
        self.container = f"busbar-test-{uuid.uuid4().hex[:12]}"
        runtime = [word for word in container.RUN if not word.startswith("--network")]
        command = [*self.spec.get("command", []), *self.spec.get("args", [])]
        self.launch([*runtime, "--rm", "--name", self.container, *self.flags, self.image, *command])

    def busbar(self, *arguments):
        return do("podman", "--runtime", "runc", "exec", self.container, "busbar", *arguments).stdout


class Pod:
    def __init__(self, folder, logs, network, image):
        self.folder, self.address = folder, network[1]
        self.spec = pod_of("sidecar")
        self.group = self.spec["securityContext"]["fsGroup"]
        self.volumes = {volume["name"]: self.projected(volume) for volume in self.spec["volumes"]}
        for claim in one("sidecar", "StatefulSet")["spec"]["volumeClaimTemplates"]:
            self.volumes[claim["metadata"]["name"]] = self.make_folder(claim["metadata"]["name"], 0o2770)
        images = {"busbar": image, "mosquitto": container.base_image()}

        def make(spec):
            home = folder / f"log-{spec['name']}"
            home.mkdir()
            return PodContainer(home, logs, spec, images[spec["name"]], [network[0], *self.flags(spec)])

        (self.broker,), (self.busbar,) = ([make(spec) for spec in self.spec[kind]]
                                          for kind in ("initContainers", "containers"))

    def make_folder(self, name, mode):
        """A volume as the kubelet hands it out: root's, for the Pod's fsGroup."""
        path = self.folder / name
        path.mkdir(parents=True)
        os.chown(path, 0, self.group)
        path.chmod(mode)
        return path

    def projected(self, volume):
        path, secrets = self.make_folder(volume["name"], 0o755), {**SECRETS, "passwords": passwords()}
        files = {}
        for source in volume["projected"]["sources"]:
            if "configMap" in source:
                key = {"busbar-config": "busbar.yaml", "mosquitto-config": "mosquitto.conf"}
                name = source["configMap"]["name"].rsplit("-", 1)[0]
                files[key[name]] = text_of("sidecar", name, key[name])
            else:
                files.update({item["path"]: secrets[item["key"]] for item in source["secret"]["items"]})
        for name, text in files.items():
            file = path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            os.chown(file, 0, self.group)
            file.chmod(volume["projected"]["defaultMode"])
        return path

    def flags(self, spec):
        pod, own = self.spec["securityContext"], spec["securityContext"]
        assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"]
        flags = ["--user", f"{pod['runAsUser']}:{pod['runAsGroup']}", f"--group-add={pod['fsGroup']}", "--read-only",
                 "--read-only-tmpfs=false", "--security-opt=no-new-privileges",
                 *(["--entrypoint="] if "command" in spec else []), *(f"--cap-drop={name}" for name in own["capabilities"]["drop"])]
        if container.limits_memory(container.base_image()):
            flags.append(f"--memory={spec['resources']['limits']['memory'].removesuffix('i').lower()}")
        for variable in spec.get("env", []):
            assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
            flags.append(f"--env={variable['name']}={NAME}")
        for mount in spec["volumeMounts"]:
            flags.append(f"--volume={self.volumes[mount['name']]}:{mount['mountPath']}" + (":ro" if mount.get("readOnly") else ""))
        return flags

    def port(self, name):
        return next(port["containerPort"] for kind in ("containers", "initContainers") for spec in self.spec[kind]
                    for port in spec["ports"] if port["name"] == name)

    def http(self, method, port, path, body=None, headers=None):
        return harness.http_call(self.port(port), method, path, body, headers, host=self.address)

    def probe(self, name):
        """As the kubelet asks."""
        where = self.busbar.spec[name]["httpGet"]
        with contextlib.suppress(OSError):
            return 200 <= self.http("GET", where["port"], where["path"]).status < 400
        return False

    def kill(self):
        for each in (self.busbar, self.broker):
            each.kill()


def passwords():
    """A password file of mosquitto with the user plant: PBKDF2, as mosquitto_passwd writes it."""
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", b"plant", salt, 101)
    return f"plant:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n"


def plant(pod, *filters):
    """A client of the plant at the Pod's address, with what it receives."""
    connected, received = threading.Event(), []
    client = paho.Client(client_id="", protocol=paho.MQTTv5)
    client.username_pw_set("plant", "plant")

    def on_connect(_client, _data, _flags, reason, _properties):
        assert reason == 0, reason
        for each in filters:
            client.subscribe(each, 1)
        connected.set()

    client.on_connect = on_connect
    client.on_message = lambda _client, _data, message: received.append(message)
    client.connect(pod.address, pod.port("mqtt"))
    client.loop_start()
    assert connected.wait(10), "no CONNACK"
    return client, received


def test_the_sidecars_pod_does_its_job(network, tmp_path, logs):
    pod = Pod(tmp_path / "pod", logs, network, container.image())
    clients = []
    try:
        pod.broker.start()
        wait_until(lambda: "opening ipv4 listen socket on port 1883" in pod.broker.tail().lower(), 20, "mosquitto")
        pod.busbar.start()
        wait_until(lambda: pod.probe("startupProbe") and pod.probe("readinessProbe"), 30, "the probes, at the Pod's address")
        assert pod.http("GET", "admin", "/metrics").status == 401
        head = {"Authorization": f"Bearer {SECRETS['admin-token']}"}
        assert b"busbar_store_max_bytes" in pod.http("GET", "admin", "/metrics", headers=head).body

        client, received = plant(pod, "busbar/#")
        clients.append(client)
        client.publish("plant/l1/press-7/temperature", json.dumps({"celsius": 91}), qos=1).wait_for_publish()
        drafts = wait_until(lambda: queue(pod, "draft"), 10, "a draft")
        assert len(drafts) == 1 and drafts[0]["lane"] == "l1/press-7"
        body = json.dumps({"_event": "TaskWasStarted", "taskId": "t-1"}).encode()
        signature = {"X-MW-Signature": sign(harness.SECRET, body), "Content-Type": "application/json"}
        assert pod.http("POST", "webhooks", "/hooks/mw", body, signature).status == 200
        wait_until(lambda: any("/events/mw/" in message.topic for message in received), 10, "the webhook's event")
        assert any(message.topic == f"busbar/status/{NAME}" for message in received), "the Pod's name is the instance's"

        restart(pod, client)
        assert [draft["id"] for draft in queue(pod, "draft")][-1] == drafts[0]["id"], "the volume kept it"
        wait_until(lambda: len(queue(pod, "draft")) == 2, 10, "the session kept what came meanwhile")
    finally:
        for client in clients:
            client.disconnect()
            client.loop_stop()
        pod.kill()


def restart(pod, client):
    """SIGTERM with the broker still there, as sidecars are stopped last; a reading of another asset while it is away."""
    pod.busbar.signal(signal.SIGTERM)
    wait_until(lambda: not pod.busbar.runs(), pod.spec["terminationGracePeriodSeconds"], "the end within the grace period")
    assert pod.busbar.process.returncode == 0 and pod.broker.runs()
    client.publish("plant/l1/press-8/temperature", json.dumps({"celsius": 92}), qos=1).wait_for_publish()
    pod.busbar.start()
    wait_until(lambda: pod.probe("readinessProbe"), 30, "ready again")
    assert "resumed" in {line.get("session") for line in lines(pod.busbar, "bus connected")}


def queue(pod, state):
    return json.loads(pod.busbar.busbar("queue", "list", "--state", state, "--json"))["items"]
