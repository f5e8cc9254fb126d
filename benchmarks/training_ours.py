"""Train by the package's own Trainer: one side of training.py. Prints one JSON object.

python benchmarks/training_ours.py MODEL_DIR DATA_DIR OUTPUT_DIR [--seed N]
"""

import argparse
import json
import time
from pathlib import Path

from datasets import load_from_disk
from transformers import IntervalStrategy

from speech_intent import hub_models, model
from speech_intent.recipes import Hyperparameters
from speech_intent.trainer import build_trainer

# What the other side leaves at transformers' defaults; without augmentation, as it does without.
LEARNING_RATE = 5e-5


def main() -> None:
    """Train one epoch, validation and checkpoint included, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model_dir", "data_dir", "output_dir"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    hub_models.quiet_transformers()
    numbers = Hyperparameters(
        epochs=1,
        learning_rate=LEARNING_RATE,
        warmup=0.0,
        weight_decay=0.0,
        augment=False,
        freeze="features",
        seed=args.seed,
    )
    tables = load_from_disk(args.data_dir)
    labels = tables["train"].features["label"].names
    classifier = model.build_model(args.model_dir, labels, seed=args.seed)
    model.freeze(classifier, numbers.freeze)
    trainer = build_trainer(classifier, tables, numbers, args.output_dir)
    trainer.args.logging_strategy = IntervalStrategy.STEPS
    trainer.args.logging_steps = 1
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    history = trainer.state.log_history
    result = {
        "seconds": seconds,
        "losses": [entry["loss"] for entry in history if "loss" in entry],
        "validation_loss": next(entry["eval_loss"] for entry in history if "eval_loss" in entry),
        "bfloat16": trainer.args.bf16,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
