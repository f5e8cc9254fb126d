"""What the tests share: clips, tiny encoders with random weights, one model trained on tones."""

import atexit
import os
import shutil
import tempfile

# Before anything of Hugging Face is imported: no network, no caller's cache, one thread.
for name in [
    name for name in os.environ if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_"))
]:
    del os.environ[name]
for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
    os.environ.pop(name, None)
HF_HOME = tempfile.mkdtemp(prefix="speech-intent-tests-")
atexit.register(shutil.rmtree, HF_HOME, ignore_errors=True)
os.environ |= {
    "HF_HOME": HF_HOME,
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "Agg",
}
os.environ |= {"XDG_CACHE_HOME": HF_HOME}
os.environ |= {"OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

import csv  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import soundfile  # noqa: E402
from tiny import LAYER_NORM, MOONSHINE, TINY, WHISPER  # noqa: E402

RATE = 16_000  # Hz
# Intent: Hz, in the order of the ids. No multiple of 50 Hz: phases differ from frame to frame.
TONES = {"hear_high": 3171, "hear_low": 213, "hear_middle": 787, "hear_upper": 1613}

FAMILIES = ["wav2vec2_group", "wav2vec2_layer", "wavlm", "hubert", "whisper", "moonshine"]


@pytest.fixture(scope="session")
def tone():
    """Make a tone with random phase, level and a little noise: float32, (n_samples,), at 16 kHz."""

    def make(frequency: float, seconds: float = 0.4, seed: int = 0, rate: int = RATE) -> np.ndarray:
        rng = np.random.default_rng([seed, int(frequency)])
        t = np.arange(round(seconds * rate)) / rate
        wave = rng.uniform(0.2, 0.6) * np.sin(2 * np.pi * (frequency * t + rng.random()))
        return (wave + 0.003 * rng.standard_normal(len(t))).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def write_folder(tone):
    """Write a folder with `n` tones an intent; `columns(intent, i)` gives extra columns."""

    def write(
        folder: Path,
        n: int,
        columns=lambda intent, i: {},
        intents=tuple(TONES),
        seconds: float = 0.4,
    ) -> Path:
        rows = []
        (folder / "clips").mkdir(parents=True)
        for intent in intents:
            for i in range(n):
                name = f"clips/{intent}_{i}.wav"
                soundfile.write(folder / name, tone(TONES[intent], seconds, i), RATE)
                rows.append({"file_name": name, "intent": intent, **columns(intent, i)})
        write_csv(folder / "metadata.csv", rows)
        return folder

    return write


def write_csv(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# Split of the pack of clips of no intent: how many.
UNKNOWN_CLIPS = {"train": 6, "validation": 2, "test": 2}


@pytest.fixture(scope="session", autouse=True)
def unknown_pack(tmp_path_factory) -> Iterator[Path]:
    """A pack of few clips of no intent in the place of the one in `dataset/unknown`."""
    from speech_intent import paths

    folder = tmp_path_factory.mktemp("pack") / "unknown"
    rng = np.random.default_rng(0)
    rows = []
    (folder / "audio").mkdir(parents=True)
    for split, n in UNKNOWN_CLIPS.items():
        for i in range(n):
            name = f"audio/{split}-{i}.wav"
            noise = 0.1 * rng.standard_normal(round(0.3 * RATE))
            soundfile.write(folder / name, noise.astype(np.float32), RATE)
            row = {"file_name": name, "kind": "noise" if i % 2 else "breath", "speaker": ""}
            rows.append({**row, "engine": "", "text": "", "split": split, "seconds": "0.3000"})
    write_csv(folder / "metadata.csv", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "UNKNOWN", folder)
        yield folder


@pytest.fixture(scope="session")
def tone_folder(tmp_path_factory, write_folder) -> Path:
    """4 intents with 4 training, 2 validation and 4 test clips each."""
    splits = ["train"] * 4 + ["validation"] * 2 + ["test"] * 4
    return write_folder(
        tmp_path_factory.mktemp("tones") / "data", 10, lambda _, i: {"split": splits[i]}
    )


@pytest.fixture(scope="session")
def encoders(tmp_path_factory) -> dict[str, Path]:
    """Tiny encoders of each family, random and without a head, with their feature extractors."""
    import torch
    import transformers as t

    from speech_intent.moonshine import MoonshineForAudioClassification

    models = {
        "wav2vec2_group": (t.Wav2Vec2Model, t.Wav2Vec2Config(**TINY)),
        "wav2vec2_layer": (t.Wav2Vec2Model, t.Wav2Vec2Config(**TINY | LAYER_NORM)),
        "wavlm": (t.WavLMModel, t.WavLMConfig(**TINY | LAYER_NORM)),
        "hubert": (t.HubertModel, t.HubertConfig(**TINY | LAYER_NORM)),
        "whisper": (t.WhisperModel, t.WhisperConfig(**WHISPER)),
        "moonshine": (MoonshineForAudioClassification, t.MoonshineConfig(**MOONSHINE)),
    }
    root = tmp_path_factory.mktemp("encoders")
    for name, (kind, config) in models.items():
        torch.manual_seed(0)  # before the weights are made: the order of the tests decides nothing
        model = kind(config)
        weights = {key: w for key, w in model.state_dict().items() if "classifier" not in key}
        model.save_pretrained(root / name, state_dict=weights)
        extractor = t.Wav2Vec2FeatureExtractor(
            do_normalize=name != "moonshine", return_attention_mask=name != "wav2vec2_group"
        )
        if name == "whisper":
            extractor = t.WhisperFeatureExtractor(16, chunk_length=2)
        extractor.save_pretrained(root / name)
    return {name: root / name for name in models}


@pytest.fixture(scope="session", params=FAMILIES)
def encoder(request, encoders) -> Path:
    """Each of the tiny encoders in turn."""
    return encoders[request.param]


def head_layers(network) -> list:
    """Give a classifier's layers above the encoder: a projector where it has one, a classifier."""
    names = ("projector", "classifier")
    return [getattr(network, name) for name in names if hasattr(network, name)]


QUICK = {
    "epochs": 20,
    "batch_size": 4,
    "learning_rate": 5e-3,
    "patience": 99,
    "augment": False,
    "spec_augment": False,
    "freeze": "none",
}


@pytest.fixture(scope="session")
def numbers():
    """Numbers with which a tiny model learns tones in seconds; `numbers(seed=1)` changes some."""
    from speech_intent.recipes import Hyperparameters

    return lambda **changed: Hyperparameters(**QUICK | changed)


@pytest.fixture(scope="session")
def recipe(tone_folder, encoders):
    """The tones, a tiny encoder and `numbers`; `recipe(data=..., seed=1)` changes some.

    Tests of what a model does not answer change `unknown`: without it, every clip is answered.
    """
    from speech_intent.recipes import resolve

    usual = {"data": tone_folder, "encoder": encoders["wav2vec2_layer"], "unknown": "none"} | QUICK
    return lambda **changed: resolve(**usual | changed)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, recipe) -> Path:
    """What a finished training run on tones leaves behind."""
    from speech_intent import experiment

    output_dir = tmp_path_factory.mktemp("run") / "out"
    experiment.run(recipe(), output_dir)
    return output_dir


@pytest.fixture(scope="session")
def model_folder(run_folder) -> Path:
    """A tiny model that tells the tones apart."""
    return run_folder / "model"


@pytest.fixture(scope="session")
def onnx_folder(model_folder, tmp_path_factory) -> Path:
    """The tiny model with its ONNX file, in a folder of its own."""
    from speech_intent import onnx_export

    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("onnx") / "model")
    onnx_export.export(folder)
    return folder


@pytest.fixture(scope="session")
def classifier(model_folder):
    """The tiny model, loaded."""
    from speech_intent import IntentClassifier

    return IntentClassifier.from_pretrained(model_folder)
