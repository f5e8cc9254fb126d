"""One page with everything about a test, for people who will not open a notebook.

Nothing on it is fetched.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from . import metrics, plots, remarks

FACTS = ("model", "encoder", "data", "split", "seed", "note")
N_CONFUSIONS = 8  # lines of the table; the matrix shows them all
N_SPEAKERS = 40  # lines of the picture


@dataclass(frozen=True)
class Grouping:
    """Correct answers by something that is known of the clips."""

    name: str  # ours, so that it can be a file's
    title: str
    table: pd.DataFrame  # of `metrics.accuracy_by`


def write_report(
    result: dict[str, Any],
    predictions: pd.DataFrame,
    pictures: dict[str, Path],
    groupings: Sequence[Grouping],
    path: Path,
) -> None:
    """Write the page to `path`, and a picture of each grouping beside it.

    Takes what metrics.json will hold, the answers of `evaluation.predict_table`, and the pictures
    `confusion_matrix` and `reliability`.
    """
    values = {
        **_figures(result),
        "about": _about(result),
        "remarks": _text(" ".join(remarks.remarks(result))),
        "bootstrap": _text(result["bootstrap"]),
        "calibration": _text(_calibration(result)),
        "unknown": _unknown(result),
        "per_class": _table(metrics.class_table(result["per_class"])),
        "averages": _table(averages(result)),
        "confusions": _table(confusions(predictions)),
        "confusion_matrix": _picture(pictures["confusion_matrix"]),
        "reliability": _picture(pictures["reliability"]),
        "groups": "".join(map(_picture, draw(groupings, path.parent))),
    }
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    path.write_text(template.substitute(values), encoding="utf-8")


def _figures(result: dict[str, Any]) -> dict[str, str]:
    """Give the title and the headline figures of the page."""
    low, high = result["accuracy_interval"]
    name = result.get("model") or result.get("encoder")
    return {
        "title": _text(f"Test of {name}"),
        "percent": f"{100 * result['accuracy']:.1f} %",
        "low": f"{100 * low:.0f} %",
        "high": f"{100 * high:.0f} %",
        "n": str(result["n"]),
        "correct": str(result["correct"]),
    }


def _about(result: dict[str, Any]) -> str:
    """Say what was tested on what."""
    facts = {key: result.get(key) for key in FACTS}
    known = [f"{key}: {value}" for key, value in facts.items() if value not in (None, "")]
    return _text("; ".join(known))


def averages(result: dict[str, Any]) -> pd.DataFrame:
    """Lay the accuracy and the averaged figures out, each with k/n and its 95 % interval."""
    names = ["accuracy"]
    for score in metrics.SCORES:
        names += [f"{score}_{average}" for average in metrics.AVERAGES]
    rows = {}
    for name in names:
        low, high = result[f"{name}_interval"]
        rows[name] = {
            "k/n": f"{result['correct']}/{result['n']}",
            "figure": result[name],
            "low": low,
            "high": high,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def confusions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count the commonest mistakes: `intent`, `predicted` and `clips`."""
    wrong = predictions[predictions["intent"] != predictions["predicted"]]
    counts = wrong.groupby(["intent", "predicted"]).size().rename("clips")
    return counts.nlargest(N_CONFUSIONS).reset_index().set_index("intent")


def group(predictions: pd.DataFrame, conditions: pd.DataFrame | None = None) -> list[Grouping]:
    """Count correct answers by what is known of the clips.

    `conditions` counts them by condition, where that was tried (see `conditions`).
    """
    by_length = metrics.accuracy_by_length(predictions)
    groupings = []
    if conditions is not None:
        title = "by condition, made from the clean clips"
        groupings.append(Grouping("by_condition", title, conditions))
    groupings.append(Grouping("by_duration", "by duration, seconds", by_length))
    if predictions["speaker"].ne("").any():
        by_speaker = metrics.accuracy_by(predictions, ["speaker"]).sort_values("accuracy")
        title = "by speaker, weakest first"
        groupings.append(Grouping("by_speaker", title, by_speaker.head(N_SPEAKERS)))
    return groupings


def draw(groupings: Sequence[Grouping], folder: Path) -> list[Path]:
    """Draw the accuracy of each grouping into a file of its own; give the files."""
    drawn = []
    for grouping in groupings:
        path = folder / f"{grouping.name}.png"
        plots.save(plots.accuracy(grouping.table, grouping.title), path)
        drawn.append(path)
    return drawn


def _text(text: str) -> str:
    """Escape what HTML would take for its own."""
    return html.escape(text)


def _table(table: pd.DataFrame) -> str:
    return table.round(3).to_html(border=0)


def _picture(path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    alt = path.stem.replace("_", " ")
    return f'<img src="data:image/png;base64,{encoded}" alt="{alt}">'


def _calibration(result: dict[str, Any]) -> str:
    """Say how far scores can be trusted, and what the threshold does."""
    points = 100 * result["calibration_error"]
    text = f"On average a score is {points:.1f} points away from the share that is right."
    if not result["says_unknown"]:
        return f"{text} The model always answers."
    answered = 100 * result["coverage"]
    correct = 100 * result.get("accuracy_answered", 0)
    return (
        f"{text} What is too unlike the taught requests is called unknown: "
        f"{answered:.0f} % of these clips are answered, {correct:.1f} % of those rightly."
    )


def _unknown(result: dict[str, Any]) -> str:
    """Say what is answered of clips that are none of the taught requests."""
    if not result["unknown_test"]:
        return "<p>Not measured.</p>"
    return _table(pd.DataFrame(result["unknown_test"]).set_index("kind"))
