"""Whether a server should answer waiting requests in batches: clips a core-second one by one and in batches.

python benchmarks/batching.py --model models/wav2vec2-small-scooter --output benchmarks/results/batching.json

"mixed" are bundled test clips as they come, batched as far as their padding rule allows (src/speech_intent/features.py:
encoders with group norm take equal lengths only); "equal" are the same clips cut or repeated to 2 s, the most that
batching could ever give. Rounds of both ways alternate; the medians are compared.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from speech_intent import IntentClassifier, audio, data

RATE, SECONDS, BATCH = 16_000, 2.0, 8


def rate(classifier: IntentClassifier, clips: list[tuple[np.ndarray, int]], batch: int) -> float:
    """Predict the clips in batches; give clips for each second that a core was busy."""
    began = time.process_time()
    for i in range(0, len(clips), batch):
        classifier.predict_many(clips[i : i + batch])
    return len(clips) / (time.process_time() - began)


def compare(classifier: IntentClassifier, clips: list[tuple[np.ndarray, int]], rounds: int) -> dict:
    """Measure both ways; give both rates and the gain."""
    rate(classifier, clips[:BATCH], BATCH)
    pairs = [(rate(classifier, clips, 1), rate(classifier, clips, BATCH)) for _ in range(rounds)]
    alone, batched = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"alone_per_core_second": alone, "batched_per_core_second": batched, "gain": batched / alone - 1}


def main() -> None:
    """Measure and write the figures, beside those of other models."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--clips", type=int, default=96, help="(default: %(default)s)")
    p.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    p.add_argument("--output", type=Path, required=True, help="JSON file")
    args = p.parse_args()
    torch.set_num_threads(1)
    classifier = IntentClassifier.from_pretrained(args.model)
    rows = data.load_data("bundled")[0]["test"].shuffle(seed=0)["audio"][: args.clips]
    mixed = [(audio.load(row, RATE), RATE) for row in rows]
    equal = [(np.resize(waveform, int(SECONDS * RATE)), RATE) for waveform, _ in mixed]
    result = {
        "batch": BATCH,
        "clips": len(mixed),
        "mixed": compare(classifier, mixed, args.rounds),
        "equal": compare(classifier, equal, args.rounds),
    }
    results = json.loads(args.output.read_text()) if args.output.exists() else {}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results | {Path(args.model).name: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
