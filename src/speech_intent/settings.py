"""Settings of a run as a TOML file: what `--recipe FILE.toml` reads, and every run writes.

It holds fields of a recipe, and its numbers in a table `[numbers]`.
"""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import tomli_w

from .errors import UserError
from .names import first_line
from .paths import BUNDLED_ENCODERS

FILE = "settings.toml"  # in a run's folder
HEADER = "# The same again: python -m speech_intent.train --recipe THIS_FILE --output-dir OUT\n"
NUMBERS = "numbers"
PLACES = ("data", "encoder", "adapt", "unknown", "add")  # settings that may be paths
NO_PATHS = {"bundled", "none", *BUNDLED_ENCODERS}  # not even where a folder is called so
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of texts",
}

Kinds = Mapping[str, Any]  # types, by the names of fields


def read(path: Path, kinds: Kinds, number_kinds: Kinds) -> dict[str, Any]:
    """Read settings of these names and types; those of the table `[numbers]` stand beside the rest.

    Raises `UserError` for a file that cannot be read, a name that is no setting, and a value of
    another type.
    """
    table = _parse(path)
    numbers = table.pop(NUMBERS, {})
    if not isinstance(numbers, dict):
        raise UserError(path, f"{NUMBERS} is no table", f"write [{NUMBERS}], and them below it")
    kinds = {name: kind for name, kind in kinds.items() if name != NUMBERS}
    for name in table.keys() & number_kinds.keys():
        raise UserError(path, f"{name} is a number", f"put it below [{NUMBERS}], at the end")
    return _checked(path, table, kinds) | _checked(path, numbers, number_kinds)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        remedy = f"name a TOML file, such as a run's {FILE}"
        raise UserError(path, "there is no such file", remedy) from error
    except OSError as error:
        problem = f"cannot be read ({error.strerror or type(error).__name__})"
        raise UserError(path, problem, "name a file that can be") from error
    except ValueError as error:  # no UTF-8, no TOML
        problem = f"is no TOML file ({first_line(error)})"
        raise UserError(path, problem, f"correct it, or begin with a run's {FILE}") from error


def _checked(path: Path, table: dict[str, Any], kinds: Kinds) -> dict[str, Any]:
    """Give the values of a table as their fields have them."""
    found = {}
    for name, value in table.items():
        if name not in kinds:
            near = get_close_matches(name, kinds, n=1) or [f"one of {', '.join(kinds)}"]
            raise UserError(path, f"{name} is no setting", f"leave it out, or write {near[0]}")
        kind = _plain(kinds[name])
        if kind is float and type(value) is int:
            value = float(value)
        if kind is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
            value = tuple(value)
        if type(value) is not kind:
            raise UserError(path, f"{name} cannot be {value!r}", f"give {WORDS[kind]}")
        found[name] = value
    return found


def _plain(kind: Any) -> type:
    """Give the type of what is written for a field: `float | None` is a float or left out."""
    if isinstance(kind, UnionType):
        kind = get_args(kind)[0]
    origin = get_origin(kind)
    return str if origin is Literal else origin or kind


def text(values: Mapping[str, Any]) -> str:
    """Write a recipe's fields, its numbers among them, as TOML; what is None is left out.

    Paths of what lies here become absolute: whoever reads them may be in another folder.
    """
    numbers = _said(values[NUMBERS])
    others = _said({name: value for name, value in values.items() if name != NUMBERS})
    for name in others.keys() & set(PLACES):
        others[name] = _absolute(others[name])
    return HEADER + tomli_w.dumps({**others, NUMBERS: numbers})


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _absolute(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_absolute(one) for one in value]
    return os.path.abspath(value) if value not in NO_PATHS and os.path.exists(value) else value
