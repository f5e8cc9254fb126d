"""A server of uvicorn with our connections, in a thread of this process."""

import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from speech_intent.serving import connections
from speech_intent.serving.connections import Connection


async def app(scope, receive, send):
    """Read a body, then answer with its size."""
    if scope["type"] != "http":
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


@pytest.fixture
def port():
    config = uvicorn.Config(app, port=0, http=Connection, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


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
    end = time.monotonic() + 10
    while Connection.of_address and time.monotonic() < end:
        time.sleep(0.01)
    assert not Connection.of_address  # nothing is kept of who has left
