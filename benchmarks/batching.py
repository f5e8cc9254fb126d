"""Whether a server should answer waiting requests in batches: clips a core-second, 1 and 8 a call.

    python benchmarks/batching.py --model models/moonshine-tiny-scooter

The model has its ONNX file, which takes padding. "mixed" are bundled test clips as they come, each
batch filled up to its longest clip; "equal" are the same clips cut or repeated to 2 s, the most
that batching could ever give. Rounds of both alternate; the medians are compared.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from speech_intent import audio, data, features
from speech_intent.model_files import RECORD
from speech_intent.onnx_model import STEP, OnnxModel
from speech_intent.paths import ROOT

RESULT = ROOT / "benchmarks" / "results" / "batching.json"
SECONDS = 2.0
BATCH = 8


def clips_per_core_second(model: OnnxModel, waveforms: list[np.ndarray], batch: int) -> float:
    """Run the model on clips, (n_samples,) each, in batches; count those a busy core answers."""
    began = time.process_time()
    for i in range(0, len(waveforms), batch):
        part = waveforms[i : i + batch]
        model.run(features.model_inputs(part, model.extractor, model.rule, STEP))
    return len(waveforms) / (time.process_time() - began)


def compare(model: OnnxModel, waveforms: list[np.ndarray], rounds: int) -> dict[str, float]:
    """Measure both, after a round that compiles for these lengths; give both rates and the gain."""
    alone = []
    batched = []
    for _ in range(rounds + 1):
        alone.append(clips_per_core_second(model, waveforms, 1))
        batched.append(clips_per_core_second(model, waveforms, BATCH))
    median_alone = statistics.median(alone[1:])
    median_batched = statistics.median(batched[1:])
    return {
        "alone_per_core_second": median_alone,
        "batched_per_core_second": median_batched,
        "gain": median_batched / median_alone - 1,
    }


def main() -> None:
    """Measure and write the figures, beside those of other models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, help=f"exported model folder, with {RECORD}")
    add("--clips", type=int, default=96, help="(default: %(default)s)")
    add("--rounds", type=int, default=5, help="(default: %(default)s)")
    add("--output", type=Path, default=RESULT, help="(default: benchmarks/results/batching.json)")
    args = parser.parse_args()
    model = OnnxModel(args.model, parallel=True)
    rate = model.extractor.sampling_rate
    test = data.load_data().tables["test"].shuffle(seed=0)
    mixed = [audio.load(source, rate) for source in test["audio"][: args.clips]]
    equal = [np.resize(waveform, int(SECONDS * rate)) for waveform in mixed]
    result: dict[str, Any] = {
        "batch": BATCH,
        "clips": len(mixed),
        "precision": model.precision,
        "mixed": compare(model, mixed, args.rounds),
        "equal": compare(model, equal, args.rounds),
    }
    results = {}
    if args.output.exists():
        results = json.loads(args.output.read_text(encoding="utf-8"))
    results[args.model.name] = result
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
