# SPDX-License-Identifier: Apache-2.0
"""TLS on all three doors: to the broker, to the targets, and toward us. Whoever cannot show who he is is not spoken to,
and the reason is named."""

import shutil
import socket
import ssl

import pytest

from busbar_harness import Broker, configuration, free_port, wait_until
from certificates import REASONS, Authority, bad_certificate
from desk import Desk
from test_reload import lines

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="LOUD: no openssl to make certificates with")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "theirs")


class TlsDesk(Desk):
    """The desk behind TLS. names: what it was asked for (SNI); clients: the names in their certificates."""

    def __init__(self, cert, key, client_ca=None, old=False):
        super().__init__()
        self.names, self.clients = [], []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        if old:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        self.context = context

    @property
    def url(self):
        return f"https://localhost:{self.server_address[1]}"

    def finish_request(self, request, client_address):
        with self.context.wrap_socket(request, server_side=True) as secure:
            self.clients.append(dict(x[0] for x in (secure.getpeercert() or {}).get("subject", ())).get("commonName"))
            super().finish_request(secure, client_address)

    def handle_error(self, *_):
        pass


@pytest.fixture
def to_target(tmp_path, broker, make_busbar, publisher):
    """to_target(desk, **tls settings): a daemon whose one target is that desk, and one delivery to it."""
    desks = []

    def make(desk, target=None, **tls):
        desks.append(desk)
        config = configuration(tmp_path, broker, {"desk": desk.target(tls=tls, **(target or {}))},
                               [{"name": "job", "from": "job", "to": "desk.work_order.create", "body": {}}])
        daemon = make_busbar(config)
        publisher.publish("job", {})
        return daemon

    yield make
    for desk in desks:
        desk.shutdown()


@pytest.mark.parametrize("which", REASONS)
def test_a_target_that_is_not_who_it_should_be_is_sent_nothing(to_target, ours, theirs, which):
    """Nor given up: what becomes of it when the certificate is mended, test_certificates.py says."""
    desk = TlsDesk(*bad_certificate(which, ours, theirs))
    daemon = to_target(desk, ca=str(ours.cert))
    wait_until(lambda: len(lines(daemon, "target not trusted")) == 1, 15, "told")
    (said,) = lines(daemon, "target not trusted")
    assert REASONS[which] in said["reason"] and "tls.ca" in said["action"]
    wait_until(lambda: len(daemon.json("audit", "--target", "desk")["items"]) > 4, 15, "asked again")
    (row, *_) = daemon.json("audit", "--outcome", "failed", "--target", "desk")["items"]
    assert row["code"] == "tls_refused" and row["class"] == "provider_unavailable"
    assert "tls.ca" in row["owner_action"] and "certificate" in row["owner_action"]
    (target,) = daemon.json("targets", "list")["items"]
    assert REASONS[which] in target["reason"] and target["state"] == "away"
    (waits,) = daemon.deliveries()
    assert waits["state"] == "retrying" and waits["attempts"] <= 2, "what a probe finds uses up no attempt"
    assert desk.asked == [], "nothing was sent, not even the credential"


def test_a_target_that_speaks_only_tls_1_1_gets_nothing(to_target, ours):
    desk = TlsDesk(*ours.make("server"), old=True)
    daemon = to_target(desk, ca=str(ours.cert))
    wait_until(lambda: daemon.json("targets", "list")["items"][0]["reason"], 15, "a reason")
    assert "version" in daemon.json("targets", "list")["items"][0]["reason"] and desk.asked == []


def test_a_target_is_shown_our_certificate_and_asked_by_its_name(to_target, ours, theirs):
    cert, key = ours.make("edge-01", "DNS:edge-01")
    desk = TlsDesk(*ours.make("server"), client_ca=str(ours.cert))
    daemon = to_target(desk, ca=str(ours.cert), cert=str(cert), key=str(key))
    wait_until(lambda: desk.asked, 15, "the request")
    assert desk.names[0] == "localhost" and desk.clients[0] == "edge-01"
    wait_until(lambda: daemon.deliveries(state="delivered"), 10)


def test_without_our_certificate_such_a_target_refuses_us(to_target, ours):
    desk = TlsDesk(*ours.make("server"), client_ca=str(ours.cert))
    daemon = to_target(desk, ca=str(ours.cert))
    # TLS 1.3 ends the handshake on our side first: the alert, or the connection's end, is what we see of the refusal
    wait_until(lambda: daemon.json("targets", "list")["items"][0]["reason"], 15, "a reason")
    assert desk.asked == [] and daemon.deliveries(state="delivered") == []


def test_plain_http_is_for_this_machine_alone(busbar):
    daemon = busbar(target={"url": "http://mw.plant.example"}, start=False)
    assert "starts with https://" in daemon.cli("check", expect=1).stderr


# ---- the broker

@pytest.fixture
def to_broker(tmp_path, logs, make_busbar, sandbox):
    made = []

    def make(certificate, tls, **settings):
        folder = tmp_path / "secure-broker"
        folder.mkdir()
        broker = Broker(folder, logs, certfile=certificate[0], keyfile=certificate[1], **settings)
        made.append(broker)
        broker.start()
        config = configuration(tmp_path, broker, {}, [],
                               bus={"url": f"mqtts://localhost:{broker.port}", "tls": {k: str(v) for k, v in tls.items()}})
        return make_busbar(config, start=False)

    yield make
    for broker in made:
        broker.kill()


@pytest.mark.parametrize("which", REASONS)
def test_a_broker_that_is_not_who_it_should_be_gets_no_session(to_broker, ours, theirs, which):
    daemon = to_broker(bad_certificate(which, ours, theirs), {"ca": ours.cert})
    daemon.start(ready=False)
    wait_until(lambda: lines(daemon, "bus cannot be connected"), 20, "a line that names it")
    said = lines(daemon, "bus cannot be connected")[0]
    assert "TLS" in said["reason"] and "bus.tls.ca" in said["action"] and "valid now, holds the host" in said["action"]
    assert not daemon.ready()


def test_a_broker_that_speaks_only_tls_1_1_gets_no_session(tmp_path, broker, make_busbar, ours, monkeypatch):
    """mosquitto cannot be told to speak no more than that: the desk stands in, and no byte of MQTT gets to it. On a system
    that would allow it."""
    lax = tmp_path / "openssl.cnf"
    lax.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMinProtocol = TLSv1\n"
                   "CipherString = DEFAULT:@SECLEVEL=0\n")
    monkeypatch.setenv("OPENSSL_CONF", str(lax))
    desk = TlsDesk(*ours.make("server"), old=True)
    config = configuration(tmp_path, broker, {}, [],
                           bus={"url": desk.url.replace("https", "mqtts"), "tls": {"ca": str(ours.cert)}})
    daemon = make_busbar(config, start=False)
    daemon.start(ready=False)
    wait_until(lambda: lines(daemon, "bus cannot be connected"), 20, "a line that says so")
    said = lines(daemon, "bus cannot be connected")[0]
    assert "TLS" in said["reason"] and "TLS 1.2 or later" in said["action"] and desk.clients == []
    desk.shutdown()


def test_a_broker_that_does_not_listen_is_asked_to(tmp_path, broker, make_busbar, ours):
    bus = {"url": f"mqtts://localhost:{free_port()}", "tls": {"ca": str(ours.cert)}}
    daemon = make_busbar(configuration(tmp_path, broker, {}, [], bus=bus), start=False)
    daemon.start(ready=False)
    wait_until(lambda: lines(daemon, "bus cannot be connected"), 20, "a line that says so")
    assert "must listen there" in lines(daemon, "bus cannot be connected")[0]["action"], "Paho does not tell the one from the other"


def test_a_broker_is_shown_our_certificate(to_broker, ours):
    cert, key = ours.make("client", "DNS:client")
    daemon = to_broker(ours.make("server"), {"ca": ours.cert, "cert": cert, "key": key}, cafile=ours.cert,
                       require_certificate="true")
    daemon.start()


# ---- toward us

@pytest.mark.parametrize("listener", ["admin", "webhooks"])
def test_our_doors_speak_no_less_than_tls_1_2(busbar, ours, listener):
    cert, key = ours.make("door")
    daemon = busbar(http={"admin": f"127.0.0.1:{free_port()}", "webhooks": f"127.0.0.1:{free_port()}",
                          "tls": {"cert": str(cert), "key": str(key)}}, start=False)
    daemon.start(ready=False)
    port = daemon.admin_port if listener == "admin" else daemon.hook_port
    wait_until(lambda: lines(daemon, "ready"), 15)

    def speak(least, most):
        context = ssl.create_default_context(cafile=str(ours.cert))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = least, most
        with socket.create_connection(("127.0.0.1", port), 5) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as secure:
            return secure.version()

    assert speak(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert speak(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        speak(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
