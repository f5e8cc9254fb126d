"""Arrays to pictures, clips to players; nothing is computed here.

The colours print, and colour-blind eyes read them. Names out of data are drawn with
`parse_math=False`: an intent `$5_or_$6` is no formula.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from IPython.display import Audio

BLUE = "#0072B2"  # Okabe and Ito's palette
SKY = "#56B4E9"
ORANGE = "#E69F00"
COLOURS = (BLUE, SKY, ORANGE)
DPI = 72


@dataclass(frozen=True)
class Example:
    """A clip with what was spoken and what was answered."""

    waveform: np.ndarray  # float32, (n_samples,)
    truth: str
    answer: str
    score: float  # of the answer, 0 to 1


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and close it."""
    figure.savefig(path, dpi=2 * DPI, bbox_inches="tight")
    plt.close(figure)


def waveform_and_mel(
    waveform: np.ndarray, mel: np.ndarray, sampling_rate: int, title: str
) -> Figure:
    """Draw a waveform (n_samples,) above its mel spectrogram (n_mels, n_frames) in dB."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(8, 4), dpi=DPI, sharex=True, layout="constrained"
    )
    seconds = len(waveform) / sampling_rate
    times = np.linspace(0, seconds, len(waveform))
    top.plot(times, waveform, color=BLUE, linewidth=0.5, antialiased=False)
    top.set_title(title, parse_math=False)
    top.set_ylabel("amplitude")
    bottom.imshow(
        mel,
        cmap=plt.get_cmap("cividis", 16),  # few colours, hard edges: half the size in a notebook
        interpolation="nearest",
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, len(mel)),
    )
    bottom.set(xlabel="seconds", ylabel="mel band")
    return figure


def training_curves(log: pd.DataFrame, metric: str = "f1_macro") -> Figure:
    """Draw what `training_log.csv` holds.

    That is the loss of both splits, accuracy in training and a validation metric by epoch, or, of a
    head on a frozen encoder, the cross-validated log loss by regularisation.
    """
    if "log_loss" in log:
        return _log_loss_curve(log)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), dpi=DPI, layout="constrained")
    _curve(left, log, "loss", ".-", BLUE, "train")
    _curve(left, log, "eval_loss", ".--", ORANGE, "validation")
    highest = log[["loss", "eval_loss"]].max(axis=None)
    left.set(title="Loss", xlabel="epoch", ylim=(0, 1.05 * highest))
    left.legend()
    if "accuracy" in log:  # logs of earlier versions have none
        _curve(right, log, "accuracy", ".-", BLUE, "accuracy, train")
    _curve(right, log, f"eval_{metric}", ".--", ORANGE, f"{metric}, validation")
    right.set(title="Scores", xlabel="epoch", ylim=(0, 1.02))
    right.legend()
    return figure


def _log_loss_curve(log: pd.DataFrame) -> Figure:
    figure, ax = plt.subplots(figsize=(4.5, 3), dpi=DPI, layout="constrained")
    ax.plot(log["inverse_regularisation"], log["log_loss"], ".-", color=BLUE, linewidth=2)
    ax.set(title="Log loss, cross-validated in train", xlabel="inverse of the regularisation, C")
    ax.set(xscale="log", ylim=(0, None))
    return figure


def _curve(ax: Axes, log: pd.DataFrame, column: str, style: str, color: str, label: str) -> None:
    """Draw a column by epoch, without the rows that do not have it."""
    points = log.dropna(subset=[column])
    ax.plot(points["epoch"], points[column], style, label=label, color=color, linewidth=2)
    ax.locator_params(axis="x", integer=True)


def answers(examples: Sequence[Example]) -> Figure:
    """Draw clips as waveforms, each under what was spoken and answered; mistakes in orange."""
    n_rows = -(-len(examples) // 2)
    figure, axes = plt.subplots(
        n_rows, 2, figsize=(9, 0.8 * len(examples)), dpi=DPI, layout="constrained"
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, example in zip(axes.flat, examples, strict=False):
        is_correct = example.answer == example.truth
        ax.plot(example.waveform, linewidth=0.4, color=BLUE if is_correct else ORANGE)
        title = f"{example.truth}: {example.answer} {example.score:.2f}"
        ax.set_title(title, fontsize=9, parse_math=False)
    return figure


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Draw counts by truth (rows) and prediction (columns), (n_labels, n_labels).

    Each stands above its share of the row, which colours it.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 0.55 * len(labels) + 2.5  # inches
    figure, ax = plt.subplots(figsize=(size, size), dpi=DPI, layout="constrained")
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), n in np.ndenumerate(counts):
        if n:
            share = shares[row, column]
            color = "white" if share > 0.5 else "black"
            text = f"{n}\n{share:.0%}"
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    ticks = range(len(labels))
    ax.set_xticks(ticks, labels, rotation=45, ha="right", parse_math=False)
    ax.set_yticks(ticks, labels, parse_math=False)
    ax.set(xlabel="predicted", ylabel="spoken", title="Clips by intent")
    return figure


def reliability(table: pd.DataFrame) -> Figure:
    """Draw how often answers were correct against how sure they sounded.

    Takes a table of `calibration.reliability`.
    """
    figure, ax = plt.subplots(figsize=(4.5, 4.5), dpi=DPI, layout="constrained")
    ax.plot([0, 1], [0, 1], ":", color="gray", label="as sure as right")
    ax.errorbar(
        table["score"],
        table["accuracy"],
        yerr=_error_bars(table),
        fmt="o-",
        color=BLUE,
        capsize=3,
        label="answers, 95 %",
    )
    for row in table.itertuples():
        position = (row.score, row.accuracy)
        offset = {"xytext": (6, -12), "textcoords": "offset points"}
        ax.annotate(f"{row.n:.0f}", position, fontsize=8, **offset)
    ax.set(xlabel="score", ylabel="share that is right", title="Reliability")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(loc="upper left")
    return figure


def accuracy(table: pd.DataFrame, title: str) -> Figure:
    """Draw accuracy with its interval by group, a line each from top to bottom.

    Takes a table of `metrics.accuracy_by`.
    """
    height = 1 + 0.28 * len(table)  # inches
    figure, ax = plt.subplots(figsize=(7, height), dpi=DPI, layout="constrained")
    rows = range(len(table))[::-1]
    errors = _error_bars(table)
    ax.errorbar(table["accuracy"], rows, xerr=errors, fmt="o", color=BLUE, ecolor=SKY, capsize=2)
    names = [f"{name} ({n})" for name, n in zip(table.index, table["n"], strict=True)]
    ax.set_yticks(rows, names, parse_math=False)
    ax.set_title(title, parse_math=False)
    ax.set(xlabel="accuracy, 95 % interval", xlim=(0, 1.02))
    ax.grid(axis="x", alpha=0.3)
    return figure


def _error_bars(table: pd.DataFrame) -> np.ndarray:
    """Give how far the interval `low` to `high` reaches below and above `accuracy`, (2, n)."""
    below = table["accuracy"] - table["low"]
    above = table["high"] - table["accuracy"]
    return np.stack([below, above]).clip(min=0)  # rounding at 0 and 1


def player(clip: dict[str, Any]) -> "Audio":
    """Make a notebook's player of {"bytes", "path"}.

    A file is referred to by its relative path and not embedded.
    """
    from IPython.display import Audio  # only notebooks have a use for it

    if clip["bytes"] is not None:
        return Audio(data=clip["bytes"])
    return Audio(url=quote(Path(os.path.relpath(clip["path"])).as_posix()))
