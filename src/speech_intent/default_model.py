"""The model that answers where none is named."""

import sys
from typing import TYPE_CHECKING

from .errors import HubUnreachable
from .paths import SHIPPED

if TYPE_CHECKING:
    from .model_files import Engine
    from .predict import IntentClassifier

HUB_MODEL = "MuhammadIqbalBazmi/wav2vec2-base-intent-classification-ori"


def load_model(
    name: str | None, engine: "Engine" = "auto", parallel: bool = False
) -> "IntentClassifier":
    """Load the named model or, if none is named, the published one, or else the shipped one."""
    from .predict import IntentClassifier  # late, so that --help is quick

    if name is not None:
        return IntentClassifier.from_pretrained(name, engine, parallel)
    try:
        return IntentClassifier.from_pretrained(HUB_MODEL, engine, parallel)
    except HubUnreachable as error:
        note = f"note: {error.name}: {error.problem}; answering with {SHIPPED}"
        print(note, file=sys.stderr)
        return IntentClassifier.from_pretrained(SHIPPED, engine, parallel)
