"""What of a data folder goes to the Hub: its clips, its table and its card."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from . import audio, dataset_cards, folders, public_names, quality, sources, terms
from .columns import COLUMNS
from .errors import AudioError, DataError, UserError
from .hub_upload import NO_LINK, OUTSIDE, Files, is_inside
from .terms import CARD, NOTHING, TOML, Terms

PATH = re.compile(r"/|\\\\|~[/\\]|[A-Za-z]:[/\\]|\.\.?[/\\]|file:")  # how a local path begins


@dataclass(frozen=True)
class Recordings:
    """What is uploaded of a data folder, and what its card leaves out."""

    files: Files
    unsaid: str  # "" if nothing


def dataset_files(folder: Path, given: Terms = NOTHING, beside: Terms = NOTHING) -> Recordings:
    """List a data folder's clips, its table as AudioFolder's metadata.csv, and its card.

    The card is the folder's own README.md, or is made from the table and says what is `given`, and
    what is said `beside` the recordings. Raises `DataError` for a folder that cannot be trained
    on, or whose table names what is no audio or lies elsewhere, `UserError` for what an own card
    should say, and for a licence that allows what that of the recordings forbids.
    """
    table = folders.read_table(folder)
    seconds, problems = _measured(folder, table["file_name"])
    if problems:
        raise DataError(folder, problems)
    files: Files = {name: folder / name for name in table["file_name"]}
    files["metadata.csv"] = _public_table(table).to_csv(index=False).encode()
    if has_card(folder):
        known = _own_terms(folder, given, beside)
        files[CARD] = folder / CARD
        return Recordings(files, _missing(known))
    sources.check_terms(folder, given.license, beside)
    known = given.over(beside)
    title = folder.resolve().name
    files[CARD] = dataset_cards.dataset_card(title, table, seconds, known).encode()
    return Recordings(files, dataset_cards.missing(table, known))


def _missing(known: Terms) -> str:
    """Say what a folder's own card does not name; "" if it names all."""
    said = {"licence": known.license, "language": known.languages}
    left = [f"no {name}" for name, value in said.items() if not value]
    return f"{CARD} names {' and '.join(left)}; write YAML at its top" if left else ""


def _own_terms(folder: Path, given: Terms, beside: Terms) -> Terms:
    """Read what a data folder's own card says, which is published as it is."""
    if given != NOTHING:
        problem = "is the card of these recordings, and is published as it is"
        remedy = "write licence, language and pretty_name there"
        raise UserError(folder / CARD, problem, remedy)
    if not is_inside(folder, CARD):
        raise UserError(folder / CARD, OUTSIDE, NO_LINK)
    known = terms.of_card(folder / CARD)
    license = terms.strictest([known.license, beside.license])
    if license and license != known.license and terms.is_noncommercial(license):
        problem = f"names {known.license or 'no licence'}, and {TOML} {beside.license}"
        raise UserError(folder / CARD, problem, "write into both what holds")
    return known


def _measured(folder: Path, names: Iterable[str]) -> tuple[float, list[str]]:
    """Add up the seconds of clips, and say of others why they are not published."""
    seconds = 0.0
    problems = []
    for name in names:
        if not is_inside(folder, name):
            problems.append(f"{name}: {OUTSIDE}; {NO_LINK}")
            continue
        try:
            seconds += quality.measure(folder / name, warn=audio.say_nothing).seconds
        except AudioError as error:
            problems.append(f"{name}: {error.reason}")
    return seconds, problems


def _public_table(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table in whose other columns of every local path only the last part stands."""
    others = [name for name in table.columns if name not in (*COLUMNS, "text")]
    public = table.copy()
    for name in others:
        is_path = table[name].str.match(PATH)
        public[name] = table[name].mask(is_path, table[name].map(public_names.last_part))
    return public


def has_card(folder: Path) -> bool:
    """Whether a data folder has a card of its own."""
    return (folder / CARD).exists()
