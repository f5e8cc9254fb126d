"""Make a classifier of wav2vec2-base's size with random weights, which cost the same.

python benchmarks/random_base.py FOLDER
"""

import sys

import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

LABELS = [f"intent_{i}" for i in range(9)]


def main() -> None:
    """Save model and feature extractor."""
    folder = sys.argv[1]
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    print(f"{folder}: made")


if __name__ == "__main__":
    main()
