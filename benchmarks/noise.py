"""Accuracy of a classifier on the bundled test split as it is and with noise added.

    python benchmarks/noise.py --model models/wav2vec2-small-scooter --snr 10 --output runs/noise.json

Noise is white or pink, at a signal-to-noise ratio over the whole clip. Each clip has its own fixed seed.
"""

import argparse
import json
from pathlib import Path

import torch
import torchaudio.functional as F
from tqdm import tqdm

from speech_intent import audio, data, metrics
from speech_intent.predict import IntentClassifier


def noise_like(waveform: torch.Tensor, kind: str, seed: int) -> torch.Tensor:
    """Make white or pink (power as 1 / frequency) noise of a waveform's length (n_samples,)."""
    white = torch.randn(waveform.shape, generator=torch.Generator().manual_seed(seed))
    if kind == "white":
        return white
    spectrum = torch.fft.rfft(white)
    return torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1).sqrt(), len(white))


def main() -> None:
    """Score the clean clips, then each kind of noise."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--snr", type=float, default=10.0, help="dB (default: %(default)s)")
    p.add_argument("--output", type=Path, required=True, help="JSON file")
    args = p.parse_args()
    classifier = IntentClassifier.from_pretrained(args.model)
    table = data.load_data("bundled")[0]["test"]
    names, rate = table.features["label"].names, classifier.extractor.sampling_rate
    results = {}
    for kind in ("clean", "white", "pink"):
        correct = 0
        for i, row in enumerate(tqdm(table, desc=kind)):
            waveform = torch.from_numpy(audio.load(row["audio"], rate))
            if kind != "clean":
                waveform = F.add_noise(waveform, noise_like(waveform, kind, i), torch.tensor(args.snr))
            correct += classifier.predict((waveform.numpy(), rate)).label == names[row["label"]]
        interval = metrics.wilson_interval(correct, len(table))
        results[kind] = {"n": len(table), "correct": correct, "accuracy": correct / len(table), "interval": interval}
        print(kind, results[kind], flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"model": args.model, "snr_db": args.snr, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
