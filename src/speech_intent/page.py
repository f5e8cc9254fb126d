"""What the page of `app.py` says and remembers, without its looks."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .audio import say_nothing
from .errors import AudioError, ModelError, UserError
from .names import escape_markdown, likeness, one_line
from .paths import BUNDLED, ROOT
from .predict import IntentClassifier
from .quality import complaints, measure
from .recorder import Recordings
from .tables import UNKNOWN

PICTURE_POINTS = 800  # of a waveform; more are not seen


# ---- Try


@dataclass(frozen=True)
class Answer:
    """What the page shows of a clip."""

    words: str  # Markdown
    scores: dict[str, float] | None = None  # of each intent
    waveform: Figure | None = None
    clip: str = ""  # the answered clip; "" where there is no answer


def answer(classifier: IntentClassifier, clip: str | None) -> Answer:
    """Classify a clip."""
    if clip is None:
        return Answer("")
    name = Path(clip).name  # the server's folders are nobody's business
    try:
        measured = measure(clip, warn=say_nothing)  # the prediction carries the same
        start = time.perf_counter()
        prediction = classifier.predict(clip)
        milliseconds = 1000 * (time.perf_counter() - start)
    except ModelError as error:
        words = escape_markdown(f"{_shown_name(classifier.name)}: {error.reason}")
        return Answer(f"**{words}**")
    except AudioError as error:
        words = escape_markdown(f"{name}: {error.reason}")
        return Answer(f"**{words}**")
    answered = prediction.as_dict(file=name, model=_shown_name(classifier.name))
    problems = complaints(measured)
    problems.extend(f"the clip {warning.problem}" for warning in prediction.warnings)
    paragraphs = [in_words(answered, milliseconds)]
    paragraphs.extend(f"⚠ {escape_markdown(problem)}" for problem in problems)
    waveform = picture(measured.peaks, measured.seconds)
    return Answer("\n\n".join(paragraphs), dict(prediction.scores), waveform, clip)


def in_words(answered: dict[str, Any], milliseconds: float) -> str:
    """Say what was answered, by which model and engine, and how fast (Markdown)."""
    heading = escape_markdown(answered["label"])
    closest = ""
    if "guess" in answered:
        heading = escape_markdown(f"Unknown: {answered['reason']}")
        closest = f"closest is {escape_markdown(answered['guess'])}, "
    return (
        f"## {heading}\n"
        f"{closest}score {answered['score']:.2f}, "
        f"{answered['seconds']:.2f} s of audio answered in {milliseconds:.0f} ms "
        f"by {escape_markdown(answered['model'])} "
        f"({answered['engine']}, {answered['precision']})"
    )


def picture(peaks: np.ndarray, seconds: float) -> Figure:
    """Draw the peaks (n_frames,) of a clip as a waveform."""
    n_points = min(len(peaks), PICTURE_POINTS)
    starts = np.linspace(0, len(peaks), n_points, endpoint=False).astype(int)
    heights = np.maximum.reduceat(peaks, starts)
    times = np.linspace(0, seconds, n_points)
    figure = Figure(figsize=(6, 1.6), layout="constrained", facecolor="none")  # no pyplot: threads
    ax = figure.subplots()
    ax.fill_between(times, -heights, heights, color="#0072B2", linewidth=0)
    ax.set(xlabel="seconds", xlim=(0, seconds), ylim=(-1, 1), yticks=[], facecolor="none")
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.tick_params(colors="gray")  # legible on a light and on a dark page
    ax.xaxis.label.set_color("gray")
    return figure


def examples(intents: list[str]) -> dict[str, str]:
    """Pick one bundled test clip for each of the intents: what is said -> path."""
    first: dict[str, dict[str, str]] = {}
    for row in _bundled_rows("csv/test.csv"):
        first.setdefault(row["intent"], row)
    rows = [first[intent] for intent in intents if intent in first]
    return {row["text"]: str(BUNDLED / row["file_name"]) for row in rows}


# ---- Make data


def check(clip: str | None) -> str:
    """Say whether a recording makes a good example (Markdown)."""
    if clip is None:
        return ""
    try:
        measured = measure(clip)
    except AudioError as error:
        return f"**{refusal(error, clip)}**"
    problems = [f"⚠ {escape_markdown(problem)}" for problem in complaints(measured)]
    return "\n\n".join(problems) or f"{measured.seconds:.1f} s, sounds good"


def refusal(error: UserError, clip: str | None) -> str:
    """Say what is wrong (Markdown), without the path that a clip has on the server."""
    name = "the clip" if error.name == clip else error.name
    return escape_markdown(f"{name}: {error.reason}")


@dataclass(frozen=True)
class Kept:
    """What there is to show after a clip was kept."""

    file_name: str
    next_text: str
    counts: pd.DataFrame


@dataclass(frozen=True)
class Entry:
    """What stands in the fields of a browser's tab."""

    intent: str | None
    speaker: str | None
    text: str | None
    clip: str | None  # recorded and not kept yet


class Studio:
    """Recordings, what to say for each intent, and the clips that are not kept yet."""

    def __init__(self, recordings: Recordings, labels: list[str]):
        self.recordings = recordings
        self.labels = labels
        self.phrasings = training_phrasings()
        self.drafts: set[str] = set()

    def intents(self) -> list[str]:
        """List the intents that there are recordings of, then the model's.

        What is no request stands last, so that nobody is asked for it first.
        """
        recorded = [row["intent"] for row in self.recordings.rows()]
        names = dict.fromkeys([*recorded, *self.labels])
        return sorted(names, key=lambda name: likeness(name) == UNKNOWN)

    def next_phrasing(self, intent: str | None, said: str = "") -> str:
        """Pick what to say after `said`.

        Of an intent's phrasings one recorded least, in turn; else the intent's name. Nothing for
        what is no request: it is none with a name.
        """
        intent = one_line(intent)
        rows = self.recordings.rows()
        recorded = [row.get("text") for row in rows if row["intent"] == intent]
        texts = self.phrasings.get(intent, [])
        start = texts.index(said) + 1 if said in texts else 0
        in_turn = texts[start:] + texts[:start]
        name = "" if likeness(intent) == UNKNOWN else intent.replace("_", " ")
        return min(in_turn, key=recorded.count, default=name)

    def keep(self, entry: Entry) -> Kept:
        """Keep a clip. Raises `UserError` for what `Recordings.keep` refuses."""
        if entry.clip is None:
            raise UserError("the clip", "there is none", "record something first")
        row = self.recordings.keep(entry.clip, entry.intent, entry.speaker, entry.text)
        next_text = self.next_phrasing(entry.intent, row["text"])
        return Kept(row["file_name"], next_text, self.recordings.counts())

    def remember(self, entry: Entry) -> dict[str, Any]:
        """Say what a browser shall remember of its tab."""
        if entry.clip is not None:
            self.drafts.add(entry.clip)
        return {
            "intent": entry.intent,
            "speaker": entry.speaker,
            "text": entry.text,
            "clip": entry.clip,
        }

    def restore(self, state: dict[str, Any]) -> Entry:
        """Fill a tab with what its browser remembers."""
        intent = state.get("intent") or self.intents()[0]
        text = state.get("text") or self.next_phrasing(intent)
        clip = state.get("clip")
        if not self._is_draft(clip):
            clip = None
        return Entry(intent, state.get("speaker"), text, clip)

    def _is_draft(self, clip: Any) -> bool:
        """Tell a clip that was recorded here, and is still there, from somebody's invention."""
        return isinstance(clip, str) and clip in self.drafts and Path(clip).exists()


def training_phrasings() -> dict[str, list[str]]:
    """Read what to say for the bundled intents; the other splits' phrasings stay unheard."""
    phrasings: dict[str, list[str]] = {}
    for row in _bundled_rows("phrasings.csv"):
        if row["split"] == "train":
            phrasings.setdefault(row["intent"], []).append(row["text"])
    return phrasings


def _bundled_rows(table: str) -> list[dict[str, str]]:
    with (BUNDLED / table).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _shown_name(model: str) -> str:
    """Name a model without the folders above this repository."""
    path = Path(model)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else model
