"""transformers knows our classifier, whatever is imported first."""

import subprocess
import sys

import pytest

from speech_intent.paths import MOONSHINE

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
    ],
)
def test_the_order_of_imports_does_not_matter(imports):
    subprocess.run([sys.executable, "-c", f"{imports}\n{LOAD}"], check=True)


def test_importing_the_package_imports_neither_transformers_nor_torch():
    program = "import sys, speech_intent\nassert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
