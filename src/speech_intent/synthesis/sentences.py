"""The sentences of a CSV file, checked before the first of them is spoken."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..columns import TRANSCRIPTS, find_column, intent_names
from ..errors import DataError, UserError
from ..names import composed, likeness, one_line, printable
from ..recipes import PLAIN
from ..table_files import read_rows
from ..tables import SPLITS, UNKNOWN, split_name
from .patterns import Pattern, may_be_empty, parse

LONGEST = 400  # characters of a sentence; half a minute of speech


@dataclass(frozen=True)
class Sentence:
    """One row: what is said, or a pattern of it, and what it means."""

    intent: str  # "unknown": what is said is no request
    pattern: Pattern
    split: str  # "" where the file names none
    line: int  # of the file


def read_sentences(path: Path) -> list[Sentence]:
    """Read a table with the columns `intent` and `text`, and maybe `split`.

    Rows whose intent is "unknown" are examples of what is not to be answered. Raises `DataError`
    with every row that nobody could speak or that has no intent.
    """
    if not path.is_file():
        raise UserError(path, "is not there", "name a CSV file with the columns intent and text")
    names = {"text": TRANSCRIPTS, "intent": intent_names(PLAIN), "split": ("split",)}
    rows = read_rows(path, {name for group in names.values() for name in group})
    problems = list(rows.problems)
    found = {key: find_column(rows.table.columns, group) for key, group in names.items()}
    missing = [repr(key) for key in ("intent", "text") if found[key] is None]
    if missing and not rows.table.empty:
        present = ", ".join(rows.table.columns)
        raise DataError(path, [f"has no column {' or '.join(missing)}; it has {present}"])
    if problems and rows.table.empty:
        raise DataError(path, problems)
    sentences = []
    for line, row in rows.table.iterrows():
        cells = {key: row[column] if column else "" for key, column in found.items()}
        try:
            sentences.append(_sentence(int(line), **cells))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    problems += _alike(sentences)
    problems += _split_problems(sentences)
    if problems:
        raise DataError(path, problems)
    return sentences


def _sentence(line: int, text: str, intent: str, split: str) -> Sentence:
    """Check one row. Raises ValueError."""
    text = one_line(composed(text))
    intent = one_line(composed(intent))
    if not intent:
        raise ValueError("has no intent")
    if likeness(intent) == UNKNOWN:
        intent = UNKNOWN
    if not text:
        raise ValueError("has no text")
    problem = unspeakable(text)
    if problem:
        raise ValueError(f"{problem} ({printable(text[:60])})")
    pattern = parse(text)
    if may_be_empty(pattern):
        raise ValueError("may stand for a sentence without words")
    split = split_name(split)
    if split and split not in SPLITS:
        raise ValueError(f"its split is {split!r}; name train, validation or test")
    return Sentence(intent, pattern, split, line)


def unspeakable(text: str) -> str | None:
    """Say why no English voice can speak a text; None where one can."""
    letters = [character for character in text if character.isalpha()]
    foreign = [letter for letter in letters if "LATIN" not in unicodedata.name(letter, "")]
    if foreign:
        return f"no voice can speak {foreign[0]!r}; write it in Latin letters"
    if not any(map(str.isalnum, text)):
        return "holds nothing that a voice could speak"
    if len(text) > LONGEST:
        return f"is longer than {LONGEST} characters; make several sentences of it"
    return None


def _alike(sentences: list[Sentence]) -> Iterator[str]:
    """Name intents that people would take for the same one."""
    first: dict[str, str] = {}
    for intent in dict.fromkeys(sentence.intent for sentence in sentences):
        other = first.setdefault(likeness(intent), intent)
        if other != intent:
            yield f"the intents {other!r} and {intent!r} look alike; write them in one way"


def _split_problems(sentences: list[Sentence]) -> Iterator[str]:
    """Name what is wrong with splits that the file names for some or all of its rows."""
    if not any(sentence.split for sentence in sentences):
        return
    bare = [sentence.line for sentence in sentences if not sentence.split]
    if bare:
        yield f"line {bare[0]}: has no split, where other lines name one"
    intents = {sentence.intent for sentence in sentences} - {UNKNOWN}
    trained = {sentence.intent for sentence in sentences if sentence.split == "train"}
    for intent in sorted(intents - trained):
        yield f"the intent {intent!r} has no sentence in train"
