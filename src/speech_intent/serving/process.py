"""The app in one process, with its model in threads."""

import contextlib

import uvicorn

from .answers import Responder
from .http import create_app
from .queues import Threads
from .settings import Settings

CONNECTIONS = 65_536  # open files to ask the system for; many grant 1,024 unasked
BACKLOG = 4_096  # connections that wait to be accepted
KEEP_ALIVE = 75  # seconds; longer than load balancers keep a connection, and than MAX_RETRY


def run() -> None:
    """Serve until told to stop; then answer what has been let in, and end.

    Raises `UserError` for a setting or a model that cannot be used.
    """
    settings = Settings.from_environment()
    responder = Responder.load(settings)
    allow_connections()
    app = create_app(lambda: Threads(responder, settings.max_wait), settings)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
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
