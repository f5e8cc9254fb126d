"""A test's answers, scored and written down: metrics.json, tables, pictures and the report."""

from pathlib import Path
from typing import Any

import pandas as pd

from . import calibration, metrics, plots, report
from .run_folder import write_json

PREDICTIONS = "predictions.csv"


def write_results(
    predictions: pd.DataFrame,
    labels: list[str],
    output_dir: Path,
    record: dict[str, Any],
    by_condition: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Score the answers of `predict_table` and write everything about them.

    `output_dir` gets `metrics.json` (the scores of `metrics.classification_metrics`, calibration,
    and `record`: data, split, seed, threshold, `synthetic`; also returned), `predictions.csv`,
    `confusion_matrix.png`, `reliability.png`, a picture of each group of clips, and `report.html`,
    which shows them all.
    """
    scores = predictions["score"].to_numpy()
    is_correct = (predictions["intent"] == predictions["predicted"]).to_numpy()
    bins = calibration.reliability(scores, is_correct)
    result = {
        **_classification(predictions, labels),
        "calibration_error": calibration.calibration_error(bins),
        "calibration_error_interval": calibration.calibration_error_interval(scores, is_correct),
    }
    if record["says_unknown"]:
        is_accepted = predictions["accepted"].to_numpy()
        result.update(calibration.coverage(is_correct, is_accepted))
    result.update(record)
    predictions.to_csv(output_dir / PREDICTIONS, index=False)
    pictures = {
        "confusion_matrix": plots.confusion_matrix(result["confusion"], labels),
        "reliability": plots.reliability(bins),
    }
    files = {name: output_dir / f"{name}.png" for name in pictures}
    for name, figure in pictures.items():
        plots.save(figure, files[name])
    groupings = report.group(predictions, by_condition)
    report.write_report(result, predictions, files, groupings, output_dir / "report.html")
    write_json(output_dir / "metrics.json", result)  # says that all of it is there
    return result


def _classification(predictions: pd.DataFrame, labels: list[str]) -> dict[str, Any]:
    ids = {label: i for i, label in enumerate(labels)}
    truth = predictions["intent"].map(ids)
    predicted = predictions["predicted"].map(ids)
    return metrics.classification_metrics(truth, predicted, labels, predictions["speaker"])
