"""Time whisper-base on a 3 s clip: filled up to 30 s as transformers does, and on its own length.

    python benchmarks/whisper_length.py            # some minutes
    python benchmarks/whisper_length.py --table    # the table again, from the stored figures

Both forms have the same random weights, which cost the same as trained ones, and take turns in one
process. A prediction begins with the waveform; a training step with a batch of clips, which are not
augmented. What counts is processor time, which other work on the machine hardly lengthens; torch
has one thread. Writes benchmarks/results/whisper-length.json and a table of docs/speed.md.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from blocks import table, write_block
from speed import machine
from transformers import WhisperConfig, WhisperFeatureExtractor

from speech_intent import IntentClassifier, audio, hub_models, onnx_export
from speech_intent.batches import Collator
from speech_intent.paths import BUNDLED, ROOT
from speech_intent.recipes import Hyperparameters
from speech_intent.whisper import WhisperForAudioClassification

RESULT = ROOT / "benchmarks" / "results" / "whisper-length.json"
BLOCK = (ROOT / "docs" / "speed.md", "whisper: benchmarks/whisper_length.py")
BASE = {  # sizes of openai/whisper-base
    "num_mel_bins": 80,
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_layers": 6,
}
LABELS = [f"intent_{i}" for i in range(9)]
RATE = 16_000  # Hz
CLIP_SECONDS = 3
BATCH = 8  # clips of a training step
TURNS = {"torch": 5, "onnx": 15, "step": 3}  # of both forms; one more comes first, and is left out
CALLS = {"torch": 3, "onnx": 5, "step": 1}  # of one form in its turn; their median is the turn's
MEASURES = {
    "torch": "prediction, torch",
    "onnx": "prediction, exported",
    "step": f"training step, {BATCH} clips",
}


def make_model(folder: Path, cut_to_clip: bool) -> None:
    """Write a classifier of whisper-base's size with random weights, and export it."""
    torch.manual_seed(0)
    config = WhisperConfig(
        **BASE,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
        cut_to_clip=cut_to_clip,
    )
    WhisperForAudioClassification(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    onnx_export.export(folder)


def make_clip() -> np.ndarray:
    """Repeat a bundled clip until it has 3 s: float32, (n_samples,)."""
    source = min((BUNDLED / "audio").iterdir())
    return np.resize(audio.load(source, RATE), CLIP_SECONDS * RATE)


def prediction(folder: Path, engine: str, clip: np.ndarray) -> Callable[[], Any]:
    """Load a model; give what is timed."""
    classifier = IntentClassifier.from_pretrained(folder, engine)
    return lambda: classifier.predict((clip, RATE))


def training_step(folder: Path, clip: np.ndarray) -> Callable[[], Any]:
    """Load a model to be trained; give what is timed: batch, gradient, and new weights."""
    network = WhisperForAudioClassification.from_pretrained(folder).train()
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    numbers = Hyperparameters(augment=False)
    collator = Collator(extractor, network.config, numbers, training=True)
    rows = [
        {"audio": (clip, RATE), "seconds": float(CLIP_SECONDS), "label": i} for i in range(BATCH)
    ]
    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        network(**collator(rows)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def in_turn(name: str, usual: Callable[[], Any], own: Callable[[], Any]) -> dict[str, Any]:
    """Run both in turn: medians in ms, and the median of the ratios turn by turn."""
    turns, calls = TURNS[name], CALLS[name]
    pairs = [(milliseconds(usual, calls), milliseconds(own, calls)) for _ in range(turns + 1)][1:]
    return {
        "usual_ms": median(usual for usual, _ in pairs),
        "own_ms": median(own for _, own in pairs),
        "ratio": median(own / usual for usual, own in pairs),
        "turns": turns,
    }


def milliseconds(work: Callable[[], Any], calls: int) -> float:
    """Count the processor time of calls in a row, of all threads together: the median.

    The first finds caches full of the other form's numbers.
    """
    times = []
    for _ in range(calls):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return median(times)


def measure(work: Path) -> dict[str, Any]:
    """Take every figure."""
    torch.set_num_threads(1)
    folders = [work / "usual", work / "own"]
    for folder in folders:
        make_model(folder, cut_to_clip=folder.name == "own")
    clip = make_clip()
    result: dict[str, Any] = {
        "machine": machine(),
        "precision": [
            IntentClassifier.from_pretrained(folder, "onnx").precision for folder in folders
        ],
    }
    for engine in ("torch", "onnx"):
        sides = [prediction(folder, engine, clip) for folder in folders]
        result[engine] = in_turn(engine, *sides)
        print(engine, result[engine], flush=True)
    sides = [training_step(folder, clip) for folder in folders]
    result["step"] = in_turn("step", *sides)
    print("step", result["step"], flush=True)
    return result


def tables(result: dict[str, Any]) -> str:
    """Write the table of docs/speed.md."""
    rows = []
    for name, words in MEASURES.items():
        row = result[name]
        cells = [f"{row['usual_ms']:.0f} ms", f"{row['own_ms']:.0f} ms", f"{row['ratio']:.2f}"]
        rows.append([words, *cells])
    header = ["whisper-base size, a clip of 3 s", "30 s", "its own length", "ratio"]
    usual, own = result["precision"]
    precision = usual if usual == own else f"{usual} and {own}"
    turns = ", ".join(str(result[name]["turns"]) for name in MEASURES)
    note = f"Processor time, medians of {turns} turns; {result['machine']}. "
    note += f"Precision, exported: {precision}; torch's is float32."
    return "\n".join([*table(header, rows), "", note]) + "\n"


def main() -> None:
    """Measure, store, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not args.table:
        hub_models.quiet_transformers()
        with tempfile.TemporaryDirectory() as work:
            result = measure(Path(work))
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_block(*BLOCK, tables(json.loads(RESULT.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
