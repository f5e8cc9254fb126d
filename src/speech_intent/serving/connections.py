"""A connection of HTTP that ends when its client is too slow, and is one of not too many.

uvicorn ends only those that are idle between two requests.
"""

import asyncio
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0  # until a request's headers are there
BODY_SECONDS = 60.0  # until its body is: the app is stricter, but does not read what it refuses
MOST_OF_AN_ADDRESS = 16_384  # connections; as many as a load balancer has


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with an end to headers and bodies that do not come."""

    of_address: ClassVar[Counter[str]] = Counter()

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection, unless its address has too many."""
        super().connection_made(transport)
        self._host = self.client[0] if self.client else ""
        self.of_address[self._host] += 1
        if self.of_address[self._host] > MOST_OF_AN_ADDRESS:
            transport.abort()
        self._end_in(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stay()
        self.of_address[self._host] -= 1
        if not self.of_address[self._host]:
            del self.of_address[self._host]
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
        """Give the connection to another protocol."""
        self._stay()
        super().handle_websocket_upgrade()

    def _end_in(self, seconds: float) -> None:
        self._stay()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stay(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
