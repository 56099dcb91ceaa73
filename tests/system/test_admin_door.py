# SPDX-License-Identifier: Apache-2.0
"""The admin side against who does not belong there: strangers without a token, other sites' pages in the operator's browser,
viewers past their walls, and whatever a parameter may hold."""

import http.client
import json
import re
import sqlite3
import urllib.parse

import pytest

from busbar_harness import ROOT, http_call, wait_until
from door_shapes import ask

TOKEN = "the-admin's-token"
INJECTIONS = [
    "'", "''", '"', "`", "\\", ";", "--", "/*", "' OR '1'='1", "' OR 1=1 --", '" OR "1"="1', "1 OR 1=1", "') OR ('1'='1", "'; DROP TABLE delivery; --",
    "' UNION SELECT sql FROM sqlite_master --", "1; ATTACH DATABASE '/tmp/x' AS x", "%' OR target LIKE '%", "%", "_", "*", "NULL", "null", "true",
    "0", "-1", "1e9", "9223372036854775807", "9223372036854775808", "0x10", "1.5", " 1", "NaN", "[]", "{}", "[" * 3000, '{"a":' * 500, "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd", "%00", "a\r\nSet-Cookie: x=1", "\u2028", "é", "\ufeff", "😀", "%s%n%s%n", "${.a}", "${file:/etc/passwd}", "$(id)",
    "<script>alert(1)</script>", "a" * 4000, "\x01\x02", "\ud800",
]
INJECTED = [urllib.parse.quote(text, safe="", errors="surrogatepass") for text in INJECTIONS]


@pytest.fixture
def daemon(tmp_path, broker, desk, make_busbar, publisher):
    """Two targets of one desk, an order and a delivery each, a viewer each."""
    from busbar_harness import configuration
    routes = [{"name": f"job-{name}", "from": f"{name}/{{case}}", "to": f"{name}.work_order.create", "body": {"c": "${case}"}}
              for name in ("left", "right")]
    config = configuration(tmp_path, broker, {"left": desk.target(), "right": desk.target()}, routes)
    config["http"] |= {"admin_token": TOKEN, "viewers": {
        "l": {"token": "of-left", "targets": ["left"]}, "r": {"token": "of-right", "targets": ["right"]}}}
    running = make_busbar(config)
    running.store = tmp_path / "busbar.db"
    publisher.publish("left/1", {})
    publisher.publish("right/1", {})
    wait_until(lambda: len(get(running, "orders").json["items"]) == 2, 15, "two orders")
    wait_until(lambda: len(get(running, "deliveries?state=delivered").json["items"]) == 2, 15, "two deliveries")
    return running


def get(daemon, path, token=TOKEN, method="GET", body=None):
    return http_call(daemon.admin_port, method, f"/api/v1/{path}", body, headers={"Authorization": f"Bearer {token}"})


def endpoints(daemon):
    """(method, path, names of the query's parameters) of all there is."""
    for path, methods in get(daemon, "openapi.json").json["paths"].items():
        for method, told in methods.items():
            yield method.upper(), path, [p["name"] for p in told["parameters"] if p["in"] == "query"]


def call(daemon, method, path, token=TOKEN):
    answer = http_call(daemon.admin_port, method, path, headers={"Authorization": f"Bearer {token}"})
    assert answer.headers.get("Set-Cookie") is None and answer.headers.get("Access-Control-Allow-Origin") is None, path
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not answer.headers["Content-Type"].startswith("text/html"), path
    return answer


def state(daemon):
    return [sorted(item["id" if "id" in item else "common_work_order_id"] for item in get(daemon, path).json["items"])
            for path in ("deliveries?limit=1000", "orders?limit=1000")]


def test_every_parameter_of_the_api_with_what_it_should_not_hold(daemon):
    """Never a 5xx, and never a row that the words do not name."""
    before = state(daemon)
    asked = 0
    for method, path, names in endpoints(daemon):
        for text in INJECTED:
            if "{id}" in path:
                answer = call(daemon, method, path.replace("{id}", text))
                assert answer.status in (400, 404, 409, 414), (method, path, text, answer.status, answer.body)
                asked += 1
            for name in names if method == "GET" else []:
                known = path.replace("{id}", before[1][0])
                answer = call(daemon, method, f"{known}?{name}={text}")
                asked += 1
                if name in ("limit", "cursor", "since"):  # some of these are numbers
                    assert answer.status in (200, 400, 404, 414), (path, name, text, answer.status)
                else:
                    assert answer.status in (200, 400, 404, 414), (path, name, text, answer.status)
                    assert answer.status != 200 or answer.json["items"] == [], (path, name, text, answer.body)
    assert asked > 1000
    for name, text in (("operation", INJECTED[8]), ("reason", INJECTED[40])):  # POST: what is only kept
        answer = call(daemon, "POST", f"/api/v1/targets/left/hold?{name}={text}")
        assert answer.status in (200, 400, 404, 409), (name, text, answer.body)
    for n, text in enumerate(INJECTED):
        answer = call(daemon, "POST", f"/api/v1/routes/job-left/shelve?for=1m&reason={text}&key={text}")
        assert answer.status in (200, 400, 404, 409, 414), (text, answer.body)
        answer = call(daemon, "POST", f"/api/v1/routes/job-left/fire?topic={text}&user={text}")
        assert answer.status in (200, 400, 404, 409, 414), (text, answer.body)
        assert daemon.runs()
    assert state(daemon)[1] >= before[1] and call(daemon, "GET", "/metrics").status == 200
    daemon.terminate()
    with sqlite3.connect(daemon.store) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_viewer_does_not_get_past_its_walls(daemon):  # FV-09a
    (foreign,) = [item for item in get(daemon, "orders").json["items"] if item["provider_id"] == "right"]
    for method, path, names in endpoints(daemon):
        known = path.replace("{id}", foreign["common_work_order_id"] if "orders" in path else foreign["delivery"])
        answer = call(daemon, method, known, "of-left")
        assert answer.status in (200, 403, 404) and b"right" not in answer.body, (method, path, answer.body)
        assert method == "GET" or answer.status == 403, (method, path)
        if method == "GET" and answer.status == 200 and names:
            for text in INJECTED + ["right", "left,right", "left%00right", "*"]:
                for name in names:
                    answer = call(daemon, method, f"{known}?{name}={text}", "of-left")
                    assert answer.status in (200, 400, 404, 414) and b'"right"' not in answer.body, (path, name, text, answer.body)
    assert get(daemon, "orders?target=right", "of-left").json["items"] == []


def test_without_the_token_nothing_is_told(daemon):
    assert len(list(endpoints(daemon))) > 15
    for method, path, _ in endpoints(daemon):
        for token in (None, "", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), " " + TOKEN, "of-left ", "of-left,of-right", "a" * 4000):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            answer = http_call(daemon.admin_port, method, path, headers=headers)
            assert answer.status == (200 if path in ("/healthz", "/readyz") else 401), (path, token)
    for form in ("Basic {}", "bearer {}", "Bearer\t{}", "Token {}", "{}", "Bearer {}\t,"):
        assert http_call(daemon.admin_port, "GET", "/api/v1/status", headers={"Authorization": form.format(TOKEN)}).status == 401, form
    assert http_call(daemon.admin_port, "GET", f"/api/v1/status?token={TOKEN}&access_token={TOKEN}").status == 401
    assert get(daemon, "status").status == 200


def test_secrets_are_compared_in_constant_time():
    """By the code: hashes of equal length through CRYPTO_memcmp, and nowhere else a secret beside a comparison that ends early."""
    digest = (ROOT / "core" / "digest.c").read_text()
    assert re.search(r"bool digest_equal\(const void \*a, const void \*b, size_t len\)\s*\{\s*return CRYPTO_memcmp\(a, b, len\) == 0;", digest)
    for file, names in (("admin.c", "token|want|have|given"), ("hook.c", "secret|sign|mac|hex|expected")):
        for line in (ROOT / "core" / file).read_text().splitlines():
            match = re.search(rf"\b(?:str|mem|strn|strcase)cmp\(([^)]*\b(?:{names})\b[^)]*)\)", line)
            assert not match or '"Bearer "' in line or "prefix" in line, f"{file}: {line.strip()}"


def test_a_page_of_another_site_is_not_obeyed(desk_busbar):
    """Without a token the listener is on loopback: there the browser of the one who sits before it is the danger."""
    daemon = desk_busbar()
    own = f"127.0.0.1:{daemon.admin_port}"

    def status(method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.admin_port, timeout=10)
        connection.putrequest(method, "/api/v1/targets/desk/hold" if method == "POST" else "/api/v1/status", skip_host=True)
        headers = {"Host": own, **headers}
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if method == "POST":
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        answer = connection.getresponse()
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        connection.close()
        return answer.status

    assert status() == 200 and status("POST") == 200
    for host in (own, f"localhost:{daemon.admin_port}", "localhost", "[::1]:1"):
        assert status(Host=host) == 200, host
    for host in ("evil.example", f"evil.example:{daemon.admin_port}", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.2", "",
                 "0.0.0.0", "localhost@evil.example", "evil.example#127.0.0.1"):  # DNS rebinding
        assert status(Host=host) == 403 and status("POST", Host=host) == 403, host
    for origin in ("http://evil.example", "https://evil.example", "null", "", "http://127.0.0.1.evil.example", f"http://{own}.evil.example",
                   "http://127.0.0.1:1", "http://localhost", "file://", "http://evil.example/http://" + own, f"http://evil@{own}"):
        assert status("POST", Origin=origin, Content_Type="text/plain", body=b"{}") == 403, origin  # a form needs no preflight
        assert status(Origin=origin) == 403, origin
    assert status("POST", Origin=f"http://{own}") == 200 and status(Origin=f"https://{own}") == 200
    assert status("OPTIONS", Origin="http://evil.example", Access_Control_Request_Method="POST") == 405
    two = f"GET /api/v1/status HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n\r\n".encode()
    assert ask(daemon.admin_port, two)[0] == [400]


def test_paths_lead_to_no_file(daemon):
    secret = (daemon.folder / "busbar.yaml").read_text()[:40].encode()
    for path in ("/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/api/v1/../../busbar.yaml",
                 "/busbar.yaml", "/api/v1/deliveries/..", "/api/v1/deliveries/../targets", "/api/v1//status", "/api/v1/status/", "/API/V1/status",
                 "/api/v1/status%00", "/static/../busbar.db", "/.git/config", "/proc/self/environ", "file:///etc/passwd", "http://127.0.0.1:1/"):
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()
        statuses, _, _, data = ask(daemon.admin_port, request)
        assert statuses in ([404], [400]), (path, statuses)
        assert b"root:" not in data and secret not in data, path
    assert get(daemon, "x" * 9000).status == 414
    assert get(daemon, "status?" + "&".join(f"p{n}=1" for n in range(700))).status == 414
    assert get(daemon, "deliveries?target=" + "x" * 7000).json.get("items", []) == []


def test_what_a_sensor_calls_itself_does_no_harm_on_the_way_out(daemon, publisher):
    """Names of topics and texts of payloads are the plant's: in every answer they are data."""
    nasty = "<script>alert(1)<!-- '\"&\u2028"
    publisher.publish(f"left/{nasty}", json.dumps({"x": nasty}))
    wait_until(lambda: len(get(daemon, "deliveries?target=left").json["items"]) == 2, 10)
    item = get(daemon, "deliveries?target=left").json["items"][0]
    assert item["topic"] == f"left/{nasty}"
    for path in ("deliveries", f"deliveries/{item['id']}", "audit", "status", "routes", "orders"):
        answer = call(daemon, "GET", f"/api/v1/{path}")
        assert answer.status == 200 and answer.headers["Content-Type"] == "application/json" and answer.json
    for line in call(daemon, "GET", "/metrics").body.decode().splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? [-+.0-9eInfNa]+', line), line
