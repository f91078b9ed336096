"""Networks that look at pictures: fixed features to compare them by, and a judge of patches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.nets.canvas import Canvas
from lowerbound.nets.mlp import initialise

SCALES = 3
"""Sizes at which differences between neighbours are looked at, each half of the one before."""

SLOPE = 0.2
"""Of the judge's activation below zero."""


@final
class Differences(nn.Module):
    """What changes from each value to its right and lower neighbours, at several sizes: edges, and nothing learned.

    (N, *shape) to maps (N, 2 C, H, W). Michael Mathieu, Camille Couprie and Yann LeCun, "Deep multi-scale video
    prediction beyond mean square error", 2016, compare pictures so.

    >>> [tuple(each.shape) for each in Differences((8, 8, 3))(torch.zeros(5, 8, 8, 3))]
    [(5, 6, 8, 8), (5, 6, 4, 4), (5, 6, 2, 2)]
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.enter = Canvas.of(shape, SCALES - 1).enter()

    def forward(self, x: Tensor) -> list[Tensor]:
        """The finest first."""
        sizes = [self.enter(x)]
        for _ in range(SCALES - 1):
            sizes.append(F.avg_pool2d(sizes[-1], 2))
        return [torch.cat([_difference(each, -1), _difference(each, -2)], 1) for each in sizes]


def _difference(x: Tensor, along: int) -> Tensor:
    return x - x.roll(1, along)


@final
class RandomFeatures(nn.Module):
    """Maps of a convolutional network whose weights were drawn once and are never trained.

    (N, *shape) to maps (N, width, H, W), a map for each width, each half the size of the one before. Such networks see
    textures well enough to compare them: Kun He, Yan Wang and John Hopcroft, "A powerful generative model using random
    weights for the deep image representation", 2016.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        canvas = Canvas.of(shape, len(widths) - 1)
        links = pairwise((canvas.channels, *widths))
        self.enter = canvas.enter()
        self.layers = nn.ModuleList(initialise(nn.Conv2d(a, b, 3, padding=1), "relu") for a, b in links)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The finest first."""
        maps: list[Tensor] = []
        for layer in self.layers:
            maps.append(F.relu(layer(F.avg_pool2d(maps[-1], 2) if maps else self.enter(x))))
        return maps


@final
class PatchJudge(nn.Module):
    """One number for each patch of a picture, `(N, *shape)` to `(N, 1, h, w)`: strided convolutions and no more.

    Each width halves the sides. Without normalisation: a datum is judged by itself.

    >>> PatchJudge((32, 32, 3), (16, 32))(torch.zeros(5, 32, 32, 3)).shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        canvas = Canvas.of(shape, 0)
        stages = [
            nn.Sequential(initialise(nn.Conv2d(a, b, 3, stride=2, padding=1), "leaky-relu"), nn.LeakyReLU(SLOPE))
            for a, b in pairwise((canvas.channels, *widths))
        ]
        last = initialise(nn.Conv2d(widths[-1], 1, 3, padding=1), None)
        self.body = nn.Sequential(canvas.enter(), *stages, last)

    def forward(self, x: Tensor) -> Tensor:
        """Above zero where a patch looks real."""
        out: Tensor = self.body(x)
        return out
