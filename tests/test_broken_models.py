"""Model folders broken in many ways: each is refused in one line, or answers as it should."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import RATE, TONES

from speech_intent import IntentClassifier
from speech_intent.errors import ModelError

Damage = Callable[[Path], None]


def changed(name: str, **fields) -> Damage:
    """Change fields of a JSON file; `...` takes one out."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | fields
        kept = {key: value for key, value in content.items() if value is not ...}
        (folder / name).write_text(json.dumps(kept))

    return damage


def config(**fields) -> Damage:
    return changed("config.json", **fields)


def extractor(**fields) -> Damage:
    return changed("preprocessor_config.json", **fields)


def record(**fields) -> Damage:
    return changed("onnx.json", **fields)


def written(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, keep: int) -> Damage:
    """Keep some bytes of a file: from its beginning, or all but some if negative."""

    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return damage


def weights(change: Callable[[dict], dict]) -> Damage:
    """Write the weights changed, in the same order."""

    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = change(safetensors.torch.load_file(path))
        safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})

    return damage


def as_bin(content: object) -> Damage:
    """Put a pickle in the place of the weights."""

    def damage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(content, protocol=2))

    return damage


class Opens:
    """What a pickle makes a file of, if it is trusted."""

    def __reduce__(self):
        return (open, ("code-was-run", "w"))


NAMES = dict(enumerate(TONES))
DEEP = b"[" * 100_000
NUMBERS = [-1, 0, 10**400, float("nan"), float("inf"), 1e-9, "4", [], {}, True, "NaN"]
LABELS: list[object] = [
    {},
    [],
    list(TONES),
    "names",
    7,
    True,
    {"0": "a", "1": "b", "3": "c", "4": "d"},
    {"1": "a", "2": "b", "3": "c", "4": "d"},
    {"0": "a", "00": "b", "1": "c", "2": "d"},
    {"a": 0, "b": 1, "c": 2, "d": 3},
    {"0": "a", "1": "b", "2": "c", "-1": "d"},
    {"0.0": "a", "1.0": "b", "2.0": "c", "3.0": "d"},
    {"9" * 5_000: "a", "1": "b", "2": "c", "3": "d"},
    {"0": "a", "1": "a", "2": "b", "3": "c"},
    {"0": "a", "1": "b", "2": "c", "3": None},
    {"0": "a", "1": "b", "2": "c", "3": 3},
    {"0": "a", "1": "b", "2": "c", "3": ""},
    {"0": "a", "1": "b", "2": "c", "3": " "},
    {"0": "a", "1": "b", "2": "c", "3": ["d"]},
    {"0": "a", "1": "b", "2": "c", "3": "\ud800"},
    {"0": "a", "1": "b", "2": "c"},
    {str(i): f"intent {i}" for i in range(5)},
    {str(i): f"intent {i}" for i in range(12)},
    {"0": "all"},
]

# Either engine refuses them.
CONFIGS: dict[str, Damage] = {
    **{f"labels {i}": config(id2label=labels) for i, labels in enumerate(LABELS)},
    "no labels": config(id2label=..., label2id=...),  # two, where there are four
    "no labels, another number": config(id2label=None, num_labels=9),
    "no labels, no number": config(id2label=..., num_labels="4"),
    "a thousand million labels": config(id2label=..., num_labels=10**9),
    **{f"max_seconds {value!r}": config(max_seconds=value) for value in NUMBERS},
    **{
        f"margins {value!r}": config(seconds_before_speech=0.1, seconds_after_speech=value)
        for value in (-0.1, 61, float("nan"), "1", [])
    },
    **{
        f"threshold {value!r}": config(rejection_threshold=value)
        for value in (*NUMBERS[2:5], -0.1, 1.5, "0.5", True, [])
    },
    **{
        f"temperature {value!r}": config(calibration_temperature=value)
        for value in (0, -1, float("nan"), "1", [])
    },
    "cut to a text": config(cut_to_clip="clip"),
    "no family": config(model_type=...),
    "family null": config(model_type=None),
    "family 7": config(model_type=7),
    "a million layers": config(num_hidden_layers=10**6),
    "own code": config(auto_map={"AutoModelForAudioClassification": "code.Model"}),
    "own config": config(auto_map={"AutoConfig": "code.Config"}),
    "auto_map a list": config(auto_map=["code.Model"]),
    "clips filled up to a day": extractor(chunk_length=60_000),
    "own extractor": extractor(auto_map={"AutoFeatureExtractor": "code.Extractor"}),
    **{
        f"rate {value!r}": extractor(sampling_rate=value)
        for value in (0, -16_000, "16000", 1e9, 10**9, True, None, 16_000.5, float("nan"), [], {})
    },
    **{f"do_normalize {value!r}": extractor(do_normalize=value) for value in (None, "yes", 1, [])},
    "an extractor of mel bands": extractor(feature_extractor_type="WhisperFeatureExtractor"),
    "an extractor nobody knows": extractor(feature_extractor_type="Unheard"),
    "an extractor of images": extractor(feature_extractor_type=["ViTFeatureExtractor"]),
    **{
        f"{name} {i}": written(name, content)
        for name in ("config.json", "preprocessor_config.json", "processor_config.json")
        for i, content in enumerate(
            [b"", b"{", b"[]", b"null", b'"text"', b"7", DEEP, b"\xff\xfe{\0}\0", b"\0" * 99]
        )
    },
    "a large config": written("config.json", b" " * 2**25),
    "a config in UTF-16": written("config.json", '{"model_type": "wav2vec2"}'.encode("utf-16")),
    "processor nested badly": written("processor_config.json", b'{"feature_extractor": 7}'),
    "processor of a wrong rate": written(
        "processor_config.json", b'{"feature_extractor": {"sampling_rate": 0}}'
    ),
}

TORCH: dict[str, Damage] = {
    "an unknown family": config(model_type="unheard"),
    "a family of texts": config(model_type="bert"),
    "a family of pictures": config(model_type="vit"),
    "another family of speech": config(model_type="hubert"),
    "Whisper": config(model_type="whisper"),
    "wider": config(hidden_size=64),
    "narrower": config(hidden_size=16, num_attention_heads=2),
    "deeper": config(num_hidden_layers=3),
    "no width": config(hidden_size=0),
    "a wide text": config(hidden_size="32"),
    "heads that do not divide": config(num_attention_heads=5),
    "no convolutions": config(conv_dim=[]),
    "convolutions that differ": config(conv_stride=[5, 2]),
    "an activation nobody knows": config(hidden_act="unheard"),
    "another projector": config(classifier_proj_size=16),
    "empty weights": written("model.safetensors", b""),
    "weights of zeros": written("model.safetensors", bytes(1_000)),
    "a web page": written("model.safetensors", b"<html><body>Sign in</body></html>"),
    "a pointer": written("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
    "a header of any length": written("model.safetensors", struct.pack("<Q", 2**60) + b"{}"),
    "a header that is none": written("model.safetensors", struct.pack("<Q", 9) + b"[1, 2, 3]"),
    "a header that is nested": written("model.safetensors", struct.pack("<Q", 99_999) + DEEP),
    "cut short by a byte": cut("model.safetensors", -1),
    "half of the weights": cut("model.safetensors", 60_000),
    "the header's beginning": cut("model.safetensors", 100),
    "no weights inside": weights(lambda tensors: {}),
    "no head": weights(
        lambda tensors: {key: w for key, w in tensors.items() if "classifier" not in key}
    ),
    "no projector": weights(
        lambda tensors: {key: w for key, w in tensors.items() if "projector" not in key}
    ),
    "8 bits without a scale": weights(
        lambda tensors: {key: w.to(torch.int8) for key, w in tensors.items()}
    ),
    "a truth value for each weight": weights(
        lambda tensors: {key: w.bool() for key, w in tensors.items()}
    ),
    "one layer less": weights(
        lambda tensors: {key: w for key, w in tensors.items() if "layers.1." not in key}
    ),
    "other names": weights(lambda tensors: {f"x.{key}": w for key, w in tensors.items()}),
    "an index of nothing": written("model.safetensors.index.json", b"{}"),
    "a pickle of code": as_bin(Opens()),
    "a pickle of a list": as_bin([1, 2, 3]),
    "a pickle of texts": as_bin({"a": "b"}),
    "no pickle": as_bin(b""),
}
INDEXES = [b"{}", b"[]", b'{"weight_map": []}', b'{"weight_map": {"a": "../x"}}', b"{"]
INDEXES += [b'{"weight_map": {"a": 7}}', b'{"weight_map": {"a": ["b"]}}', b'{"weight_map": {}}']
INDEXES += [b'{"weight_map": {"a": "gone.safetensors"}}']


def index(content: bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_bytes(content)

    return damage


TORCH |= {f"index {i}": index(content) for i, content in enumerate(INDEXES)}
del TORCH["an index of nothing"]  # model.safetensors comes first, and is whole

DIGESTS: list[object] = [{}, [], None, {"onnx/model.onnx": 7}, {"onnx/model.onnx": "0"}, "0" * 64]
DIGESTS += [{"onnx/model.onnx": "0" * 64}, {"model.onnx": "0" * 64}]


def reduced(folder: Path) -> None:
    """Let the file in 8 bits answer, and be another."""
    record(precision="int8+float32")(folder)
    written("onnx/model_quantized.onnx", b"onnx")(folder)


ONNX: dict[str, Damage] = {
    **{f"digests {i}": record(digests=digests) for i, digests in enumerate(DIGESTS)},
    **{f"weights {i}": record(weights=value) for i, value in enumerate([[], 7, {"a": 1}, {}])},
    **{
        f"precision {value!r}": record(precision=value)
        for value in (..., None, 7, "float64", "int8", [], {}, "")
    },
    **{f"difference {value!r}": record(difference=value) for value in (..., "0", -1, float("nan"))},
    **{f"reduced {i}": record(reduced=value) for i, value in enumerate([..., 7, {}, [7], [{}]])},
    **{
        f"record {i}": written("onnx.json", content)
        for i, content in enumerate([b"{}", b"[]", b"", b"null", DEEP, b"\xff"])
    },
    "an earlier record": record(digests=..., weights="0" * 64),
    "another file": written("onnx/model.onnx", b"onnx" * 1_000),
    "an empty file": written("onnx/model.onnx", b""),
    "a web page": written("onnx/model.onnx", b"<!doctype html>"),
    "a pointer": written("onnx/model.onnx", b"version https://git-lfs.github.com/spec/v1\n"),
    "cut short": cut("onnx/model.onnx", -1),
    "8 bits of another export": reduced,
    "other weights": cut("model.safetensors", -1),
    "Whisper": config(model_type="whisper"),
}


def refused(folder: Path, engine: str) -> ModelError:
    """Give the error by which a folder is refused, in one line with a remedy."""
    with pytest.raises(ModelError) as error:
        IntentClassifier.from_pretrained(folder, engine)
    assert type(error.value) is ModelError
    assert error.value.remedy
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 1_000
    return error.value


@pytest.fixture
def copy(onnx_folder, tmp_path, monkeypatch) -> Path:
    """A whole model, to be damaged; whoever is asked something on stdin gets no answer."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(onnx_folder, tmp_path / "model")


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize("damage", CONFIGS.values(), ids=CONFIGS)
def test_neither_engine_takes_what_cannot_be(copy, damage, engine):
    damage(copy)
    refused(copy, engine)


@pytest.mark.parametrize("damage", TORCH.values(), ids=TORCH)
def test_torch_refuses_weights_that_are_none_or_of_another_model(copy, damage):
    damage(copy)
    refused(copy, "torch")
    assert not Path("code-was-run").exists()


@pytest.mark.parametrize("damage", ONNX.values(), ids=ONNX)
def test_the_onnx_engine_refuses_files_that_do_not_belong_together(copy, damage):
    damage(copy)
    refused(copy, "onnx")


# Both engines answer, and as before.
HARMLESS: dict[str, Damage] = {
    "nothing": lambda folder: None,
    "no threshold": config(rejection_threshold=None),
    "no window": config(max_seconds=...),
    "labels by other means": config(label2id=..., id2label={f" {i}": n for i, n in NAMES.items()}),
    "labels that disagree": config(label2id={"x": 0}),
    "fields nobody knows": config(unheard={"a": [1]}, note="\u00fc"),
    "code for something else": config(auto_map={"AutoModelForCTC": "code.Model"}),
    "no rate, which is the usual one": extractor(sampling_rate=...),
    "no kind of extractor": extractor(feature_extractor_type=...),
    "an older processor": written("processor_config.json", b'{"processor_class": "X"}'),
    "other files": written("optimizer.bin", b"x"),
}


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize("damage", HARMLESS.values(), ids=HARMLESS)
def test_what_is_harmless_changes_no_answer(copy, onnx_folder, tone, damage, engine):
    clip = (tone(TONES["hear_upper"], seed=3), RATE)
    expected = IntentClassifier.from_pretrained(onnx_folder, engine).predict(clip)
    damage(copy)
    assert IntentClassifier.from_pretrained(copy, engine).predict(clip) == expected
    assert expected.label == "hear_upper"
