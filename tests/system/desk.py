# SPDX-License-Identifier: Apache-2.0
"""A target of work orders that answers as it is told, behind the test plugin `desk`."""

import http.server
import json
import threading

from busbar_harness import BINARY

PLUGIN = BINARY.parent / "tests" / "plugins" / "desk.so"


class Desk(http.server.ThreadingHTTPServer):
    """answers: what comes next, (status, body) each, then `usual`; None as a status: no answer at all, bytes as a body: as they
    are. While `gate` is
    cleared, each answer waits for it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.usual, self.asked, self.orders = [], (201, None), [], 0
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.gate.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def target(self, **settings):
        return {"plugin": str(PLUGIN), "url": self.url, "mode": "write_back", "allow_unsigned": True, "timeout": "2s",
                "retry": {"first": "50ms", "max": "100ms", "attempts": 3}, **settings}

    def sent(self, method=None):
        return [(m, path, body) for m, path, body in list(self.asked) if method in (None, m)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def take(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with server.lock:
            server.asked.append((self.command, self.path, json.loads(body or b"null")))
            status, answer = server.answers.pop(0) if server.answers else server.usual
            if status in (200, 201) and answer is None and self.command == "POST":
                server.orders += 1
                answer = {"id": f"T-{server.orders}"}
        server.gate.wait(30)
        if status is None:
            self.close_connection = True
            return
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Request-Id", f"r-{len(server.asked)}")
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PATCH = do_GET = take

    def log_message(self, *_):
        pass
