"""A connection that ends when its client is too slow, and is one of not too many.

uvicorn ends only those that are idle between two requests.
"""

import asyncio
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HEADER_SECONDS = 10.0  # until a request's headers are there
BODY_SECONDS = 60.0  # until its body is: the app is stricter, but does not read what it refuses
UNREAD_SECONDS = 10.0  # until a client of a socket reads what it is sent, or the end
MOST_OF_AN_ADDRESS = 16_384  # connections; as many as a load balancer has
RESTARTS = 1012  # a socket's code where its server ends


class _Limited:
    """What connections of HTTP and sockets share: they are counted, and may be given an end."""

    of_address: ClassVar[Counter[str]] = Counter()
    client: tuple[str, int] | None
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _deadline: asyncio.TimerHandle | None = None

    @property
    def _host(self) -> str:
        return self.client[0] if self.client else ""

    def _forget(self) -> None:
        """Count a connection no longer."""
        self._stay()
        self.of_address[self._host] -= 1
        if not self.of_address[self._host]:
            del self.of_address[self._host]

    def _end_in(self, seconds: float) -> None:
        self._stay()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stay(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Connection(_Limited, HttpToolsProtocol):
    """uvicorn's connection, with an end to headers and bodies that do not come."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection, unless its address has too many."""
        super().connection_made(transport)
        self.of_address[self._host] += 1
        if self.of_address[self._host] > MOST_OF_AN_ADDRESS:
            transport.abort()
        self._end_in(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._forget()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the headers of a request whose first byte has come."""
        super().on_message_begin()
        self._end_in(HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        """Wait for its body."""
        super().on_headers_complete()
        self._end_in(BODY_SECONDS)

    def on_message_complete(self) -> None:
        """Wait no longer."""
        super().on_message_complete()
        self._stay()

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to a `Socket`, which forgets it in the end."""
        self._stay()
        super().handle_websocket_upgrade()


class Socket(_Limited, WebSocketsSansIOProtocol):
    """uvicorn's socket, with an end to clients that do not read; was a `Connection` before."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._forget()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that has more to read than is kept."""
        super().pause_writing()
        self._end_in(UNREAD_SECONDS)

    def resume_writing(self) -> None:
        """Wait no longer, unless this was the end."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stay()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Wait for a client to read the end."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._end_in(UNREAD_SECONDS)

    def shutdown(self) -> None:
        """Tell the app that the server ends: it sends what is in hand, and closes the socket."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": RESTARTS})
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        """Send; a denial completes a handshake, or uvicorn would log it as a fault of the app."""
        await super().send(message)
        is_denial = message["type"] == "websocket.http.response.body"
        if is_denial and not message.get("more_body", False):
            self.handshake_complete = True
