"""What transformers saved, and what it says of a checkpoint that it cannot load."""

import json
import shutil
import sys

import pytest
import safetensors.torch
import transformers
from tiny import TINY

from speech_intent import checkpoints, model, train
from speech_intent.errors import ModelError

CODE = """
from pathlib import Path
Path("code-was-run").write_text("")
"""


@pytest.fixture
def copy(encoders, tmp_path):
    """An encoder, to be damaged."""
    return shutil.copytree(encoders["wav2vec2_layer"], tmp_path / "encoder")


def rewrite(folder, **changed) -> None:
    content = json.loads((folder / "config.json").read_text()) | changed
    (folder / "config.json").write_text(json.dumps(content))


def refusal(folder, name="an encoder") -> ModelError:
    with pytest.raises(ModelError) as error:
        checkpoints.load(folder, name)
    assert "\n" not in str(error.value)
    return error.value


def test_of_an_encoder_the_head_alone_is_missing(encoder):
    found = checkpoints.load(encoder, "an encoder", num_labels=3)
    assert {name.split(".")[0] for name in found.missing_head} <= {"classifier", "projector"}
    assert "classifier.weight" in found.missing_head
    assert found.other_head == {}
    assert found.network.config.num_labels == 3
    assert found.extractor.sampling_rate == 16_000


def test_a_head_for_other_intents_is_told_by_its_sizes(model_folder):
    found = checkpoints.load(model_folder, "a model", num_labels=9)
    assert found.missing_head == []
    assert found.other_head["classifier.bias"] == ((4,), (9,))


@pytest.mark.parametrize(
    ("key", "sizes", "problem"),
    [
        (
            "classifier.bias",
            ((12,), (9,)),
            "its weights tell 12 intents apart, and config.json names 9",
        ),
        (
            "classifier.weight",
            ((4, 32), (4, 16)),
            "its weights are of another model: classifier.weight is 4 x 32, "
            "and 4 x 16 by config.json",
        ),
    ],
)
def test_sizes_are_said_in_words(key, sizes, problem):
    assert checkpoints.sizes_problem(key, sizes) == problem


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"model_type": "bert"}, "is of the family 'bert', which classifies no audio"),
        (
            {"model_type": "unheard"},
            f"is of the family 'unheard', which transformers {transformers.__version__} "
            "does not have",
        ),
        (
            {"num_hidden_layers": 3},
            "its weights lack 16 of what config.json speaks of, such as "
            "wav2vec2.encoder.layers.2.attention.k_proj.bias",
        ),
    ],
)
def test_an_encoder_of_another_kind_is_named(copy, changed, problem):
    rewrite(copy, **changed)
    error = refusal(copy)
    assert (error.name, error.problem) == ("an encoder", problem)
    with pytest.raises(ModelError) as raised:
        model.build_model(copy, ["a", "b"])
    assert raised.value.problem == problem


def test_sizes_below_the_head_are_named(copy):
    rewrite(copy, hidden_size=64)
    words = "its weights are of another model: wav2vec2.encoder.layer_norm.bias is 32, and 64"
    assert refusal(copy).problem.startswith(words)


def test_a_speech_recogniser_lends_its_encoder(copy, tmp_path):
    config = transformers.Wav2Vec2Config(**TINY, vocab_size=40)
    transformers.Wav2Vec2ForCTC(config).save_pretrained(copy)
    found = checkpoints.load(copy, "a recogniser", num_labels=2)
    assert "classifier.weight" in found.missing_head


def test_half_of_the_weights_are_named_by_their_file(copy):
    path = copy / "model.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:50_000])
    error = refusal(copy)
    assert error.name == str(path)
    assert error.problem == f"was cut short: 50,000 of {size:,} bytes are there"


def test_weights_in_parts_are_loaded(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"1.safetensors": names[::2], "2.safetensors": names[1::2]}
    for part, keys in parts.items():
        some = {key: tensors[key] for key in keys}
        safetensors.torch.save_file(some, folder / part, metadata={"format": "pt"})
    weight_map = {key: part for part, keys in parts.items() for key in keys}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = checkpoints.load(folder, "a model")
    assert (found.missing_head, found.other_head) == ([], {})
    (folder / "2.safetensors").write_bytes(b"")
    assert refusal(folder).name == str(folder / "2.safetensors")


@pytest.mark.parametrize("name", ["AutoConfig", "AutoModelForAudioClassification"])
def test_a_checkpoints_own_code_is_never_run_and_nobody_is_asked(
    copy, tmp_path, monkeypatch, capsys, name
):
    (copy / "code.py").write_text(CODE)
    rewrite(copy, auto_map={name: "code.Thing"}, model_type="own")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)  # whoever reads it fails
    problem = "wants to run the model's own code, which is never run here"
    assert refusal(copy).problem == problem
    assert train.main(["--encoder", str(copy), "--output-dir", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {copy}/config.json: ")
    assert not (tmp_path / "code-was-run").exists()


def test_an_extractor_of_another_kind_is_named(copy):
    (copy / "preprocessor_config.json").write_text('{"feature_extractor_type": "Unheard"}')
    words = 'feature_extractor_type is "Unheard", and must be Wav2Vec2FeatureExtractor'
    assert refusal(copy).problem == words


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("preprocessor_config.json", {"sampling_rate": 0}, "sampling_rate is 0, and must be"),
        ("config.json", {"model_type": "hubert", "num_hidden_layers": 10**8}, "num_hidden_layers"),
    ],
)
def test_numbers_that_cannot_be_are_named_before_anything_is_built(copy, name, content, words):
    (copy / name).write_text(json.dumps(content))
    error = refusal(copy)
    assert error.name == str(copy / name)
    assert error.problem.startswith(words)
    with pytest.raises(ModelError, match=words):
        model.build_model(copy, ["a", "b"])
