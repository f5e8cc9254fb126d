"""The app in one process, with its model in others."""

import contextlib
import signal

import uvicorn

from .connections import Connection, Socket
from .http import create_app
from .queues import Workers
from .settings import Settings

CONNECTIONS = 65_536  # open files to ask the system for; many grant 1,024 unasked
BACKLOG = 4_096  # connections that wait to be accepted
GRACE = 23  # seconds after SIGTERM, of the 30 that are usual before SIGKILL
FRAME = 1_000_000  # bytes of a socket's message; 5 s of audio at 48 kHz in stereo
PONG = 60.0  # seconds; a client that sends more than is heard has its pong behind its audio
KEEP_ALIVE = 75  # seconds; longer than load balancers keep a connection, and than MAX_RETRY


def run() -> None:
    """Serve until told to stop; then answer what has been let in, and end.

    Raises `UserError` for a setting or a model that cannot be used.
    """
    settings = Settings.from_environment()
    workers = Workers.in_processes(settings)
    allow_connections()
    # uvicorn sends itself the signal again once it has ended, for whoever else waits for it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    app = create_app(lambda: workers, settings)
    uvicorn.run(
        app,
        http=Connection,
        ws=Socket,
        ws_max_size=FRAME,
        ws_ping_timeout=PONG,
        ws_per_message_deflate=False,  # audio does not get smaller, and it takes time
        host=settings.host,
        port=settings.port,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        access_log=False,
    )


def allow_connections() -> None:
    """Raise the limit of open files, one of which is each connection, as far as we may."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = CONNECTIONS
        if hard != resource.RLIM_INFINITY:
            wanted = min(CONNECTIONS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
