"""A user of the Hub, and what is on it: a stand-in for the Hub serves this machine over HTTP.

Its address is put where huggingface_hub and datasets keep the Hub's, so that a test need not start
a Python of its own.
"""

import functools
import io
import os
import shutil
import subprocess
import sys
import tempfile
from atexit import register
from collections.abc import Callable
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
import soundfile
import torch
import transformers
from datasets import Audio, ClassLabel, Dataset
from huggingface_hub import HfApi
from local_hub import TOKEN
from tiny import LAYER_NORM, TINY, WHISPER

from speech_intent.recipes import RECIPES

TESTS = Path(__file__).resolve().parent
RATE = 8_000  # Hz, as MInDS-14 and Skit-S2I
NOBODY = "http://127.0.0.1:9"  # where nobody listens
MINDS14 = (
    "abroad",
    "address",
    "app_error",
    "atm_limit",
    "balance",
    "business_loan",
    "card_issues",
    "cash_deposit",
    "direct_debit",
    "freeze",
    "high_value_payment",
    "joint_account",
    "latest_transactions",
    "pay_bill",
)
LOCALES = (
    "cs-CZ",
    "de-DE",
    "en-AU",
    "en-GB",
    "en-US",
    "es-ES",
    "fr-FR",
    "it-IT",
    "ko-KR",
    "nl-NL",
    "pl-PL",
    "pt-PT",
    "ru-RU",
    "zh-CN",
)
SCOOTER = (
    "About_iQube",
    "Locate_Dealer",
    "Running_operating_cost",
    "Top_speed",
    "battery",
    "bike_modes",
    "book_now",
    "casual_talk_goodbye",
    "casual_talk_greeting",
)


# The Hub and its users


@functools.cache
def start_hub() -> str:
    """Start the Hub of this session; give its address."""
    root = tempfile.mkdtemp(prefix="local-hub-")
    register(shutil.rmtree, root, ignore_errors=True)
    command = [sys.executable, str(TESTS / "local_hub.py"), "--root", root]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    register(process.terminate)
    return process.stdout.readline().strip()


def visit(monkeypatch: pytest.MonkeyPatch, address: str | None = None) -> str:
    """Make this process a user of the local Hub, or of another address; give it."""
    address = address or start_hub()
    constants = huggingface_hub.constants
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    set_offline(monkeypatch, False)
    return address


def set_offline(monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    """Do what HF_HUB_OFFLINE does."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)


def use_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep what comes from the Hub in a folder, where nothing is yet."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")


def run_as_user(*command: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a Python program in a process of its own, as a user of the Hub that environ names."""
    hub = {
        "HF_ENDPOINT": start_hub(),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | hub | environment,
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        timeout=300,
    )


def upload(repo: str, folder: Path, kind: str = "model", branch: str | None = None) -> None:
    """Put a folder on the Hub as it is."""
    api = HfApi()
    api.create_repo(repo, repo_type=kind, exist_ok=True)
    if branch:  # it starts as a copy of main
        api.create_branch(repo, branch=branch, repo_type=kind)
        for name in api.list_repo_files(repo, repo_type=kind, revision=branch):
            if name.endswith(".py"):
                api.delete_file(name, repo, repo_type=kind, revision=branch)
    api.upload_folder(folder_path=folder, repo_id=repo, repo_type=kind, revision=branch)


# Datasets


def clip(label: int, i: int) -> dict:
    """Make a tone of 0.5 s as WAV bytes, as a Hub dataset stores audio."""
    t = np.arange(RATE // 2) / RATE
    tone = 0.4 * np.sin(2 * np.pi * ((200 + 211 * label) * t + 0.1 * i))
    noise = 0.002 * np.random.default_rng(i).standard_normal(len(t))
    file = io.BytesIO()
    soundfile.write(file, tone + noise, RATE, format="WAV", subtype="PCM_16")
    return {"bytes": file.getvalue(), "path": f"{label}_{i}.wav"}


def write_parquet(
    path: Path,
    n_labels: int,
    n_each: int,
    columns: dict[str, Callable[[int, int], object]],
    features: dict[str, ClassLabel] | None = None,
    empty: bool = False,
) -> None:
    """Write `n_each` clips a label; a column is made by its function of (label, i)."""
    pairs = [(label, i) for label in range(n_labels) for i in range(n_each)]
    first = 100 if path.name.startswith("test") else 0  # its clips are other recordings
    values = {"audio": [clip(label, first + i) for label, i in pairs]}
    values |= {name: [make(*pair) for pair in pairs] for name, make in columns.items()}
    table = Dataset.from_dict(values)
    for name, feature in (features or {}).items():
        table = table.cast_column(name, feature)
    table = table.cast_column("audio", Audio(decode=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    (table.select(range(0)) if empty else table).to_parquet(path)


@functools.cache
def make_datasets() -> None:
    """Put datasets of the recipes' schemas on the Hub, and some that cannot be used."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _make_scooter(root / "scooter")
        _make_minds14(root / "minds14")
        _make_skit(root / "skit")
        _make_faulty(root / "faulty")


def _make_scooter(folder: Path) -> None:
    columns = {"label": lambda label, i: SCOOTER[label]}
    write_parquet(folder / "data" / "train-00000.parquet", 9, 6, columns)
    upload(RECIPES["scooter"].data, folder, "dataset")


def _make_minds14(folder: Path) -> None:
    """A dataset whose main branch is a script; what can be read of it is the Hub's own copy."""
    columns = {
        "path": lambda label, i: f"en-US~X/{label}_{i}.wav",
        "transcription": lambda label, i: f"{MINDS14[label]} {i // 2}",
        "english_transcription": lambda label, i: "a request",
        "intent_class": lambda label, i: label,
        "lang_id": lambda label, i: 4,
    }
    by_language = columns | {  # of a language, five requests for one thing or another
        "path": lambda label, i: f"{LOCALES[label]}~X/{label}_{i}.wav",
        "intent_class": lambda label, i: i % 3,
        "lang_id": lambda label, i: label,
    }
    classes = {"intent_class": MINDS14, "lang_id": LOCALES}
    names = {column: ClassLabel(names=list(labels)) for column, labels in classes.items()}
    (folder / "main").mkdir(parents=True)
    (folder / "main" / "minds14.py").write_text("import datasets\n")
    upload(RECIPES["minds14"].data, folder / "main", "dataset")
    for config, values in {"en-US": columns, "all": by_language}.items():
        path = folder / "converted" / config / "train" / "0000.parquet"
        write_parquet(path, 14, 5, values, names)
    branch = "refs/convert/parquet"
    upload(RECIPES["minds14"].data, folder / "converted", "dataset", branch)


def _make_skit(folder: Path) -> None:
    columns = {
        "intent_class": lambda label, i: label,
        "template": lambda label, i: f"request {label} {i // 3}",
        "speaker_id": lambda label, i: 1 + i % 3,
    }
    for split, n_each in (("train", 6), ("test", 3)):
        write_parquet(folder / "data" / f"{split}-00000.parquet", 14, n_each, columns)
    upload(RECIPES["skit-s2i"].data, folder, "dataset")


def _make_faulty(folder: Path) -> None:
    missing = {"intent": lambda label, i: None if i == 2 else "ab"[label]}
    write_parquet(folder / "unlabelled" / "data" / "train-00000.parquet", 2, 3, missing)
    upload("tester/unlabelled", folder / "unlabelled", "dataset")
    intents = {"intent": lambda label, i: "ab"[label]}
    for split in ("train", "test"):
        path = folder / "untested" / "data" / f"{split}-00000.parquet"
        write_parquet(path, 2, 3, intents, empty=split == "test")
    upload("tester/untested", folder / "untested", "dataset")


# Encoders


@functools.cache
def make_encoders() -> None:
    """Put small checkpoints of the recipes' architectures on the Hub, with random weights."""
    torch.manual_seed(0)
    waves = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    wav2vec2 = transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**TINY))
    xls_r = transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**TINY | LAYER_NORM))
    padded = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    wavlm = transformers.WavLMModel(transformers.WavLMConfig(**TINY))
    whisper = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**WHISPER))
    spectrograms = transformers.WhisperFeatureExtractor(WHISPER["num_mel_bins"], chunk_length=2)
    models = {
        "facebook/wav2vec2-base": (wav2vec2, waves),
        "facebook/wav2vec2-xls-r-300m": (xls_r, padded),
        "microsoft/wavlm-base": (wavlm, waves),
        "openai/whisper-base.en": (whisper, spectrograms),
    }
    for name, (model, extractor) in models.items():
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            extractor.save_pretrained(folder)
            upload(name, Path(folder))
