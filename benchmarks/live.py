"""Are requests found, and answered rightly and soon, in minutes of noise, music and other speech?

    python benchmarks/live.py --models commands=MODEL digits=MODEL --data commands=FOLDER \\
      digits=FOLDER --words FOLDER
    python benchmarks/live.py --table       # again, from benchmarks/results/live.json

A model is tested on what it was not trained on of its folder of people's recordings. Clips are
spliced into noise, chords or words of other people, 2 to 4 s apart, at times that are known. WORDS
has recordings of other people's words. Writes a block of docs/listening.md. One core is used.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from blocks import table, write_block
from speed import machine
from tqdm import tqdm

from speech_intent import audio, command_line, held_out, signals
from speech_intent.audio import SUFFIXES
from speech_intent.listening import Listener, Pauses, Request
from speech_intent.paths import ROOT
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import resolve
from speech_intent.voice_activity import CHUNK, RATE

RESULT = ROOT / "benchmarks" / "results" / "live.json"
BLOCK = (ROOT / "docs" / "listening.md", "live: benchmarks/live.py")
BACKGROUNDS = ("noise", "music", "speech")
RATIOS = (20, 10, 5)  # dB, of a clip's speech to the background
LEVEL = 0.05  # root mean square of the speech in a clip
GAPS = (2.0, 4.0)  # seconds between two clips
LEAD = 10.0  # seconds of background before the first
HAND = 0.1  # seconds on both sides of a clip that is cut out by hand
FRAME = 160  # samples, 10 ms
AUDIBLE = 35.0  # dB below a clip's loudest frame: what is weaker at its ends is no speech
HOUR = 3_600  # seconds

Result = dict[str, Any]


@dataclass(frozen=True)
class Spoken:
    """A clip in a stream."""

    intent: str
    start: float  # seconds
    end: float


@dataclass(frozen=True)
class Heard:
    """A request that was found, and what became of it."""

    start: float
    end: float
    heard_until: float
    took: float  # seconds of the model
    guess: str
    accepted: bool


def speech_of(clip: np.ndarray) -> np.ndarray:
    """Cut silence off both ends of a clip, and make its speech as loud as all others'."""
    frames = clip[: len(clip) - len(clip) % FRAME].reshape(-1, FRAME)
    power = np.maximum((frames**2).mean(axis=1), 1e-12)
    audible = np.flatnonzero(power > power.max() * 10 ** (-AUDIBLE / 10))
    cut = clip[audible[0] * FRAME : (audible[-1] + 1) * FRAME]
    return LEVEL * cut / np.sqrt(np.mean(cut**2))


def background(
    kind: str, n_samples: int, words: list[Path], rng: np.random.Generator
) -> np.ndarray:
    """Make noise, chords or other people's words, root mean square 1: (n_samples,)."""
    if kind == "speech":
        return other_speech(n_samples, words, rng)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < n_samples:
        n = int(rng.uniform(10, 30) * RATE)
        if kind == "music":
            part = signals.music(n, RATE, rng)
        else:
            part = signals.coloured_noise(n, RATE, rng.uniform(0, 2), rng)
        parts.append(part / np.sqrt(np.mean(part**2)))
    return np.concatenate(parts)[:n_samples]


def other_speech(n_samples: int, words: list[Path], rng: np.random.Generator) -> np.ndarray:
    """Let other people say words, with pauses up to a second; their speech has the power 1."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < n_samples:
        word = speech_of(audio.load(words[rng.integers(len(words))], RATE)) / LEVEL
        parts += [word, np.zeros(int(rng.uniform(0.1, 1) * RATE))]
    return np.concatenate(parts)[:n_samples]


def splice(
    clips: list[tuple[str, np.ndarray]], kind: str, ratio: float, words: list[Path], seed: int
) -> tuple[np.ndarray, list[Spoken]]:
    """Put clips (intent, waveform) into a background: the stream (n_samples,), and what is said."""
    rng = np.random.default_rng(seed)
    places = []
    place = round(LEAD * RATE)
    for _, clip in clips:
        places.append(place)
        place += len(clip) + round(rng.uniform(*GAPS) * RATE)
    stream = background(kind, place, words, rng) * LEVEL * 10 ** (-ratio / 20)
    spoken = []
    for (intent, clip), start in zip(clips, places, strict=True):
        stream[start : start + len(clip)] += clip
        spoken.append(Spoken(intent, start / RATE, (start + len(clip)) / RATE))
    return stream.astype(np.float32), spoken


def listen(classifier: IntentClassifier, stream: np.ndarray, pauses: Pauses) -> Iterator[Heard]:
    """Let a classifier hear a stream as it would come from a microphone."""
    listener = Listener(pauses)
    for start in range(0, len(stream), CHUNK):
        for event in listener.hear(stream[start : start + CHUNK]):
            if isinstance(event, Request):
                began = time.perf_counter()
                found = classifier.predict((event.waveform, RATE))
                took = time.perf_counter() - began
                times = (event.start, event.end, event.heard_until, took)
                yield Heard(*times, found.label, found.accepted)


def by_hand(classifier: IntentClassifier, stream: np.ndarray, spoken: Spoken) -> bool:
    """Whether a clip that is cut out of a stream by hand gets its intent."""
    start = round((spoken.start - HAND) * RATE)
    end = round((spoken.end + HAND) * RATE)
    return classifier.predict((stream[start:end], RATE)).label == spoken.intent


def overlap(heard: Heard, spoken: Spoken) -> float:
    """How long both last together, in seconds."""
    return min(heard.end, spoken.end) - max(heard.start, spoken.start)


def score(
    classifier: IntentClassifier, stream: np.ndarray, spoken: list[Spoken], pauses: Pauses
) -> Result:
    """Listen to a stream, and compare with what is said in it."""
    began = time.process_time()
    heard = list(listen(classifier, stream, pauses))
    seconds = time.process_time() - began
    result: Result = {"n": len(spoken), "found": 0, "answered": 0, "right": 0, "by_hand": 0}
    delays = []
    matched = set()
    for each in spoken:
        meeting = [i for i, one in enumerate(heard) if overlap(one, each) > 0]
        matched.update(meeting)
        if not meeting:
            continue
        result["found"] += 1
        best = heard[max(meeting, key=lambda i: overlap(heard[i], each))]
        result["answered"] += any(heard[i].accepted for i in meeting)
        result["right"] += best.guess == each.intent
        result["by_hand"] += by_hand(classifier, stream, each)
        delays.append(best.heard_until - each.end - pauses.silence + best.took)
    others = [one for i, one in enumerate(heard) if i not in matched]
    result["others"] = len(others)
    result["others_answered"] = sum(one.accepted for one in others)
    audio_seconds = len(stream) / RATE
    return result | {"delays": delays, "seconds": audio_seconds, "processor": seconds}


def test_clips(model: str, folder: str, n: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """Draw clips of a folder that a model was not trained on: (intent, speech)."""
    splits = held_out.load_splits(model, resolve("bundled", data=folder))
    rows = splits.tables["test"]
    names = rows.features["label"].names
    drawn = np.random.default_rng(seed).permutation(len(rows))[:n]
    return [
        (names[rows[int(i)]["label"]], speech_of(audio.load(rows[int(i)]["audio"], RATE)))
        for i in drawn
    ]


def hour_of(kind: str, seed: int) -> Iterator[np.ndarray]:
    """Make an hour without requests, minute by minute, each as loud as it happens to be."""
    for minute in range(HOUR // 60):
        rng = np.random.default_rng((seed, minute))
        n_samples = 60 * RATE
        if kind == "silence":
            part = rng.standard_normal(n_samples) * 10 ** rng.uniform(-5, -3)
        else:
            part = background(kind, n_samples, [], rng) * 10 ** rng.uniform(-2, -0.7)
        yield part.astype(np.float32)


def answers_without_requests(classifier: IntentClassifier, seed: int) -> Result:
    """Count what is answered in an hour of noise, of chords and of silence; watch the memory."""
    result: Result = {}
    for kind in ("noise", "music", "silence"):
        listener = Listener()
        requests = answered = 0
        memory = []
        for minute in hour_of(kind, seed):
            for start in range(0, len(minute), CHUNK):
                for event in listener.hear(minute[start : start + CHUNK]):
                    if isinstance(event, Request):
                        requests += 1
                        answered += classifier.predict((event.waveform, RATE)).accepted
            memory.append(psutil.Process().memory_info().rss / 1e6)
        growth = memory[-1] - memory[0]
        result[kind] = {"requests": requests, "answered": answered, "growth_megabytes": growth}
        tqdm.write(f"an hour of {kind}: {result[kind]}")
    return result


def measure(model: str, folder: str, words: list[Path], args: argparse.Namespace) -> Result:
    """Measure one model on all streams."""
    classifier = IntentClassifier.from_pretrained(model, parallel=True)
    clips = test_clips(model, folder, args.clips, args.seed)
    classifier.predict((clips[0][1], RATE))  # the first answer takes longer
    pauses = Pauses.like(classifier.margins)
    streams = {}
    for kind in BACKGROUNDS:
        for ratio in RATIOS:
            stream, spoken = splice(clips, kind, ratio, words, args.seed)
            found = score(classifier, stream, spoken, pauses)
            streams[f"{kind} {ratio}"] = found
            late = np.round(np.percentile(found["delays"] or [0], [50, 99]), 3)
            shown = {key: value for key, value in found.items() if key != "delays"}
            tqdm.write(f"{kind}, {ratio} dB: {shown} {late}")
    hours = {} if args.quick else answers_without_requests(classifier, args.seed)
    return {"pauses": asdict(pauses), "streams": streams, "hours": hours}


def together(results: Result, ratio: int, kinds: tuple[str, ...] = BACKGROUNDS) -> Result:
    """Add up the streams of one ratio, over models and backgrounds."""
    parts = [
        model["streams"][f"{kind} {ratio}"]
        for model in results["models"].values()
        for kind in kinds
    ]
    counted = ("n", "found", "answered", "right", "by_hand", "others", "others_answered")
    sums: Result = {key: sum(part[key] for part in parts) for key in counted}
    return sums | {"delays": [late for part in parts for late in part["delays"]]}


def share(n: int, of: int) -> str:
    """Write a share with what it is of."""
    return f"{n / of:.3f} = {n}/{of}"


def stream_rows(results: Result) -> list[list[str]]:
    """Lay out what was found, a row a ratio, all backgrounds together and each."""
    rows = []
    for kinds in (BACKGROUNDS, *((kind,) for kind in BACKGROUNDS)):
        for ratio in RATIOS:
            sums = together(results, ratio, kinds)
            late = np.percentile(sums["delays"], [50, 99]) * 1000
            name = "all" if len(kinds) > 1 else kinds[0]
            rows.append(
                [
                    name,
                    f"{ratio} dB",
                    share(sums["found"], sums["n"]),
                    share(sums["answered"], sums["n"]),
                    share(sums["right"], sums["found"]),
                    share(sums["by_hand"], sums["found"]),
                    f"{sums['others_answered']} of {sums['others']}",
                    f"{late[0]:.0f} / {late[1]:.0f} ms",
                ]
            )
    return rows


def hour_rows(results: Result) -> list[list[str]]:
    """Lay out the hours without requests."""
    return [
        [
            name,
            kind,
            str(hour["requests"]),
            str(hour["answered"]),
            f"{hour['growth_megabytes']:.1f} MB",
        ]
        for name, model in results["models"].items()
        for kind, hour in model["hours"].items()
    ]


def tables(results: Result) -> str:
    """Write the block."""
    header = ["background", "speech above it", "found", "answered", "right intent of those found"]
    header += ["the same cut by hand", "answered without a request", "delay, median / p99"]
    lines = table(header, stream_rows(results))
    hours = ["model", "an hour of", "taken for speech", "answered", "memory, minute 60 above 1"]
    lines += ["", *table(hours, hour_rows(results))]
    streams = [part for model in results["models"].values() for part in model["streams"].values()]
    factor = sum(part["processor"] for part in streams) / sum(part["seconds"] for part in streams)
    lines += [
        "",
        f"{results['clips']} clips a stream, seed {results['seed']}; models: "
        f"{', '.join(results['models'])}. Real-time factor of one stream, models included, one "
        f"core: {factor:.3f}. {results['machine']}.",
    ]
    return "\n".join(lines) + "\n"


def run(args: argparse.Namespace) -> None:
    """Measure all models, and store and write the results."""
    if args.table:
        write_block(*BLOCK, tables(json.loads(RESULT.read_text(encoding="utf-8"))))
        return
    words = sorted(path for path in args.words.rglob("*") if path.suffix in SUFFIXES)
    folders = pairs(args.data)
    models = {
        name: measure(model, folders[name], words, args)
        for name, model in pairs(args.models).items()
    }
    results = {"machine": machine(), "clips": args.clips, "seed": args.seed, "models": models}
    if args.quick:
        print(tables(results))
        return
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_block(*BLOCK, tables(results))


def pairs(texts: list[str]) -> dict[str, str]:
    """Read NAME=VALUE arguments."""
    return dict(text.split("=", 1) for text in texts)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", default=[], metavar="NAME=MODEL")
    add("--data", nargs="+", default=[], metavar="NAME=FOLDER")
    add("--words", type=Path, metavar="FOLDER")
    add("--clips", type=int, default=150, help="of a stream (default: %(default)s)")
    add("--seed", type=int, default=0, help="(default: %(default)s)")
    add("--quick", action="store_true", help="no hours without requests; stores nothing")
    add("--table", action="store_true")
    args = parser.parse_args()
    return command_line.exit_status(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
