"""Make the clips of `unknown/`: what people say and what sounds when nobody asks for anything.

    pip install -e ".[synthesis]"
    python dataset/make_unknown.py

Sentences of `unknown/sentences.csv` are spoken by synthetic voices, none of which speaks in the
validation or test split of the bundled requests; the other sounds are computed. Every random choice
comes from `SEED`; eSpeak NG's and Piper's own noise does not.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from speech_intent import signals
from speech_intent.synthesis import speaking, voices
from speech_intent.synthesis.plan import Clip
from speech_intent.synthesis.voices import Voice

HERE = Path(__file__).resolve().parent
SEED = 2026
RATE = 16_000  # Hz
COLUMNS = ["file_name", "kind", "speaker", "engine", "text", "split", "seconds"]
ENGINE_SHARES = {"espeak-ng": 0.7, "hibari": 0.15, "piper": 0.15}
SHARES = {"train": 1.0, "validation": 0.25, "test": 0.5}  # of the counts below
COUNTS = {"noise": 16, "music": 14, "babble": 16, "clicks": 10, "tones": 10, "breath": 10}
LEVEL = (-25.0, -2.0)  # dBFS of the loudest sample
COMPRESSION = 0.984  # Opus of some 10 kbit/s

Row = dict[str, str]
Sound = Callable[[np.random.Generator, list[np.ndarray]], np.ndarray]


def voices_by_split() -> dict[str, dict[str, list[Voice]]]:
    """Share voices out, without those that are held out of the bundled requests' training.

    Many voices: a voice that was never heard shall not be a reason to say "unknown".
    """
    with (HERE / "voices.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    held_out = {row["voice"].partition("+")[2] for row in rows if row["split"] != "train"}
    every = voices.all_voices(list(ENGINE_SHARES), SEED)
    return voices.by_split([v for v in every if v.name.partition("+")[2] not in held_out - {""}])


def speech(folder: Path) -> Iterator[tuple[Row, np.ndarray]]:
    """Speak the sentences, each by one voice."""
    with (HERE / "unknown" / "sentences.csv").open(encoding="utf-8", newline="") as file:
        sentences = list(csv.DictReader(file))
    shared = voices_by_split()
    rng = np.random.default_rng(SEED)
    shares = list(ENGINE_SHARES.values())
    for number, sentence in enumerate(tqdm(sentences, "Speaking", unit="clip", disable=None)):
        engines = rng.choice(list(shared["train"]), len(shares), replace=False, p=shares)
        own = [shared[sentence["split"]][engine] for engine in engines]
        speakers = tuple(each[rng.integers(len(each))] for each in own)
        split = sentence["split"]
        clip = Clip(number, "unknown", sentence["text"], number + 2, split, speakers)
        row = speaking.make(clip, SEED, folder)
        if row is None:
            raise SystemExit(f"line {number + 2}: no voice can speak {sentence['text']!r}")
        waveform, _ = soundfile.read(folder / clip.file_name, dtype="float32")
        yield {**row, "kind": sentence["kind"]}, waveform


def _length(rng: np.random.Generator, low: float, high: float) -> int:
    return int(rng.uniform(low, high) * RATE)


def noise(rng: np.random.Generator, _: list[np.ndarray]) -> np.ndarray:
    """Make steady noise, white to brown."""
    return signals.coloured_noise(_length(rng, 0.5, 3), RATE, rng.uniform(0, 2), rng)


def music(rng: np.random.Generator, _: list[np.ndarray]) -> np.ndarray:
    """Make chords."""
    return signals.music(_length(rng, 1, 3), RATE, rng)


def babble(rng: np.random.Generator, clips: list[np.ndarray]) -> np.ndarray:
    """Let several voices speak at once."""
    drawn = rng.choice(len(clips), int(rng.integers(3, 7)), replace=False)
    return signals.babble([clips[i] for i in drawn], _length(rng, 1, 3), rng)


def clicks(rng: np.random.Generator, _: list[np.ndarray]) -> np.ndarray:
    """Make short bursts of noise, as of keys, dishes and doors."""
    n_samples = _length(rng, 0.4, 2)
    sound = 1e-4 * rng.standard_normal(n_samples)
    for start in rng.integers(0, n_samples - 200, rng.integers(1, 6)):
        n = min(n_samples - start, _length(rng, 0.005, 0.1))
        fall = np.exp(-np.linspace(0, rng.uniform(3, 9), n))
        sound[start : start + n] += rng.uniform(0.3, 1) * fall * rng.standard_normal(n)
    return sound


def tones(rng: np.random.Generator, _: list[np.ndarray]) -> np.ndarray:
    """Make hums, beeps and sirens."""
    n_samples = _length(rng, 0.4, 3)
    seconds = np.arange(n_samples) / RATE
    glide = 1 + rng.uniform(-0.3, 0.3) * seconds / seconds[-1]
    frequencies = np.exp(rng.uniform(np.log(50), np.log(2_500), rng.integers(1, 4)))
    sound = sum(np.sin(2 * np.pi * frequency * glide * seconds) for frequency in frequencies)
    gate = np.sin(2 * np.pi * rng.uniform(0.5, 8) * seconds) > -rng.uniform(0, 2)
    return sound * gate + 1e-4 * rng.standard_normal(n_samples)


def breath(rng: np.random.Generator, _: list[np.ndarray]) -> np.ndarray:
    """Make noise that swells, as of breath and wind."""
    n_samples = _length(rng, 0.4, 2)
    swell = np.sin(np.pi * np.linspace(0, 1, n_samples) * rng.integers(1, 4)) ** 2
    return swell * signals.coloured_noise(n_samples, RATE, rng.uniform(0.3, 1.3), rng)


SOUNDS: dict[str, Sound] = {
    "noise": noise,
    "music": music,
    "babble": babble,
    "clicks": clicks,
    "tones": tones,
    "breath": breath,
}


def sounds(spoken: dict[str, list[np.ndarray]]) -> Iterator[tuple[Row, np.ndarray]]:
    """Make what is no sentence; `spoken` has the sentences of each split."""
    for split, share in SHARES.items():
        for kind, count in COUNTS.items():
            for number in range(round(share * count)):
                rng = np.random.default_rng([SEED, *kind.encode(), *split.encode(), number])
                sound = SOUNDS[kind](rng, spoken[split])
                peak = 10 ** (rng.uniform(*LEVEL) / 20)
                yield {"kind": kind, "split": split}, sound * peak / np.abs(sound).max()


def main() -> None:
    """Write `unknown/audio/` and `unknown/metadata.csv`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    target = HERE / "unknown"
    (target / "audio").mkdir(exist_ok=True)
    rows: list[Row] = []

    def keep(row: Row, waveform: np.ndarray) -> None:
        name = f"audio/{row['split']}-{len(rows) + 1:04d}.opus"
        soundfile.write(
            target / name, waveform, RATE, "OPUS", format="OGG", compression_level=COMPRESSION
        )
        rows.append({**row, "file_name": name, "seconds": f"{len(waveform) / RATE:.4f}"})

    spoken: dict[str, list[np.ndarray]] = {split: [] for split in SHARES}
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "clips").mkdir()
        for row, waveform in speech(Path(scratch)):
            keep(row, waveform)
            spoken[row["split"]].append(waveform)
    for row, waveform in sounds(spoken):
        keep(row, waveform)
    with (target / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
