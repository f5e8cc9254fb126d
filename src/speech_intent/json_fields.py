"""JSON files that somebody else may have written, read field by field."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ModelError

REMEDY = "save, export or download the model again"
LARGEST_FILE = 2**24  # bytes; a hundred thousand intents fit
KINDS: dict[type, str] = {dict: "is an object", list: "is a list"}  # too long to be shown


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object, or raise `ModelError`."""
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ModelError(file, f"has more than {LARGEST_FILE // 2**20} MB", REMEDY)
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # RecursionError: a thousand brackets
        raise ModelError(file, f"cannot be read ({error})", REMEDY) from error
    if not isinstance(content, dict):
        raise ModelError(file, "holds no JSON object", REMEDY)
    return content


@dataclass(frozen=True)
class Fields:
    """The fields of a JSON object, each read as what it must be."""

    file: Path
    values: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> "Fields":
        """Read a file. Raises `ModelError`, as every method here does."""
        return cls(file, read_json(file))

    def fault(self, name: str, wanted: str) -> ModelError:
        """Say that a field is not what it must be."""
        found = "is missing"
        if name in self.values:
            value = self.values[name]
            found = KINDS.get(type(value)) or f"is {json.dumps(value)[:60]}"
        return ModelError(self.file, f"{name} {found}, and must be {wanted}", REMEDY)

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Give a finite number within bounds."""
        value: Any = self.values.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # JSON has whole numbers beyond any float.
        if is_number and low <= value <= high and abs(value) <= sys.float_info.max:
            return value
        bounds = " or more" if high == math.inf else f" to {high:g}"
        wanted = "a number" if low == -math.inf else f"a number, {low:g}{bounds}"
        raise self.fault(name, wanted)

    def whole(self, name: str, low: int, high: int) -> int:
        """Give a whole number within bounds."""
        value = self.values.get(name)
        if type(value) is int and low <= value <= high:
            return value
        raise self.fault(name, f"a whole number, {low} to {high}")

    def flag(self, name: str) -> bool:
        """Give a truth value."""
        value = self.values.get(name)
        if isinstance(value, bool):
            return value
        raise self.fault(name, "true or false")

    def text(self, name: str) -> str:
        """Give a text that is not empty."""
        value = self.values.get(name)
        if is_text(value):
            return str(value)
        raise self.fault(name, "a text")

    def child(self, name: str) -> "Fields":
        """Give an object inside this one."""
        value = self.values.get(name)
        if isinstance(value, dict):
            return Fields(self.file, value)
        raise self.fault(name, "an object")

    def children(self, name: str) -> list["Fields"]:
        """Give the objects of a list."""
        value = self.values.get(name)
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return [Fields(self.file, item) for item in value]
        raise self.fault(name, "a list of objects")

    def says(self, name: str) -> bool:
        """Whether there is such a field, and not null."""
        return self.values.get(name) is not None


def is_text(value: object) -> bool:
    """Whether this is a text that shows something and can be written to a file."""
    if not isinstance(value, str) or not value.strip():
        return False
    # Half of a character outside the basic plane can stand in JSON, and in no file.
    return not any("\ud800" <= character <= "\udfff" for character in value)
