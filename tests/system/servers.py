# SPDX-License-Identifier: Apache-2.0
"""HTTP servers of a test's own: the systems that no stand-in plays."""

import http.server
import threading


class Server(http.server.ThreadingHTTPServer):
    """Serves while its `with` lasts. What its handler keeps, or is told, are its attributes."""

    daemon_threads = True

    def __init__(self, handler, port=0, tls=None, **kept):
        super().__init__(("127.0.0.1", port), handler)
        vars(self).update(kept)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def read(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
