# SPDX-License-Identifier: Apache-2.0
"""OAuth2 client credentials of a target: one token for all who wait, a new one before it ends or when it is refused, and no
trace of it anywhere."""

import time

import pytest

from busbar_harness import KEY, configuration, wait_until

ROUTE = {"name": "things", "from": "things/{thing}", "key": "${thing}", "to": "api.thing.make", "body": {"n": "${.n}"}}


@pytest.fixture
def daemon(tmp_path, broker, identity, make_busbar):
    def make(**oauth2):
        auth = {"oauth2": {"token_url": f"{identity.url}/token", "client_id": "busbar edge", "client_secret": KEY, **oauth2}}
        target = {"plugin": "http", "url": identity.url, "mode": "write_back", "auth": auth, "concurrency": 32,
                  "operations": {"thing.make": {"path": "/things"}},
                  "retry": {"first": "100ms", "max": "500ms", "attempts": 50, "max_age": "7d"}}
        return make_busbar(configuration(tmp_path, broker, {"api": target}, [ROUTE]))

    return make


def publish(publisher, count, start=0):
    for n in range(start, start + count):
        publisher.publish(f"things/{n}", {"n": n})


def wait_things(identity, count):
    wait_until(lambda: len(identity.items("things")) == count, 15, f"{count} things")
    assert sorted(thing["n"] for thing in identity.items("things")) == list(range(count)), "each once"


def asked(identity):
    return len([r for r in identity.items("requests") if r["path"] == "/token"])


@pytest.mark.parametrize("client_auth", ["basic", "post"])
def test_one_token_for_all_who_wait(daemon, identity, publisher, client_auth):
    identity.fail("delay", times=1, seconds=0.5, path="/token")
    daemon(client_auth=client_auth, scope="things.write")
    publish(publisher, 30)
    wait_things(identity, 30)
    assert asked(identity) == 1 and identity.items("tokens")[0]["scope"] == "things.write"


def test_a_token_is_replaced_before_it_ends(daemon, identity, publisher):
    identity.configure(expires_in=1)
    daemon()
    for n in range(3):
        publish(publisher, 1, n)
        wait_things(identity, n + 1)
        half = identity.items("tokens")[-1]["until"] - 0.5
        wait_until(lambda h=half: time.time() > h, 5, "half its life")
    assert len(identity.items("tokens")) == 3
    assert not any(r["status"] == 401 for r in identity.items("requests")), "never with one that has run out"


def test_a_token_that_was_taken_back_is_replaced_once(daemon, identity, publisher):
    running = daemon()
    publish(publisher, 1)
    wait_things(identity, 1)
    identity.control("POST", "revoke")
    publish(publisher, 8, 1)
    wait_things(identity, 9)
    assert asked(identity) == 2, "one new one, whoever needs it"
    assert all(item["attempts"] == 1 for item in running.json("queue", "list", "--state", "delivered")["items"])


def test_when_the_new_one_is_refused_too_the_target_is_held(daemon, identity, publisher):
    running = daemon()
    identity.configure(deaf=True)
    publish(publisher, 1)
    wait_until(lambda: running.json("targets", "list")["items"][0]["holds"], 10, "held")
    assert asked(identity) == 2
    identity.configure(deaf=False)
    running.cli("targets", "resume", "api")
    wait_things(identity, 1)


def test_a_client_that_is_refused_holds_the_target_and_loses_nothing(daemon, identity, publisher):
    identity.configure(key="another secret")
    running = daemon()
    publish(publisher, 5)
    hold = wait_until(lambda: running.json("targets", "list")["items"][0]["holds"], 10, "held")
    assert "refuses the client" in str(hold)
    assert not [r for r in identity.items("requests") if r["path"] == "/things"], "nothing was sent without a token"
    identity.configure(key=KEY)
    running.cli("targets", "resume", "api")
    wait_things(identity, 5)


def test_a_token_server_that_sends_us_elsewhere_is_not_followed(daemon, identity, publisher):
    """The client's secret would go with the request."""
    identity.fail("status", status=307, path="/token", headers={"Location": f"{identity.url}/elsewhere"})
    running = daemon()
    publish(publisher, 1)
    wait_until(lambda: running.json("targets", "list")["items"][0]["holds"] or asked(identity) > 1, 10, "it was asked")
    assert [r for r in identity.items("requests") if r["path"] in ("/elsewhere", "/things")] == []
    identity.forgive()
    running.cli("targets", "resume", "api", expect=None)
    wait_things(identity, 1)


@pytest.mark.parametrize("fault", [{"action": "status", "status": 503}, {"action": "reset"}, {"action": "truncate"}],
                         ids=lambda fault: fault["action"])
def test_a_token_server_that_is_away_is_waited_for(daemon, identity, publisher, fault):
    identity.fail(**fault, times=3, path="/token")
    running = daemon()
    publish(publisher, 3)
    wait_things(identity, 3)
    assert running.json("queue", "list", "--state", "rejected")["items"] == []


def test_nothing_of_it_is_kept_or_said(daemon, identity, publisher, tmp_path):
    running = daemon()
    publish(publisher, 2)
    wait_things(identity, 2)
    wait_until(lambda: len(running.json("queue", "list", "--state", "delivered")["items"]) == 2, 10, "both settled")
    said = "".join(running.cli("queue", "show", item["id"]).stdout
                   for item in running.json("queue", "list", "--state", "delivered")["items"])
    said += running.cli("check", "--defaults").stdout + running.cli("handoff").stdout
    assert "***" in said and "OAuth2" in said
    stored = b"".join(path.read_bytes() for path in [*tmp_path.glob("busbar.db*"), running.log])
    for secret in ("tokentokentoken", KEY):
        assert secret not in said and secret.encode() not in stored, secret
