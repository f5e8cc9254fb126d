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
from speech_intent.model import build_model
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
    np.testing.assert_allclose(model.run(batch).logits, expected, atol=1e-3)
    assert np.ptp(expected, axis=0).max() > 0.1  # they do differ from clip to clip


def test_onnx_runtime_reads_the_same_file(onnx_folder, clips):
    model = OnnxModel(onnx_folder)
    inputs = features.model_inputs(clips, model.extractor, "mask")
    session = onnxruntime.InferenceSession(onnx_folder / "onnx/model.onnx")
    logits, pooled = session.run(None, inputs)
    ours = model.run(inputs)
    np.testing.assert_allclose(logits, ours.logits, atol=1e-3)
    np.testing.assert_allclose(pooled, ours.pooled, atol=1e-3)


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
        ModelError, match=r"has no onnx/model\.onnx; run python -m speech_intent\.export"
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


@pytest.mark.parametrize("name", ["onnx.json", "config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_damaged_file_is_named(copy, name, content):
    (copy / name).write_bytes(content)
    words = rf"{name}: cannot be read \(.*\); save, export or download the model again$"
    with pytest.raises(ModelError, match=words) as error:
        IntentClassifier.from_pretrained(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"damaged" * 100, "is not the file that export wrote"),
        (b"<!DOCTYPE html>", "is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "is Git LFS's pointer to the file, which `git lfs pull` would fetch",
        ),
    ],
)
def test_an_onnx_file_that_export_did_not_write_is_refused(copy, content, problem):
    (copy / "onnx/model.onnx").write_bytes(content)
    with pytest.raises(ModelError) as error:
        IntentClassifier.from_pretrained(copy)
    assert error.value.name == str(copy / "onnx/model.onnx")
    assert error.value.problem == problem
    remedy = "run python -m speech_intent.export again, or choose the engine torch"
    assert error.value.remedy == remedy
    assert IntentClassifier.from_pretrained(copy, "torch").engine == "torch"


def test_a_foreign_onnx_file_beside_the_right_weights_is_refused(copy, tone):
    """Of the same architecture: nothing but its digest tells it apart."""
    other = shutil.copytree(copy, copy.parent / "other")
    network = IntentClassifier.from_pretrained(other, engine="torch").model.network
    with torch.no_grad():
        network.classifier.bias[0] += 0.5
    network.save_pretrained(other)
    onnx_export.export(other)
    shutil.copy(other / "onnx/model.onnx", copy / "onnx/model.onnx")
    with pytest.raises(
        ModelError, match=r"onnx/model\.onnx: is not the file that export wrote; run"
    ):
        IntentClassifier.from_pretrained(copy)


def rewrite(folder: Path, name: str, **changed) -> None:
    """Change fields of a JSON file of a model."""
    content = json.loads((folder / name).read_text()) | changed
    (folder / name).write_text(json.dumps(content))


def test_what_an_earlier_version_wrote_is_as_not_exported(copy):
    (copy / "onnx/model.onnx").rename(copy / "model.onnx")
    shutil.rmtree(copy / "onnx")
    record = json.loads((copy / "onnx.json").read_text())
    digests = {"model.onnx": record["digests"]["onnx/model.onnx"]}
    (copy / "onnx.json").write_text(json.dumps(record | {"digests": digests}))
    assert IntentClassifier.from_pretrained(copy).engine == "torch"
    words = r"has no onnx/model\.onnx; run python -m speech_intent\.export on the folder"
    with pytest.raises(ModelError, match=words):
        IntentClassifier.from_pretrained(copy, "onnx")
    onnx_export.export(copy)
    assert IntentClassifier.from_pretrained(copy).engine == "onnx"
    assert not (copy / "model.onnx").exists()


def test_a_record_of_an_earlier_version_is_made_again(copy):
    record = json.loads((copy / "onnx.json").read_text())
    del record["digests"]
    (copy / "onnx.json").write_text(json.dumps(record | {"weights": "0" * 64}))
    with pytest.raises(ModelError) as error:
        IntentClassifier.from_pretrained(copy)
    assert error.value.problem.startswith("its onnx.json is of an earlier version")
    assert error.value.remedy == "run python -m speech_intent.export again"
    onnx_export.export(copy)
    assert IntentClassifier.from_pretrained(copy).engine == "onnx"


def test_outputs_and_labels_agree(copy):
    rewrite(copy, "config.json", id2label={i: f"intent {i}" for i in range(3)})
    with pytest.raises(ModelError) as error:
        IntentClassifier.from_pretrained(copy)
    assert error.value.name == str(copy / "onnx/model.onnx")
    assert error.value.problem == "has 4 outputs, and config.json names 3 intents"


def test_inputs_and_config_agree(copy):
    rewrite(copy, "config.json", model_type="whisper", num_mel_bins=80)
    extractor = {"feature_extractor_type": "WhisperFeatureExtractor"}
    rewrite(copy, "preprocessor_config.json", **extractor)
    with pytest.raises(ModelError, match="takes input_values, attention_mask, and config"):
        IntentClassifier.from_pretrained(copy)


# What transformers 5 saves of a processor


def test_a_processors_file_is_enough_for_both_engines(model_folder, tone, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "preprocessor_config.json").rename(tmp_path / "preprocessor_config.json")
    nested = json.loads((tmp_path / "preprocessor_config.json").read_text())
    processor = {"processor_class": "Wav2Vec2Processor", "feature_extractor": nested}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    expected = IntentClassifier.from_pretrained(model_folder)
    clip = (tone(TONES["hear_low"], seed=7), RATE)
    assert same(IntentClassifier.from_pretrained(folder).predict(clip), expected.predict(clip))
    onnx_export.export(folder)
    exported = IntentClassifier.from_pretrained(folder, "onnx")
    assert same(exported.predict(clip), expected.predict(clip))


def test_a_whisper_with_a_processors_file_alone_is_exported(encoders, tone, tmp_path):
    new = build_model(encoders["whisper"], ["a", "b", "c"])
    new.model.save_pretrained(tmp_path)
    new.extractor.save_pretrained(tmp_path)
    nested = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    processor = {"processor_class": "WhisperProcessor", "feature_extractor": nested}
    (tmp_path / "processor_config.json").write_text(json.dumps(processor))
    onnx_export.export(tmp_path)
    clip = (tone(TONES["hear_low"]), RATE)
    answers = [
        IntentClassifier.from_pretrained(tmp_path, engine).predict(clip)
        for engine in ("torch", "onnx")
    ]
    assert same(*answers)


@pytest.mark.parametrize("change", [{"sampling_rate": 8_000}, {"do_normalize": False}])
def test_the_processors_file_comes_first_as_in_transformers(copy, tone, change):
    nested = json.loads((copy / "preprocessor_config.json").read_text()) | change
    (copy / "processor_config.json").write_text(json.dumps({"feature_extractor": nested}))
    for engine in ("torch", "onnx"):
        found = IntentClassifier.from_pretrained(copy, engine).extractor
        assert {name: getattr(found, name) for name in change} == change


# The cache of compiled models


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder that compiled models go to, which is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speech_intent"


def compiled_anew(monkeypatch, folder: Path, parallel: bool = False) -> bool:
    """Load a model; tell whether OpenVINO compiled it."""
    import openvino

    calls = []
    compile_model = openvino.Core.compile_model

    def note(*args, **options):
        calls.append(args)
        return compile_model(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(openvino.Core, "compile_model", note)
        OnnxModel(folder, parallel)
    return bool(calls)


def test_a_compiled_model_is_kept_for_the_same_file_and_use(copy, cache, tmp_path, monkeypatch):
    assert compiled_anew(monkeypatch, copy)
    assert not compiled_anew(monkeypatch, copy)
    assert compiled_anew(monkeypatch, copy, parallel=True)
    assert not compiled_anew(monkeypatch, shutil.copytree(copy, tmp_path / "elsewhere"))
    monkeypatch.setattr("speech_intent.compiled_models._openvino", lambda: [0])
    assert compiled_anew(monkeypatch, copy)
    assert len(list(cache.iterdir())) == 3


def test_a_kept_model_gives_the_answers_of_a_new_one(copy, cache, clips):
    new = OnnxModel(copy)(clips)
    np.testing.assert_array_equal(OnnxModel(copy)(clips), new)
    np.testing.assert_array_equal(OnnxModel(copy, cache=False)(clips), new)


@pytest.mark.parametrize("damage", ["one byte", "cut short", "empty", "unreadable"])
def test_a_damaged_one_is_made_again_and_replaced(copy, cache, clips, monkeypatch, damage):
    expected = OnnxModel(copy)(clips)
    (kept,) = cache.iterdir()
    content = kept.read_bytes()
    if damage == "one byte":
        kept.write_bytes(content[:-1_000] + bytes([content[-1_000] ^ 1]) + content[-999:])
    elif damage == "unreadable":
        kept.unlink()
        kept.mkdir()
    else:
        kept.write_bytes(content[:1_000] if damage == "cut short" else b"")
    np.testing.assert_array_equal(OnnxModel(copy)(clips), expected)
    if damage != "unreadable":
        assert not compiled_anew(monkeypatch, copy)


def test_other_weights_of_the_same_size_path_and_time_are_not_taken_for_the_old_ones(
    copy, cache, clips
):
    before = OnnxModel(copy)(clips)
    status = (copy / "onnx/model.onnx").stat()
    network = IntentClassifier.from_pretrained(copy, engine="torch").model.network
    with torch.no_grad():
        network.classifier.bias[0] += 5.0
    network.save_pretrained(copy)
    onnx_export.export(copy)
    assert (copy / "onnx/model.onnx").stat().st_size == status.st_size
    os.utime(copy / "onnx/model.onnx", ns=(status.st_atime_ns, status.st_mtime_ns))
    after = OnnxModel(copy)(clips)
    np.testing.assert_allclose(after[:, 0], before[:, 0] + 5.0, atol=1e-3)


def test_a_model_that_is_soon_gone_is_not_kept(copy, cache):
    OnnxModel(copy, cache=False)
    assert not cache.exists()


def test_without_a_place_for_the_cache_it_answers_all_the_same(copy, tone, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
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
def test_an_arithmetic_that_export_did_not_check_is_not_used(monkeypatch, checked, native, hint):
    monkeypatch.setattr(onnx_model, "_native_precision", lambda: native)
    options = onnx_model._options(checked, parallel=False)
    assert options["INFERENCE_PRECISION_HINT"] == hint
    assert options["PERFORMANCE_HINT"] == "LATENCY"
    assert onnx_model._options(checked, parallel=True)["PERFORMANCE_HINT"] == "THROUGHPUT"


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
        "onnx/model.onnx: float32 scores within 1.2e-06 of torch's on fixed signals.",
        "int8+bfloat16: no score of fixed signals moves by more than 1.3e-02.",
        "bfloat16: no score of fixed signals moves by more than 5.1e-03; "
        "the same label for 99.4 % of 180 validation clips, 0.56 points of accuracy lost.",
        "It answers in bfloat16.",
    ]
