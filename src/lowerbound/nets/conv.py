"""Stages of strided convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from lowerbound.nets.mlp import activate, initialise
from lowerbound.nets.picture import Size

# With stride 2 and half padding an odd kernel takes a size n to ceil(n / 2) and, transposed, back to n exactly.
KERNEL = 5


def halve(shallow: int, deep: int, kernel: int, activation: str | None) -> nn.Conv2d:
    """A convolution of stride 2: `(N, shallow, H, W)` to `(N, deep, ceil(H / 2), ceil(W / 2))`."""
    return initialise(nn.Conv2d(shallow, deep, kernel, stride=2, padding=kernel // 2), activation)


def double(deep: int, shallow: int, kernel: int, size: Size, activation: str) -> nn.ConvTranspose2d:
    """A transposed convolution of stride 2 that undoes `halve`: to `(N, shallow, *size)`."""
    even = (1 - size[0] % 2, 1 - size[1] % 2)
    layer = nn.ConvTranspose2d(deep, shallow, kernel, stride=2, padding=kernel // 2, output_padding=even)
    return initialise(layer, activation)


@final
@dataclass(frozen=True)
class Strided:
    """A strided convolution and an activation on the way down; an activation and its transpose on the way up.

    No BatchNorm: statistics of the batch would make a datum's bound depend on its neighbours.
    """

    activation: str

    def down(self, shallow: int, deep: int) -> nn.Module:
        """`(N, shallow, H, W)` to `(N, deep, ceil(H / 2), ceil(W / 2))`."""
        return nn.Sequential(halve(shallow, deep, KERNEL, self.activation), activate(self.activation))

    def up(self, deep: int, shallow: int, size: Size) -> nn.Module:
        """`(N, deep, ceil(H / 2), ceil(W / 2))` to `(N, shallow, *size)`."""
        return nn.Sequential(activate(self.activation), double(deep, shallow, KERNEL, size, self.activation))
