"""Our model is known to transformers' Auto classes as soon as both packages are imported.

In either order, and without importing transformers for those who do not need it.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

AUTO_CLASSES = "transformers.models.auto.modeling_auto"
OURS = "speech_intent.moonshine"


def register() -> None:
    """Register now if the Auto classes are imported already, else when they are."""
    if AUTO_CLASSES in sys.modules:
        importlib.import_module(OURS)
    else:
        sys.meta_path.insert(0, AutoClassesFinder)


class AutoClassesFinder(PathFinder):
    """Finds the module of the Auto classes as usual, and lets ours follow it."""

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
    """Let a module's import end with that of ours."""
    assert spec.loader is not None
    execute = spec.loader.exec_module

    def execute_both(module: ModuleType) -> None:
        execute(module)
        importlib.import_module(OURS)

    spec.loader.exec_module = execute_both  # type: ignore[method-assign]
