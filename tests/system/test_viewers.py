# SPDX-License-Identifier: Apache-2.0
"""FV-09a: a read with the scope of one tenant returns only its records, and what is foreign does not exist."""

import pytest

from busbar_harness import KEY, SECRET, configuration, http_call, wait_until

# two tenants, two providers each: the system tests' tasks, and orders at a second stand-in
TARGETS = [f"{provider}-{tenant}" for tenant in "ab" for provider in ("mw", "cm")]


@pytest.fixture
def daemon(tmp_path, broker, make_sandbox, make_busbar, publisher):
    targets, routes = {}, []
    for name in TARGETS:
        sandbox = make_sandbox("--secret", SECRET, "--life", "scheduled=never")
        targets[name] = {"plugin": "mobility_work", "url": sandbox.url, "api_key": KEY, "network_name": name,
                         "webhook_secret": SECRET, "mode": "write_back"}
        routes.append({"name": f"{name}-job", "from": f"{name}/{{asset}}/job", "to": f"{name}.task.schedule",
                       "body": {"equipment": {"type": "external", "value": "${asset}"}, "description": "Look after ${asset}",
                                "startDateTime": "${now}", "endDateTime": "${now+2h}", "allDay": False,
                                "assignees": ["maintenance@example.com"]}})
    config = configuration(tmp_path, broker, targets, routes)
    config["http"] |= {"admin_token": "the-admin's", "viewers": {
        tenant: {"token": f"of-{tenant}", "targets": [name for name in TARGETS if name.endswith(tenant)]}
        for tenant in "ab"}}
    running = make_busbar(config)
    for name in TARGETS:
        for n in range(2):
            publisher.send(f"{name}/m{n}/job", {})
    publisher.flush()
    wait_until(lambda: len(get(running, "orders", "the-admin's").json["items"]) == 8, 15, "eight orders")
    return running


def get(daemon, path, token, method="GET"):
    return http_call(daemon.admin_port, method, f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})


def ask(daemon, path, token):
    answer = get(daemon, path, token)
    assert answer.status == 200, answer.body
    return answer.json["items"]


def test_a_viewer_sees_what_is_of_its_targets_alone(daemon):  # FV-09a, FV-03
    everything = ask(daemon, "orders", "the-admin's")
    assert sorted({order["provider_id"] for order in everything}) == sorted(TARGETS)
    for tenant in "ab":
        token, own = f"of-{tenant}", sorted(name for name in TARGETS if name.endswith(tenant))
        orders = ask(daemon, "orders", token)
        assert sorted(order["provider_id"] for order in orders) == sorted(own * 2)
        assert sorted(target["name"] for target in ask(daemon, "targets", token)) == own
        assert {delivery["target"] for delivery in ask(daemon, "deliveries", token)} == set(own)
        assert ask(daemon, "deliveries?target=bus", token) == []
        audit = ask(daemon, "audit?limit=500", token)
        assert {line["target"] for line in audit} == set(own) and {line["mode"] for line in audit} == {"write_back"}
        assert ask(daemon, "audit?limit=500", "the-admin's")[0] and ask(daemon, "audit?target=bus", token) == []
        one = ask(daemon, f"orders?target=mw-{tenant}", token)
        assert [order["provider_id"] for order in one] == [f"mw-{tenant}"] * 2, "the scope of one provider"
        for order in orders:
            assert get(daemon, f"orders/{order['common_work_order_id']}", token).json == order
            assert get(daemon, f"deliveries/{order['delivery']}", token).status == 200


def test_what_is_foreign_does_not_exist(daemon):  # FV-09a, FV-07d
    nobody = get(daemon, "orders/0190c0de-0000-7000-8000-000000000000", "of-a")
    foreign = ask(daemon, "orders?target=cm-b", "of-b")
    assert foreign and ask(daemon, "orders?target=cm-b", "of-a") == []
    for order in foreign:
        answer = get(daemon, f"orders/{order['common_work_order_id']}", "of-a")
        assert (answer.status, answer.body) == (404, nobody.body), "not 403, and no content"
        assert get(daemon, f"deliveries/{order['delivery']}", "of-a").status == 404
    seen, path = [], "orders?limit=1"
    while path:  # a page is filled with what may be seen
        page = get(daemon, path, "of-a").json
        seen += [order["provider_id"] for order in page["items"]]
        path = f"orders?limit=1&cursor={page['next']}" if page["next"] else None
    assert sorted(seen) == sorted(["mw-a", "cm-a"] * 2)


def test_a_viewer_only_looks(daemon):  # FV-07a, FV-07b
    delivery = ask(daemon, "deliveries", "of-a")[0]["id"]
    for path, method in ((f"deliveries/{delivery}/retry", "POST"), (f"deliveries/{delivery}/discard", "POST"),
                         ("targets/mw-a/hold", "POST"), ("status", "GET"), ("routes", "GET")):
        assert get(daemon, path, "of-a", method).status == 403, path
    metrics = http_call(daemon.admin_port, "GET", "/metrics", headers={"Authorization": "Bearer of-a"})
    assert metrics.status == 403
    for token in ("of-c", "", "of-", "of-a ", "the-admin"):
        assert get(daemon, "orders", token).status == 401, token
    assert "of-a" not in daemon.tail(10000) and "of-a" not in daemon.cli("check", "--defaults").stdout
