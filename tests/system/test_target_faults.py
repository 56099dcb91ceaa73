# SPDX-License-Identifier: Apache-2.0
"""Whatever a target answers ends in its documented verdict (plugins/README.md), in bounded memory, and stops nobody else."""

import collections
import contextlib
import http.server
import re
import shutil
import ssl
import subprocess
import threading

import pytest

from busbar_harness import command_route, configuration, mw_target, wait_until

TASKS = "/partners/v1/tasks"
RETRY = {"first": "100ms", "max": "200ms", "attempts": 1000}


def job(**members):
    body = {"equipment": "m1", "description": "<job-${.n}>", "startDateTime": "${now}", "endDateTime": "${now+1h}",
            "allDay": False, "assignees": ["maintenance@example.com"]}
    return command_route(key="${.n}", body=body, **members)


def memory(daemon):
    """The most it ever held, in bytes."""
    return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{daemon.process.pid}/status").read())[1]) * 1024


def story_of(daemon, n):
    """The delivery of job n with its history; None: not there yet."""
    for delivery in daemon.api("GET", f"deliveries?lane={n}").json["items"]:
        return daemon.api("GET", f"deliveries/{delivery['id']}").json
    return None


def number(text):
    """Of the job that a text speaks of."""
    return int(re.search(r"<job-(\d+)>", text)[1])


def attempts_of(story):
    """In their order."""
    return [row for row in reversed(story["history"]) if row["what"] == "attempt"]


def in_state(daemon, n, *states):
    story = story_of(daemon, n)
    return story if story and story["state"] in states else None


REJECTED = {404: "identity", 410: "identity", 409: "conflict", 412: "conflict", 428: "conflict"}
AGAIN = {408, 425, 429, *range(500, 600)}
HELD = {401: "authentication", 403: "authorization", **dict.fromkeys(range(300, 400), "validation")}


@pytest.mark.slow
def test_every_status_ends_in_its_verdict(busbar, sandbox, publisher):
    """100 to 599, each once, but for those that hold the target."""
    daemon = busbar([job()], target={"retry": RETRY, "timeout": "1s"})
    statuses = [s for s in range(100, 600) if s not in HELD]
    for status in statuses:
        sandbox.fail("status", status=status, times=1, path=TASKS, contains=f"<job-{status}>", body="")
    for status in statuses:
        publisher.send("plant/l1/m1/job", {"n": status})
    publisher.flush()
    open_states = ("pending", "retrying")
    wait_until(lambda: daemon.metrics().sum("busbar_messages_received_total") == len(statuses)
               and sum(daemon.metrics().sum("busbar_deliveries", state=s) for s in open_states) == 0, 120, "all ended")
    asked = collections.Counter(number(request["body"]) for request in sandbox.requests(TASKS))
    made = collections.Counter(number(task["body"]["description"]) for task in sandbox.tasks())
    wrong = {}
    for status in statuses:
        story = story_of(daemon, status)
        attempts = attempts_of(story)
        first = attempts[0]
        if status in (201, 202):
            right = story["state"] == "delivered" and len(attempts) == 1
        elif 200 <= status < 300:  # MW-C05: neither of the two that say it is done
            right = story["state"] == "delivered" and first["code"] == "odd_answer" and len(attempts) > 1
        elif status < 200:  # no answer yet, and then none: whether it was done is not known
            right = story["state"] == "delivered" and first["code"] == "answer_lost" and len(attempts) > 1
        elif status in AGAIN:
            right = story["state"] == "delivered" and first["code"] == f"http_{status}" and len(attempts) > 1 \
                and first["class"] == "provider_unavailable"
        else:
            right = story["state"] == "rejected" and len(attempts) == 1 \
                and story["error"]["class"] == REJECTED.get(status, "validation") \
                and story["error"]["provider_http_status"] == status
        # Each request is an attempt on record. What goes again is done then, and once, but for a further answer that got lost.
        done, lost = int(len(attempts) > 1), sum(row["code"] == "answer_lost" for row in attempts) - (status < 200)
        if not right or asked[status] != len(attempts) or not done <= made[status] <= done + lost:
            wrong[status] = (story["state"], attempts, story["error"])
    assert wrong == {}, sorted(wrong)
    (target,) = daemon.json("targets", "list")["items"]
    assert not target["holds"]
    assert memory(daemon) < 100e6


@pytest.mark.slow
def test_every_status_that_holds_keeps_the_message(busbar, sandbox, publisher):
    daemon = busbar([job()], target={"retry": RETRY})
    for status, error_class in HELD.items():
        sandbox.fail("status", status=status, path=TASKS, headers={"Location": f"{sandbox.url}/elsewhere"})
        publisher.send("plant/l1/m1/job", {"n": status})
        wait_until(lambda: daemon.api("GET", "targets").json["items"][0]["holds"], 10, f"held by {status}")
        story = story_of(daemon, status)
        assert (story["state"], story["error"]["class"], story["attempts"]) == ("pending", error_class, 0), story
        sandbox.forgive()
        assert daemon.api("POST", "targets/mw/resume").status == 200
        wait_until(lambda: in_state(daemon, status, "delivered"), 10, f"delivered after {status}")
    assert sandbox.counts()["tasks"] == sandbox.counts()["distinct"] == len(HELD), "each once"
    assert sandbox.requests("/elsewhere") == [], "no redirect was followed"


def test_what_is_no_answer_is_asked_again(busbar, sandbox, publisher):
    """Garbage, half an answer, no HTTP, a drip that outlasts the timeout: each job ends, and none stops the others."""
    daemon = busbar([job()], target={"retry": RETRY, "timeout": "1s"})
    actions = ("truncate", "nonsense", "drip", "hang", "reset")
    for action in actions:
        sandbox.fail(action, times=1, path=TASKS, contains=f"<job-{action}>", every=0.1)
    for action in actions:
        publisher.send("plant/l1/m1/job", {"n": action})
    publisher.flush()
    for action in actions:
        story = wait_until(lambda: in_state(daemon, action, "delivered"), 20, action)
        first = attempts_of(story)[0]
        assert (first["class"], first["code"]) == ("provider_unavailable", "answer_lost"), action


@pytest.mark.parametrize("told", [True, False], ids=["its length is told", "no length"])
def test_an_answer_of_100_mb_is_not_held_in_memory(busbar, sandbox, publisher, told):
    daemon = busbar([job()], target={"retry": RETRY, "concurrency": 4})
    before = memory(daemon)
    sandbox.fail("huge", times=4, path=TASKS, bytes=100_000_000, length=told)
    for n in range(4):
        publisher.send("plant/l1/m1/job", {"n": n})
    publisher.flush()
    for n in range(4):
        story = wait_until(lambda: in_state(daemon, n, "delivered"), 30)
        assert [row["code"] for row in attempts_of(story)] == ["answer_lost", None]
    grown = memory(daemon) - before
    print(f"{grown / 2**20:.0f} MiB more at most, for four answers at once")
    assert grown < 2 * 4 * 16 * 2**20, "at most 16 MiB of each answer is read"


# ---- certificates


def openssl(folder, *arguments):
    subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)


CA = """[ca]
default_ca = own
[own]
database = index
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
copy_extensions = none
x509_extensions = host
[any]
commonName = supplied
[host]
subjectAltName = {name}
"""


def certificate(folder, name, san, issuer, start="20200101000000Z", end="20991231235959Z"):
    """name.pem and name.key, by `issuer`."""
    (folder / "ca.cnf").write_text(CA.format(name=san))
    (folder / "index").write_text("")
    (folder / "index.attr").write_text("unique_subject = no\n")
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(folder, "ca", "-batch", "-config", "ca.cnf", "-rand_serial", "-cert", f"{issuer}.pem", "-keyfile",
            f"{issuer}.key", "-in", f"{name}.csr", "-out", f"{name}.pem", "-startdate", start, "-enddate", end, "-notext")


@pytest.fixture
def certificates(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("LOUD: no openssl to make certificates with")
    folder = tmp_path / "certificates"
    folder.mkdir()
    for name in ("trusted", "stranger"):
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    certificate(folder, "good", "IP:127.0.0.1", "trusted")
    certificate(folder, "another-host", "DNS:example.com", "trusted")
    certificate(folder, "expired", "IP:127.0.0.1", "trusted", end="20200201000000Z")
    certificate(folder, "not-yet", "IP:127.0.0.1", "trusted", start="20900101000000Z")
    certificate(folder, "unknown-authority", "IP:127.0.0.1", "stranger")
    return folder


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, body))
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def https(folder, name, port=0):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Shop)
    server.daemon_threads, server.asked = True, []
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("wrong", ["another-host", "expired", "not-yet", "unknown-authority"])
def test_a_certificate_that_is_not_to_be_trusted_is_waited_out(tmp_path, broker, sandbox, make_busbar, publisher, certificates,
                                                              wrong):
    """Nothing is said to a stranger, and nothing is given up: the message waits until someone has mended it."""
    with https(certificates, wrong) as stranger:
        port = stranger.server_address[1]
        target = mw_target(sandbox, url=f"https://127.0.0.1:{port}", tls={"ca": str(certificates / "trusted.pem")},
                           retry=RETRY)
        daemon = make_busbar(configuration(tmp_path, broker, {"mw": target}, [job()]))
        publisher.publish("plant/l1/m1/job", {"n": 1})
        wait_until(lambda: daemon.metrics().sum("busbar_target_breaker_open", target="mw") == 1, 10, "away")
        story = wait_until(lambda: story_of(daemon, 1), 10)
        assert story["state"] in ("pending", "retrying")
        assert stranger.asked == [], "no request, no key"
    with https(certificates, "good", port) as friend:
        wait_until(lambda: in_state(daemon, 1, "delivered"), 20, "delivered")
        assert len([asked for asked in friend.asked if asked[0] == "POST"]) == 1
