"""One file of a table, as people have it, becomes rows of text with the lines they stand on.

CSV with commas, semicolons, tabs or bars, or an object a line (JSONL); in UTF-8 or UTF-16, which
spreadsheets call "Unicode Text".
"""

import codecs
import io
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .csv_files import LINE_BREAK, csv_rows
from .names import likeness, stripped
from .tables import Collected, Rows, no_rows

# What is saved under a table's or a zip's name by mistake, by how it begins.
OTHERS = {
    b"version https://git-lfs": "is a pointer of Git LFS; run `git lfs pull` in its repository",
    b"<": "is a web page; download the file itself",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet; save it as CSV",
}
ZIP = b"PK\x03\x04"
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # what JSON can write and no file name can hold
SAMPLE = 64  # bytes that tell UTF-16 without a mark: of ASCII every other byte is 0
SHIFTED = "\u0a00"  # a line break of UTF-16 that is off by a byte; no character is called so
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_rows(path: Path, known: Collection[str]) -> Rows:
    """Read one file. `known` are names of columns that tell which separator it uses."""
    try:
        data = path.read_bytes()
        other = mistaken(data)
        if other is None and data.startswith(ZIP):
            other = "is a spreadsheet or a zip; save it as CSV"
        if other is not None:
            return no_rows(other)
        text = data.decode(_encoding(data))
    except OSError as error:
        return no_rows(f"cannot be read ({error.strerror})")
    except UnicodeDecodeError as error:
        return no_rows(_not_decoded(error))
    if not stripped(text):
        return no_rows("is empty")
    lines = list(io.StringIO(text, newline=""))  # ends at \n, \r\n and \r, and keeps them
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            return no_rows(f"line {number}: holds a null character; save the file again as text")
        if SHIFTED in line:
            return no_rows(f"line {number}: a byte of UTF-16 is lacking or too many; save it again")
    if path.suffix.lower() == ".jsonl":
        if stripped(text).startswith("["):
            return no_rows("is one list of JSON; write one object a line")
        return _json_rows(lines, known)
    return csv_rows(lines, known)


def mistaken(data: bytes) -> str | None:
    """Say what a file is that begins so, if people mistake it for a table or a zip of theirs."""
    begin = data.removeprefix(codecs.BOM_UTF8).lstrip()
    return next((what for start, what in OTHERS.items() if begin.startswith(start)), None)


def _encoding(data: bytes) -> str:
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return encoding
    sample = data[:SAMPLE]
    zeros = [sample[i::2].count(0) for i in (0, 1)]
    if zeros[0] == 0 and zeros[1] > len(sample) // 4:
        return "utf-16-le"
    if zeros[1] == 0 and zeros[0] > len(sample) // 4:
        return "utf-16-be"
    return "utf-8"


def _not_decoded(error: UnicodeDecodeError) -> str:
    """Say what a file is not; which of the many code pages it is, nothing in it says."""
    if error.encoding != "utf-8":
        return f"begins as {error.encoding.upper()}, and is cut off or damaged; save it again"
    number = len(LINE_BREAK.findall(error.object[: error.start].decode("latin-1"))) + 1
    byte = error.object[error.start]
    return (
        f"line {number}: is not UTF-8 (byte 0x{byte:02x}), as when a spreadsheet saves plain CSV "
        "in Windows-1252; save it as 'CSV UTF-8'"
    )


def _json_rows(lines: list[str], known: Collection[str]) -> Rows:
    used = set(map(likeness, known))
    collected = Collected()
    for number, line in enumerate(lines, start=1):
        if not stripped(line):
            continue
        try:
            collected.add(number, _json_row(stripped(line), used))
        except json.JSONDecodeError as error:
            problem = f"is not JSON ({error.msg} at character {error.pos + 1})"
            collected.problems.append(f"line {number}: {problem}; write one object a line")
        except (ValueError, RecursionError) as error:
            collected.problems.append(f"line {number}: {error}; write one object of texts a line")
    return collected.finished()


def _json_row(line: str, used: set[str]) -> dict[str, str]:
    """Read one object; numbers stay as they are written. Raises ValueError.

    Under a key that is not `used`, lists and objects stay JSON.
    """
    row = json.loads(
        line, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique
    )
    if not isinstance(row, dict):
        raise ValueError("is no object")
    return {key: _json_text(key, value, used) for key, value in row.items() if key}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = {stripped(key): value for key, value in pairs}
    if len(row) < len(pairs):
        raise ValueError("has the same key twice")
    return row


def _json_text(key: str, value: Any, used: set[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str) and likeness(key) not in used:
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueError(f"its {key!r} is no text")
    if NO_TEXT.search(value):
        raise ValueError(f"its {key!r} holds a null character, or half of one")
    return stripped(value)
