"""The classical way, as a baseline to beat: MFCC statistics with a support vector machine."""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torchaudio
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from . import audio

RATE = 16_000  # Hz
N_MFCC = 20
N_SEGMENTS = 6
WINDOWS = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40}  # 25 ms, every 10 ms


@functools.cache
def _mfcc() -> torchaudio.transforms.MFCC:
    return torchaudio.transforms.MFCC(RATE, N_MFCC, melkwargs=WINDOWS)


def mfcc_statistics(waveform: np.ndarray) -> np.ndarray:
    """Describe a clip by its MFCCs and their deltas in six equal segments.

    Takes float32, (n_samples,), at 16 kHz; gives mean and standard deviation, segment by segment:
    float32, (6 segments × 2 statistics × 40,) = (480,).
    """
    mfcc = _mfcc()(torch.from_numpy(waveform))  # (20, n_frames)
    deltas = torchaudio.functional.compute_deltas(mfcc)
    frames = torch.cat([mfcc, deltas]).numpy()  # (40, n_frames)
    statistics = []
    for segment in np.array_split(frames, N_SEGMENTS, axis=1):
        if segment.size == 0:  # under six frames
            segment = frames
        statistics.append(segment.mean(axis=1))
        statistics.append(segment.std(axis=1))
    return np.concatenate(statistics)


def table_statistics(table: Iterable[dict[str, Any]]) -> np.ndarray:
    """Compute `mfcc_statistics` of every clip (`audio`) of a table: (n_clips, 480)."""
    bar = tqdm(table, desc="MFCC", unit="clip", disable=None, leave=False)
    waveforms = (audio.load(row["audio"], RATE, warn=audio.say_nothing) for row in bar)
    return np.stack([mfcc_statistics(waveform) for waveform in waveforms])


def make_svm() -> Pipeline:
    """Make a support vector machine (RBF, C = 10) on standardised statistics, to be fitted."""
    return make_pipeline(StandardScaler(), SVC(C=10.0))
