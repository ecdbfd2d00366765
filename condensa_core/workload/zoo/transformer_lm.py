"""A causal transformer: every token is predicted from those before it.

Source: Radford et al., Language Models are Unsupervised Multitask Learners, 2019 (norms before each branch).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from condensa_core.errors import WorkloadError
from condensa_core.workload.zoo.token_shape import check_counts, check_dropout, window_length


class CausalAttention(nn.Module):
    """Heads that see a token and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            projection(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron of four times the width, each added to what it read."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.down(functional.gelu(self.up(self.norm2(x)))))


class TransformerLM(nn.Module):
    """`embedding` and `position`, `blocks`, `norm`, `decoder`; b x t ids in, b x t x classes scores out."""

    def __init__(self, classes: int, length: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)
        self.position = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.decoder = nn.Linear(width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.decoder(self.norm(self.blocks(self.embedding(ids) + self.position(places))))


def transformer_lm(
    classes: int,
    input_shape: tuple[int, ...],
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    dropout: float = 0.0,
) -> nn.Module:
    """`layers` blocks of `heads` heads, for windows of at most the data's length; `heads` divides `width`."""
    length = window_length("transformer-lm", input_shape)
    check_counts("transformer-lm", width=width, layers=layers, heads=heads)
    check_dropout("transformer-lm", dropout)
    if width % heads:
        raise WorkloadError(
            f"transformer-lm: {heads} heads do not divide a width of {width}",
            hint="choose a width that is a multiple of heads",
        )
    return TransformerLM(classes, length, width, layers, heads, dropout)
