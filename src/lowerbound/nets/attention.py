"""Attention, and the blocks of transformers: pre-normalised, of any number of leading dimensions but one."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.errors import InputError
from lowerbound.nets.mlp import initialise, perceptron

WIDER = 4
"""How many times wider than the rest a block's perceptron is."""


@final
class Attention(nn.Module):
    """x + what it finds in `seen`: heads of softmax(q kᵀ / √d) v over normalised inputs, then a linear layer.

    Ashish Vaswani et al., "Attention is all you need", 2017; normalised before and not after, as Ruibin Xiong et al.,
    "On layer normalization in the transformer architecture", 2020.

    Example:
        >>> Attention(8, heads=2)(torch.zeros(5, 3, 8), torch.zeros(5, 7, 8)).shape
        torch.Size([5, 3, 8])
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"width {width} cannot be shared by {heads} heads; give a multiple of them")
        self.heads, self.norm, self.dropout = heads, nn.LayerNorm(width), nn.Dropout(dropout)
        self.query, self.key, self.value = (initialise(nn.Linear(width, width, bias=False), None) for _ in range(3))
        self.out = initialise(nn.Linear(width, width), None)

    def forward(self, x: Tensor, seen: Tensor, there: Tensor | None = None) -> Tensor:
        """x (N, T, width), or one x for all, looks at seen (N, S, width), of which what is `there` (N, S) counts."""
        asked = self.norm(x)
        told = asked if seen is x else self.norm(seen)
        q, k, v = (self._split(each) for each in (self.query(asked), self.key(told), self.value(told)))
        mask = None if there is None else there[:, None, None, :]
        found = nn.functional.scaled_dot_product_attention(q.expand(len(k), -1, -1, -1), k, v, mask)
        return x + self.dropout(self.out(found.transpose(1, 2).flatten(2)))

    def _split(self, h: Tensor) -> Tensor:
        """(N, T, width) to (N, heads, T, width / heads)."""
        return h.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@final
class Feed(nn.Module):
    """x + a perceptron of each place by itself, over its normalised input."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.net = perceptron(width, width, (WIDER * width,), "relu")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.net(self.norm(x)))


@final
class Reader(nn.Module):
    """A block that looks at `seen`, which may be its own input: an encoder's.

    Example:
        >>> x = torch.zeros(5, 3, 8)
        >>> Reader(8, heads=2)(x, x).shape
        torch.Size([5, 3, 8])
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.look, self.feed = Attention(width, heads, dropout), Feed(width, dropout)

    def forward(self, x: Tensor, seen: Tensor, there: Tensor | None = None) -> Tensor:
        """x (N, T, width) and what it sees (N, S, width) to (N, T, width)."""
        out: Tensor = self.feed(self.look(x, seen, there))
        return out


@final
class Writer(nn.Module):
    """A block that looks at its own input and then at a memory: a decoder's.

    Example:
        >>> Writer(8, heads=2)(torch.zeros(5, 3, 8), torch.zeros(5, 2, 8)).shape
        torch.Size([5, 3, 8])
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.own, self.read = Attention(width, heads, dropout), Reader(width, heads, dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """x (N, T, width) and a memory (N, S, width) to (N, T, width)."""
        out: Tensor = self.read(self.own(x, x), memory)
        return out


def places(count: int, width: int) -> Tensor:
    """Where each of so many places is, (count, width): sines and cosines of falling frequencies.

    >>> places(3, 4).shape
    torch.Size([3, 4])
    """
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(count)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]
