"""Our model is known to transformers' Auto classes as soon as both packages are imported.

In either order, and without importing transformers for those who do not need it.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

AUTO_CLASSES = "transformers.models.auto.modeling_auto"
MODEL_TYPE = "moonshine"
THEIRS = "transformers.models.moonshine"
OURS = "speech_intent.moonshine"
CLASSIFIER = "MoonshineForAudioClassification"  # of ours


def register() -> None:
    """Register now if the Auto classes are imported already, else when they are."""
    if AUTO_CLASSES in sys.modules:
        _add_classifier(sys.modules[AUTO_CLASSES])
    else:
        sys.meta_path.insert(0, AutoClassesFinder)


def _add_classifier(auto_classes: ModuleType) -> None:
    """Add our classifier to the audio classifiers that the Auto classes know.

    By name, as theirs: its module is imported when it is used. Now would be too early, since some
    of what that imports may itself be waiting for the Auto classes.
    """
    mapping = auto_classes.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING
    mapping._modules[MODEL_TYPE] = _Moonshine(MODEL_TYPE)
    auto_classes.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES[MODEL_TYPE] = CLASSIFIER


class _Moonshine(ModuleType):
    """transformers' module of Moonshine, and our classifier with it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(OURS if name == CLASSIFIER else THEIRS), name)


class AutoClassesFinder(PathFinder):
    """Finds the module of the Auto classes as usual, and lets our classifier follow it."""

    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find a module if it is that one."""
        if fullname != AUTO_CLASSES:
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            _follow(spec)
        return spec


def _follow(spec: ModuleSpec) -> None:
    """Let the import of the Auto classes end with our classifier's joining them."""
    assert spec.loader is not None
    execute = spec.loader.exec_module

    def execute_and_add(module: ModuleType) -> None:
        execute(module)
        _add_classifier(module)

    spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
