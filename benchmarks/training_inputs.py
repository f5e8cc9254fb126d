"""Make what both sides of training.py train on: an encoder with random weights, and clips.

python benchmarks/training_inputs.py ENCODER N_CLIPS FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Value
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from speech_intent.moonshine import MoonshineForAudioClassification
from speech_intent.paths import MOONSHINE

RATE = 16_000  # Hz
LABELS = [f"intent_{i}" for i in range(9)]
SECONDS = (1.0, 8.0)
LOWEST = 200.0  # Hz, of the first intent's tone; the others' follow
STEP = 1.5  # from one tone to the next
NOISE = 0.05
VALIDATION_SHARE = 0.1  # as many again as clips are trained on


def make_encoder(name: str, folder: Path) -> None:
    """Save a classifier of the true size with random weights, and its feature extractor."""
    torch.manual_seed(0)
    labels = {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: i for i, label in enumerate(LABELS)},
    }
    network: PreTrainedModel
    if name == "wav2vec2":  # the defaults are those of wav2vec2-base
        network = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**labels))
        extractor = Wav2Vec2FeatureExtractor()
    elif name == "whisper":
        network = WhisperForAudioClassification(whisper_base(labels))
        extractor = WhisperFeatureExtractor()
    else:
        config = AutoConfig.from_pretrained(MOONSHINE, **labels)
        network = MoonshineForAudioClassification(config)
        extractor = AutoFeatureExtractor.from_pretrained(MOONSHINE)
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)


def whisper_base(labels: dict[str, dict]) -> WhisperConfig:
    """Give the numbers of Whisper base."""
    return WhisperConfig(
        d_model=512,
        encoder_layers=6,
        encoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_layers=6,
        decoder_attention_heads=8,
        decoder_ffn_dim=2048,
        **labels,
    )


def make_clips(folder: Path, n: int, rng: np.random.Generator) -> Dataset:
    """Write clips of 1 to 8 s, each a tone that tells its intent, in noise; return their table."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list] = {"audio": [], "label": [], "seconds": []}
    for i in range(n):
        label = i % len(LABELS)
        n_samples = round(rng.uniform(*SECONDS) * RATE)
        time = np.arange(n_samples) / RATE
        frequency = LOWEST * STEP**label
        tone = rng.uniform(0.05, 0.5) * np.sin(2 * np.pi * (frequency * time + rng.random()))
        path = folder / f"{i}.wav"
        soundfile.write(path, tone + NOISE * rng.standard_normal(n_samples), RATE)
        columns["audio"].append({"bytes": None, "path": str(path)})
        columns["label"].append(label)
        columns["seconds"].append(n_samples / RATE)
    table = Dataset.from_dict(columns).cast_column("seconds", Value("float32"))
    return table.cast_column("label", ClassLabel(names=LABELS))


def main() -> None:
    """Write `model/` and `data/`."""
    name, n_clips, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    rng = np.random.default_rng(0)
    tables = {
        split: make_clips(folder / split, n, rng)
        for split, n in (("train", n_clips), ("validation", round(VALIDATION_SHARE * n_clips)))
    }
    DatasetDict(tables).save_to_disk(folder / "data")
    make_encoder(name, folder / "model")
    print(f"{folder}: made")


if __name__ == "__main__":
    main()
