"""One page with everything about a test, for people who will not open a notebook. Nothing on it is fetched."""

import base64
import html
from pathlib import Path
from string import Template

import pandas as pd

from . import metrics, plots


def write(result: dict, predictions: pd.DataFrame, output_dir: Path) -> Path:
    """Write `report.html`, with the pictures of `evaluate.write_results` and those of the groups drawn here."""
    keys = ["accuracy", *(f"{score}_{kind}" for score in ("precision", "recall", "f1") for kind in metrics.AVERAGES)]
    averages = pd.DataFrame({"figure": {key: result[key] for key in keys}})
    averages[["low", "high"]] = [result[f"{key}_interval"] for key in keys]
    averages.insert(0, "k/n", f"{result['correct']}/{result['n']}")
    wrong = predictions[predictions["intent"] != predictions["predicted"]]
    confusions = wrong.groupby(["intent", "predicted"]).size().rename("clips").nlargest(8).reset_index()
    low, high = result["accuracy_interval"]
    facts = {key: result.get(key) for key in ("model", "encoder", "data", "split", "seed", "note")}
    parts = {
        "title": f"Test of {result.get('model') or result.get('encoder')}",
        "percent": f"{100 * result['accuracy']:.1f} %",
        "low": f"{100 * low:.0f} %",
        "high": f"{100 * high:.0f} %",
        "about": "; ".join(f"{key}: {value}" for key, value in facts.items() if value not in (None, "")),
        "bootstrap": f"Wilson's for accuracy and what equals it, else the bootstrap {result['bootstrap']}",
        "calibration": _calibration(result),
    }
    parts = {key: html.escape(value) for key, value in parts.items()} | {"n": result["n"], "correct": result["correct"]}
    parts["per_class"] = _table(metrics.class_table(result["per_class"]))
    parts |= {"averages": _table(averages), "confusions": _table(confusions.set_index("intent"))}
    for title, table in groups(predictions, output_dir).items():
        plots.save(plots.accuracy(table, title), output_dir / f"{title.split(',')[0].replace(' ', '_')}.png")
    pictures = {name: _picture(output_dir / f"{name}.png") for name in ("confusion_matrix", "reliability")}
    parts |= pictures | {"groups": "".join(_picture(path) for path in sorted(output_dir.glob("by_*.png")))}
    path = output_dir / "report.html"
    path.write_text(Template(Path(__file__).with_suffix(".html").read_text("utf-8")).substitute(parts), "utf-8")
    return path


def groups(predictions: pd.DataFrame, output_dir: Path) -> dict[str, pd.DataFrame]:
    """Count right answers by what is known of the clips: tables of `metrics.accuracy_by`, by title."""
    found = {}
    if predictions["speaker"].ne("").any():
        table = metrics.accuracy_by(predictions, ["speaker"]).sort_values("accuracy")
        found["by speaker, weakest first"] = table.head(40)
    found["by duration, seconds"] = metrics.accuracy_by_length(predictions)
    if (output_dir / "robustness.csv").exists():
        found["by condition, made from the clean clips"] = pd.read_csv(output_dir / "robustness.csv", index_col=0)
    return found


def _picture(path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{encoded}" alt="{path.stem.replace("_", " ")}">'


def _table(table: pd.DataFrame) -> str:
    return table.round(3).to_html(border=0)


def _calibration(result: dict) -> str:
    text = f"On average a score is {100 * result['calibration_error']:.1f} points away from the share that is right."
    if result["threshold"] is None:
        return text + " The model has no threshold: it answers everything."
    return (
        f"{text} Below the score {result['threshold']:.2f} an answer is withheld: {100 * result['coverage']:.0f} % of "
        f"the clips are answered, {100 * result.get('accuracy_answered', 0):.1f} % of those rightly."
    )
