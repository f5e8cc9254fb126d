"""Time answers of a loaded model in this process: one side of speed.py. Prints one JSON object.

python benchmarks/speed_warm.py ours|pipeline MODEL_DIR CLIP SECONDSxCLIPS... [--repeat N]
python benchmarks/speed_warm.py ours MODEL_DIR LONG_FILE      # how far memory rises above the model
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

CLIP_SAMPLES = 48_000
WARM_UP = 2  # answers that compile for a length


class Ours:
    """A classifier of the package."""

    def __init__(self, model: str, rate: int):
        """Load the model; `rate`, that of the clips, is the model's."""
        from speech_intent import IntentClassifier

        self.classifier = IntentClassifier.from_pretrained(model)
        self.precision = self.classifier.precision
        self.rate = rate

    def answer(self, waveforms: list[np.ndarray]) -> None:
        """Classify waveforms, (n_samples,) each, in one call."""
        if len(waveforms) == 1:
            self.classifier.predict((waveforms[0], self.rate))
        else:
            self.classifier.model(waveforms)


class Pipeline:
    """The same with transformers."""

    precision = "float32"

    def __init__(self, model: str, rate: int):
        """Load the model."""
        from transformers import pipeline

        import speech_intent  # noqa: F401  # makes Moonshine's classifier known

        self.classify = pipeline("audio-classification", model=model, trust_remote_code=False)
        self.rate = rate

    def answer(self, waveforms: list[np.ndarray]) -> None:
        """Classify waveforms, (n_samples,) each, one by one."""
        for waveform in waveforms:
            self.classify({"raw": waveform, "sampling_rate": self.rate})


def memory(name: str) -> float:
    """Read this process's memory, VmRSS or VmHWM, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024


def milliseconds(
    answer: Callable[[list[np.ndarray]], None], waveforms: list[np.ndarray], repeat: int
) -> float:
    """Give the median time of a clip."""
    times = []
    for _ in range(repeat + WARM_UP):
        began = time.perf_counter()
        answer(waveforms)
        times.append(1000 * (time.perf_counter() - began) / len(waveforms))
    return statistics.median(times[WARM_UP:])


def megabytes_above(side: Ours, clip: np.ndarray, long_file: str) -> float:
    """Answer a long file; give how far memory rises above that of the loaded model."""
    side.answer([clip])
    loaded = memory("VmRSS")
    side.classifier.predict(long_file)
    return memory("VmHWM") - loaded


def main() -> None:
    """Print the figures of one side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("side", choices=["ours", "pipeline"])
    parser.add_argument("model")
    parser.add_argument("clip")
    parser.add_argument("shapes", nargs="*")
    parser.add_argument("--repeat", type=int, default=20)
    args = parser.parse_args()
    clip, rate = soundfile.read(args.clip, dtype="float32", frames=CLIP_SAMPLES)
    side: Ours | Pipeline
    side = Ours(args.model, rate) if args.side == "ours" else Pipeline(args.model, rate)
    result: dict[str, Any] = {"precision": side.precision, "ms": {}}
    for shape in args.shapes:
        seconds, n_clips = map(int, shape.split("x"))
        waveforms = [np.resize(np.roll(clip, i), seconds * rate) for i in range(n_clips)]
        result["ms"][shape] = milliseconds(side.answer, waveforms, args.repeat)
    if not args.shapes and isinstance(side, Ours):
        result["megabytes_above"] = megabytes_above(side, clip, args.clip)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
