"""What others may be told of the names of models and data: of a local path only its last part."""

import os
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

from .errors import UserError
from .hub_names import Kind, is_hub_id, repository
from .names import one_line

A_FOLDER = "a folder"  # whose path has no last part
# Fields of records that name a model or data; one that is no text is something else.
NAMES = (
    "data",
    "data_called",
    "encoder",
    "model",
    "adapt",
    "unknown",
    "name",
    "called",
    "_name_or_path",
)
LISTS = ("add", "added")


def hub_id(name: str, kind: Kind) -> str | None:
    """Give the NAMESPACE/NAME of what lies on the Hub; None for anything else."""
    if not is_hub_id(name):
        return None
    try:
        return repository(name, kind)
    except UserError:  # the address of another place
        return None


def called(path: str) -> str:
    """Give the last part of a path that is here, be it "." or ".."."""
    is_named = PureWindowsPath(path).name not in ("", "..")
    return last_part(path if is_named else os.path.abspath(path))


def last_part(path: str) -> str:
    """Give the last part of a path, of Windows or of any other system."""
    return one_line(PureWindowsPath(path).name) or A_FOLDER  # it knows both / and \


def public(record: Any, names: Mapping[str, str]) -> Any:
    """Give a record in which no path stands: names as in `names`, of others the last part."""
    if isinstance(record, list):
        return [public(item, names) for item in record]
    if not isinstance(record, dict):
        return record
    changed = {}
    for key, value in record.items():
        if key in NAMES and isinstance(value, str):
            changed[key] = _public_name(value, names)
        elif key in LISTS and isinstance(value, list):
            items = [_public_name(item, names) if isinstance(item, str) else item for item in value]
            changed[key] = public(items, names)
        else:
            changed[key] = public(value, names)
    return changed


def _public_name(name: str, names: Mapping[str, str]) -> str:
    # No guess that it is on the Hub: a relative path looks the same from another folder.
    return names.get(name) or last_part(name)
