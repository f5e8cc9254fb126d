"""Arrays to pictures, clips to players; nothing is computed here. Colours print, and colour-blind eyes read them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from IPython.display import Audio

COLOURS = BLUE, SKY, ORANGE = ("#0072B2", "#56B4E9", "#E69F00")  # Okabe and Ito's palette
DPI = 72


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and close it."""
    figure.savefig(path, dpi=2 * DPI, bbox_inches="tight")
    plt.close(figure)


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


def answers(waveforms: Sequence[np.ndarray], lines: Sequence[str]) -> Figure:
    """Draw clips as waveforms, each under its "truth: answer score"; wrong answers in orange."""
    figure, axes = plt.subplots(-(-len(lines) // 2), 2, figsize=(9, 0.8 * len(lines)), dpi=DPI, layout="constrained")
    for ax, waveform, line in zip(np.ravel(axes), waveforms, lines, strict=False):
        truth, answer = line.split(": ")
        ax.plot(waveform, linewidth=0.4, color=BLUE if answer.startswith(truth) else ORANGE)
        ax.set_title(line, fontsize=9)
    for ax in np.ravel(axes):
        ax.axis("off")
    return figure


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Draw counts by truth (rows) and prediction (columns), each with its share of the row, which colours it."""
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = 0.55 * len(labels) + 2.5
    figure, ax = plt.subplots(figsize=(size, size), dpi=DPI, layout="constrained")
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(matrix):
        if n:
            text, color = f"{n}\n{shares[i, j]:.0%}", "white" if shares[i, j] > 0.5 else "black"
            ax.text(j, i, text, ha="center", va="center", color=color, fontsize=8)
    ticks = range(len(labels))
    ax.set_xticks(ticks, labels, rotation=45, ha="right")
    ax.set_yticks(ticks, labels)
    ax.set(xlabel="predicted", ylabel="spoken", title="Clips by intent")
    return figure


def reliability(table: pd.DataFrame) -> Figure:
    """Draw how often answers were right against how sure they sounded, from `calibration.reliability`."""
    figure, ax = plt.subplots(figsize=(4.5, 4.5), dpi=DPI, layout="constrained")
    ax.plot([0, 1], [0, 1], ":", color="gray", label="as sure as right")
    errors = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
    ax.errorbar(table["score"], table["accuracy"], errors, fmt="o-", color=BLUE, capsize=3, label="answers, 95 %")
    for score, accuracy, n in table[["score", "accuracy", "n"]].itertuples(index=False):
        ax.annotate(f"{n:.0f}", (score, accuracy), xytext=(6, -12), textcoords="offset points", fontsize=8)
    ax.set(xlabel="score", ylabel="share that is right", title="Reliability", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(loc="upper left")
    return figure


def accuracy(table: pd.DataFrame, title: str) -> Figure:
    """Draw accuracy with its interval by group, a line each from top to bottom, from `metrics.accuracy_by`."""
    figure, ax = plt.subplots(figsize=(7, 1 + 0.28 * len(table)), dpi=DPI, layout="constrained")
    rows = range(len(table))[::-1]
    errors = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
    ax.errorbar(table["accuracy"], rows, xerr=errors, fmt="o", color=BLUE, ecolor=SKY, capsize=2)
    ax.set_yticks(rows, [f"{name} ({n})" for name, n in zip(table.index, table["n"], strict=True)])
    ax.set(title=title, xlabel="accuracy, 95 % interval", xlim=(0, 1.02))
    ax.grid(axis="x", alpha=0.3)
    return figure


def player(clip: dict) -> "Audio":
    """Make a notebook's player of {"bytes", "path"}; a file is referred to by its relative path and not embedded."""
    from IPython.display import Audio

    if clip["bytes"] is not None:
        return Audio(data=clip["bytes"])
    return Audio(url=quote(Path(os.path.relpath(clip["path"])).as_posix()))
