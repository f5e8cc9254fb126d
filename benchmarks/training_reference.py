"""Train as transformers' audio classification example does: the other side of training.py.

    python benchmarks/training_reference.py MODEL_DIR DATA_DIR OUTPUT_DIR

What `run_audio_classification.py` leaves at its defaults is left there: every batch is filled up to
its longest clip, clips come in random order, all is float32, convolutions are frozen. Clips are
read by soundfile, since decoding by datasets would need one more package. Prints one JSON object.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch  # first: the threads of this side wait as they do by default
from datasets import Dataset, load_from_disk
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

import speech_intent  # noqa: F401  # makes Moonshine's classifier known

MAX_SECONDS = 20.0


def random_part(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Take `MAX_SECONDS` from anywhere in a longer clip (n_samples,)."""
    n_samples = round(MAX_SECONDS * rate)
    if len(waveform) <= n_samples:
        return waveform
    start = random.randint(0, len(waveform) - n_samples - 1)
    return waveform[start : start + n_samples]


def prepared(table: Dataset, extractor: Any, training: bool) -> Dataset:
    """Let a table give model inputs instead of files, a batch at a time."""
    rate = extractor.sampling_rate
    name = extractor.model_input_names[0]

    def transform(rows: dict[str, list]) -> dict[str, list]:
        waveforms = [soundfile.read(clip["path"], dtype="float32")[0] for clip in rows["audio"]]
        if training:
            waveforms = [random_part(waveform, rate) for waveform in waveforms]
        inputs = extractor(waveforms, sampling_rate=rate)
        return {name: inputs[name], "labels": rows["label"]}

    return table.with_transform(transform)


def main() -> None:
    """Train one epoch, score the validation clips, and say what it took."""
    model_dir, data_dir, output_dir = map(Path, sys.argv[1:])
    tables = load_from_disk(data_dir)
    set_seed(42)
    extractor = AutoFeatureExtractor.from_pretrained(model_dir, return_attention_mask=True)
    network = AutoModelForAudioClassification.from_pretrained(model_dir, trust_remote_code=False)
    if hasattr(network, "freeze_feature_encoder"):  # Whisper has none
        network.freeze_feature_encoder()
    arguments = TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=1,
        logging_steps=1,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )
    trainer = Trainer(
        model=network,
        args=arguments,
        train_dataset=prepared(tables["train"], extractor, training=True),
        eval_dataset=prepared(tables["validation"], extractor, training=False),
        processing_class=extractor,
    )
    began = time.perf_counter()
    trainer.train()
    trainer.save_model()
    scores = trainer.evaluate()
    seconds = time.perf_counter() - began
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    result = {
        "seconds": seconds,
        "losses": losses,
        "validation_loss": scores["eval_loss"],
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
