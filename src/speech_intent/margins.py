"""How much silence stands around the speech in clips that a model was trained on.

Requests that are cut out of audio that goes on (`listening`) get as much: a model that has heard
nothing but words cut tightly, or nothing but words in a second of silence, knows others less.
"""

from typing import TYPE_CHECKING

import numpy as np

from . import audio
from .voice_activity import CHUNK, GOES_ON, RATE, SPEECH, speech_probabilities

if TYPE_CHECKING:
    from datasets import Dataset

N_CLIPS = 50  # that are heard, drawn by chance
MAX_SECONDS = 30.0  # of each


def measure(table: "Dataset", seed: int) -> tuple[float, float] | None:
    """Give the seconds before and after speech in the clips of a table, medians of some of them.

    None where nobody speaks.
    """
    drawn = np.random.default_rng(seed).permutation(len(table))[:N_CLIPS]
    found = []
    for i in drawn:
        clip = table[int(i)]["audio"]
        waveform = audio.load(clip, RATE, max_seconds=MAX_SECONDS, warn=audio.say_nothing)
        probabilities = speech_probabilities(waveform)
        begun = np.flatnonzero(probabilities >= SPEECH)
        if len(begun):
            last = np.flatnonzero(probabilities >= GOES_ON)[-1]
            before = begun[0] * CHUNK / RATE
            after = len(waveform) / RATE - (last + 1) * CHUNK / RATE
            found.append((before, max(0.0, after)))
    if not found:
        return None
    before, after = np.median(found, axis=0)
    return round(float(before), 3), round(float(after), 3)
