"""What an encoder is worth while it is pretrained: logistic regressions on frozen features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from corpus import normalise_waveforms
from make_corpus import is_left_out, read_real
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from transformers import Wav2Vec2Model

WIDTH = 192  # of the encoder
PER_CLASS = 40  # clips an intent
FEW = 12  # clips an intent of the few-shot probe
PROBE_BATCH = 16  # clips


@dataclass(frozen=True)
class Clips:
    """Recordings with their intents."""

    waveforms: list[np.ndarray]  # float32, (n_samples,) each, at 16 kHz
    labels: pd.Series


def features(encoder: Wav2Vec2Model, waveforms: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean-pooled last hidden states of clips, float32, (clips, 192)."""
    order = np.argsort([len(waveform) for waveform in waveforms])
    pooled = np.zeros((len(waveforms), WIDTH), dtype=np.float32)
    for i in range(0, len(order), PROBE_BATCH):
        part = order[i : i + PROBE_BATCH]
        batch = [normalise_waveforms(torch.from_numpy(waveforms[j])[None])[0] for j in part]
        padded = nn.utils.rnn.pad_sequence(batch, batch_first=True)
        hidden = encoder(padded).last_hidden_state  # (clips, frames, 192)
        pooled[part] = hidden.float().mean(1).numpy()
    return pooled


def sample(table: pd.DataFrame, per_class: int) -> pd.DataFrame:
    """Take at most `per_class` random rows of each intent."""
    return table.sample(frac=1, random_state=0).groupby("intent").head(per_class)


def read(folder: Path, table: pd.DataFrame) -> Clips:
    """Read the table's audio files."""
    waveforms = [read_real(folder / name, 1.0).astype(np.float32) for name in table["file_name"]]
    return Clips(waveforms, table["intent"])


class Probes:
    """Logistic regressions: left-out real commands, and bundled train to validation.

    Keeps the clips between calls. Of the real commands only the fixed left-out 30 % are read; of
    the bundled dataset `csv/train.csv` and `csv/validation.csv`, once they exist.
    """

    def __init__(self, commands: Path | None, dataset: Path | None):
        """Read the commands; the dataset may still be in the making."""
        self.dataset = dataset
        self.commands: Clips | None = None
        self.train: Clips | None = None
        self.validation: Clips | None = None
        if commands:
            table = pd.read_csv(commands / "metadata.csv")
            left_out = table[table["file_name"].map(is_left_out)]
            self.commands = read(commands, sample(left_out, PER_CLASS + 10))

    def read_split(self, name: str, per_class: int) -> Clips:
        """Read some clips of each intent of a bundled split."""
        table = pd.read_csv(self.dataset / "csv" / f"{name}.csv")
        return read(self.dataset, sample(table, per_class))

    def has_bundled(self) -> bool:
        """Read the bundled train and validation clips once they are there; tell if they are."""
        if self.train is None and self.dataset:
            try:
                train = self.read_split("train", PER_CLASS)
                self.validation = self.read_split("validation", PER_CLASS // 2)
                self.train = train
            except (OSError, KeyError, RuntimeError):  # not there, or being written just now
                return False
        return self.train is not None

    def __call__(self, encoder: Wav2Vec2Model) -> dict[str, float]:
        """Return the accuracies `commands` (5 folds), `bundled` and `few_shot` (12 an intent)."""
        figures = {"commands": 0.0, "bundled": 0.0, "few_shot": 0.0}
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        if self.commands:
            x = features(encoder, self.commands.waveforms)
            figures["commands"] = cross_val_score(probe, x, self.commands.labels).mean()
        if self.has_bundled():
            labels = self.train.labels
            x = features(encoder, self.train.waveforms)
            x_test = features(encoder, self.validation.waveforms)
            figures["bundled"] = probe.fit(x, labels).score(x_test, self.validation.labels)
            few = labels.groupby(labels).cumcount().to_numpy() < FEW
            probe.fit(x[few], labels[few])
            figures["few_shot"] = probe.score(x_test, self.validation.labels)
        return figures
