"""What an operator may set."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import UserError
from ..paths import SHIPPED

PREFIX = "SPEECH_INTENT_"
LAST_PORT = 65_535
PATIENCE = 3  # times `max_wait`: what was let in at the last moment still has twice that long


@dataclass(frozen=True)
class Settings:
    """What an operator may set."""

    model: str = str(SHIPPED)  # folder or Hub id
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str = field(default="", repr=False)  # empty: none is asked for
    max_megabytes: float = 10.0  # of a request
    max_seconds: float = 60.0  # of a clip
    max_wait: float = 6.0  # seconds; who would wait longer is turned away

    @property
    def max_bytes(self) -> int:
        """The size of the largest request that is taken."""
        return int(self.max_megabytes * 1e6)

    @property
    def patience(self) -> float:
        """Seconds that a request may take to be answered once it has arrived."""
        return PATIENCE * self.max_wait

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read SPEECH_INTENT_MODEL and so on; one that is empty counts as not set.

        Raises `UserError` for what is not a positive number but should be.
        """
        values = {}
        for setting in fields(cls):
            name = PREFIX + setting.name.upper()
            text = environment.get(name)
            if text:
                values[setting.name] = _read(name, text, type(setting.default))
        return cls(**values)


def _read(name: str, text: str, kind: type) -> Any:
    """Read one setting as text or as a positive number."""
    if kind is str:
        return text
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        problem = f"{text!r} is not a positive number"
        raise UserError(name, problem, "set it to one, or unset it")
    if kind is int and number > LAST_PORT:
        raise UserError(name, f"{number} is no port", f"set it to one up to {LAST_PORT}")
    return number
