"""A server of uvicorn with our connections, in a thread of this process."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as open_socket

from speech_intent.serving import connections
from speech_intent.serving.connections import Connection, Socket

unsent = []  # what a socket has thrown when it was written to


async def app(scope, receive, send):
    """Read a body, then answer with its size. Sockets at /flood get more than anybody reads."""
    if scope["type"] == "websocket":
        await talk(scope["path"], receive, send)
        return
    n_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        n_bytes += len(message["body"])
        if not message["more_body"]:
            break
    body = str(n_bytes).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def talk(path: str, receive, send) -> None:
    await receive()
    if path == "/denied":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    await send({"type": "websocket.accept"})
    try:
        while path == "/flood":
            await send({"type": "websocket.send", "bytes": bytes(100_000)})
            await asyncio.sleep(0)  # lets the loop hear of a client that has left
    except OSError as error:
        unsent.append(error)
        return
    message = await receive()
    if message["code"] == 1012:
        await send({"type": "websocket.send", "text": "the last word"})
        await send({"type": "websocket.close", "code": 1012})


@pytest.fixture
def server():
    options = {"http": Connection, "ws": Socket, "log_level": "error", "log_config": None}
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def port(server):
    return server.servers[0].sockets[0].getsockname()[1]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.5)


def connect(port: int) -> contextlib.closing:
    return contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=10))


def ends(connection: socket.socket) -> bool:
    """Wait until the server ends a connection, without having said anything."""
    try:
        return connection.recv(1_000) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"],
    ids=["nothing", "headers", "body"],
)
def test_what_does_not_come_ends_the_connection(port, impatient, sent):
    with connect(port) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        assert ends(connection)
        assert time.monotonic() - began < 5


def test_headers_that_trickle_end_as_well(port, impatient):
    with connect(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 5:
                connection.sendall(b"X")
                time.sleep(0.05)
        assert time.monotonic() - began < 5


def test_a_connection_that_is_used_stays(port, impatient):
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    with connect(port) as connection:
        for _ in range(3):
            connection.sendall(request)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.4)  # together longer than one request may take


def test_one_address_has_not_all_connections(port, monkeypatch):
    monkeypatch.setattr(connections, "MOST_OF_AN_ADDRESS", 2)
    with connect(port) as first, connect(port) as second:
        with connect(port) as third:
            assert ends(third)
        for kept in (first, second):
            kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert kept.recv(1_000).startswith(b"HTTP/1.1 200 OK")
    assert nobody_is_left()  # nothing is kept of who has left


def nobody_is_left() -> bool:
    """Wait until no connection is counted."""
    end = time.monotonic() + 10
    while Connection.of_address and time.monotonic() < end:
        time.sleep(0.01)
    return not Connection.of_address


def test_a_socket_is_a_connection_of_its_address_until_it_ends(port, monkeypatch):
    monkeypatch.setattr(connections, "MOST_OF_AN_ADDRESS", 1)
    for _ in range(2):
        with open_socket(f"ws://127.0.0.1:{port}/"):
            assert dict(Connection.of_address) == {"127.0.0.1": 1}
            with connect(port) as second:
                assert ends(second)
        assert nobody_is_left()


def test_a_socket_outlives_what_a_request_may_take(port, impatient):
    with open_socket(f"ws://127.0.0.1:{port}/") as socket:
        with pytest.raises(TimeoutError):
            socket.recv(timeout=1.0)
        assert socket.ping().wait(10)


def test_a_socket_that_is_denied_is_no_fault_of_the_app(port, caplog):
    with pytest.raises(InvalidStatus) as denial:
        open_socket(f"ws://127.0.0.1:{port}/denied")
    assert (denial.value.response.status_code, denial.value.response.body) == (418, b"no")
    assert nobody_is_left()
    assert not caplog.records


HANDSHAKE = (
    "GET {} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


@pytest.mark.parametrize("sent", [HANDSHAKE, HANDSHAKE.replace("Version: 13", "Version: 1")])
def test_what_is_no_handshake_is_forgotten_as_well(port, sent):
    with connect(port) as connection:
        connection.sendall(sent.format("/").encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 ")
    assert nobody_is_left()


def test_a_client_that_does_not_read_is_ended(port, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    unsent.clear()
    with connect(port) as connection:
        connection.sendall(HANDSHAKE.format("/flood").encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        assert nobody_is_left()
    assert len(unsent) == 1


def test_a_client_that_reads_in_time_stays(port, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 1.0)
    with open_socket(f"ws://127.0.0.1:{port}/flood", close_timeout=0.1) as socket:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert len(socket.recv(timeout=10)) == 100_000
            time.sleep(0.001)


def test_a_server_that_ends_lets_the_app_say_so(server, port):
    with open_socket(f"ws://127.0.0.1:{port}/") as socket:
        server.should_exit = True
        assert socket.recv(timeout=10) == "the last word"
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
        assert socket.close_code == 1012


def test_a_client_that_ignores_the_end_is_ended(server, port, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    with connect(port) as connection:
        connection.sendall(HANDSHAKE.format("/").encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 101 ")
        server.should_exit = True
        began = time.monotonic()
        while connection.recv(1_000):
            pass
        assert time.monotonic() - began < 5
