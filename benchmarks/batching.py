"""Whether a server should answer waiting requests in batches: clips a core-second one by one and eight at a time.

    python benchmarks/batching.py --model models/wav2vec2-small-scooter

The model has its ONNX file, which takes padding. "mixed" are bundled test clips as they come, each batch filled up to
its longest clip; "equal" are the same clips cut or repeated to 2 s, the most that batching could ever give. Rounds of
both ways alternate; the medians are compared.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from speech_intent import IntentClassifier, audio, data, features
from speech_intent.engine import STEP

RESULT = Path(__file__).resolve().parent / "results" / "batching.json"
RATE, SECONDS, BATCH = 16_000, 2.0, 8


def rate(classifier: IntentClassifier, clips: list[np.ndarray], batch: int) -> float:
    """Run the model on clips in batches; give clips for each second that a core was busy."""
    began = time.process_time()
    for i in range(0, len(clips), batch):
        classifier.model(features.model_inputs(clips[i : i + batch], classifier.extractor, classifier.model.rule, STEP))
    return len(clips) / (time.process_time() - began)


def compare(classifier: IntentClassifier, clips: list[np.ndarray], rounds: int) -> dict:
    """Measure both ways, after a round to compile what these lengths need; give both rates and the gain."""
    pairs = [(rate(classifier, clips, 1), rate(classifier, clips, BATCH)) for _ in range(rounds + 1)][1:]
    alone, batched = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"alone_per_core_second": alone, "batched_per_core_second": batched, "gain": batched / alone - 1}


def main() -> None:
    """Measure and write the figures, beside those of other models."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--clips", type=int, default=96, help="(default: %(default)s)")
    p.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    p.add_argument("--output", type=Path, default=RESULT, help="JSON file (default: benchmarks/results/batching.json)")
    args = p.parse_args()
    classifier = IntentClassifier.from_pretrained(args.model, engine="onnx", parallel=True)
    rows = data.load_data("bundled")[0]["test"].shuffle(seed=0)["audio"][: args.clips]
    mixed = [audio.load(row, RATE) for row in rows]
    equal = [np.resize(waveform, int(SECONDS * RATE)) for waveform in mixed]
    result = {
        "batch": BATCH,
        "clips": len(mixed),
        "precision": classifier.precision,
        "mixed": compare(classifier, mixed, args.rounds),
        "equal": compare(classifier, equal, args.rounds),
    }
    results = json.loads(args.output.read_text()) if args.output.exists() else {}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results | {Path(args.model).name: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
