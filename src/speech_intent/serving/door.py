"""Who is turned away before anything of a request is read: that must cost next to nothing."""

import asyncio
import ipaddress
import json

from starlette.types import ASGIApp, Receive, Scope, Send

from .places import Busy, Places

GUARDED = "/predict"  # and all paths that begin so
OWN_BITS = 64  # of an IPv6 address: the rest is its holder's to choose


class Door:
    """Lets requests for answers pass while there are places, and refuses the others.

    The app's state has a `queue` and `counters`.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the app answer it."""
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            state = scope["app"].state
            try:
                state.queue.places.check(address_of(scope))
            except Busy as busy:
                state.counters.refused.inc()
                await refuse(busy, state.queue.places, send)
                return
        await self.app(scope, receive, send)


def address_of(scope: Scope) -> str:
    """Name whoever asks, to give everybody a share: the address, of IPv6 the network."""
    client = scope.get("client")
    host = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket of Unix, a test
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((int(address), OWN_BITS), strict=False))


async def refuse(busy: Busy, places: Places, send: Send) -> None:
    """Say 503 and when to come back, in its turn."""
    await asyncio.sleep(places.pause())
    body = json.dumps({"detail": detail(busy)}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "retry-after": str(busy.retry_after),
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 503, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def detail(busy: Busy) -> str:
    """Say why, and when to come back."""
    return f"too many requests are waiting; try again in {busy.retry_after} s"
