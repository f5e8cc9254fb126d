"""What a page is told of a model, and which models it cannot ask."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from speech_intent import ModelError, browser_model, onnx_export
from speech_intent.digests import sha256
from speech_intent.model import build_model
from speech_intent.paths import SHIPPED


@pytest.fixture
def copy(onnx_folder, tmp_path) -> Path:
    return shutil.copytree(onnx_folder, tmp_path / "model")


def change(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_moonshine_is_described():
    found = browser_model.description(SHIPPED)
    assert found["labels"][0] == "About_iQube" and len(found["labels"]) == 9
    assert (SHIPPED / found["file"]).stat().st_size == found["bytes"]
    assert (found["sampling_rate"], found["max_seconds"]) == (16_000, 15.0)
    assert found["normalise"] is False
    assert found["mels"] is None
    assert (found["threshold"], found["rejection"]) == (None, "unknown.safetensors")


def test_the_numbers_of_a_waveform_encoder_are_its_own(copy):
    change(copy / "config.json", max_seconds=7.5, rejection_threshold=0.5)
    change(copy / "preprocessor_config.json", do_normalize=True)
    found = browser_model.description(copy)
    assert (found["max_seconds"], found["threshold"], found["normalise"]) == (7.5, 0.5, True)
    assert found["rejection"] is None
    json.dumps(found)


def test_the_file_is_the_one_that_answers(copy):
    assert browser_model.description(copy)["file"] == "onnx/model.onnx"
    reduced = copy / "onnx" / "model_quantized.onnx"
    shutil.copy(copy / "onnx" / "model.onnx", reduced)
    digests = {"onnx/model_quantized.onnx": sha256(reduced)}
    change(copy / "onnx.json", precision="int8+float32", digests=digests)
    assert browser_model.description(copy)["file"] == "onnx/model_quantized.onnx"


@pytest.mark.parametrize("cut", [True, False])
def test_mels_come_with_their_filters(encoders, tmp_path, cut):
    new = build_model(encoders["whisper"], ["a", "b"], cut_to_clip=cut)
    new.model.save_pretrained(tmp_path)
    new.extractor.save_pretrained(tmp_path)
    onnx_export.export(tmp_path)
    found = browser_model.description(tmp_path)
    mels = found["mels"]
    assert np.shape(mels["filters"]) == (16, 201)  # of 16 mels, as the extractor has them
    np.testing.assert_array_equal(np.transpose(mels["filters"]), new.extractor.mel_filters)
    assert (mels["n_fft"], mels["hop"], mels["n_samples"]) == (400, 160, 32_000)
    assert mels["cut"] is cut
    assert found["max_seconds"] == 2.0  # what the extractor takes
    json.dumps(found)


def test_a_model_that_was_not_exported_is_refused(model_folder):
    with pytest.raises(ModelError, match="has no ONNX file of ours; run python -m speech_intent"):
        browser_model.description(model_folder)


def test_a_file_of_another_export_is_refused(copy):
    (copy / "onnx" / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(ModelError, match="is not the file that export wrote"):
        browser_model.description(copy)


def test_another_sampling_rate_is_refused(copy):
    change(copy / "preprocessor_config.json", sampling_rate=8_000)
    with pytest.raises(ModelError, match="hears audio at 8000 Hz, and a page gives 16000"):
        browser_model.description(copy)
