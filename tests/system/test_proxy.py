# SPDX-License-Identifier: Apache-2.0
"""The fault-injecting proxy does what it says; the tests of outages lean on it."""

import socket
import threading
import time

import pytest

import busbar_harness as harness


class Echo:
    """Answers every piece with itself, and keeps what it got."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got, self.ends, self.lock = b"", [], threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        end = "closed"
        with connection:
            try:
                while data := connection.recv(65536):
                    with self.lock:
                        self.got += data
                    connection.sendall(data)
            except ConnectionResetError:
                end = "reset"
            except OSError:
                end = "error"
        with self.lock:
            self.ends.append(end)


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.listener.shutdown(socket.SHUT_RDWR)
    echo.listener.close()


@pytest.fixture
def proxy(make_proxy, echo):
    return make_proxy(echo.port)


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        yield client


def read(client, length):
    data = b""
    while len(data) < length:
        piece = client.recv(length - len(data))
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def is_silent(client, seconds=0.2):
    """Nothing to be read for so long; the only way to see that nothing comes."""
    client.settimeout(seconds)
    try:
        data = client.recv(1)
        raise AssertionError(f"read {data!r}")
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)


def test_proxy_passes_bytes_both_ways_and_counts_them(proxy, client):
    data = bytes(range(256)) * 4096
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    assert read(client, len(data)) == data
    sender.join()
    state = proxy.state()
    assert (state["accepted"], state["open"], state["bytes_up"], state["bytes_down"]) == (1, 1, len(data), len(data))
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    harness.wait_until(lambda: proxy.state()["open"] == 0)


def test_proxy_delays_each_way(proxy, client):
    client.sendall(b"a")
    assert read(client, 1) == b"a"
    proxy.set(delay_up=0.15, delay_down=0.15)
    before = time.monotonic()
    client.sendall(b"b")
    assert read(client, 1) == b"b"
    assert time.monotonic() - before >= 0.29


def test_proxy_stall_holds_and_heal_lets_flow(proxy, client, echo):
    proxy.set(stall_down=True)
    client.sendall(b"question")
    harness.wait_until(lambda: echo.got == b"question")
    assert is_silent(client)
    proxy.heal()
    assert read(client, 8) == b"question"
    proxy.set(stall_up=True)
    client.sendall(b"later")
    assert is_silent(client)
    assert echo.got == b"question"
    proxy.set(stall_up=False)
    assert read(client, 5) == b"later"


def test_proxy_drops_answers_but_the_work_is_done(proxy, client, echo):
    proxy.set(drop_down=True)
    client.sendall(b"lost")
    harness.wait_until(lambda: echo.got == b"lost")
    assert is_silent(client)
    proxy.heal()
    client.sendall(b"kept")
    assert read(client, 4) == b"kept"


def test_proxy_drops_requests(proxy, client, echo):
    proxy.set(drop_up=True)
    client.sendall(b"lost")
    assert is_silent(client)
    assert echo.got == b""


@pytest.mark.parametrize("how, seen", [("reset", "reset"), ("close", "closed")])
def test_proxy_breaks_after_n_bytes(proxy, echo, how, seen):
    proxy.set(**{f"{how}_up": 10})
    for ended in (1, 2):  # counted for each connection anew
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(b"0123")
            assert read(client, 4) == b"0123"
            client.sendall(b"456789abcdef")
            with pytest.raises(ConnectionResetError) if how == "reset" else pytest.raises(AssertionError, match="closed"):
                read(client, 100)
        harness.wait_until(lambda: len(echo.ends) == ended)
    assert echo.got == b"0123456789" * 2
    assert echo.ends == [seen] * 2
    assert proxy.state()["broken"] == 2


def test_proxy_breaks_an_answer_in_its_middle(proxy, client):
    proxy.set(close_down=5)
    client.sendall(b"0123456789")
    assert read(client, 5) == b"01234"
    assert client.recv(10) == b""


def test_proxy_refuses_and_listens_again_on_the_same_port(proxy, client):
    client.sendall(b"a")
    assert read(client, 1) == b"a"
    proxy.set(refuse=True)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    client.sendall(b"b")  # who is in stays in
    assert read(client, 1) == b"b"
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as again:
        again.sendall(b"c")
        assert read(again, 1) == b"c"


@pytest.mark.parametrize("how", ["reset", "close"])
def test_proxy_cuts_what_is_open(proxy, client, echo, how):
    client.sendall(b"a")
    assert read(client, 1) == b"a"
    assert proxy.cut(how)["broken"] == 1
    if how == "reset":
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    else:
        assert client.recv(1) == b""
    harness.wait_until(lambda: echo.ends == ["reset" if how == "reset" else "closed"])


def test_proxy_stalled_connection_can_be_cut(proxy, client):
    proxy.set(stall_up=True, stall_down=True)
    client.sendall(b"a")
    harness.wait_until(lambda: proxy.state()["open"] == 1)
    proxy.cut("reset")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    harness.wait_until(lambda: proxy.state()["open"] == 0)


def test_proxy_with_nobody_behind_resets(make_proxy):
    proxy = make_proxy(harness.free_port())
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_proxy_says_what_it_does_not_know(proxy):
    answer = harness.http_call(proxy.control_port, "POST", "/_control/faults", {"stal_up": True})
    assert (answer.status, answer.json) == (400, {"error": "no such fault: stal_up"})
    assert harness.http_call(proxy.control_port, "POST", "/_control/cut", {"how": "hard"}).status == 400
    assert harness.http_call(proxy.control_port, "GET", "/elsewhere").status == 404
    assert harness.http_call(proxy.control_port, "POST", "/_control/faults", b"[1]").status == 400
