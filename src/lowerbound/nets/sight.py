"""Pixels in a condition: taken out of it, and made into tokens that a transformer looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.nets.attention import places
from lowerbound.nets.mlp import initialise


@final
@dataclass(frozen=True)
class Pixels:
    """Where the pixels of a picture (H, W, C) lie in a condition: from the number `start` on.

    >>> rest, picture = Pixels(1, (2, 2, 1)).split(torch.arange(6.0)[None])
    >>> rest, picture.shape
    (tensor([[0., 5.]]), torch.Size([1, 2, 2, 1]))
    """

    start: int
    shape: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Numbers in all."""
        return math.prod(self.shape)

    def split(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """(..., C) to what is left without them, (..., C − size), and the picture (..., H, W, C)."""
        stop = self.start + self.size
        rest = torch.cat([c[..., : self.start], c[..., stop:]], -1)
        return rest, c[..., self.start : stop].unflatten(-1, self.shape)


@final
class Blind(nn.Module):
    """A network of x and a condition that is told all of the condition but the pixels."""

    def __init__(self, net: nn.Module, pixels: Pixels) -> None:
        super().__init__()
        self.net, self.pixels = net, pixels

    def forward(self, x: Tensor, c: Tensor, *mask: Tensor) -> Tensor:
        """As the network is called."""
        out: Tensor = self.net(x, self.pixels.split(c)[0], *mask)
        return out


@final
class Sight(nn.Module):
    """A picture (N, H, W, C) as tokens (N, n, width), one for each eighth of its sides: three halving convolutions.

    Sides that eight does not divide are rounded up. Each token knows its row and its column.

    Example:
        >>> Sight((20, 16, 3), 8)(torch.zeros(5, 20, 16, 3)).shape
        torch.Size([5, 6, 8])
    """

    places: Tensor

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        *sides, colours = shape
        layers = [nn.Conv2d(a, b, 3, 2, 1) for a, b in ((colours, 32), (32, 64), (64, width))]
        self.net = nn.Sequential(*(part for conv in layers for part in (initialise(conv, "relu"), nn.ReLU())))
        rows, columns = (places(math.ceil(side / 8), width) for side in sides)
        self.register_buffer("places", (rows[:, None] + columns.roll(1, 1)[None]).flatten(0, 1), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, H, W, C) to (N, n, width)."""
        grid: Tensor = self.net(picture.movedim(-1, 1))
        return grid.flatten(2).transpose(1, 2) + self.places.to(grid.dtype)
