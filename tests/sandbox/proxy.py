#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that breaks connections on demand: between busbar and a broker, or busbar and a target.

    proxy.py --to HOST:PORT [--port N] [--control-port N] [--tls CERT KEY]

Prints one JSON line {"port": N, "control_port": N} when it listens, ends on SIGTERM. Standard library only;
one loop, one thread. It knows bytes, not protocols: faults of HTTP are the stand-in's (standin.py). With --tls it ends
the client's TLS, and what it counts and breaks is what is within.

Control (all JSON)
  GET  /_control/state            {"faults": {..}, "accepted": N, "open": N, "bytes_up": N, "bytes_down": N, "broken": N}
  GET  /_control/stalls           {"items": [[from, to], ..]}: when it got no processor (seconds since 1970)
  POST /_control/faults  {...}    sets the faults named, leaves the others; answers the state
  POST /_control/heal             no faults any more; what was stalled flows on
  POST /_control/cut  {"how": "reset" | "close"}   ends the connections that are open; answers the state
  POST /_control/certificate  {"cert": FILE, "key": FILE}   shown from the next connection on

Faults. `up` is from the client to the server, `down` the way back.
  delay_up, delay_down    seconds that each piece waits
  stall_up, stall_down    true: nothing flows, the connection stays
  drop_up, drop_down      true: bytes are taken and thrown away (drop_down: the answer is lost, the work is done)
  reset_up, reset_down    N: both ends are reset when N bytes of a connection have flowed (counted from its start)
  close_up, close_down    N: the same, closed in order instead of reset
  refuse                  true: the listener is closed (connection refused); open connections live on
A fault holds for the connections that are open and for those to come; null or false takes it away.
"""

import argparse
import asyncio
import json
import signal
import socket
import ssl
import struct
import sys

from standin import watch_stalls

PIECE = 65536
NO_FAULTS = {**{f"{kind}_{way}": None for kind in ("delay", "stall", "drop", "reset", "close") for way in ("up", "down")},
             "refuse": None}
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST


def abort(writer):
    """Ends a connection with a TCP reset."""
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def end_of_file(writer):
    """TLS knows no half of a connection."""
    if writer.is_closing():
        return
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


class Link:
    """One client's connection and ours to the server behind."""

    def __init__(self, proxy, client_writer, server_writer):
        self.proxy, self.writers = proxy, (client_writer, server_writer)
        self.broken = False

    def end(self, reset):
        """Breaks it. In order means an end of file to both; what still comes from them is read and forgotten."""
        if self.broken:
            return
        self.broken = True
        for writer in self.writers:
            if reset:
                abort(writer)
            else:
                end_of_file(writer)
        self.proxy.wake()

    async def gate(self, way):
        while self.proxy.faults[f"stall_{way}"] and not self.broken:
            await self.proxy.changed.wait()

    def cut_short(self, way, flowed, data):
        """What of data may pass, and the fault that then ends the connection."""
        for kind in ("reset", "close"):
            limit = self.proxy.faults[f"{kind}_{way}"]
            if limit is not None and flowed + len(data) >= limit:
                return data[:max(0, limit - flowed)], kind
        return data, None

    async def pump(self, reader, writer, way):
        faults, proxy = self.proxy.faults, self.proxy
        writer.transport.set_write_buffer_limits(1, 0)  # drain() means: the kernel has it; with 0, TLS may wait for ever
        flowed = 0
        while True:
            await self.gate(way)
            data = await reader.read(PIECE)
            await self.gate(way)  # a stall that began meanwhile holds it
            if faults[f"delay_{way}"]:
                await asyncio.sleep(faults[f"delay_{way}"])
            if not data:
                break
            if self.broken:
                continue
            data, fatal = self.cut_short(way, flowed, data)
            flowed += len(data)
            if not faults[f"drop_{way}"]:
                writer.write(data)
                await writer.drain()
                proxy.bytes[way] += len(data)
            if fatal:
                proxy.broken += 1
                self.end(fatal == "reset")
        if not self.broken:
            end_of_file(writer)

    async def run(self, client_reader, server_reader):
        client_writer, server_writer = self.writers
        pumps = [asyncio.create_task(self.pump(client_reader, server_writer, "up")),
                 asyncio.create_task(self.pump(server_reader, client_writer, "down"))]
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.exception() for task in done):
            self.end(reset=True)  # one side was reset: so is the other
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for writer in self.writers:
            writer.close()


class Proxy:
    def __init__(self, to, port, certificate=None):
        self.to, self.port, self.context = to, port, None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.num_tickets = 0  # no session is resumed: each connection is shown the certificate
            self.context.options |= ssl.OP_NO_TICKET
            self.context.load_cert_chain(*certificate)
        self.faults = dict(NO_FAULTS)
        self.changed = asyncio.Event()
        self.links, self.server = set(), None
        self.accepted = self.broken = 0
        self.bytes = {"up": 0, "down": 0}
        self.stalls = []

    def wake(self):
        """Who waits at a gate looks again."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def listen(self):
        self.server = await asyncio.start_server(self.take, "127.0.0.1", self.port, reuse_address=True,
                                                 ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]

    async def take(self, reader, writer):
        self.accepted += 1
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.to)
        except OSError:  # nobody behind us: as if nobody were here
            abort(writer)
            return
        link = Link(self, writer, server_writer)
        self.links.add(link)
        try:
            await link.run(reader, server_reader)
        finally:
            self.links.discard(link)

    async def set(self, faults):
        unknown = set(faults) - set(NO_FAULTS)
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        self.faults.update({name: None if value is False else value for name, value in faults.items()})
        self.wake()
        if self.faults["refuse"] and self.server:
            self.server.close()
            self.server = None
        elif not self.faults["refuse"] and not self.server:
            await self.listen()

    def cut(self, how):
        if how not in ("reset", "close"):
            raise ValueError("how is reset or close")
        for link in list(self.links):
            self.broken += 1
            link.end(how == "reset")

    def state(self):
        return {"faults": {name: value for name, value in self.faults.items() if value is not None},
                "accepted": self.accepted, "open": len(self.links), "broken": self.broken,
                "bytes_up": self.bytes["up"], "bytes_down": self.bytes["down"]}

    # ---- control

    async def command(self, method, path, body):
        values = json.loads(body or b"{}")
        if not isinstance(values, dict):
            raise ValueError("the body is a JSON object")
        if (method, path) == ("POST", "/_control/faults"):
            await self.set(values)
        elif (method, path) == ("POST", "/_control/heal"):
            await self.set(NO_FAULTS)
        elif (method, path) == ("POST", "/_control/cut"):
            self.cut(values.get("how", "reset"))
        elif (method, path) == ("POST", "/_control/certificate"):
            if self.context is None:
                raise ValueError("it was started without --tls")
            self.context.load_cert_chain(values["cert"], values["key"])
        elif (method, path) == ("GET", "/_control/stalls"):
            return 200, {"items": self.stalls}
        elif (method, path) != ("GET", "/_control/state"):
            return 404, {"error": f"no {method} {path}"}
        return 200, self.state()

    async def control(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ", 2)
            lengths = [int(line.split(":", 1)[1]) for line in head if line.lower().startswith("content-length:")]
            body = await reader.readexactly(lengths[0] if lengths else 0)
            try:
                status, answer = await self.command(method, path, body)
            except ValueError as error:
                status, answer = 400, {"error": str(error)}
            text = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 %d Answered\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                         b"Connection: close\r\n\r\n%s" % (status, len(text), text))
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    arguments = parser.parse_args()
    host, _, port = arguments.to.rpartition(":")
    proxy = Proxy((host, int(port)), arguments.port, arguments.tls)
    await proxy.listen()
    control = await asyncio.start_server(proxy.control, "127.0.0.1", arguments.control_port)
    print(json.dumps({"port": proxy.port, "control_port": control.sockets[0].getsockname()[1]}), flush=True)
    watch = asyncio.create_task(watch_stalls(proxy.stalls))
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    await end.wait()
    watch.cancel()
    proxy.cut("reset")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
