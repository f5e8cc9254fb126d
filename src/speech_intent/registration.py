"""Our models are known to transformers' Auto classes as soon as both packages are imported.

In either order, and without importing transformers for those who do not need it.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

AUTO_CLASSES = "transformers.models.auto.modeling_auto"
# By family; ours are in modules of its name, as transformers' are.
CLASSIFIERS = {
    "moonshine": "MoonshineForAudioClassification",
    "whisper": "WhisperForAudioClassification",  # in place of theirs
}


def register() -> None:
    """Register now if the Auto classes are imported already, else when they are."""
    if AUTO_CLASSES in sys.modules:
        _add_classifiers(sys.modules[AUTO_CLASSES])
    else:
        sys.meta_path.insert(0, AutoClassesFinder)


def _add_classifiers(auto_classes: ModuleType) -> None:
    """Add our classifiers to the audio classifiers that the Auto classes know.

    By name, as theirs: a module is imported when it is used. Now would be too early, since some
    of what that imports may itself be waiting for the Auto classes.
    """
    mapping = auto_classes.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING
    for family, classifier in CLASSIFIERS.items():
        mapping._modules[family] = _Family(family)
        auto_classes.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES[family] = classifier


class _Family(ModuleType):
    """transformers' module of a family, and our classifier in it."""

    def __getattr__(self, name: str) -> Any:
        family = self.__name__
        is_ours = name == CLASSIFIERS[family]
        place = "speech_intent" if is_ours else "transformers.models"
        return getattr(importlib.import_module(f"{place}.{family}"), name)


class AutoClassesFinder(PathFinder):
    """Finds the module of the Auto classes as usual, and lets our classifiers follow it."""

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
    """Let the import of the Auto classes end with our classifiers' joining them."""
    assert spec.loader is not None
    execute = spec.loader.exec_module

    def execute_and_add(module: ModuleType) -> None:
        execute(module)
        _add_classifiers(module)

    spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
