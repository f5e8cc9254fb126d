"""Names that come out of data (files, intents, speakers, titles) and where they are shown.

Such a name is never a path, never parsed and never markup before it has been through here.
"""

import re
import unicodedata

LONGEST_STEM = 80  # characters; file systems take 255 bytes
LONGEST_LINE = 300
# What nobody sees: blanks of any kind, joiners, marks of direction, a byte order mark.
UNSEEN = r"\s\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff"
ENDS = re.compile(rf"^[{UNSEEN}]+|[{UNSEEN}]+$")
WIDTHLESS = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
JOINTS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")  # blanks, underscores, hyphens and dashes
MARKDOWN = re.compile(
    r"[\\`*_{}\[\]<>#|~$&]"  # emphasis, code, links, HTML, headings, tables, formulas, entities
    r"|^[+-]"  # lists
    r"|:(?=//)|(?<=\bwww)\.|@"  # addresses that become links by themselves
)
NUMBERED = re.compile(r"^(\d+)([.)])")  # the first item of a numbered list


def printable(text: str) -> str:
    """Escape line breaks, control characters and bytes that are not text, to fit one line."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(text: str | None) -> str:
    """Put blanks in the place of line breaks and control characters; strip."""
    visible = (character if character.isprintable() else " " for character in text or "")
    return " ".join("".join(visible).split())


def stripped(text: str) -> str:
    """Take off what stands at both ends and cannot be seen."""
    return ENDS.sub("", text)


def composed(text: str) -> str:
    """Give a name in the Unicode form in which letters and their accents are one character."""
    return unicodedata.normalize("NFC", text)


def likeness(text: str) -> str:
    """Give what names have in common that people take for the same.

    Names that differ in case, Unicode form, or in how their words are joined are alike.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    visible = WIDTHLESS.sub("", unicodedata.normalize("NFKC", folded))
    return JOINTS.sub("_", stripped(visible))


def shortened(text: str) -> str:
    """Leave out the middle of what is longer than a line in a message may be."""
    if len(text) <= LONGEST_LINE:
        return text
    half = LONGEST_LINE // 2
    return f"{text[:half]} ... {text[-half:]}"


def file_stem(text: str) -> str:
    """Make a name for a file or folder: letters, digits, dots, hyphens and underscores.

    "/" becomes "--", whatever else a file system might mind "_". It is never empty, "." or "..".
    """
    parts = [part for part in re.split(r"[/\\]+", text) if part not in ("", ".", "..")]
    stem = re.sub(r"[^\w.-]", "_", "--".join(parts))[:LONGEST_STEM]
    return stem.strip(".-") or "_"


def escape_markdown(text: str) -> str:
    """Escape what Markdown, HTML in it, or a table's column would take for its own."""
    text = MARKDOWN.sub(r"\\\g<0>", one_line(text))
    return NUMBERED.sub(r"\1\\\2", text)


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message, or its kind where it has no words."""
    lines = str(error).strip().splitlines()
    return lines[0][:LONGEST_LINE] if lines else type(error).__name__
