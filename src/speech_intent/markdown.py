"""Tables and lists of cards, as Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

from .names import escape_markdown


def table(names: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table; its cells are Markdown already."""
    names = list(names)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def listed(values: Mapping[str, Any]) -> str:
    """List names and values in one line, but those that are None."""
    known = {name: value for name, value in values.items() if value is not None}
    return "; ".join(f"{escape_markdown(name)}: {_value(value)}" for name, value in known.items())


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return escape_markdown(value) if isinstance(value, str) else str(value)
