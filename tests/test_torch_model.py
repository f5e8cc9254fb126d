import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import RATE, TONES

from speech_intent.errors import ModelError
from speech_intent.features import model_inputs
from speech_intent.model_config import read_config
from speech_intent.torch_model import TorchModel


class Mirror(torch.nn.Module):
    """Says of each clip how many were in its batch, how long the batch was, and its own sum."""

    device = "cpu"

    def __init__(self, norm: str):
        super().__init__()
        labels = dict(enumerate("abc"))
        self.classifier = torch.nn.Identity()
        self.config = SimpleNamespace(feat_extract_norm=norm, model_type="m", id2label=labels)

    def forward(self, input_values, attention_mask=None):
        n, n_samples = input_values.shape
        sizes = torch.tensor([[n, n_samples]]).expand(n, 2)
        sums = input_values.sum(-1, keepdim=True)
        return SimpleNamespace(logits=self.classifier(torch.cat([sizes, sums], dim=1)))


EXTRACTOR = SimpleNamespace(sampling_rate=RATE, do_normalize=False)
WAVEFORMS = [np.full(n, value, np.float32) for n, value in [(2, 5), (4, 1), (2, 7), (3, 2)]]


def test_clips_of_one_length_share_a_batch_where_the_encoder_stands_no_padding():
    logits = TorchModel(Mirror("group"), EXTRACTOR)(WAVEFORMS)
    assert logits.tolist() == [[2, 2, 10], [1, 4, 4], [2, 2, 14], [1, 3, 6]]
    assert logits.dtype == np.float32


def test_all_clips_share_a_batch_where_it_does():
    logits = TorchModel(Mirror("layer"), EXTRACTOR)(WAVEFORMS)
    assert logits.tolist() == [[4, 4, 10], [4, 4, 4], [4, 4, 14], [4, 4, 6]]


def test_it_says_what_it_is_and_is_ready_to_answer(model_folder):
    model = TorchModel.load(model_folder, "a model")
    assert (model.engine, model.precision, model.rule) == ("torch", "float32", "mask")
    assert model.config.id2label == dict(enumerate(TONES))
    assert model.config == read_config(model_folder)
    assert model.extractor.sampling_rate == RATE
    assert not model.network.training
    assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}


def test_logits_are_those_of_the_network(model_folder, tone):
    model = TorchModel.load(model_folder, "a model")
    clips = [tone(frequency, 0.3) for frequency in TONES.values()]
    inputs = model_inputs(clips, model.extractor, model.rule)
    with torch.no_grad():
        expected = model.network(**{name: torch.from_numpy(x) for name, x in inputs.items()}).logits
    np.testing.assert_allclose(model(clips), expected.numpy(), atol=1e-5)
    assert model(clips).argmax(axis=1).tolist() == [0, 1, 2, 3]  # it was trained on such tones


def test_half_precision_on_disk_is_float32_in_memory(model_folder, tmp_path):
    network = TorchModel.load(model_folder, "a model").network
    folder = shutil.copytree(model_folder, tmp_path / "half")
    network.half().save_pretrained(folder)
    loaded = TorchModel.load(folder, "a model").network
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}


def test_an_encoder_without_a_trained_head_is_refused(encoders):
    with pytest.raises(ModelError) as error:
        TorchModel.load(encoders["wavlm"], "an encoder")
    assert error.value.name == "an encoder"
    assert error.value.problem.startswith("has no trained classification head (")
    assert "classifier.weight" in error.value.problem
    assert error.value.remedy == "fine-tune it first"


def test_a_damaged_file_is_an_error_of_one_line(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError) as error:
        TorchModel.load(folder, "a model")
    assert error.value.name == str(folder / "model.safetensors")
    problem = "is no safetensors file, or only its beginning; download or copy it again"
    assert error.value.reason == problem
