"""What an answer costs on each side of transcribe_first.py, each in a process of its own.

python benchmarks/transcribe_costs.py ours MODEL_DIR CLIPS
python benchmarks/transcribe_costs.py transcribed TEXT_CLASSIFIER CLIPS

These print one JSON object. CLIPS is a folder of WAV files at 16 kHz, which are answered one at a
time, each from the waveform to the intent; the first ones come twice and count once. Linux only.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from speed import run
from speed_warm import memory
from transcripts import RATE, Recogniser

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SIDES = ("ours", "transcribed")
WARM_UP = 10  # clips
TURNS = 3  # of both sides

Answer = Callable[[np.ndarray], str]  # waveform, float32, (n_samples,), to intent
Costs = dict[str, Any]


def ours(model: Path) -> tuple[Answer, Costs]:
    """Load a classifier of the package; give what answers, and what it computes in."""
    from speech_intent import IntentClassifier

    classifier = IntentClassifier.from_pretrained(model)
    record = {"engine": classifier.engine, "precision": classifier.precision}
    return lambda waveform: classifier.predict((waveform, RATE)).label, record


def transcribed(text_classifier: Path) -> tuple[Answer, Costs]:
    """Load the recogniser and a classifier of texts, which scikit-learn fitted."""
    import joblib  # late: the other side is to do without scikit-learn's memory

    recogniser = Recogniser()
    classifier = joblib.load(text_classifier)
    return lambda waveform: classifier.predict([recogniser(waveform)])[0], {}


def milliseconds(answer: Answer, waveforms: list[np.ndarray]) -> float:
    """Give the median time of a clip, of a side that is warm."""
    for waveform in waveforms[:WARM_UP]:
        answer(waveform)
    times = []
    for waveform in waveforms:
        began = time.perf_counter()
        answer(waveform)
        times.append(1000 * (time.perf_counter() - began))
    return median(times)


def costs(model: Path, classifier: "Pipeline", waveforms: list[np.ndarray]) -> Costs:
    """Time both sides in turn on waveforms, (n_samples,) each; give medians over the turns."""
    import joblib

    with tempfile.TemporaryDirectory() as work:
        for i, waveform in enumerate(waveforms):
            soundfile.write(Path(work) / f"{i:04d}.wav", waveform, RATE, subtype="FLOAT")
        text_classifier = Path(work) / "text.joblib"
        joblib.dump(classifier, text_classifier)
        models = dict(zip(SIDES, (model, text_classifier), strict=True))
        turns = [
            {side: run(__file__, side, path, work).said() for side, path in models.items()}
            for _ in range(TURNS)
        ]
    result: Costs = {}
    for side in SIDES:
        result[side] = turns[0][side]
        for figure in ("ms", "megabytes"):
            result[side][figure] = median([turn[side][figure] for turn in turns])
    return result


def main() -> None:
    """Print what one side took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("model", type=Path)
    parser.add_argument("clips", type=Path)
    args = parser.parse_args()
    paths = sorted(args.clips.glob("*.wav"))
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in paths]
    load = ours if args.side == "ours" else transcribed
    answer, record = load(args.model)
    figures = {"ms": milliseconds(answer, waveforms), "megabytes": memory("VmHWM")}
    print(json.dumps({**figures, **record}))


if __name__ == "__main__":
    main()
