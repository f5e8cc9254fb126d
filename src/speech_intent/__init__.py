"""Spoken intent classification straight from audio: a waveform in, an intent out.

Nothing is transcribed in between.
"""

import importlib
import os
from typing import Any

from .registration import register

__version__ = "0.1.0"
__all__ = ["AudioError", "IntentClassifier", "ModelError", "Prediction", "UserError"]

_MODULES = {
    "AudioError": "errors",
    "IntentClassifier": "predict",
    "ModelError": "errors",
    "Prediction": "predict",
    "UserError": "errors",
}


register()

# Read when huggingface_hub is imported. Otherwise it asks the Hub which programs might be using it
# before it asks for anything else, and believes for a day whatever answered.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Read when torch is imported. Otherwise its threads wait for each other at full speed, and keep the
# cores from the one they wait for as soon as another program is busy too.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    `import speech_intent` then loads neither torch nor NumPy.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
