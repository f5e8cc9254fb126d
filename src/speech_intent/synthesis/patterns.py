"""A pattern stands for several sentences: `[turn|switch] on the {lamp|light}` for four.

What stands between square or curly brackets, with bars between the choices, is said in one of these
ways; `[please|]` may be left out. Brackets may stand in brackets.
"""

from dataclasses import dataclass

import numpy as np

CLOSING = {"[": "]", "{": "}"}
BRACKETS = set("[]{}")


class PatternError(ValueError):
    """A pattern whose brackets do not fit, with what is wrong in words."""


@dataclass(frozen=True)
class Choice:
    """One of several ways to say something."""

    ways: tuple["Pattern", ...]


Pattern = tuple[str | Choice, ...]  # said one after the other


def parse(text: str) -> Pattern:
    """Read a pattern. Raises `PatternError`."""
    ways, end = _ways(text, 0, closing="")
    if end < len(text):
        raise PatternError(f"'{text[end]}' at character {end + 1} closes no bracket")
    if len(ways) > 1:
        raise PatternError("a bar stands outside of brackets; put [ ] around the choices")
    return ways[0]


def _ways(text: str, start: int, closing: str) -> tuple[list[Pattern], int]:
    """Read what lies between bars up to a bracket that closes, or to the end: with its place."""
    ways: list[Pattern] = []
    parts: list[str | Choice] = []
    words = ""
    place = start
    while place < len(text) and text[place] not in CLOSING.values():
        character = text[place]
        if character in CLOSING:
            inner, end = _ways(text, place + 1, CLOSING[character])
            _check_closed(text, place, end)
            parts += [words, Choice(tuple(inner))]
            words = ""
            place = end
        elif character == "|":
            ways.append((*parts, words))
            parts, words = [], ""
        else:
            words += character
        place += 1
    ways.append((*parts, words))
    return ways, place


def _check_closed(text: str, opening: int, end: int) -> None:
    """Raise `PatternError` if the bracket that opens at a place is not closed by its own kind."""
    bracket = text[opening]
    if end == len(text):
        raise PatternError(f"'{bracket}' at character {opening + 1} is never closed")
    if text[end] != CLOSING[bracket]:
        problem = f"'{bracket}' at character {opening + 1} is closed by '{text[end]}'"
        raise PatternError(problem)


def draw(pattern: Pattern, rng: np.random.Generator) -> str:
    """Draw one of a pattern's sentences, each choice with the same chance for each way."""
    return " ".join(_drawn(pattern, rng).split())


def _drawn(pattern: Pattern, rng: np.random.Generator) -> str:
    parts = [
        part if isinstance(part, str) else _drawn(part.ways[rng.integers(len(part.ways))], rng)
        for part in pattern
    ]
    return "".join(parts)


def count(pattern: Pattern) -> int:
    """Count the sentences that a pattern stands for; the same one twice counts twice."""
    total = 1
    for part in pattern:
        if isinstance(part, Choice):
            total *= sum(map(count, part.ways))
    return total


def may_be_empty(pattern: Pattern) -> bool:
    """Whether one of a pattern's sentences has no word."""
    return all(
        not part.strip() if isinstance(part, str) else any(map(may_be_empty, part.ways))
        for part in pattern
    )
