"""Data of any shape as pictures for convolutions, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from torch import Tensor, nn
from torch.nn import functional as F


@final
@dataclass(frozen=True)
class Canvas:
    """How data of a shape lie on a picture whose sides a network can divide: filled up at the right and the bottom.

    shape: of a datum. height, width, channels: of the picture before it is filled up; a row of numbers is a picture of
    one row, and dimensions beyond the second are channels. side: what height and width are filled up to multiples of.

    >>> Canvas.of((32, 32, 3), 2).grid, Canvas.of((5,), 2).grid
    ((8, 8), (1, 2))
    """

    shape: tuple[int, ...]
    height: int
    width: int
    channels: int
    side: int

    @classmethod
    def of(cls, shape: Sequence[int], halvings: int, patch: int = 1) -> Self:
        """The canvas of data of this shape whose sides are to be divided by `patch` and then halved so often."""
        height, width, *channels = shape if len(shape) > 1 else (1, *(shape or (1,)))
        return cls(tuple(shape), height, width, math.prod(channels), patch * 2**halvings)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width after all that."""
        return -(-self.height // self.side), -(-self.width // self.side)

    @property
    def margins(self) -> tuple[int, int]:
        """Columns and rows that are added."""
        return -self.width % self.side, -self.height % self.side

    def enter(self) -> nn.Module:
        """`(N, *shape)` to `(N, channels, H, W)`."""
        return _Enter(self)

    def leave(self, per_value: int = 1) -> nn.Module:
        """`(N, channels * per_value, H, W)` to `(N, *shape, per_value)`, or `(N, *shape)` if `per_value` is 1."""
        return _Leave(self, per_value)


@final
class _Enter(nn.Module):
    def __init__(self, canvas: Canvas) -> None:
        super().__init__()
        self.canvas = canvas

    def forward(self, x: Tensor) -> Tensor:
        canvas, (columns, rows) = self.canvas, self.canvas.margins
        picture = x.reshape(len(x), canvas.height, canvas.width, canvas.channels).permute(0, 3, 1, 2)
        return F.pad(picture, (0, columns, 0, rows)) if columns or rows else picture


@final
class _Leave(nn.Module):
    def __init__(self, canvas: Canvas, per_value: int) -> None:
        super().__init__()
        self.canvas = canvas
        self.event = (*canvas.shape, per_value) if per_value > 1 else canvas.shape

    def forward(self, x: Tensor) -> Tensor:
        within = x[..., : self.canvas.height, : self.canvas.width]
        return within.permute(0, 2, 3, 1).reshape(len(x), *self.event)
