"""Spoken intent classification straight from audio: a waveform in, an intent out, no transcription in between."""

import importlib

__version__ = "0.1.0"
__all__ = ["AudioError", "IntentClassifier", "ModelError", "Prediction"]

_HOME = {"AudioError": "audio", "IntentClassifier": "predict", "ModelError": "predict", "Prediction": "predict"}


def __getattr__(name: str):
    """Import a public name when it is first used, so that `import speech_intent` loads neither torch nor NumPy."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
