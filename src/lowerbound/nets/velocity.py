"""A network that says, for a value and a time, where to go: a small U-Net over pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.nets.canvas import Canvas
from lowerbound.nets.kl_autoencoder import (
    Attention,
    Downsample,
    Upsample,
    groups_of,
    halvings,
    level,
    norm,
    shortcut,
)
from lowerbound.nets.leading import require_event
from lowerbound.nets.mlp import perceptron

TIME_WIDTH = 64
"""Numbers that a time is spread over before the network sees it."""

FASTEST = 1000.0
"""Radians that the quickest of them turns by from time 0 to 1."""


@final
class Velocity(nn.Module):
    """A value `(N, *event)` and a time `(N,)` to a velocity `(N, *event)`.

    widths: channels of each grid, from the finest; each but the last is halved. Grids on the way up see what the same
    grid was on the way down. patch: sides of the squares of values that are one place of the finest grid; a patch of 4
    makes a network over 32 x 32 values cost what one over 8 x 8 costs.

    Olaf Ronneberger, Philipp Fischer and Thomas Brox, "U-Net: convolutional networks for biomedical image
    segmentation", 2015; Jonathan Ho, Ajay Jain and Pieter Abbeel, "Denoising diffusion probabilistic models", 2020.

    >>> Velocity((8, 8, 4), widths=(8, 16), layers=1)(torch.zeros(5, 8, 8, 4), torch.zeros(5)).shape
    torch.Size([5, 8, 8, 4])
    """

    def __init__(self, event: Sequence[int], widths: Sequence[int], layers: int, patch: int = 1) -> None:
        super().__init__()
        self.event, told = tuple(event), 4 * widths[0]
        canvas = Canvas.of(event, halvings(widths), patch)
        inside = canvas.channels * patch**2
        self.time = perceptron(TIME_WIDTH, told, (told,), "silu")
        self.enter = nn.Sequential(canvas.enter(), nn.PixelUnshuffle(patch), level(inside, widths[0]))
        self.body = _Grid(tuple(widths), layers, told, groups_of(widths))
        out = nn.Sequential(norm(groups_of(widths), widths[0]), nn.SiLU(), level(widths[0], inside))
        self.leave = nn.Sequential(out, nn.PixelShuffle(patch), canvas.leave())

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """`(N, *event)` and `(N,)` to `(N, *event)`."""
        require_event(z, self.event)
        told = F.silu(self.time(waves(t)))
        out: Tensor = self.leave(self.body(self.enter(z), told))
        return out


@final
class _Grid(nn.Module):
    """A grid of the U-Net with all coarser ones inside it: `(N, widths[0], H, W)` to the same shape."""

    def __init__(self, widths: tuple[int, ...], layers: int, told: int, groups: int) -> None:
        super().__init__()
        here, coarser = widths[0], widths[1:]
        self.down = nn.ModuleList(TimedBlock(here, here, told, groups) for _ in range(layers))
        self.inner = _Below(widths, layers, told, groups) if coarser else _Deepest(here, told, groups)
        firsts = (2 * here, *[here] * (layers - 1))
        self.up = nn.ModuleList(TimedBlock(first, here, told, groups) for first in firsts)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        for block in self.down:
            x = block(x, told)
        x = torch.cat([self.inner(x, told), x], 1)
        for block in self.up:
            x = block(x, told)
        return x


@final
class _Below(nn.Module):
    """Down to the next coarser grid, through it and up again."""

    def __init__(self, widths: tuple[int, ...], layers: int, told: int, groups: int) -> None:
        super().__init__()
        here, next_ = widths[0], widths[1]
        self.down = nn.Sequential(Downsample(here), level(here, next_))
        self.grid = _Grid(widths[1:], layers, told, groups)
        self.up = nn.Sequential(Upsample(next_), nn.Conv2d(next_, here, 1))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        out: Tensor = self.up(self.grid(self.down(x), told))
        return out


@final
class _Deepest(nn.Module):
    """Attention among the places of the coarsest grid, and a block."""

    def __init__(self, width: int, told: int, groups: int) -> None:
        super().__init__()
        self.attention, self.block = Attention(width, groups), TimedBlock(width, width, told, groups)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        out: Tensor = self.block(self.attention(x), told)
        return out


@final
class TimedBlock(nn.Module):
    """A residual block whose inner normalisation is followed by a scale and a shift that the time decides."""

    def __init__(self, shallow: int, deep: int, told: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(groups, shallow), level(shallow, deep)
        self.norm2, self.conv2 = norm(groups, deep), level(deep, deep)
        self.told, self.shortcut = nn.Linear(told, 2 * deep), shortcut(shallow, deep)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """`(N, shallow, H, W)` and `(N, told)` to `(N, deep, H, W)`."""
        scale, shift = self.told(told)[..., None, None].chunk(2, 1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        out: Tensor = self.shortcut(x) + self.conv2(F.silu(h))
        return out


def waves(t: Tensor) -> Tensor:
    """Times `(N,)` as sines and cosines of many speeds, `(N, TIME_WIDTH)`.

    Ashish Vaswani et al., "Attention is all you need", 2017.
    """
    speeds = torch.logspace(0, math.log10(FASTEST), TIME_WIDTH // 2, dtype=t.dtype, device=t.device)
    angles = t.unsqueeze(-1) * speeds
    return torch.cat([angles.sin(), angles.cos()], -1)
