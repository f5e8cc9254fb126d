"""What an audit found, for people: one page with players that fetches nothing, and a table."""

import base64
import html
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pandas as pd
import soundfile

from . import audio
from .clip_checks import File
from .errors import AudioError
from .findings import DOUBTFUL, WRONG, Findings
from .voice_activity import RATE

if TYPE_CHECKING:
    from datasets import Dataset

MOST_SHOWN = 200  # clips on the page; audit.csv has all
MOST_BYTES = 6_000_000  # of audio on the page, encoded; base64 makes a third more of it
MOST_SECONDS = 10.0  # of a longer clip its beginning is played
COMPRESSION = 0.8  # of MP3: some 32 kbit/s


@dataclass
class Players:
    """Players of clips, as long as the page has room for them."""

    clips: "Dataset"
    n_bytes: int = 0

    def of(self, row: int) -> str:
        """Make the player of a clip, or say why there is none."""
        try:
            encoded = _encoded(self.clips[row]["audio"])
        except AudioError:
            return "cannot be played"
        if self.n_bytes + len(encoded) > MOST_BYTES:
            return "not on the page, for its size"
        self.n_bytes += len(encoded)
        text = base64.b64encode(encoded).decode()
        return f'<audio controls preload="none" src="data:audio/mpeg;base64,{text}"></audio>'


def _encoded(source: File) -> bytes:
    """Encode the beginning of a clip small: MP3, 16 kHz, mono."""
    waveform = audio.load(source, RATE, max_seconds=MOST_SECONDS, warn=audio.say_nothing)
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE, format="MP3", compression_level=COMPRESSION)
    return file.getvalue()


def write_page(findings: Findings, name: str, path: Path) -> None:
    """Write the page about the data of this name to `path`."""
    table = findings.table
    suspicious = table[table["issues"] != ""]
    shown = suspicious.head(MOST_SHOWN)
    players = Players(findings.listing.clips)
    rows = [_row(row, players.of(row.Index)) for row in shown.itertuples()]
    values = {
        "title": _text(f"Audit of {name}"),
        "headline": _text(headline(table)),
        "about": _text(_about(table)),
        "counts": _counts(table),
        "problems": _problems(findings.listing.problems),
        "shown": _text(_shown(len(shown), len(suspicious))),
        "rows": "\n".join(rows) or '<tr><td colspan="9">Nothing was found.</td></tr>',
    }
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    path.write_text(template.substitute(values), encoding="utf-8")


def kinds(table: pd.DataFrame) -> Counter[str]:
    """Count the clips with each kind of finding."""
    found = table.loc[table["issues"] != "", "issues"].str.split(", ")
    return Counter(kind for each in found for kind in each)


def headline(table: pd.DataFrame) -> str:
    """Say in one line how many labels are in doubt."""
    counts = kinds(table)
    return (
        f"{len(table)} clips: {counts[WRONG]} labels are likely wrong, "
        f"{counts[DOUBTFUL]} more are doubtful."
    )


def _about(table: pd.DataFrame) -> str:
    minutes = table["seconds"].sum() / 60
    return f"{minutes:.1f} minutes, {table['intent'].replace('', pd.NA).nunique()} intents."


def _counts(table: pd.DataFrame) -> str:
    """List how many clips have what."""
    counts = kinds(table)
    items = [f"<li>{_text(kind)}: {n}</li>" for kind, n in counts.most_common()]
    return f"<ul>{''.join(items)}</ul>" if items else "<p>Nothing.</p>"


def _problems(problems: tuple[str, ...]) -> str:
    """List what is wrong with the data's table, which stops training."""
    if not problems:
        return ""
    items = "".join(f"<li>{_text(problem)}</li>" for problem in problems)
    return f"<h2>What is wrong with the table</h2><ul>{items}</ul>"


def _shown(n_shown: int, n_suspicious: int) -> str:
    megabytes = MOST_BYTES // 1_000_000
    return (
        f"{n_shown} of {n_suspicious} clips with findings; audit.csv has all clips in this order. "
        f"Players hold at most {MOST_SECONDS:g} s of a clip, and {megabytes} MB on the page."
    )


def _row(row: pd.Series, player: str) -> str:
    suggested = ""
    if row.suggested:
        suggested = f"{_text(row.suggested)} ({row.suggested_probability:.2f})"
    given = _text(row.intent)
    if row.probability == row.probability:  # no NaN
        given += f" ({row.probability:.2f})"
    cells = [player, given, suggested, _text(row.reasons), _text(row.text), _text(row.speaker)]
    columns = "".join(f"<td>{cell}</td>" for cell in cells)
    return (
        f'<tr><td class="number">{row.rank}</td>{columns}'
        f'<td class="number">{row.score:.3f}</td><td>{_text(row.file_name)}</td></tr>'
    )


def _text(text: str) -> str:
    """Escape what HTML would take for its own."""
    return html.escape(text)
