# SPDX-License-Identifier: Apache-2.0
"""Requests of a shape that no honest sender uses, against the webhook door: each with the answers that it may get, in order.
A list in a list: any of these. The genuine webhook that each one carries may only come in where a 200 says so."""

import gzip
import json
import socket
import time

from busbar_harness import SECRET, sign

CAP = 1 << 20  # http.max_body


class Shape:
    def __init__(self, name, request, answers, taken=None):
        self.name, self.request, self.answers = name, request, answers
        self.taken = (200 in answers) if taken is None else taken  # whether the webhook comes in


def webhook(key, filler=0):
    return json.dumps({"_event": "SparePartWasConsumed", "_idempotencyKey": key, **({"x": "y" * filler} if filler else {})}).encode()


def post(key, head="Content-Length: {n}", body=None, line="POST /hooks/mw HTTP/1.1", host="Host: busbar", signature=None, wire=None,
         end="\r\n"):
    """A genuine webhook whose framing is the caller's. wire: how the body goes over the wire."""
    body = webhook(key) if body is None else body
    signature = sign(SECRET, body) if signature is None else signature
    lines = [line, host, "Content-Type: application/json", f"X-MW-Signature: {signature}", head.replace("{n}", str(len(body)))]
    text = end.join(one for one in lines if one) + end + end
    return text.encode("latin-1") + (body if wire is None else wire(body))


def chunked(size="{n:x}", extension="", trailer="", end="\r\n", last="0", after=None):
    """The body as one chunk, its size and all around it the caller's."""
    def wire(body):
        close = end.encode() if after is None else after
        return (size.format(n=len(body)) + extension + end).encode() + body + close + (last + end + trailer + end).encode()
    return wire


TE = "Transfer-Encoding: chunked"
NOT_UNDERSTOOD = [[400, 501]]


def framing():
    """Where a request ends: two readings of it are what a smuggler lives on. What follows is a second request."""
    def two(name, head, wire=None, **more):
        key = name
        return post(key, head, wire=wire, **more) + post("smuggled-" + key)

    yield "length and chunks", two("cl-te", "Content-Length: {n}\r\n" + TE, chunked()), [400]
    yield "chunks and length", two("te-cl", TE + "\r\nContent-Length: 5", chunked()), [400]
    yield "two lengths, equal", two("cl-cl", "Content-Length: {n}\r\nContent-Length: {n}"), [400]
    yield "two lengths", two("cl-cl2", "Content-Length: 5\r\nContent-Length: {n}"), [400]
    yield "a list of lengths", two("cl-list", "Content-Length: {n}, {n}"), [400]
    for n, length in enumerate(("+{n}", "-1", "0x10", "{n}x", "", "1e2", "18446744073709551621", "{n} {n}", "\u00b2")):
        yield f"length {length!r}", two(f"cl-{n}", f"Content-Length: {length}"), [[400, 413, 411]]
    for n, name in enumerate(("Content-Length :", "Content-Length\t:", " Content-Length:", "Content Length:", "Content-Length\0:")):
        yield f"length behind {name!r}", two(f"name-{n}", f"{name} {{n}}"), [[400, 411]]
    for n, coding in enumerate(("xchunked", "identity", "gzip", "chunked, identity", "gzip, chunked", "chunked\x0b", "chunked;q=1", "",
                                '"chunked"', "chunked, chunked")):
        yield f"coding {coding!r}", two(f"te-{n}", f"Transfer-Encoding: {coding}", chunked()), NOT_UNDERSTOOD
    yield "chunks twice", two("te-te", TE + "\r\n" + TE, chunked()), [400]
    yield "chunks and another coding", two("te-te2", TE + "\r\nTransfer-Encoding: identity", chunked()), [400]
    yield "coding on a folded line", two("fold", "Transfer-Encoding:\r\n chunked", chunked()), [[400, 411, 501]]
    yield "length on a folded line", two("fold2", "Content-Length:\r\n {n}"), [[400, 411]]
    yield "coding behind a blank", two("te-blank", "Transfer-Encoding : chunked", chunked()), [[400, 411, 501]]
    yield "chunks in HTTP/1.0", two("te-10", TE, chunked(), line="POST /hooks/mw HTTP/1.0"), [400]
    yield "a GET with a body", two("get", "Content-Length: {n}", line="GET /hooks/mw HTTP/1.1"), [405]
    for n, size in enumerate(("0x{n:x}", "-{n:x}", "+{n:x}", " {n:x}", "{n:x} x", "", "g", "fffffffffffffffff", "{n:x}\n", "{n:x}\0")):
        yield f"chunk size {size!r}", two(f"size-{n}", TE, chunked(size)), [[400, 413]]
    yield "a chunk longer than it says", two("long", TE, chunked("5")), [400]
    yield "no line end behind a chunk", two("noend", TE, chunked(after=b"")), [400]
    yield "a chunk of 2^64 + n bytes", two("wrap", TE, chunked("1{n:016x}")), [[400, 413]]
    yield "chunk extension of 100 kB", two("ext-big", TE, chunked(extension=";" + "x" * 100000)), [[400, 413, 431]]
    yield "trailer of 100 kB", two("trailer-big", TE, chunked(trailer="X-A: " + "x" * 100000 + "\r\n")), [[400, 413, 431]]
    yield "10,000 trailers", two("trailers", TE, chunked(trailer="X-A: x\r\n" * 10000)), [[400, 413, 431]]


def framing_taken():
    yield "as documented", post("plain"), [200]
    yield "chunks", post("chunks", TE, wire=chunked()), [200]
    yield "chunks, in capitals", post("chunks-big", "TRANSFER-ENCODING: CHUNKED", wire=chunked("{n:X}")), [200]
    yield "chunk with an extension", post("ext", TE, wire=chunked(extension=";a=b")), [200]
    yield "a trailer", post("trailer", TE, wire=chunked(trailer="X-More: y\r\n")), [200]
    yield "lines that end with LF alone", post("lf", end="\n"), [[200, 400]]
    yield "two on one connection", post("pipe-1") + post("pipe-2"), [200, 200]
    yield "length with zeros before it", post("zeros", "Content-Length: 000{n}"), [[200, 400]]
    yield "Expect: 100-continue", post("expect", "Content-Length: {n}\r\nExpect: 100-continue"), [[100, 200], 200]
    yield "Expect: something else", post("expect2", "Content-Length: {n}\r\nExpect: 200-ok"), [[200, 417]]


def headers():
    yield "signature in a trailer", post("sig-trailer", TE, signature="", wire=chunked(
        trailer=f"X-MW-Signature: {sign(SECRET, webhook('sig-trailer'))}\r\n")), [401]
    yield "length in a trailer", post("cl-trailer", TE, wire=chunked(trailer="Content-Length: 5\r\n")), [[200, 400]]
    yield "two signatures", post("two-sigs", "Content-Length: {n}\r\nX-MW-Signature: t=1,nonce=a,signature=b"), [401]
    yield "no Host", post("no-host", host=""), [400]
    yield "two Hosts", post("two-hosts", host="Host: busbar\r\nHost: other"), [400]
    # libmicrohttpd 0.9.75 ends the value there
    yield "a NUL in a header", post("nul", "Content-Length: {n}\r\nX-A: b\0c"), [[200, 400]]
    yield "a bare CR in a header", post("cr", "Content-Length: {n}\r\nX-A: b\rX-B: c"), [400]
    yield "a length behind a bare CR", post("cr-cl", "Content-Length: {n}\r\nX-A: b\rContent-Length: 5"), [400]
    yield "a signature behind a bare CR", post("cr-sig", "Content-Length: {n}\r\nX-A: b\rX-MW-Signature: x"), [400]
    yield "a header without a colon", post("colon", "Content-Length: {n}\r\nX-A"), [400]
    # which it takes for the end of the headers: the body is not what was signed, and what follows is not read
    yield "a header without a name", post("name", "Content-Length: {n}\r\n: x") + post("smuggled-name"), [[400, 401]]
    yield "header 17 kB", post("17k", "Content-Length: {n}\r\nX-A: " + "a" * 17000), [431]
    yield "header 200 kB", post("200k", "Content-Length: {n}\r\nX-A: " + "a" * 200000), [431]
    yield "2,000 headers", post("2000", "Content-Length: {n}\r\n" + "\r\n".join(f"X-{i}: a" for i in range(2000))), [431]
    yield "300 empty headers", post("300", "Content-Length: {n}\r\n" + "\r\n".join(f"X-{i}:" for i in range(300))), [[200, 431]]


def lines():
    for line, answers in {
        "POST /hooks/mw": [400], "POST /hooks/mw HTTP/2.0": [[400, 505]], "POST /hooks/mw HTTP/1.2": [[200, 400, 505]],
        "POST /hooks/mw HTTP/9.9": [[400, 505]], "POST /hooks/mw HTTP/1.1 x": [[400, 505]], "POST /hooks/mw http/1.1": [[400, 505]],
        "POST  /hooks/mw HTTP/1.1": [[200, 400]], "POST\t/hooks/mw HTTP/1.1": [[400, 405, 505]],
        "POST /hooks/mw\0 HTTP/1.1": [[200, 400]], "POST /hooks/mw HTTP/1.1\0": [[400, 505]], "POST": [], "": [400], "GET /": [400],
        "post /hooks/mw HTTP/1.1": [405], "TRACE /hooks/mw HTTP/1.1": [405], "CONNECT busbar:443 HTTP/1.1": [405],
        "OPTIONS * HTTP/1.1": [405], "PUT /hooks/mw HTTP/1.1": [405], "PATCH /hooks/mw HTTP/1.1": [405], "BREW /hooks/mw HTTP/1.1": [405],
        "HEAD /hooks/mw HTTP/1.1": [405], "POST_ /hooks/mw HTTP/1.1": [405], "P\x01ST /hooks/mw HTTP/1.1": [[400, 405]],
        "POST http://other/hooks/mw HTTP/1.1": [404], "POST //hooks/mw HTTP/1.1": [404], "POST /./hooks/mw HTTP/1.1": [404],
        "POST /hooks/../hooks/mw HTTP/1.1": [404], "POST /%2e%2e/hooks/mw HTTP/1.1": [404], "POST /hooks/%2e%2e/%2e%2e/etc/passwd HTTP/1.1": [404],
        "POST /hooks/mw%00 HTTP/1.1": [400], "POST /hooks/mw%00.txt HTTP/1.1": [400], "POST /hooks/mw/ HTTP/1.1": [404],
        "POST /hooks//mw HTTP/1.1": [404], "POST /hooks/mw;x HTTP/1.1": [404], "POST /HOOKS/mw HTTP/1.1": [404], "POST /hooks/MW HTTP/1.1": [404],
        "POST /hooks/mw% HTTP/1.1": [[400, 404]], "POST /hooks/mw%2 HTTP/1.1": [[400, 404]], "POST /hooks/m%zz HTTP/1.1": [[400, 404]],
        "POST \\hooks\\mw HTTP/1.1": [[400, 404]], "POST hooks/mw HTTP/1.1": [[400, 404]], "POST /hooks/ HTTP/1.1": [404], "POST /hooks HTTP/1.1": [404],
        "POST * HTTP/1.1": [[400, 404]], "POST /api/v1/status HTTP/1.1": [404], "POST /metrics HTTP/1.1": [404],
        f"POST /hooks/{'a' * 8200} HTTP/1.1": [414], f"POST /{'a/' * 50000} HTTP/1.1": [[414, 431]],
    }.items():
        told = line if len(line) < 60 else f"{line[:20]}... ({len(line):,} bytes)"
        yield f"line {told!r}", post("line", line=line, body=webhook(f"line {line[:60]!r}")), answers
    yield "HTTP/0.9", b"GET /hooks/mw\r\n\r\n", [400]
    yield "an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [[400, 405, 505]]
    yield "a TLS handshake on a plain port", bytes.fromhex("16030100c8010000c40303") + b"\xaa" * 200, []
    yield "bytes of no meaning", bytes(range(128, 256)) * 8 + b"\r\n\r\n", []


def bodies():
    def filled(key, size):
        return webhook(key, size - len(webhook(key, 1)) + 1)

    yield "a body at the cap", post("cap", body=filled("cap", CAP)), [200]
    yield "a body one byte over the cap", post("over", body=filled("over", CAP + 1)), [413]
    yield "chunks one byte over the cap", post("over-te", TE, body=filled("over-te", CAP + 1), wire=chunked()), [413]
    yield "a length of 10^18, no body", post("huge", "Content-Length: 1000000000000000000", wire=lambda _: b""), [413]
    yield "over the cap, Expect: 100-continue", post("over-ex", f"Content-Length: {CAP + 1}\r\nExpect: 100-continue", wire=lambda _: b""), [413]
    yield "a compressed body", post("gzip", "Content-Length: {n}\r\nContent-Encoding: gzip", body=gzip.compress(webhook("gzip"))), [400]
    yield "a bomb of 1 GB in 1 MB", post("bomb", "Content-Length: {n}\r\nContent-Encoding: gzip",
                                         body=gzip.compress(b"\0" * (1 << 26))), [400]
    yield "no body, no length", post("none", "", body=b""), [411]
    yield "an empty body", post("empty", body=b""), [400]


def shapes():
    """Every shape. What may be 200 or a refusal is taken when it was 200."""
    for family in (framing_taken, framing, headers, lines, bodies):
        for name, request, answers in family():
            yield Shape(f"{family.__name__.split('_')[0]}: {name}", request, answers)


def answers_of(data):
    """The statuses of the answers in what came back, by their lengths."""
    statuses = []
    while data.startswith(b"HTTP/1."):
        head, _, rest = data.partition(b"\r\n\r\n")
        statuses.append(int(head.split(None, 2)[1]))
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length" and not (statuses[-1] < 200):
                length = int(value)
        data = rest[length:]
    return statuses


def ask(port, request, wrap=None, wait=1.0, host="127.0.0.1"):
    """Sends the bytes and reads until the other side is done: closed, or quiet for `wait` seconds. (statuses, closed, seconds,
    all that came)"""
    start, data, closed = time.monotonic(), b"", False
    with socket.create_connection((host, port), timeout=10) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = wrap(raw) if wrap else raw
        connection.settimeout(wait)
        try:
            connection.sendall(request)
        except OSError:
            pass  # refused before it was read to its end
        last = time.monotonic()
        try:
            while part := connection.recv(65536):
                data += part
                last = time.monotonic()
            closed = True
        except TimeoutError:
            pass
        except OSError:
            closed = True
        return answers_of(data), closed, last - start, data


def fits(statuses, answers):
    """Whether these answers are among those that the shape allows; a 100 may come before any."""
    statuses = [status for status in statuses if status != 100]
    wanted = [answer if isinstance(answer, list) else [answer] for answer in answers if answer != [100, 200]]
    return len(statuses) == len(wanted) and all(status in allowed for status, allowed in zip(statuses, wanted))
