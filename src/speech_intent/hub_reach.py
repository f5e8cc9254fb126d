"""The Hub answers within some seconds, or is out of reach."""

import threading
from typing import TYPE_CHECKING

from .hub_names import Kind, check_endpoint

if TYPE_CHECKING:
    import httpx2

REACH_SECONDS = 8.0  # to find out whether the Hub answers
SILENT_SECONDS = 10.0  # of a request that reads, without a byte
WRITING_SECONDS = 60.0  # of one that writes: the Hub may have much to check


class NotTheHub(Exception):
    """What answers in the Hub's place, and as it never would."""


def remote_files(repo: str, kind: Kind) -> set[str]:
    """List a Hub repository's files; give up after `REACH_SECONDS`, whatever the network does.

    Raises what huggingface_hub and httpx raise, `TimeoutError`, or `UserError` for an HF_ENDPOINT
    that cannot be.
    """
    check_endpoint()
    from huggingface_hub import HfApi

    limit_silence()
    files: list[set[str]] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            info = HfApi().repo_info(repo, repo_type=kind, timeout=REACH_SECONDS)
            files.append({file.rfilename for file in info.siblings or []})
        except (KeyError, TypeError) as error:  # it is JSON, and not what it should be
            errors.append(NotTheHub(str(error)))
        except Exception as error:
            errors.append(error)

    # A thread, since name resolution has no timeout of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    if errors:
        raise errors[0]
    if not files:
        raise TimeoutError(f"no answer within {REACH_SECONDS:.0f} s")
    return files[0]


def limit_silence() -> None:
    """Let no request of huggingface_hub wait for ever, as most of them would."""
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import get_session

    hooks = get_session().event_hooks
    if _limit in hooks["request"]:
        return
    hooks = hooks | {"request": [*hooks["request"], _limit]}
    set_client_factory(
        lambda: httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=None)
    )


def _limit(request: "httpx2.Request") -> None:
    """Put a time where a request says none; it is that between two bytes, not of the whole."""
    reads = request.method in ("GET", "HEAD")
    seconds = SILENT_SECONDS if reads else WRITING_SECONDS
    said = request.extensions.get("timeout", {})
    names = ("connect", "read", "write", "pool")
    limits = {name: said.get(name) or seconds for name in names}
    request.extensions = {**request.extensions, "timeout": limits}
