"""What is wrong with a clip as a recording, whatever intent it has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from . import audio, quality
from .errors import AudioError
from .quality import Measurement
from .voice_activity import RATE, speech_probabilities

File = str | Path | bytes | dict[str, Any]  # what is heard: no array

SPEECH = 0.5  # probability from which on a chunk counts as speech
EDGE_SECONDS = 0.1  # of silence around a clip: a word that fills it is heard better so
PEAK = 0.5  # that a clip is brought to: the detector hears quiet voices worse
PART_SECONDS = 1.0  # around the loudest frame, which settle whether most clips hold speech
MOST_SECONDS = 60.0  # of a longer clip its beginning is searched for speech
CUT_LEVEL = -6.0  # dB, against the loud frames: an end above it is no fading word
LENGTH_RATIO = 3.0  # times longer or shorter than the median clip


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a clip, or may be."""

    kind: str  # one of a few words, to be counted
    reason: str  # what was found, for people


@dataclass(frozen=True)
class Heard:
    """A clip that could be read."""

    seconds: float
    digest: str  # SHA-256 of its samples
    findings: tuple[Finding, ...]


def hear_all(sources: Iterable[File]) -> list[Heard | AudioError]:
    """Decode clips and say what is wrong with each; an error stands for one that cannot be read."""
    heard: list[Heard | AudioError] = []
    for source in tqdm(sources, "Checking clips", unit="clip", disable=None, leave=False):
        try:
            heard.append(hear(source))
        except AudioError as error:
            heard.append(error)
    return heard


def hear(source: File) -> Heard:
    """Decode a clip and say what is wrong with it. Raises `AudioError` if it cannot be read."""
    warnings: list[audio.AudioWarning] = []
    clip = quality.measure(source, warn=warnings.append)
    if clip.peak < audio.SILENT_PEAK or clip.levels.max() < quality.SOUNDING_LEVEL:
        level = f"its loudest 20 ms have {clip.levels.max():.0f} dB"
        return Heard(clip.seconds, clip.digest, (Finding("silent", level),))
    findings = [Finding("damaged", warning.problem) for warning in warnings]
    if holds_speech(source, clip):
        findings += cut_ends(clip)
    else:
        findings.append(Finding("speechless", "no speech was found in it"))
    findings += levels(clip)
    return Heard(clip.seconds, clip.digest, tuple(findings))


def holds_speech(source: File, clip: Measurement) -> bool:
    """Whether somebody speaks around the loudest frame, or else anywhere in the first minute."""
    waveform = audio.load(source, RATE, max_seconds=MOST_SECONDS, warn=audio.say_nothing)
    loudest = int(np.argmax(clip.levels)) * quality.FRAME_SECONDS
    begin = round(RATE * max(0.0, loudest - PART_SECONDS / 2))
    part = waveform[begin : begin + round(RATE * PART_SECONDS)]
    return is_speech(part) or (len(part) < len(waveform) and is_speech(waveform))


def is_speech(waveform: np.ndarray) -> bool:
    """Whether any chunk of a waveform, float32, (n_samples,), at 16 kHz, is speech."""
    peak = np.abs(waveform).max(initial=0.0)
    if peak == 0:
        return False
    edge = round(RATE * EDGE_SECONDS)
    padded = np.pad(waveform * (PEAK / peak), edge)
    return bool(speech_probabilities(padded).max() >= SPEECH)


def cut_ends(clip: Measurement) -> list[Finding]:
    """Say which ends of a clip with speech are as loud as its vowels."""
    loud = np.percentile(clip.levels, quality.LOUD_PERCENTILE)
    ends = {"begins": clip.levels[0], "ends": clip.levels[-1]}
    return [
        Finding("cut", f"{end} at full level: was a part cut off?")
        for end, level in ends.items()
        if level > loud + CUT_LEVEL
    ]


def levels(clip: Measurement) -> list[Finding]:
    """Say whether a clip is clipped or too quiet."""
    findings = []
    if clip.clipped > quality.CLIPPED_SHARE:
        share = f"{100 * clip.clipped:.1f} % of the samples are at full scale"
        findings.append(Finding("clipped", share))
    loud = np.percentile(clip.levels, quality.LOUD_PERCENTILE)
    if loud < quality.QUIET_LEVEL:
        findings.append(Finding("quiet", f"its loud parts have {loud:.0f} dB only"))
    return findings


def findings_of(heard: Sequence[Heard | AudioError], max_seconds: float) -> list[list[Finding]]:
    """Say of each clip what is wrong, its length among the others' and a model's included."""
    seconds = [clip.seconds for clip in heard if isinstance(clip, Heard)]
    usual = float(np.median(seconds)) if seconds else 0.0
    return [
        [*clip.findings, *odd_length(clip.seconds, usual, max_seconds)]
        if isinstance(clip, Heard)
        else [Finding("unreadable", clip.reason)]
        for clip in heard
    ]


def odd_length(seconds: float, usual: float, max_seconds: float) -> list[Finding]:
    """Say whether a clip is much shorter or longer than usual, or than a model hears."""
    compared = f"{seconds:.2f} s, where most clips have about {usual:.2f} s"
    if seconds < usual / LENGTH_RATIO:
        return [Finding("short", compared)]
    if seconds > usual * LENGTH_RATIO:
        return [Finding("long", compared)]
    if seconds > max_seconds:
        return [Finding("long", f"{seconds:.1f} s: only the first {max_seconds:g} s are heard")]
    return []
