"""The answers are torch's, whatever computes them, and the files belong together."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from conftest import RATE, TONES

from speech_intent import IntentClassifier, ModelError, features, onnx_export, onnx_model
from speech_intent.onnx_model import OnnxModel, describe, reduced_precisions
from speech_intent.paths import ROOT

HEAVY = {
    "torch",
    "transformers",
    "pandas",
    "datasets",
    "scipy",
    "sklearn",
    "matplotlib",
    "huggingface_hub",
    "onnx",
}


@pytest.fixture
def copy(onnx_folder, tmp_path) -> Path:
    """A folder with an ONNX file, to be changed."""
    return shutil.copytree(onnx_folder, tmp_path / "model")


@pytest.fixture
def clips(tone):
    """Clips of unequal length, one of them of a single frame, one longer than a second."""
    seconds = (0.025, 0.3, 0.51, 1.37)
    return [tone(300 * (i + 1), length, seed=i) for i, length in enumerate(seconds)]


def same(one, other, tolerance=1e-4) -> bool:
    scores = pytest.approx(dict(other.scores), abs=tolerance)
    return dict(one.scores) == scores and one.seconds == other.seconds


# The answers are torch's


def test_an_answer_says_what_computed_it(onnx_folder, model_folder, tone):
    clip = (tone(TONES["hear_high"], seed=9), RATE)
    for engine, computed_by in [("auto", "onnx"), ("onnx", "onnx"), ("torch", "torch")]:
        answer = IntentClassifier.from_pretrained(onnx_folder, engine).predict(clip)
        assert (answer.engine, answer.precision) == (computed_by, "float32")
        assert answer.label == "hear_high"
    assert IntentClassifier.from_pretrained(model_folder).engine == "torch"  # it has no ONNX file


def test_logits_are_those_of_torch_alone_and_filled_up_in_a_batch(onnx_folder, clips):
    reference = IntentClassifier.from_pretrained(onnx_folder, "torch").model
    model = OnnxModel(onnx_folder)
    expected = reference(clips)
    np.testing.assert_allclose(model(clips), expected, atol=1e-3)
    batch = features.model_inputs(clips, model.extractor, model.rule)
    np.testing.assert_allclose(model.run(batch), expected, atol=1e-3)
    assert np.ptp(expected, axis=0).max() > 0.1  # they do differ from clip to clip


def test_onnx_runtime_reads_the_same_file(onnx_folder, clips):
    model = OnnxModel(onnx_folder)
    inputs = features.model_inputs(clips, model.extractor, "mask")
    session = onnxruntime.InferenceSession(onnx_folder / "model.onnx")
    np.testing.assert_allclose(session.run(None, inputs)[0], model.run(inputs), atol=1e-3)


def test_long_clips_are_cut_as_with_torch(onnx_folder, tone, monkeypatch):
    clip = (np.concatenate([tone(frequency, 0.4) for frequency in TONES.values()]), RATE)
    answers = []
    for engine in ("torch", "onnx"):
        classifier = IntentClassifier.from_pretrained(onnx_folder, engine)
        monkeypatch.setattr(classifier, "max_seconds", 0.5)
        answers.append(classifier.predict(clip))
    assert same(*answers)
    assert answers[0].seconds == 1.6


def test_threads_get_the_answers_of_one_after_another(onnx_folder, tone):
    pairs = [(i, frequency) for i in range(5) for frequency in TONES.values()]
    clips = [(tone(frequency, 0.2 + 0.1 * i, seed=i), RATE) for i, frequency in pairs]
    classifier = IntentClassifier.from_pretrained(onnx_folder)
    one_by_one = [classifier.predict(clip) for clip in clips]
    classifier = IntentClassifier.from_pretrained(onnx_folder, parallel=True)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(classifier.predict, clips))
    assert [answer.label for answer in together] == [answer.label for answer in one_by_one]
    assert all(same(*pair) for pair in zip(together, one_by_one, strict=True))


PROGRAM = """
import runpy, sys, time

def note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect"):
        print("asked", arguments)

sys.addaudithook(note)
runpy.run_path("inference.py")["main"](sys.argv[1:])
time.sleep(2)  # what is sent in the background takes a while
print("loaded", *sys.modules)
"""


def test_an_answer_imports_nothing_heavy_and_asks_no_other_host(onnx_folder, tone, tmp_path):
    soundfile.write(tmp_path / "clip.wav", tone(TONES["hear_upper"]), RATE)
    arguments = [tmp_path / "clip.wav", "--json", "--model", onnx_folder]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=os.environ | {"HOME": str(tmp_path)},  # where OpenVINO's reporter keeps its consent
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert process.returncode == 0, process.stderr
    answer, loaded = process.stdout.splitlines()  # and no line of a host asked
    assert json.loads(answer)["label"] == "hear_upper"
    assert json.loads(answer)["engine"] == "onnx"
    assert "openvino" in loaded.split()
    assert not HEAVY & set(loaded.split())


# Files


def test_a_folder_without_onnx_is_refused_where_it_was_asked_for(model_folder):
    with pytest.raises(
        ModelError, match=r"has no model\.onnx; run python -m speech_intent\.export"
    ):
        IntentClassifier.from_pretrained(model_folder, "onnx")
    with pytest.raises(ModelError, match="has no ONNX file of ours; run python"):
        OnnxModel(model_folder)


def test_an_onnx_file_without_our_record_is_not_taken_for_ours(copy):
    (copy / "onnx.json").unlink()
    assert IntentClassifier.from_pretrained(copy).engine == "torch"


def test_an_onnx_file_of_other_weights_is_refused_until_it_is_made_again(copy):
    network = IntentClassifier.from_pretrained(copy, engine="torch").model.network
    with torch.no_grad():
        network.classifier.bias[0] += 0.5  # as another calibration would
    network.save_pretrained(copy)
    for engine in ("auto", "onnx"):
        with pytest.raises(ModelError, match=r"was made from other weights than those beside it"):
            IntentClassifier.from_pretrained(copy, engine)
    assert IntentClassifier.from_pretrained(copy, "torch").engine == "torch"
    onnx_export.export(copy)
    assert IntentClassifier.from_pretrained(copy, "auto").engine == "onnx"


def test_the_onnx_file_answers_without_the_weights(copy, tone):
    (copy / "model.safetensors").unlink()
    clip = (tone(TONES["hear_low"], seed=5), RATE)
    assert IntentClassifier.from_pretrained(copy).predict(clip).label == "hear_low"
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        IntentClassifier.from_pretrained(copy, "torch")


@pytest.mark.parametrize(
    "name", ["model.onnx", "onnx.json", "config.json", "preprocessor_config.json"]
)
@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_damaged_file_is_named(copy, name, content):
    (copy / name).write_bytes(content)
    words = rf"{name}: (cannot be read|OpenVINO cannot use it).*; .*again$"
    with pytest.raises(ModelError, match=words) as error:
        IntentClassifier.from_pretrained(copy)
    assert "\n" not in str(error.value)


# The cache of compiled models


def test_a_compiled_model_is_kept_and_a_damaged_one_is_made_again(
    copy, tone, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clip = (tone(787), RATE)
    first = IntentClassifier.from_pretrained(copy).predict(clip)
    (kept,) = (tmp_path / "cache" / "speech_intent").iterdir()
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:1_000])
    assert same(IntentClassifier.from_pretrained(copy).predict(clip), first)


def test_a_model_that_is_soon_gone_is_not_kept(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    OnnxModel(copy, cache=False)
    assert not (tmp_path / "cache").exists()


def test_without_a_place_for_the_cache_it_answers_all_the_same(copy, tone, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert onnx_model.cache_folder() == ""
    assert IntentClassifier.from_pretrained(copy).predict((tone(787), RATE)).engine == "onnx"


# Reduced precision


@pytest.mark.parametrize(
    ("native", "precisions"),
    [
        ("f32", ["int8+float32"]),
        ("bf16", ["int8+bfloat16", "bfloat16"]),
        ("f16", ["int8+float16", "float16"]),
    ],
)
def test_the_fastest_precision_comes_first(monkeypatch, native, precisions):
    monkeypatch.setattr(onnx_model, "_native_precision", lambda: native)
    assert reduced_precisions() == precisions


@pytest.mark.parametrize(
    ("checked", "native", "hint"),
    [
        ("float32", "bf16", "f32"),
        ("bfloat16", "bf16", "bf16"),
        ("int8+bfloat16", "bf16", "bf16"),
        ("bfloat16", "f16", "f32"),  # checked on another processor
        ("int8+bfloat16", "f32", "f32"),
        ("int8+float32", "f32", "f32"),
    ],
)
def test_an_arithmetic_that_export_did_not_check_is_not_used(
    tmp_path, monkeypatch, checked, native, hint
):
    (tmp_path / "onnx.json").write_text(json.dumps({"precision": checked}))
    monkeypatch.setattr(onnx_model, "_native_precision", lambda: native)
    options = onnx_model._options(tmp_path, parallel=False)
    assert options["INFERENCE_PRECISION_HINT"] == hint
    assert options["PERFORMANCE_HINT"] == "LATENCY"
    assert onnx_model._options(tmp_path, parallel=True)["PERFORMANCE_HINT"] == "THROUGHPUT"


def test_the_record_is_said_in_words():
    record = {
        "precision": "bfloat16",
        "difference": 1.19e-6,
        "reduced": [
            {"precision": "int8+bfloat16", "difference": 0.01295},
            {
                "precision": "bfloat16",
                "difference": 0.00506,
                "n": 180,
                "agreement": 179 / 180,
                "accuracy_lost": 1 / 180,
            },
        ],
    }
    assert describe(record).splitlines() == [
        "model.onnx: float32 scores within 1.2e-06 of torch's on fixed signals.",
        "int8+bfloat16: no score of fixed signals moves by more than 1.3e-02.",
        "bfloat16: no score of fixed signals moves by more than 5.1e-03; "
        "the same label for 99.4 % of 180 validation clips, 0.56 points of accuracy lost.",
        "It answers in bfloat16.",
    ]
