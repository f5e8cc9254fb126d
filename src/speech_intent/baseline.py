"""The classical way, as a baseline to beat: MFCC statistics with a support vector machine."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchaudio
from tqdm import tqdm

from . import audio

if TYPE_CHECKING:
    from datasets import Dataset
    from sklearn.pipeline import Pipeline

RATE = 16_000  # Hz
N_MFCC, N_SEGMENTS = 20, 6


@functools.cache
def _mfcc() -> torchaudio.transforms.MFCC:
    window = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40}  # 25 ms windows every 10 ms
    return torchaudio.transforms.MFCC(RATE, N_MFCC, melkwargs=window)


def mfcc_statistics(waveform: np.ndarray) -> np.ndarray:
    """Describe a clip by mean and standard deviation of its MFCCs and their deltas in six equal segments.

    Takes float32, (n_samples,), at 16 kHz; gives float32, (6 segments × 2 statistics × 40,) = (480,).
    """
    mfcc = _mfcc()(torch.from_numpy(waveform))  # (20, n_frames)
    frames = torch.cat([mfcc, torchaudio.functional.compute_deltas(mfcc)])  # (40, n_frames)
    segments = np.array_split(frames.numpy(), N_SEGMENTS, axis=1)
    segments = [segment if segment.size else frames.numpy() for segment in segments]  # under six frames
    return np.concatenate([part for s in segments for part in (s.mean(axis=1), s.std(axis=1))])


def table_statistics(table: "Dataset | Sequence[dict]") -> np.ndarray:
    """Compute `mfcc_statistics` of every clip (`audio`) of a table: (n_clips, 480)."""
    clips = tqdm(table, desc="MFCC", unit="clip", disable=None, leave=False)
    return np.stack([mfcc_statistics(audio.load(row["audio"], RATE)) for row in clips])


def machine() -> "Pipeline":
    """Make an RBF support vector machine (C = 10) on standardised statistics, to be fitted."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=10.0))
