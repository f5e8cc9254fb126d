"""A clip that was answered wrongly is kept with the intent that was meant, to train on."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .errors import UserError
from .names import escape_markdown, likeness, one_line
from .page import Studio
from .tables import UNKNOWN, is_corrected


@dataclass(frozen=True)
class Correction:
    """What stands on the page when somebody says that its answer is wrong."""

    intent: str | None  # what was meant; "unknown": no request at all
    clip: str | None  # in the recorder
    answered: str | None  # the clip that the answer on the page is of


def consent(folder: Path) -> str:
    """Say what is kept, where and for what, before it is (Markdown)."""
    return (
        "Nothing is kept until you press **Correct it**. Then the recording and this intent, and "
        f"nothing else, go into {escape_markdown(str(folder))} on the machine that serves this "
        "page. Nothing is sent elsewhere. They are there to train on, and never test a model."
    )


def intents(studio: Studio) -> list[str]:
    """List the model's intents, then others that there are recordings of, and "unknown" last."""
    names = dict.fromkeys([*studio.labels, *studio.intents()])
    return [name for name in names if likeness(name) != UNKNOWN] + [UNKNOWN]


def keep(studio: Studio, correction: Correction) -> str:
    """Keep the clip that was answered, as a corrected one; say where, and how many there are.

    With the intent "unknown" it is kept as an example of what is not to be answered. Gives
    Markdown. Raises `UserError` where the answer on the page is not of the clip in the recorder,
    for an intent that only a computer tells from another, for a clip that is kept already, and for
    what `Recordings.keep` refuses.
    """
    clip = _answered_clip(correction)
    intent = one_line(correction.intent)
    if likeness(intent) == UNKNOWN:  # readers take any spelling of it for the same
        intent = UNKNOWN
    else:
        _check_spelling(studio, intent)
    recordings = studio.recordings
    row = recordings.keep(clip, intent, speaker="", corrected=True)
    rows = pd.DataFrame(recordings.rows())
    kept = f"{row['file_name']} in {recordings.folder}, as {row['intent']}"
    counts = f"clips there now: {len(rows):,}, corrected: {is_corrected(rows).sum():,}"
    return escape_markdown(f"Kept as {kept}; {counts}")


def _answered_clip(correction: Correction) -> str:
    """Give the clip that both the recorder and the answer hold. Raises `UserError` for two."""
    clip = correction.clip
    if not correction.answered:
        raise UserError("the clip", "has no answer yet", "record or choose a request first")
    if clip is None or clip != correction.answered:
        problem = "is of another clip than the one beside it"
        raise UserError("the answer", problem, "wait for the next answer")
    if not Path(clip).is_file():
        raise UserError("the clip", "is no longer there", "record or choose it again")
    return clip


def _check_spelling(studio: Studio, intent: str) -> None:
    """Raise `UserError` for an intent that the reader of the folder would find twice."""
    recorded = [row["intent"] for row in studio.recordings.rows()]
    if intent in recorded:
        return
    alike = (name for name in [*recorded, *studio.labels] if likeness(name) == likeness(intent))
    usual = next(alike, intent)
    if usual != intent:
        raise UserError("the intent", f"{intent!r} looks like {usual!r}", "choose that one")
