"""Names and addresses of what is on the Hub."""

import os
import re
from typing import Literal
from urllib.parse import urlsplit

from .errors import DataError, ModelError, UserError

Kind = Literal["model", "dataset", "space"]

HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
ADDRESS = re.compile(r"(https?://|hf://|(huggingface\.co|hf\.co)/)", re.IGNORECASE)
PUBLIC_HOSTS = ("huggingface.co", "hf.co")


def check_endpoint() -> None:
    """Raise `UserError` for an HF_ENDPOINT with which huggingface_hub cannot be imported or used.

    To be called before it is imported.
    """
    endpoint = os.environ.get("HF_ENDPOINT")
    if not endpoint:
        return
    try:
        place = urlsplit(endpoint)
        is_address = bool(place.scheme in ("http", "https") and place.hostname) and place.port != 0
    except ValueError:  # a port that is no number, half of a bracket
        is_address = False
    if not is_address:
        problem = f"is {endpoint!r}, which is no address of a Hub"
        raise UserError("HF_ENDPOINT", problem, "unset it, or write https://HOST")


def is_hub_id(name: str) -> bool:
    """Whether this names a repository on the Hub: NAMESPACE/NAME or an address, and no file."""
    is_name = HUB_ID.fullmatch(name) is not None or is_address(name)
    return is_name and not os.path.exists(name)


def is_address(name: str) -> bool:
    """Whether this looks like an address on the web or the Hub."""
    return ADDRESS.match(name) is not None


def repository(name: str, kind: Kind) -> str:
    """Give the NAMESPACE/NAME that an address means; any other name as it is.

    Raises `ModelError` or `DataError` for an address of something else.
    """
    if not is_address(name):
        return name
    check_endpoint()
    from huggingface_hub import constants
    from huggingface_hub.utils import parse_hf_uri

    try:
        place = parse_hf_uri(name, endpoint=constants.ENDPOINT)
        is_ours = _is_of_our_hub(name, constants.ENDPOINT)
    except ValueError as error:
        raise _refusal(name, kind, "is no address of a Hub repository") from error
    if not is_ours:
        raise _refusal(name, kind, "is an address of another place than the Hub")
    if place.type != kind:
        raise _refusal(name, kind, f"is the address of a {place.type}")
    if place.path_in_repo:
        raise _refusal(name, kind, "is an address inside a repository", place.id)
    if place.revision not in (None, "main"):
        problem = f"asks for the revision {place.revision}, and only main is looked at"
        raise _refusal(name, kind, problem, f"its files, after `hf download {place.id} --revision`")
    return str(place.id)


def _is_of_our_hub(address: str, endpoint: str) -> bool:
    """Whether an address is the public Hub's, or that of HF_ENDPOINT with its port."""
    place = urlsplit(address if "://" in address else f"//{address}")
    hosts = (*PUBLIC_HOSTS, urlsplit(endpoint).netloc.lower())
    return place.scheme == "hf" or place.netloc.lower() in hosts


def _refusal(name: str, kind: Kind, problem: str, wanted: str = "NAMESPACE/NAME") -> UserError:
    remedy = f"name a {kind}: {wanted}"
    if kind == "dataset":
        return DataError(name, [f"{problem}; {remedy}"])
    return ModelError(name, problem, remedy)


def new_name(name: str, kind: Kind) -> str:
    """Check the name of a repository to write to. Raises `UserError`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    name = repository(name, kind)
    remedy = "name it USER/NAME: letters, digits, -, _ and ., at most 96 of them"
    if name.count("/") != 1:
        raise UserError(name, "does not say whose repository it is", remedy)
    try:
        for part in (name, *name.split("/")):
            validate_repo_id(part)
    except HFValidationError as error:
        raise UserError(name, "is no name that the Hub takes", remedy) from error
    return name
