"""What a user of the Hub does, in a process of its own: the environment that names the local Hub is read on import.

python tests/hub_client.py FUNCTION ARGUMENTS...
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from tiny import TINY, WHISPER

from speech_intent.recipes import RECIPES

RATE = 8_000  # Hz, as MInDS-14 and Skit-S2I
MINDS14 = ("abroad", "address", "app_error", "atm_limit", "balance", "business_loan", "card_issues")
MINDS14 += ("cash_deposit", "direct_debit", "freeze", "high_value_payment", "joint_account", "latest_transactions")
MINDS14 += ("pay_bill",)
SCOOTER = ("About_iQube", "Locate_Dealer", "Running_operating_cost", "Top_speed", "battery", "bike_modes", "book_now")
SCOOTER += ("casual_talk_goodbye", "casual_talk_greeting")


def clip(label: int, i: int) -> dict:
    """A tone of 0.5 s as WAV bytes, as a Hub dataset stores audio."""
    t = np.arange(RATE // 2) / RATE
    wave = 0.4 * np.sin(2 * np.pi * ((200 + 211 * label) * t + 0.1 * i)) + 0.002 * np.random.default_rng(
        i
    ).standard_normal(len(t))
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="WAV", subtype="PCM_16")
    return {"bytes": file.getvalue(), "path": f"{label}_{i}.wav"}


def rows(labels: int, each: int, audio: str = "audio", **columns) -> dict:
    """Columns of a dataset with `each` clips a label; a column is made by its function of (label, i)."""
    pairs = [(label, i) for label in range(labels) for i in range(each)]
    return {audio: [clip(*pair) for pair in pairs]} | {
        name: [make(*pair) for pair in pairs] for name, make in columns.items()
    }


def parquet(columns: dict, path: Path, empty: bool = False, **kinds) -> None:
    """Write a Parquet file with an Audio column, as `push_to_hub` leaves it."""
    from datasets import Audio, Dataset

    table = Dataset.from_dict(columns)
    for name, kind in kinds.items():
        table = table.cast_column(name, kind)
    table = table.cast_column("audio", Audio(decode=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    (table.select(range(0)) if empty else table).to_parquet(path)


def upload(repo: str, folder: Path, kind: str, revision: str | None = None) -> None:
    """Put a folder on the Hub."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repo, repo_type=kind, exist_ok=True)
    if revision:  # it starts as a copy of main
        api.create_branch(repo, branch=revision, repo_type=kind)
        for name in api.list_repo_files(repo, repo_type=kind, revision=revision):
            if name.endswith(".py"):
                api.delete_file(name, repo, repo_type=kind, revision=revision)
    api.upload_folder(folder_path=folder, repo_id=repo, repo_type=kind, revision=revision)


def put(repo: str, folder: str) -> None:
    """Put a model folder on the Hub as it is."""
    upload(repo, Path(folder), "model")


def make_datasets(root: str) -> None:
    """Put datasets of the seeds' schemas on the Hub."""
    from datasets import ClassLabel

    root = Path(root)
    scooter = rows(9, 6, label=lambda label, i: SCOOTER[label])
    parquet(scooter, root / "scooter" / "data" / "train-00000.parquet")
    upload(RECIPES["scooter"].data, root / "scooter", "dataset")

    minds = rows(
        14,
        5,
        path=lambda label, i: f"en-US~X/{label}_{i}.wav",
        transcription=lambda label, i: "a request",
        english_transcription=lambda label, i: "a request",
        intent_class=lambda label, i: label,
        lang_id=lambda label, i: 4,
    )
    (root / "minds").mkdir()
    (root / "minds" / "minds14.py").write_text("import datasets\n")
    upload(RECIPES["minds14"].data, root / "minds", "dataset")
    for config in ("en-US", "all"):
        parquet(
            minds, root / "converted" / config / "train" / "0000.parquet", intent_class=ClassLabel(names=list(MINDS14))
        )
    upload(RECIPES["minds14"].data, root / "converted", "dataset", "refs/convert/parquet")

    for split, each in (("train", 6), ("test", 3)):
        skit = rows(
            14,
            each,
            intent_class=lambda label, i: label,
            template=lambda label, i: "a request",
            speaker_id=lambda label, i: 1 + i % 3,
        )
        parquet(skit, root / "skit" / "data" / f"{split}-00000.parquet")
    upload(RECIPES["skit-s2i"].data, root / "skit", "dataset")

    unlabelled = rows(2, 3, intent=lambda label, i: None if i == 2 else "ab"[label])
    parquet(unlabelled, root / "unlabelled" / "data" / "train-00000.parquet")
    upload("tester/unlabelled", root / "unlabelled", "dataset")
    for split in ("train", "test"):
        clips = rows(2, 3, intent=lambda label, i: "ab"[label])
        parquet(clips, root / "untested" / "data" / f"{split}-00000.parquet", empty=split == "test")
    upload("tester/untested", root / "untested", "dataset")


def make_encoders(root: str) -> None:
    """Put small checkpoints of the seeds' architectures on the Hub, with random weights."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    waves = t.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    models = {
        "facebook/wav2vec2-base": (t.Wav2Vec2ForPreTraining(t.Wav2Vec2Config(**TINY)), waves),
        "microsoft/wavlm-base": (t.WavLMModel(t.WavLMConfig(**TINY)), waves),
        "openai/whisper-base.en": (
            t.WhisperForConditionalGeneration(t.WhisperConfig(**WHISPER)),
            t.WhisperFeatureExtractor(16, chunk_length=2),
        ),
    }
    for name, (model, extractor) in models.items():
        folder = Path(root) / name
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
        upload(name, folder, "model")


def round_trip(recipe: str, root: str) -> None:
    """Data, train, evaluate, publish, load back: print what came of it."""
    from huggingface_hub import ModelCard
    from transformers import pipeline

    from speech_intent import IntentClassifier, evaluate, publish, train

    out, name = Path(root) / recipe, f"tester/{recipe}"
    options = ["--recipe", recipe]
    assert train.main([*options, "--output-dir", str(out), "--epochs", "1"]) == 0
    assert evaluate.main([*options, "--model", str(out / "model"), "--output-dir", str(out / "again")]) == 0
    assert publish.main([str(out / "model"), name]) == 0
    soundfile.write(out / "clip.wav", np.sin(np.arange(8_000) / 9), 16_000)
    local, remote = (
        IntentClassifier.from_pretrained(model).predict(out / "clip.wav") for model in (out / "model", name)
    )
    raw = {"raw": soundfile.read(out / "clip.wav", dtype="float32")[0], "sampling_rate": 16_000}
    piped = {row["label"]: row["score"] for row in pipeline("audio-classification", model=name)(raw, top_k=None)}
    card = ModelCard.load(name).data
    results = json.loads((out / "metrics.json").read_text())
    again = json.loads((out / "again" / "metrics.json").read_text())
    print(
        json.dumps(
            {
                "results": {key: results[key] for key in ("n", "accuracy", "split", "data", "config", "per_class")},
                "same": again["accuracy"] == results["accuracy"],
                "difference": max(abs(dict(local.scores)[label] - score) for label, score in remote.scores),
                "pipeline": max(abs(piped[label] - score) for label, score in local.scores),
                "base_model": card.base_model,
                "datasets": card.datasets,
                "card_accuracy": card.eval_results[0].metric_value,
                "card_metrics": [result.metric_name for result in card.eval_results],
                "hyperparameters": results["hyperparameters"],
                "files": sorted(path.name for path in out.iterdir()),
            }
        )
    )


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
