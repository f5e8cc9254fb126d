"""Arrays to pictures, clips to players; nothing is computed here. Colours print, and colour-blind eyes read them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from IPython.display import Audio

BLUE, SKY, ORANGE = "#0072B2", "#56B4E9", "#E69F00"  # Okabe and Ito's palette
DPI = 72


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and close it."""
    figure.savefig(path, dpi=2 * DPI, bbox_inches="tight")
    plt.close(figure)


def counts(table: pd.DataFrame, title: str) -> Figure:
    """Draw a bar for each row, stacked by column: clips an intent in each split, say."""
    figure, ax = plt.subplots(figsize=(8, 0.4 * len(table) + 1), dpi=DPI, layout="constrained")
    table.iloc[::-1].plot.barh(stacked=True, ax=ax, color=[BLUE, SKY, ORANGE], width=0.8)
    ax.set(title=title, xlabel="clips", ylabel="")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def durations(seconds: Mapping[str, Sequence[float]]) -> Figure:
    """Draw one histogram of clip durations a split."""
    figure, ax = plt.subplots(figsize=(8, 3), dpi=DPI, layout="constrained")
    bins = np.linspace(0, max(max(values) for values in seconds.values()) + 0.1, 25)
    for (name, values), color, style in zip(seconds.items(), (BLUE, SKY, ORANGE), ("-", ":", "--"), strict=False):
        line = {"color": color, "linestyle": style, "linewidth": 2}
        ax.hist(values, bins=bins, histtype="step", label=name, density=True, **line)
    ax.set(title="Duration of clips", xlabel="seconds", yticks=[], ylabel="share of clips")
    ax.legend()
    return figure


def waveform_and_mel(waveform: np.ndarray, mel: np.ndarray, sampling_rate: int, title: str) -> Figure:
    """Draw a waveform (n_samples,) above its mel spectrogram (n_mels, n_frames) in dB."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 4), dpi=DPI, sharex=True, layout="constrained")
    seconds = len(waveform) / sampling_rate
    top.plot(np.linspace(0, seconds, len(waveform)), waveform, color=BLUE, linewidth=0.5, antialiased=False)
    top.set(title=title, ylabel="amplitude")
    colours = plt.get_cmap("cividis", 16)  # few, and hard edges above: half the size in a notebook
    box = {"origin": "lower", "aspect": "auto", "extent": (0, seconds, 0, len(mel))}
    bottom.imshow(mel, cmap=colours, interpolation="nearest", **box)
    bottom.set(xlabel="seconds", ylabel="mel band")
    return figure


def training_curves(log: pd.DataFrame, metric: str = "f1_macro") -> Figure:
    """Draw the loss of both splits and a validation metric by epoch, from `training_log.csv`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), dpi=DPI, layout="constrained")
    for column, name, style, color in (("loss", "train", ".-", BLUE), ("eval_loss", "validation", ".--", ORANGE)):
        points = log.dropna(subset=[column])
        left.plot(points["epoch"], points[column], style, label=name, color=color, linewidth=2)
    left.set(title="Loss", xlabel="epoch", ylim=(0, 1.05 * log[["loss", "eval_loss"]].max(axis=None)))
    left.legend()
    left.locator_params(axis="x", integer=True)
    points = log.dropna(subset=[f"eval_{metric}"])
    right.plot(points["epoch"], points[f"eval_{metric}"], ".--", color=ORANGE, linewidth=2)
    right.locator_params(axis="x", integer=True)
    right.set(title=f"{metric} on validation", xlabel="epoch", ylim=(0, 1.02))
    return figure


def accuracy_by_size(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw accuracy against the number of training clips: one line a name, a point a run (`n_train`, `accuracy`)."""
    figure, ax = plt.subplots(figsize=(8, 3.5), dpi=DPI, layout="constrained")
    for (name, runs), color, marker in zip(curves.items(), (BLUE, ORANGE, SKY), "os^", strict=False):
        ax.plot(runs["n_train"], runs["accuracy"], marker, color=color, alpha=0.6)
        mean = runs.groupby("n_train")["accuracy"].mean()
        ax.plot(mean.index, mean, "-" if marker == "o" else "--", color=color, linewidth=2, label=name)
    ax.set(title="Accuracy by number of training clips", xlabel="training clips", xscale="log", ylim=(0, 1.02))
    ticks = sorted(set().union(*(runs["n_train"] for runs in curves.values())))
    ax.set_xticks(ticks, ticks, minor=False)
    ax.minorticks_off()
    ax.legend(loc="upper left")
    return figure


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Draw counts by truth (rows) and prediction (columns), coloured by the share of the row."""
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = 0.55 * len(labels) + 2.5
    figure, ax = plt.subplots(figsize=(size, size), dpi=DPI, layout="constrained")
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(matrix):
        if n:
            ax.text(j, i, str(n), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    ticks = range(len(labels))
    ax.set_xticks(ticks, labels, rotation=45, ha="right")
    ax.set_yticks(ticks, labels)
    ax.set(xlabel="predicted", ylabel="spoken", title="Clips by intent")
    return figure


def player(path: str | Path) -> "Audio":
    """Make a notebook's audio player that refers to a clip by its relative path and does not embed it."""
    from IPython.display import Audio

    return Audio(url=quote(Path(os.path.relpath(path)).as_posix()))
