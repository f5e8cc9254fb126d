"""What a classifier's head gets of a clip, beside its logits, for every family and in ONNX too."""

import threading
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class HeadInputs:
    """Watches a classifier: `last` is what its head got of the last batch, (batch, size).

    That is the mean over a clip's frames of the inputs of its projector, with which the mean
    commutes; without a projector, the inputs of its classifier. Each thread has its own.
    """

    def __init__(self, network: "PreTrainedModel"):
        self._of_thread = threading.local()
        self._size = 0
        if hasattr(network, "projector"):
            # Both go through the model's own mean, which minds padding as that family does.
            network.projector.register_forward_hook(self._hand_on)
            self._size = network.projector.in_features
        network.classifier.register_forward_pre_hook(self._keep)

    def __deepcopy__(self, _: dict[int, Any]) -> "HeadInputs":
        """Give the copy of a network a watch of its own, that nobody reads."""
        copy = object.__new__(HeadInputs)
        copy._of_thread = threading.local()
        copy._size = self._size
        return copy

    @property
    def last(self) -> torch.Tensor:
        """What the head got of this thread's last batch, (batch, size)."""
        return self._of_thread.inputs

    def _hand_on(
        self, _: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
    ) -> torch.Tensor:
        return torch.cat([output, inputs[0]], dim=-1)

    def _keep(self, _: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (got,) = inputs
        self._of_thread.inputs = got[..., -self._size :]
        return (got[..., : got.shape[-1] - self._size],)


class WithHeadInputs(torch.nn.Module):
    """A classifier that gives what its head got, too."""

    def __init__(self, network: "PreTrainedModel"):
        super().__init__()
        self.network = network
        self._head_inputs = HeadInputs(network)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits (batch, n_labels) and what the head got (batch, size)."""
        logits = self.network(*inputs).logits
        return logits, self._head_inputs.last
