"""Stages of pre-activation residual blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.nets.conv import double, halve
from lowerbound.nets.mlp import activate, initialise
from lowerbound.nets.picture import Size

KERNEL = 3
BLOCKS = 2
"""Residual blocks in a stage."""


@final
class Block(nn.Module):
    """x + f(x), f = activation, 3x3 convolution, activation, 3x3 convolution.

    The order is that of He et al., Identity mappings in deep residual networks, 2016, without BatchNorm:
    statistics of the batch would make a datum's bound depend on its neighbours. What they are for, a variance
    that does not grow with depth, the start does instead: the last convolution has 1 / sqrt(depth) of its
    usual weights, `depth` being the blocks in the network (Child, Very deep VAEs generalize autoregressive
    models, 2021).
    """

    def __init__(self, width: int, activation: str, depth: int) -> None:
        super().__init__()
        first, last = (initialise(nn.Conv2d(width, width, KERNEL, padding=1), activation) for _ in range(2))
        with torch.no_grad():
            last.weight.div_(math.sqrt(depth))
        self.branch = nn.Sequential(activate(activation), first, activate(activation), last)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, width, H, W)` to the same shape."""
        return x + self.branch(x)


@final
@dataclass(frozen=True)
class Residual:
    """A strided convolution and two residual blocks on the way down, and the reverse on the way up.

    `levels` is the number of stages, by which the blocks' first weights are scaled.
    """

    activation: str
    levels: int

    def down(self, shallow: int, deep: int) -> nn.Module:
        """`(N, shallow, H, W)` to `(N, deep, ceil(H / 2), ceil(W / 2))`."""
        return nn.Sequential(halve(shallow, deep, KERNEL, None), *self._blocks(deep))

    def up(self, deep: int, shallow: int, size: Size) -> nn.Module:
        """`(N, deep, ceil(H / 2), ceil(W / 2))` to `(N, shallow, *size)`."""
        larger = double(deep, shallow, KERNEL, size, self.activation)
        return nn.Sequential(*self._blocks(deep), activate(self.activation), larger)

    def _blocks(self, width: int) -> list[Block]:
        return [Block(width, self.activation, depth=BLOCKS * self.levels) for _ in range(BLOCKS)]
