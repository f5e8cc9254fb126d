"""Time answers of a loaded model in this process: one side of speed.py. Prints one JSON object.

python benchmarks/speed_warm.py ours|pipeline MODEL_DIR CLIP SECONDSxCLIPS... [--repeat N]
python benchmarks/speed_warm.py ours MODEL_DIR LONG_FILE      # how far memory rises above the loaded model
"""

import argparse
import json
import re
import statistics
import time
from pathlib import Path

import numpy as np
import soundfile

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("side", choices=["ours", "pipeline"])
p.add_argument("model")
p.add_argument("clip")
p.add_argument("shapes", nargs="*")
p.add_argument("--repeat", type=int, default=20)
args = p.parse_args()
clip, rate = soundfile.read(args.clip, dtype="float32", frames=48_000)
precision = "float32"

if args.side == "ours":
    from speech_intent import IntentClassifier

    classifier = IntentClassifier.from_pretrained(args.model)
    precision = classifier.precision

    def answer(waveforms: list[np.ndarray]) -> None:
        """Classify waveforms in one call."""
        classifier.predict_many([(waveform, rate) for waveform in waveforms])
else:
    from transformers import pipeline

    classify = pipeline("audio-classification", model=args.model)

    def answer(waveforms: list[np.ndarray]) -> None:
        """Classify waveforms one by one."""
        for waveform in waveforms:
            classify({"raw": waveform, "sampling_rate": rate})


def memory(name: str) -> float:
    """Read this process's memory, VmRSS or VmHWM, in MB."""
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


result: dict = {"precision": precision, "ms": {}}
for shape in args.shapes:
    seconds, n_clips = map(int, shape.split("x"))
    waveforms, times = [np.resize(np.roll(clip, i), seconds * rate) for i in range(n_clips)], []
    for _ in range(args.repeat + 2):  # the first two compile for this length
        began = time.perf_counter()
        answer(waveforms)
        times.append(1000 * (time.perf_counter() - began) / n_clips)
    result["ms"][shape] = statistics.median(times[2:])
if not args.shapes:
    answer([clip])
    loaded = memory("VmRSS")
    classifier.predict(args.clip)
    result["megabytes_above"] = memory("VmHWM") - loaded
print(json.dumps(result))
