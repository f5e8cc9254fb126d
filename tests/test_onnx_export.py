"""What is exported says what torch says; a reduced precision answers only where it costs little."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from conftest import RATE, TONES, head_layers
from tiny import TINY

from speech_intent import IntentClassifier, ModelError, features, onnx_export
from speech_intent.model import build_model
from speech_intent.onnx_export import Form, Probe, Trial
from speech_intent.onnx_model import OnnxModel, reduced_precisions
from speech_intent.outputs import Outputs

LABELS = ["a", "b", "c", "d"]


@pytest.fixture
def copy(onnx_folder, tmp_path) -> Path:
    """A folder with an ONNX file, to be exported again."""
    return shutil.copytree(onnx_folder, tmp_path / "model")


@pytest.fixture
def large(monkeypatch):
    """Let the tiny model count as one that gains by a reduced precision."""
    monkeypatch.setattr(onnx_export, "REDUCIBLE", 0)
    monkeypatch.setattr(onnx_export, "QUANTISABLE", 0)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_record(folder: Path) -> dict:
    return json.loads((folder / "onnx.json").read_text())


# Float32


def test_every_family_gives_the_scores_of_torch(encoder, tmp_path, tone):
    new = build_model(encoder, LABELS)
    for layer in head_layers(new.model):  # so that scores differ visibly from clip to clip
        torch.nn.init.normal_(layer.weight, std=0.2)
    new.model.save_pretrained(tmp_path)
    new.extractor.save_pretrained(tmp_path)
    record = onnx_export.export(tmp_path)
    assert record["precision"] == "float32"
    assert record["difference"] <= 1e-4
    seconds = (0.025, 0.3, 0.51, 1.37)  # from a single frame to more than a second
    clips = [tone(300 * (i + 1), length, seed=i) for i, length in enumerate(seconds)]
    expected = IntentClassifier.from_pretrained(tmp_path, "torch").model(clips)
    model = OnnxModel(tmp_path)
    # Transformers.js asks for the file in 8 bits of every family that it has.
    has_int8 = (tmp_path / "onnx/model_quantized.onnx").is_file()
    assert has_int8 == (model.config.model_type not in ("moonshine", "whisper"))
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(model(clips), expected, atol=1e-3)
    batch = features.model_inputs(clips, model.extractor, model.rule)
    np.testing.assert_allclose(model.run(batch).logits, expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["WavLM", "Hubert"])
def test_the_group_norm_of_other_families_is_exported_too(kind, tmp_path):
    config = getattr(transformers, f"{kind}Config")(**TINY, id2label=dict(enumerate(LABELS)))
    network = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    network.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    assert onnx_export.export(tmp_path)["difference"] <= 1e-4


def test_what_torch_would_not_say_is_not_exported(model_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    write_onnx = onnx_export.write_onnx

    def write_another(network, file):
        with torch.no_grad():
            network.classifier.bias[0] += 100
        write_onnx(network, file)

    monkeypatch.setattr(onnx_export, "write_onnx", write_another)
    with pytest.raises(ModelError) as error:
        onnx_export.export(folder)
    assert error.value.name == str(folder)
    assert error.value.problem.startswith("scores of its ONNX form differ from torch's by ")
    assert error.value.remedy == "this kind of model needs the engine torch"
    assert sorted(os.listdir(folder)) == sorted(os.listdir(model_folder))


def test_a_model_that_torch_cannot_write_is_named_and_left_as_it_was(copy, monkeypatch):
    def refuse(network, file):
        raise RuntimeError("many\nlines")

    before = contents(copy)
    monkeypatch.setattr(onnx_export, "write_onnx", refuse)
    with pytest.raises(ModelError) as error:
        onnx_export.export(copy)
    reason = "torch cannot write it as ONNX (RuntimeError); use the engine torch"
    assert str(error.value) == f"{copy}: {reason}"
    assert contents(copy) == before


class Canned:
    """Says the logits of a list, one by one or in a batch."""

    rule = "mask"
    extractor = SimpleNamespace(do_normalize=False)

    def __init__(self, alone, together):
        self.alone = alone
        self.together = together

    def __call__(self, waveforms):
        return np.log(self.alone[: len(waveforms)])

    def run(self, inputs):
        assert inputs["input_values"].shape == (2, 3)  # filled up to the longer signal
        return Outputs(np.log(self.together), None)


PROBE = Probe([np.ones(3, np.float32), np.ones(2, np.float32)], np.array([[0.5, 0.5], [0.9, 0.1]]))


@pytest.mark.parametrize(
    ("alone", "together", "difference"),
    [
        ([[0.5, 0.5], [0.9, 0.1]], [[0.5, 0.5], [0.9, 0.1]], 0.0),
        ([[0.5, 0.5], [0.7, 0.3]], [[0.5, 0.5], [0.9, 0.1]], 0.2),
        ([[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [0.9, 0.1]], 0.3),
        ([[0.4, 0.6], [0.9, 0.1]], [[0.5, 0.5], [0.5, 0.5]], 0.4),
        ([[0.4, 0.6], [0.9, 0.1]], [[np.nan, 0.5], [0.9, 0.1]], np.nan),
    ],
)
def test_the_largest_move_of_a_score_is_the_difference(alone, together, difference):
    model = Canned(np.array(alone), np.array(together))
    assert onnx_export.difference(model, PROBE) == pytest.approx(difference, nan_ok=True)


@pytest.mark.parametrize(
    ("difference", "is_refused"), [(0.9e-4, False), (1.1e-4, True), (np.nan, True)]
)
def test_a_score_may_move_by_a_ten_thousandth(tmp_path, monkeypatch, difference, is_refused):
    reference = SimpleNamespace(network=None)
    for step in ("write_onnx", "store_halves"):
        monkeypatch.setattr(onnx_export, step, lambda *_: None)
    monkeypatch.setattr(onnx_export, "load_form", lambda *_: Form(None, difference))
    if not is_refused:
        form = onnx_export.check_float32(reference, tmp_path, tmp_path, PROBE)
        assert form.difference == difference
        return
    with pytest.raises(ModelError, match="needs the engine torch"):
        onnx_export.check_float32(reference, tmp_path, tmp_path, PROBE)


def test_the_signals_of_the_checks_are_the_same_each_time(classifier):
    probe = onnx_export.make_probe(classifier.model)
    seconds = [len(signal) / RATE for signal in probe.signals]
    assert seconds == [0.025, 0.4, 1.0, 1.7, 3.0, 6.0]
    assert {signal.dtype for signal in probe.signals} == {np.dtype(np.float32)}
    assert probe.scores.shape == (6, 4)
    np.testing.assert_allclose(probe.scores.sum(axis=1), 1, atol=1e-6)
    # Frozen samples: every onnx.json's figures are of these signals.
    first = [-0.0132105, 0.0642550, 0.0121720, -0.0480022]
    last = [-0.2793024, -0.1374673, -0.4471977, -0.4285703]
    np.testing.assert_allclose(probe.signals[0][:4], first, atol=1e-6)
    np.testing.assert_allclose(probe.signals[5][-4:], last, atol=1e-6)


# The choice of a precision


def costs(monkeypatch, **by_precision: float) -> list[str]:
    """Let reduced precisions move scores by so much; give the list of those that are tried."""
    tried = []

    def load_form(scratch, precision, probe):
        tried.append(precision)
        return Form(None, by_precision[precision.replace("+", "_")])

    monkeypatch.setattr(onnx_export, "reduced_precisions", lambda: ["int8+bfloat16", "bfloat16"])
    monkeypatch.setattr(onnx_export, "load_form", load_form)
    monkeypatch.setattr(onnx_export, "quantise", lambda source, target: None)
    monkeypatch.setattr(onnx_export, "store_halves", lambda source, target: None)
    return tried


@pytest.mark.parametrize(
    ("int8", "bfloat16", "choice", "n_tried"),
    [
        (0.004, 0.001, "int8+bfloat16", 1),  # the fastest that is cheap
        (0.006, 0.004, "bfloat16", 2),
        (0.006, 0.007, "float32", 2),
        (np.nan, 0.004, "bfloat16", 2),
    ],
)
def test_a_large_model_answers_in_the_fastest_precision_that_costs_little(
    tmp_path, monkeypatch, int8, bfloat16, choice, n_tried
):
    tried = costs(monkeypatch, int8_bfloat16=int8, bfloat16=bfloat16)
    chosen = onnx_export.choose_precision(tmp_path, PROBE, None, n_parameters=20_000_000)
    assert chosen.precision == choice
    expected = [
        {"precision": "int8+bfloat16", "difference": int8},
        {"precision": "bfloat16", "difference": bfloat16},
    ]
    assert str(chosen.costs) == str(expected[:n_tried])
    assert tried == ["int8+bfloat16", "bfloat16"][:n_tried]


@pytest.mark.parametrize(
    ("n_parameters", "choice"),
    [
        (20_000_000, "int8+bfloat16"),
        (19_999_999, "bfloat16"),
        (5_000_000, "bfloat16"),
        (4_999_999, "float32"),
    ],
)
def test_of_a_small_model_every_cost_is_measured_and_float32_answers(
    tmp_path, monkeypatch, n_parameters, choice
):
    tried = costs(monkeypatch, int8_bfloat16=0.0, bfloat16=0.0)
    chosen = onnx_export.choose_precision(tmp_path, PROBE, None, n_parameters)
    assert chosen.precision == choice
    expected = ["int8+bfloat16"] if choice == "int8+bfloat16" else ["int8+bfloat16", "bfloat16"]
    assert [cost["precision"] for cost in chosen.costs] == tried == expected


@pytest.mark.parametrize(
    ("cost", "is_cheap"),
    [
        ({"difference": 0.0049}, True),
        ({"difference": 0.0051}, False),
        ({"difference": np.nan}, False),
        ({"difference": 0.2, "accuracy_lost": 0.0049}, True),  # accuracy is what counts
        ({"difference": 0.0, "accuracy_lost": 0.0051}, False),
        ({"difference": 0.2, "accuracy_lost": -0.1}, True),
    ],
)
def test_accuracy_decides_where_it_was_measured(cost, is_cheap):
    assert onnx_export.is_cheap(cost) is is_cheap


def test_what_transformers_js_computes_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "load_form", lambda *_: Form(None, 0.25))
    before = [{"precision": "int8+bfloat16", "difference": 0.5}]
    costs = onnx_export.with_cost_for_js(before, tmp_path, PROBE)
    assert costs == [*before, {"precision": "int8+float32", "difference": 0.25}]
    assert onnx_export.with_cost_for_js(costs, tmp_path, PROBE) == costs


def test_agreement_and_lost_accuracy_are_counted_clip_by_clip(monkeypatch, onnx_folder):
    exact = pd.DataFrame({"intent": list("abab"), "predicted": list("abaa")})  # 3 of 4
    reduced = pd.DataFrame({"intent": list("abab"), "predicted": list("bbab")})  # 3 of 4
    worse = pd.DataFrame({"intent": list("abab"), "predicted": list("baba")})  # none
    model = OnnxModel(onnx_folder)
    trial = Trial("some data", None, exact)
    for answers, agreement, accuracy_lost in [(reduced, 0.5, 0.0), (worse, 0.25, 0.75)]:
        monkeypatch.setattr(
            onnx_export.evaluation, "predict_table", lambda *_, answers=answers: answers
        )
        assert onnx_export.accuracy_cost(model, trial) == {
            "data": "some data",
            "n": 4,
            "agreement": agreement,
            "accuracy_lost": accuracy_lost,
        }


# From end to end


def test_a_small_model_answers_in_float32_but_the_cost_is_measured(onnx_folder):
    record = read_record(onnx_folder)
    assert list(record) == ["precision", "digests", "weights", "reduced", "difference"]
    for name, digest in (record["digests"] | record["weights"]).items():
        assert digest == hashlib.sha256((onnx_folder / name).read_bytes()).hexdigest()
    assert list(record["digests"]) == ["onnx/model.onnx", "onnx/model_quantized.onnx"]
    assert list(record["weights"]) == ["model.safetensors"]
    assert record["precision"] == "float32"
    # The last one as Transformers.js computes, whatever this processor is built for.
    tried = list(dict.fromkeys([*reduced_precisions(), "int8+float32"]))
    assert [row["precision"] for row in record["reduced"]] == tried
    assert all(0 < row["difference"] < 0.2 for row in record["reduced"])
    assert OnnxModel(onnx_folder).precision == "float32"
    assert not list(onnx_folder.glob(".export-*"))


def test_a_large_model_answers_in_8_bits_where_that_costs_little(copy, large, tone, monkeypatch):
    clip = tone(TONES["hear_upper"], seed=3)
    exact = OnnxModel(copy)([clip])
    monkeypatch.setattr(onnx_export, "REDUCED_TOLERANCE", 0.2)
    record = onnx_export.export(copy)
    assert record == read_record(copy)
    assert record["precision"] == reduced_precisions()[0]
    sizes = [(copy / name).stat().st_size for name in record["digests"]]
    assert sizes[1] < sizes[0]
    reduced = IntentClassifier.from_pretrained(copy)
    answer = reduced.predict((clip, RATE))
    assert reduced.precision == answer.precision == record["precision"]
    assert answer.label == "hear_upper"
    assert not np.array_equal(reduced.model([clip]), exact)


def test_with_data_the_accuracy_decides(copy, large, tone_folder, monkeypatch):
    monkeypatch.setattr(onnx_export, "REDUCED_TOLERANCE", 0.0)
    record = onnx_export.export(copy, tone_folder)
    row = record["reduced"][0]
    assert row["data"] == str(tone_folder)
    assert (row["n"], row["agreement"], row["accuracy_lost"]) == (8, 1.0, 0.0)
    assert record["precision"] == row["precision"]


def test_the_trial_is_on_clips_that_the_model_has_not_learned_from(
    copy, write_folder, tmp_path, monkeypatch
):
    """They are those of its training; of a model that lists none, its seed decides."""
    data = write_folder(tmp_path / "data", 8)  # clips 4 and 5 of each tone were its validation
    model = OnnxModel(copy)
    listed = onnx_export.make_trial(model, copy, str(data)).table["file_name"]
    assert {name[-5] for name in listed} == {"4", "5"}
    (copy / "clips.csv").unlink()
    names = []
    for seed in (0, 1, 0):
        record = json.loads((copy / "training.json").read_text())
        (copy / "training.json").write_text(json.dumps(record | {"seed": seed}))
        names.append(onnx_export.make_trial(model, copy, str(data)).table["file_name"])
    assert names[0] == names[2]
    assert set(names[0]) != set(names[1])


def test_data_with_other_intents_are_refused(copy, write_folder, tmp_path):
    data = write_folder(tmp_path / "data", 6, intents=("hear_low", "hear_high"))
    text = (data / "metadata.csv").read_text().replace(",hear_low", ",hear_nothing")
    (data / "metadata.csv").write_text(text)
    with pytest.raises(ModelError) as error:
        onnx_export.make_trial(OnnxModel(copy), copy, str(data))
    assert error.value.name == str(data)
    assert error.value.problem == "has intents that the model does not know (hear_nothing)"
    assert error.value.remedy == "it knows hear_high, hear_low, hear_middle, hear_upper"
