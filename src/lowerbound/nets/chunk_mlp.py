"""Perceptrons in the place of the transformers of action chunking: a tenth of their time, for short chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.nets.leading import join, require_condition, require_event
from lowerbound.nets.mlp import MLPEncoder, flattened, perceptron


@final
class ChunkReader(nn.Module):
    """Actions `(..., T, A)` and a condition `(..., C)` through a perceptron to `(..., out)`.

    It is told which actions were observed, beside what they were.

    Example:
        >>> net = ChunkReader(steps=10, actions=3, condition=4, out=6, hidden=(8,))
        >>> net(torch.zeros(5, 10, 3), torch.zeros(5, 4)).shape
        torch.Size([5, 6])
    """

    def __init__(self, steps: int, actions: int, condition: int, out: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.event = (steps, actions)
        self.net = MLPEncoder(self.event, out, hidden, "silu", condition + math.prod(self.event))

    def forward(self, x: Tensor, c: Tensor, mask: Tensor | None = None) -> Tensor:
        """`(..., T, A)`, `(..., C)` and which values were observed, `(..., T, A)`, to `(..., out)`."""
        seen = torch.ones_like(x) if mask is None else mask.to(x.dtype)
        told: Tensor = self.net(x, join(c, flattened(seen, self.event)))
        return told


@final
class ChunkWriter(nn.Module):
    """z `(..., Z)` and a condition `(..., C)` through a perceptron to a chunk `(..., steps, out)`.

    Example:
        >>> net = ChunkWriter(steps=10, out=3, latent=2, condition=4, hidden=(8,))
        >>> net(torch.zeros(7, 5, 2), torch.zeros(5, 4)).shape
        torch.Size([7, 5, 10, 3])
    """

    def __init__(self, steps: int, out: int, latent: int, condition: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.steps, self.out, self.latent, self.condition = steps, out, latent, condition
        self.net = perceptron(latent + condition, steps * out, hidden, "silu")

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """`(..., Z)` and `(..., C)` to `(..., steps, out)`."""
        require_event(z, (self.latent,))
        require_condition(c, self.condition)
        written: Tensor = self.net(join(z, c))
        return written.unflatten(-1, (self.steps, self.out))

    @torch.no_grad()
    def start_at(self, out: Tensor) -> None:
        """Set the last biases so that what comes out starts near `out` (steps, out)."""
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(out.flatten())
