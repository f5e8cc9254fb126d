"""Parts of Markdown files that a program writes: `<!-- NAME: PROGRAM -->` to `<!-- end -->`."""

import re
from collections.abc import Sequence
from pathlib import Path

END = "<!-- end -->"
UNMEASURED = "not measured"


def pattern(name: str) -> re.Pattern[str]:
    """Match a block: its first line, what stands in it, and its last line."""
    return re.compile(rf"(?s)(<!-- {re.escape(name)} -->\n)(.*?)({END})")


def read_block(path: Path, name: str) -> str:
    """Return what stands in a block. Raises `ValueError` if the file has none of this name."""
    match = pattern(name).search(path.read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{path} has no block {name!r}")
    return match[2]


def write_block(path: Path, name: str, content: str) -> None:
    """Put a content that ends in a line break into a block of a file."""
    read_block(path, name)
    text = path.read_text(encoding="utf-8")
    text = pattern(name).sub(lambda match: match[1] + content + match[3], text)
    path.write_text(text, encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a Markdown table, a line a row."""
    rule = "|---" * len(header) + "|"
    return [table_row(header), rule, *map(table_row, rows)]


def table_row(cells: Sequence[str]) -> str:
    """Write the cells of a row."""
    padded = [f" {cell} " if cell else " " for cell in cells]
    return f"|{'|'.join(padded)}|"
