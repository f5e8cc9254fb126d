"""Moonshine's self-attention as fewer and larger operations, for the exported graph.

The same numbers: queries, keys and values come of one multiplication, and their features lie as the
rotation takes them, its two halves one after the other.
"""

from typing import TYPE_CHECKING, Any

import torch

from .moonshine import MoonshineForAudioClassification, RotaryAttention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MASKED = -1e4  # added to what attention must not see; -inf would take checks for NaN


class JoinedAttention(torch.nn.Module):
    """`RotaryAttention` with its three projections in one."""

    def __init__(self, attention: RotaryAttention, n_rotated: int):
        super().__init__()
        self.head_dim = attention.head_dim
        self.n_rotated = n_rotated  # features of a head
        self.n_heads = attention.q_proj.out_features // self.head_dim
        self.scale = self.head_dim**-0.5  # not of the weights, which fit into half precision
        turned = [attention.q_proj.weight, attention.k_proj.weight]
        parts = [*map(self._halves, turned), attention.v_proj.weight]
        self.weight = torch.nn.Parameter(torch.cat(parts), requires_grad=False)
        self.o_proj = attention.o_proj

    def _halves(self, weight: torch.Tensor) -> torch.Tensor:
        """Order the features of each head: even ones, odd ones, those that are not rotated."""
        order = torch.arange(self.head_dim)
        rotated = order[: self.n_rotated]
        order = torch.cat([rotated[0::2], rotated[1::2], order[self.n_rotated :]])
        return weight.unflatten(0, (self.n_heads, -1))[:, order].flatten(0, 1)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """Do what `RotaryAttention` does."""
        joined = torch.nn.functional.linear(hidden_states, self.weight)
        heads = joined.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        turned = self._rotate(heads[:, : 2 * self.n_heads], *position_embeddings)
        query, key = self.scale * turned[:, : self.n_heads], turned[:, self.n_heads :]
        value = heads[:, 2 * self.n_heads :]
        scores = query @ key.transpose(-1, -2) + torch.where(attention_mask, 0.0, MASKED)
        attended = torch.softmax(scores, dim=-1) @ value
        return self.o_proj(attended.transpose(1, 2).flatten(2)), None

    def _rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Do what `moonshine.rotate` does, to features in halves."""
        half = self.n_rotated // 2
        even, odd, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat([even * cos - odd * sin, odd * cos + even * sin, rest], dim=-1)


def join_attention(network: "PreTrainedModel") -> None:
    """Give a Moonshine classifier such attention, in place; leave any other as it is."""
    if not isinstance(network, MoonshineForAudioClassification):
        return
    encoder = network.model.encoder
    n_rotated = 2 * len(encoder.rotary_emb.inv_freq)
    for layer in encoder.layers:
        layer.self_attn = JoinedAttention(layer.self_attn, n_rotated)
