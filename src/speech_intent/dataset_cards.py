"""Cards for recordings on the Hub; they state nothing that nobody has said."""

import pandas as pd
from huggingface_hub import DatasetCardData

from .cards import one_or_all
from .columns import ENGINE
from .markdown import table
from .names import escape_markdown
from .tables import SPLITS, UNKNOWN, is_unknown
from .terms import TOML, Terms

NO_SPLIT = "no split"
NOBODY = "No person was recorded: all of this speech is synthetic."
NO_CONSENT = "Nobody has said whether the people who were recorded agreed that this is published."


def dataset_card(folder: str, clips: pd.DataFrame, seconds: float, terms: Terms) -> str:
    """Write a card for recordings from their table, how long they are, and what is said of them.

    `folder` is the name of their folder, the title where there is no pretty name.
    """
    metadata = DatasetCardData(
        task_categories=["audio-classification"],
        tags=["intent-classification", *(["synthetic"] if n_synthetic(clips) else [])],
        license=terms.license,
        language=one_or_all(terms.languages),
        pretty_name=terms.pretty_name,
    )
    lines = [
        "---",
        metadata.to_yaml(),
        "---",
        "",
        f"# {escape_markdown(terms.pretty_name or folder)}",
        "",
        f"{len(clips)} recordings, {seconds / 3600:.2f} hours. {_speakers(clips)}",
        "",
        "## Intents",
        "",
        _intents(clips),
        "",
        "## Consent",
        "",
        consent(clips, terms),
        "",
        "## Use and limits",
        "",
        _use(clips, terms),
    ]
    return "\n".join(lines) + "\n"


def n_synthetic(clips: pd.DataFrame) -> int:
    """Count the clips that a synthesiser spoke."""
    return int(clips[ENGINE].ne("").sum()) if ENGINE in clips else 0


def consent(clips: pd.DataFrame, terms: Terms) -> str:
    """Say whether the people who were recorded agreed, or that there are none."""
    if terms.consent is not None:
        return escape_markdown(terms.consent)
    return NOBODY if n_synthetic(clips) == len(clips) else NO_CONSENT


def missing(clips: pd.DataFrame, terms: Terms) -> str:
    """Say what a card leaves out, and how to name it; "" if nothing."""
    unsaid = {
        "licence (--license)": terms.license,
        "language (--language)": terms.languages,
        "pretty name (--data-name)": terms.pretty_name,
        "consent": consent(clips, terms) != NO_CONSENT,
    }
    left = [f"no {name}" for name, said in unsaid.items() if not said]
    if not left:
        return ""
    return f"the card names {', '.join(left)}; {TOML} beside the recordings may name all of it"


def _speakers(clips: pd.DataFrame) -> str:
    named = clips.loc[clips["speaker"] != "", "speaker"]
    n_unnamed = len(clips) - len(named)
    if not len(named):
        return "Who speaks is not named."
    kind = " synthetic" if n_synthetic(clips) == len(clips) else ""
    text = f"{named.nunique()}{kind} speakers"
    return f"{text}, and {n_unnamed} clips without a name." if n_unnamed else f"{text}."


def _intents(clips: pd.DataFrame) -> str:
    """Count clips by intent and split; what is no request stands last."""
    known = clips.assign(
        intent=clips["intent"].mask(is_unknown(clips), UNKNOWN),
        split=clips["split"].replace("", NO_SPLIT),
    )
    counts = pd.crosstab(known["intent"], known["split"])
    splits = [split for split in (*SPLITS, NO_SPLIT) if split in counts]
    counts = counts[splits].sort_index(key=lambda names: names == UNKNOWN, kind="stable")
    rows = [
        [escape_markdown(str(intent)), *row, sum(row)]
        for intent, row in zip(counts.index, counts.to_numpy().tolist(), strict=True)
    ]
    return table(["intent", *splits, "all"], rows)


def _use(clips: pd.DataFrame, terms: Terms) -> str:
    """Say what recordings are meant for, and what they are not."""
    languages = ", ".join(map(escape_markdown, terms.languages))
    parts = [
        "For training and testing classifiers of spoken intent: one intent a clip.",
        f"Their language is {languages}." if languages else "Nobody has said their language.",
    ]
    n = n_synthetic(clips)
    if n:
        about = "a model that is trained or tested on it says little about people"
        parts.append(f"{n} of {len(clips)} clips are synthetic speech: {about}.")
    return " ".join(parts)
