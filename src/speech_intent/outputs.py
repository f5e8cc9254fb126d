"""What a model computes of clips."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outputs:
    """Logits, and what the head made them of; float32."""

    logits: np.ndarray  # (n, n_labels)
    pooled: np.ndarray | None  # (n, size); None: the model does not give it
