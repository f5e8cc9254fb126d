"""Licence, language and pretty name: what somebody has said of a model or of recordings.

It is said in `dataset.toml` beside recordings, or in a card: README.md with YAML in front, as on
the Hub. What nobody has said is left out, and nothing is guessed.
"""

import logging
import os
import re
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from . import archives, hub_errors, layouts
from .errors import UserError
from .hub_names import Kind
from .hub_reach import remote_files
from .names import one_line

CARD = "README.md"
TOML = "dataset.toml"
KEYS = ("license", "language", "pretty_name", "consent")  # of both files
LARGEST_CARD = 2**20  # bytes
FRONT_MATTER = re.compile(r"\s*---[ \t\r]*\n(.*?)^---[ \t\r]*$", re.DOTALL | re.MULTILINE)
NONCOMMERCIAL = re.compile(r"(?<![a-z])nc(?![a-z])|non-?commercial")
NOT_KNOWN = ("unknown", "none", "")
PERMISSIVE = re.compile(
    r"(apache|mit|bsd|isc|cc0|unlicense|zlib|wtfpl|cc-by)(-\d.*|-clause.*)?|bsd-\d-clause.*|pddl"
)
CONDITIONS = re.compile(r"(?<![a-z])(sa|nd)(?![a-z])")

logger = logging.getLogger("speech_intent")


@dataclass(frozen=True)
class Terms:
    """What somebody has said of a model or of recordings; None or empty where nobody has."""

    license: str | None = None  # as the Hub abbreviates it, such as apache-2.0
    languages: tuple[str, ...] = ()  # as the Hub abbreviates them, such as en, or "multilingual"
    pretty_name: str | None = None
    consent: str | None = None  # of the people who were recorded, in a sentence

    def over(self, other: "Terms") -> "Terms":
        """Give these, with another's in the place of what these do not say."""
        return Terms(
            self.license or other.license,
            self.languages or other.languages,
            self.pretty_name or other.pretty_name,
            self.consent or other.consent,
        )


NOTHING = Terms()


def given(license: str | None, language: str | None, name: str | None) -> Terms:
    """Take what a user says. Raises `UserError` for a name that is a path."""
    if name is not None and re.search(r"[/\\]", name):
        raise UserError(name, "is a path, and no name of data", "give a name without / or \\")
    languages = (language,) if language else ()
    return Terms(license_id(license or ""), languages, one_line(name) or None)


# Licences


def license_id(text: str) -> str | None:
    """Write a licence as the Hub does: CC BY-NC 4.0 is cc-by-nc-4.0; None where it is unknown."""
    name = "-".join(text.lower().split())
    return None if name in NOT_KNOWN else name


def is_noncommercial(license: str) -> bool:
    """Whether a licence forbids commercial use."""
    return NONCOMMERCIAL.search(license) is not None


def strictest(licenses: Iterable[str | None]) -> str | None:
    """Choose the strictest of the licences that are known, the first of equals."""
    return max(filter(None, licenses), key=_strictness, default=None)


def _strictness(license: str) -> tuple[bool, bool, int]:
    is_permissive = PERMISSIVE.fullmatch(license) is not None
    return is_noncommercial(license), not is_permissive, len(CONDITIONS.findall(license))


# Where it is said


def of_place(path: Path) -> Terms:
    """Read what is said beside recordings or weights, in a folder or a zip of it.

    Empty where there is nothing. Raises `UserError` for a card that cannot be read.
    """
    if os.path.isfile(path):  # Path.is_file raises for a name that is too long
        return _of_texts(path, _texts_of_zip(path))
    if not os.path.isdir(path):
        return NOTHING
    folder = layouts.without_wrapping(path)
    return strict_over(_of_folder(path), _of_folder(folder))


def strict_over(first: Terms, second: Terms) -> Terms:
    """Put one's terms over another's, but take the strictest licence of both."""
    license = strictest([first.license, second.license])
    return replace(first.over(second), license=license)


def of_card(file: Path) -> Terms:
    """Read the terms of one card. Raises `UserError` if it cannot be read."""
    return _of_card(file, _read(file))


def of_hub(repo: str, kind: Kind) -> Terms:
    """Read a card on the Hub, or its copy in the cache; empty where it has none.

    Warns where the Hub gives no answer.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    try:
        if CARD not in remote_files(repo, kind):
            return NOTHING
        return of_card(Path(hf_hub_download(repo, CARD, repo_type=kind)))
    except UserError:
        raise
    except Exception as error:  # huggingface_hub and httpx raise many kinds
        cached = try_to_load_from_cache(repo, CARD, repo_type=kind)
        if isinstance(cached, str):
            return of_card(Path(cached))
        problem = hub_errors.explain(error).problem
        logger.warning("warning: %s: its card on the Hub is not known: %s", repo, problem)
        return NOTHING


def _of_folder(folder: Path) -> Terms:
    files = [folder / name for name in (TOML, CARD)]
    return _of_texts(folder, {file.name: _read(file) for file in files if file.is_file()})


def _read(file: Path) -> str:
    try:
        return _text(file.name, file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(file, "cannot be read", "save it again as text in UTF-8") from error


def _text(name: str, content: bytes) -> str:
    """Decode a file; of a card only the beginning counts, and the rest may be in any code page."""
    return content.decode("utf-8-sig", errors="replace" if name == CARD else "strict")


def _texts_of_zip(path: Path) -> dict[str, str]:
    """Read what is said at the top of a zip, or in the one folder in it."""
    texts = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                place = PurePosixPath(info.filename.replace("\\", "/"))
                is_said = place.name in (TOML, CARD) and len(place.parts) <= 2
                if is_said and info.file_size <= LARGEST_CARD:
                    texts[place.name] = _text(place.name, archive.read(info))
    except (*archives.DAMAGES, *archives.NOT_READ, OSError):
        return {}  # whoever reads its clips says what is wrong with it
    return texts


def _of_texts(place: Path, texts: Mapping[str, str]) -> Terms:
    """Put together what dataset.toml and a card say."""
    said = NOTHING
    if TOML in texts:
        said = _of_toml(place / TOML, texts[TOML])
    if CARD in texts:
        said = strict_over(said, _of_card(place / CARD, texts[CARD]))
    return said


def _of_toml(file: Path, text: str) -> Terms:
    known = ", ".join(KEYS)
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        remedy = f'write lines such as license = "cc-by-4.0"; it may have {known}'
        raise UserError(file, f"is no TOML ({one_line(str(error))})", remedy) from error
    others = sorted(values.keys() - set(KEYS))
    if others:  # such as licence, which would count as not said
        raise UserError(file, f"has {', '.join(others)}", f"it may have {known}")
    return _of_values(values)


def _of_card(file: Path, text: str) -> Terms:
    found = FRONT_MATTER.match(text)
    if found is None:
        return NOTHING
    try:
        values = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError) as error:
        problem = "has no YAML between its first two lines of ---"
        raise UserError(file, problem, "correct it, or take both lines out") from error
    return _of_values(values) if isinstance(values, dict) else NOTHING


def _of_values(values: Mapping[str, Any]) -> Terms:
    texts = {key: [one_line(text) for text in _flat(values.get(key))] for key in KEYS}
    return Terms(
        license=strictest(map(license_id, texts["license"])),
        languages=tuple(texts["language"]),
        pretty_name=" ".join(texts["pretty_name"]) or None,
        consent=" ".join(texts["consent"]) or None,
    )


def _flat(value: Any) -> Iterator[str]:
    """Give the texts in a value: cards have lists, and some a configuration's in an object."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif value is False:  # no: what YAML makes of Norwegian
        yield "no"
    elif value is not None and str(value).strip():
        yield str(value)
