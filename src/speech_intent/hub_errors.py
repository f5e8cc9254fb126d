"""What an error on the way to the Hub means, and what to do.

Told by status code, errno and kind of the errors that led to one another, never by their words.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .hub_reach import NotTheHub
from .names import first_line

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.EIO)
PROXY_KINDS = ("http", "https", "socks5", "socks5h")
LOG_IN = "check the spelling, or log in with `hf auth login`"
LATER = "try again later, or name a local model or folder"
ONCE_MORE = "run it again once the Hub answers"
CONNECT = "connect, or name a local model or folder"


@dataclass(frozen=True)
class Cause:
    """What is wrong, and what to do."""

    problem: str
    remedy: str
    is_out_of_reach: bool = False  # no Hub answers, or it is failing
    is_refusal: bool = False  # the Hub answers, and what was asked for is not to be had


NOT_THERE = Cause("is not on the Hub, or is private", LOG_IN, is_refusal=True)


def explain(error: BaseException, writing: bool = False) -> Cause:
    """Say what an error of huggingface_hub, datasets or httpx means.

    `writing` says that something was to be uploaded.
    """
    errors = list(_chain(error))
    for each in errors:
        cause = _of_the_disk(each)
        if cause is not None:
            return cause
    for each in errors:
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int):
            return _of_status(status, each, writing)
    for each in reversed(errors):  # the first of them knows most
        cause = _of_the_network(each)
        if cause is not None:
            return replace(cause, remedy=ONCE_MORE) if writing else cause
    failed = "the upload failed" if writing else "the Hub's files cannot be had"
    return Cause(f"{failed} ({first_line(error)})", "run it again")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those that led to it, once each."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _of_the_disk(error: BaseException) -> Cause | None:
    """Explain an error that names a file here, or says that there is no room for one."""
    if not isinstance(error, OSError):
        return None
    from huggingface_hub import constants

    if error.errno in NO_ROOM:
        problem = f"the disk with {constants.HF_HUB_CACHE} is full"
        return Cause(problem, "make room, or name another folder by HF_HOME")
    if error.filename is None or error.errno not in UNUSABLE:  # a firewall's names no file
        return None
    problem = f"{os.fsdecode(error.filename)} cannot be written or read ({error.strerror})"
    return Cause(problem, "put that right, or name another folder by HF_HOME")


def _of_status(status: int, error: BaseException, writing: bool) -> Cause:
    """Explain a status of HTTP."""
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        problem = "its owner must grant access"
        return Cause(problem, "ask on its Hub page, then `hf auth login`", is_refusal=True)
    if isinstance(error, DisabledRepoError):
        return Cause("the Hub has closed it", "choose another one", is_refusal=True)
    if status == 404 or (isinstance(error, RepositoryNotFoundError) and not writing):
        return NOT_THERE
    if status == 401:
        return Cause("the Hub does not know this token", _new_token(), is_refusal=True)
    if status == 403 and writing:
        remedy = "use a name of your own, or a token that writes"
        return Cause("this token has no right to write there", remedy, is_refusal=True)
    if status == 403:
        remedy = "ask its owner, or use a token that may read it"
        return Cause("this token has no right to read it", remedy, is_refusal=True)
    if status == 407:
        problem = "the proxy wants a name and a password (407)"
        remedy = "put them into HTTPS_PROXY: http://NAME:PASSWORD@HOST:PORT"
        return Cause(problem, remedy, is_out_of_reach=True)
    if status == 429:
        remedy = "wait some minutes; whoever has logged in with `hf auth login` may ask more often"
        return Cause("the Hub was asked too often (429)", remedy)
    if status in (402, 413, 507):
        remedy = "see huggingface.co/settings/billing, or upload less"
        return Cause(f"the Hub has no room for it ({status})", remedy, is_refusal=True)
    if status == 408 or status >= 500:
        remedy = ONCE_MORE if writing else LATER
        return Cause(f"the Hub is failing ({status})", remedy, is_out_of_reach=True)
    if status in (409, 412):
        problem = f"somebody else changed it meanwhile ({status})"
        return Cause(problem, "run it again", is_refusal=True)
    words = getattr(error, "server_message", None) or first_line(error)
    problem = f"the Hub refuses this ({status}: {words.splitlines()[0][:200]})"
    return Cause(problem, "change what it names, then run it again", is_refusal=True)


def _new_token() -> str:
    if os.environ.get("HF_TOKEN"):
        return "correct or unset HF_TOKEN"
    return "log in again with `hf auth login`"


def _bad_proxy() -> str | None:
    """Give the address of a proxy of no kind that there is; None without one."""
    from urllib.request import getproxies

    for kind in ("https", "http", "all"):
        address = getproxies().get(kind, "")
        scheme, separator, _ = address.partition("://")
        if separator and scheme not in PROXY_KINDS:
            return address
    return None


def _of_the_network(error: BaseException) -> Cause | None:
    """Explain an error before there was an answer; None for one of another kind."""
    import json
    import socket  # late, as all of these are: a start without an error does without
    import ssl

    import httpx2
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        problem = "the Hub cannot be reached: HF_HUB_OFFLINE forbids it"
        return Cause(problem, "unset HF_HUB_OFFLINE, or name a local model or folder", True)
    if isinstance(error, UnicodeEncodeError | httpx2.LocalProtocolError):  # of the header
        return Cause("the token has characters that no token has", _new_token(), is_refusal=True)
    if isinstance(error, json.JSONDecodeError | httpx2.TooManyRedirects | NotTheHub):
        problem = "the Hub cannot be reached: something else answers in its place"
        return Cause(problem, "log in to the network, or check HTTPS_PROXY and HF_ENDPOINT", True)
    if isinstance(error, ssl.SSLError):
        problem = "the Hub cannot be reached: its certificate is not trusted"
        remedy = "set the clock, or name your network's certificate by SSL_CERT_FILE"
        return Cause(problem, remedy, True)
    if isinstance(error, ImportError | httpx2.InvalidURL) or _bad_proxy() is not None:
        proxy = _bad_proxy() or first_line(error)
        problem = f"the Hub cannot be reached: the proxy cannot be used ({proxy})"
        return Cause(problem, "write http://HOST:PORT into HTTPS_PROXY, or unset it", True)
    if isinstance(error, httpx2.ProxyError):
        problem = f"the Hub cannot be reached: the proxy refuses ({first_line(error)})"
        return Cause(problem, "check HTTPS_PROXY, with its name and password", True)
    if isinstance(error, socket.gaierror):
        problem = "the Hub cannot be reached: its name cannot be resolved"
        return Cause(problem, CONNECT, True)
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        problem = "the Hub cannot be reached: it gives no answer in time"
        return Cause(problem, LATER, True)
    if isinstance(error, ConnectionError | httpx2.HTTPError | LocalEntryNotFoundError):
        problem = f"the Hub cannot be reached ({first_line(error)[:200]})"
        return Cause(problem, CONNECT, True)
    return None
