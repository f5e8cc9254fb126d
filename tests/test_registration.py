"""transformers knows our classifiers, whatever is imported first."""

import subprocess
import sys

import pytest
from tiny import MOONSHINE as MOONSHINE_SIZES
from tiny import WHISPER as WHISPER_SIZES
from transformers import (
    AutoModelForAudioClassification,
    AutoModelForSpeechSeq2Seq,
    MoonshineConfig,
    WhisperConfig,
)
from transformers import HubertForSequenceClassification as HUBERT

from speech_intent import model
from speech_intent.moonshine import MoonshineForAudioClassification
from speech_intent.paths import MOONSHINE
from speech_intent.registration import AUTO_CLASSES
from speech_intent.whisper import WhisperForAudioClassification

LOAD = f"""
from transformers import AutoModelForAudioClassification as Auto
model = Auto.from_pretrained({str(MOONSHINE)!r}, num_labels=3)
assert type(model).__module__ == "speech_intent.moonshine"
assert model.classifier.out_features == 3
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import speech_intent",
        "import speech_intent, transformers.models.wav2vec2.modeling_wav2vec2",
        "import speech_intent, transformers.models.moonshine.modeling_moonshine",
        "import speech_intent, transformers.generation.utils",
        "import speech_intent.moonshine",
        "import transformers.models.auto.modeling_auto, speech_intent",
        "import speech_intent.torch_model",
        f"import importlib.util as u, speech_intent; assert u.find_spec({AUTO_CLASSES!r})",
    ],
)
def test_the_order_of_imports_does_not_matter(imports):
    subprocess.run([sys.executable, "-c", f"{imports}\n{LOAD}"], check=True)


@pytest.mark.parametrize("family", ["moonshine", "whisper"])
@pytest.mark.parametrize("first", ["speech_intent", "transformers"])
def test_a_classifier_answers_by_our_engine_and_by_their_pipeline(
    first, family, encoders, tmp_path
):
    classifier = model.build_model(encoders[family], ["a", "b"])
    classifier.model.save_pretrained(tmp_path)
    classifier.extractor.save_pretrained(tmp_path)
    program = f"""
import {first}
import numpy as np, speech_intent, transformers
folder = {str(tmp_path)!r}
clip = np.ones(16_000, np.float32) / 2
classify = transformers.pipeline("audio-classification", model=folder)
answers = classify({{"raw": clip, "sampling_rate": 16_000}})
theirs = {{each["label"]: each["score"] for each in answers}}
classifier = speech_intent.IntentClassifier.from_pretrained(folder, "torch")
ours = dict(classifier.predict((clip, 16_000)).scores)
assert set(theirs) == set(ours) == {{"a", "b"}}
assert all(abs(theirs[label] - ours[label]) < 1e-5 for label in ours), (theirs, ours)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_what_transformers_knew_before_it_still_knows(encoders):
    """Their recognisers stay theirs, and so do other families."""
    kinds = {
        "moonshine": MoonshineForAudioClassification,
        "whisper": WhisperForAudioClassification,
        "hubert": HUBERT,
    }
    for name, kind in kinds.items():
        assert type(AutoModelForAudioClassification.from_pretrained(encoders[name])) is kind
    for config in (MoonshineConfig(**MOONSHINE_SIZES), WhisperConfig(**WHISPER_SIZES)):
        recogniser = AutoModelForSpeechSeq2Seq.from_config(config)
        assert type(recogniser).__module__.startswith("transformers.")


def test_importing_the_package_imports_neither_transformers_nor_torch():
    program = "import sys, speech_intent\nassert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
