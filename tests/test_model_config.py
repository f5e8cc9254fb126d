"""What both engines go by; test_broken_models tries what cannot be."""

import json

import pytest
import transformers
from tiny import TINY, WHISPER

from speech_intent.errors import ModelError
from speech_intent.model_config import (
    ExtractorConfig,
    ModelConfig,
    extractor_fields,
    read_config,
    read_extractor,
    read_record,
)
from speech_intent.paths import SHIPPED


def write(folder, name="config.json", **content):
    (folder / name).write_text(json.dumps(content))
    return folder


def test_the_shipped_model_is_read_whole():
    config = read_config(SHIPPED)
    assert (config.model_type, config.num_labels, config.max_seconds) == ("moonshine", 9, 15.0)
    assert config.id2label[0] == "About_iQube"
    assert (config.rejection_threshold, config.takes_mels) == (None, False)
    assert read_extractor(SHIPPED, takes_mels=False) == ExtractorConfig(16_000, False)
    record = read_record(SHIPPED)
    assert list(record["digests"]) == ["onnx/model.onnx"]
    assert list(record["weights"]) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({}, ["LABEL_0", "LABEL_1"]),
        ({"id2label": None}, ["LABEL_0", "LABEL_1"]),
        ({"num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({"id2label": {"1": "b", "0": "a"}}, ["a", "b"]),
        ({"id2label": {"0": "a"}, "num_labels": 1}, ["a"]),
    ],
)
def test_labels_are_those_of_transformers(tmp_path, values, labels):
    config = read_config(write(tmp_path, model_type="wav2vec2", **values))
    assert config == ModelConfig("wav2vec2", dict(enumerate(labels)))
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert theirs.id2label == config.id2label


@pytest.mark.parametrize(
    ("values", "takes_mels"), [(TINY, False), (WHISPER, True), ({"model_type": "whisper"}, True)]
)
def test_whisper_takes_mel_bands(tmp_path, values, takes_mels):
    folder = write(tmp_path, **{"model_type": "other"} | values)
    assert read_config(folder).takes_mels is takes_mels


def test_a_whisper_says_whether_its_mels_are_cut_to_the_clip(tmp_path):
    assert read_config(write(tmp_path, **WHISPER, model_type="whisper")).cut_to_clip is False
    for cut in (True, False):
        folder = write(tmp_path, **WHISPER, model_type="whisper", cut_to_clip=cut)
        assert read_config(folder).cut_to_clip is cut


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({}, "has 0 names, and must have 1 to 100,000"),
        ({"0": "a", "2": "b"}, "has no name for 1"),
        ({"0": "a", "x": "b"}, "has 'x' in the place of a number"),
        ({"0": "a", "1": None}, "has no text as the name of 1"),
        ({"0": "a", "1": "b", "2": "b"}, "has the name 'b' more than once"),
    ],
)
def test_what_is_wrong_with_labels_is_said(tmp_path, labels, problem):
    with pytest.raises(ModelError) as error:
        read_config(write(tmp_path, model_type="wav2vec2", id2label=labels))
    assert error.value.name == str(tmp_path / "config.json")
    assert error.value.problem == f"id2label {problem}"


def test_two_numbers_of_labels_are_refused(tmp_path):
    """transformers would take the other one, and forget the names."""
    with pytest.raises(ModelError, match="id2label has 1 names, and num_labels is 5"):
        read_config(write(tmp_path, model_type="wav2vec2", id2label={"0": "a"}, num_labels=5))


def test_the_place_that_transformers_looks_at_first_comes_first(tmp_path):
    assert extractor_fields(tmp_path) is None
    write(tmp_path, "preprocessor_config.json", sampling_rate=8_000, do_normalize=False)
    assert read_extractor(tmp_path, False) == ExtractorConfig(8_000, False)
    write(tmp_path, "processor_config.json", processor_class="older")
    assert read_extractor(tmp_path, False) == ExtractorConfig(8_000, False)
    write(tmp_path, "processor_config.json", audio_processor={"sampling_rate": 24_000})
    assert read_extractor(tmp_path, False) == ExtractorConfig(24_000, True)
    write(tmp_path, "processor_config.json", feature_extractor={})
    assert read_extractor(tmp_path, False) == ExtractorConfig(16_000, True)


def test_a_folder_without_an_extractors_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"has no preprocessor_config\.json"):
        read_extractor(tmp_path, False)
