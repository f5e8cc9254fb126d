"""Training of a head alone, on the outputs of a frozen encoder that are computed once."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from datasets import Dataset
from tqdm import tqdm

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FrozenHead(torch.nn.Module):
    """The head of a classifier, on pooled encoder outputs. Shares the classifier's weights."""

    def __init__(self, model: "PreTrainedModel"):
        super().__init__()
        self.projector = model.projector
        self.classifier = model.classifier

    def forward(
        self, pooled: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Classify pooled outputs (batch, hidden_size): logits (batch, n_labels).

        The mean over time may come first, since it commutes with the projector.
        """
        outputs = {"logits": self.classifier(self.projector(pooled))}
        if labels is not None:
            outputs["loss"] = outputs["logits"].new_zeros(())  # the Trainer has its own
        return outputs


def pooled_outputs(model: "PreTrainedModel", table: Dataset, collator: Callable) -> Dataset:
    """Run a frozen encoder once over a table.

    Gives `pooled` (hidden_size,), the mean of its outputs over time, and `labels`.
    """
    pooled: list[torch.Tensor] = []

    def keep_mean(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        pooled.append(inputs[0].mean(dim=1))  # (1, n_frames, hidden_size) to (1, hidden_size)

    hook = model.projector.register_forward_pre_hook(keep_mean)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.eval().to(device)
    with torch.inference_mode():
        for row in tqdm(table, desc="Encoding clips", unit="clip", disable=None):
            inputs = collator([row])
            del inputs["labels"]
            model(**{name: value.to(device) for name, value in inputs.items()})
    hook.remove()
    columns = {"pooled": torch.cat(pooled).cpu().numpy(), "labels": table["label"]}
    return Dataset.from_dict(columns).with_format("torch")
