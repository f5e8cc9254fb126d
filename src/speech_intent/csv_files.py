"""The lines of a CSV file become rows, and whatever is no row is named by its line.

No row is lost in silence: neither to a stray quote, nor for having too many fields.
"""

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from .decoding import SUFFIXES
from .names import stripped
from .tables import Collected, Rows, no_rows

SEPARATORS = ",;\t|"
SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=([^\w\s"]|\t)"?', re.IGNORECASE)  # for spreadsheets
LINE_BREAK = re.compile(r"\r\n?|\n")


@dataclass(frozen=True)
class _Record:
    """Fields that belong together, and the lines that they come from."""

    line: int  # the first
    lines: list[str]
    fields: list[str]

    @property
    def is_blank(self) -> bool:
        return not any(self.fields)


def csv_rows(lines: list[str], known: Collection[str]) -> Rows:
    """Read the lines of a CSV file. `known` are names of columns that tell its separator."""
    first = next((i for i, line in enumerate(lines) if line.strip(SEPARATORS + " \r\n")), 0)
    given = SEPARATOR_LINE.fullmatch(lines[first].rstrip("\r\n"))
    if given:
        first += 1
    separator = given[1] if given else _separator(lines[first], known)
    records = _records(lines, first, separator)
    header = next(records, None)
    if header is None:
        return no_rows("has no header")
    columns = list(header.fields)
    while columns and not columns[-1]:
        columns.pop()
    problem = _quote_problem(header, len(columns), separator) or _header_problem(columns)
    if problem:
        return no_rows(problem)
    rows = list(records)
    if _lacks_a_name(columns, rows):
        return no_rows(
            "every row has a field more than the header; name all columns there, or put quotes "
            "around a field that holds the separator"
        )
    collected = Collected()
    for record in rows:
        if record.fields == header.fields:  # tables were put one after the other
            continue
        problem = _quote_problem(record, len(columns), separator) or _long_problem(record, columns)
        if problem:
            collected.problems.append(problem)
            continue
        cells = [*record.fields, *[""] * len(columns)]
        row = {column: cell for column, cell in zip(columns, cells, strict=False) if column}
        collected.add(record.line, row)
    return collected.finished()


def _separator(header: str, known: Collection[str]) -> str:
    """Choose what splits a header into columns that are known, else into the most columns."""

    def fit(separator: str) -> tuple[int, int]:
        cells = [stripped(cell).strip('"').casefold() for cell in header.split(separator)]
        return len(set(known).intersection(cells)), len(cells)

    return max(SEPARATORS, key=fit)


def _records(lines: list[str], first: int, separator: str) -> Iterator[_Record]:
    """Yield what the lines from `first` on hold, but for rows of separators and blanks."""
    longest = sum(map(len, lines))  # a text may be as long as it is
    csv.field_size_limit(max(csv.field_size_limit(), longest))
    lines = [*lines, ""]  # an open quote takes this one too
    reader = csv.reader(lines[first:], delimiter=separator, skipinitialspace=True)
    start = first
    for fields in reader:
        end = first + reader.line_num
        record = _Record(start + 1, lines[start:end], [stripped(cell) for cell in fields])
        if not record.is_blank:
            yield record
        start = end


def _quote_problem(record: _Record, n_columns: int, separator: str) -> str | None:
    """Say which lines a quote has swallowed.

    A text may have line breaks; it does not have the name of a clip between separators. Where names
    of clips have no suffix, its lines do not all have as many fields as the header.
    """
    if len(record.lines) == 1:
        return None
    if not record.lines[-1]:
        return f'line {record.line}: a quote (") opens here and never closes; take it out'
    counts = {line.count(separator) + 1 for line in record.lines}
    has_suffix = _names_clip(record.lines[0].split(separator))
    are_rows = counts == {n_columns} and not has_suffix
    if are_rows or any(_holds_rows(cell, separator) for cell in record.fields):
        last = record.line + len(record.lines) - 1
        return (
            f'lines {record.line} to {last}: one quote (") opens in the first and another closes '
            "in the last, as if all were one row; double them or take them out"
        )
    return None


def _holds_rows(cell: str, separator: str) -> bool:
    lines = LINE_BREAK.split(cell)
    return len(lines) > 1 and any(_names_clip(line.split(separator)) for line in lines)


def _names_clip(cells: list[str]) -> bool:
    names = [PurePosixPath(stripped(cell).strip('"')) for cell in cells]
    return len(cells) > 1 and any(name.suffix.lower() in SUFFIXES for name in names)


def _header_problem(columns: list[str]) -> str | None:
    named = [column for column in columns if column]
    twice = [column for column in dict.fromkeys(named) if named.count(column) > 1]
    if twice:
        return f"has several columns called {', '.join(twice)}; name each of them differently"
    if len(named) == 1:  # a title, or separators that are blanks
        return f"has one column only ({named[0]}); its first line must name all of them"
    return None


def _lacks_a_name(columns: list[str], rows: list[_Record]) -> bool:
    """Whether a header says nothing of one column, as R does of the numbers of rows."""
    n = len(columns)
    return len(rows) > 1 and all(len(row.fields) == n + 1 and row.fields[n] for row in rows)


def _long_problem(record: _Record, columns: list[str]) -> str | None:
    if any(record.fields[len(columns) :]):
        return (
            f"line {record.line}: has {len(record.fields)} fields under {len(columns)} columns; "
            "put quotes around a field that holds the separator"
        )
    return None
