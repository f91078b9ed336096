"""Pictures of one white shape on black whose every factor is known: drawn here, so there is nothing to fetch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import final

import numpy as np

from lowerbound.data.raw import Raw
from lowerbound.data.store import allocate

FACTORS = ("shape", "scale", "orientation", "position_x", "position_y")
"""What is varied, in this order, the last one fastest; each takes whole numbers from 0."""

SCALES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Sizes, as shares of the greatest that never leaves the picture."""

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Whether points (u to the right, v up) lie in a shape that fits into the unit circle."""


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) < math.sqrt(0.5)


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + 4 * v**2 < 1


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = 1.37 * u, 1.37 * v
    return (u**2 + v**2 - 1) ** 3 < u**2 * v**3


SHAPES: dict[str, Inside] = {"square": _square, "ellipse": _ellipse, "heart": _heart}
"""The shapes by name, in the order of their numbers."""


@final
@dataclass(frozen=True)
class Grid:
    """Every combination of 3 shapes, 6 scales, some orientations and some positions a pixel apart in either direction.

    The factors and their levels are those of dSprites (Loic Matthey, Irina Higgins, Demis Hassabis and Alexander
    Lerchner, 2017); the drawing is our own. A pixel is white if its centre lies in the shape. A turn of the square by
    90° and of the ellipse by 180° changes nothing, so some pictures are alike though their orientations differ.

    side: pixels along a side. orientations: in a full turn. positions: along each side.

    >>> Grid(side=32, orientations=20, positions=16).count
    92160
    """

    side: int
    orientations: int
    positions: int

    @property
    def levels(self) -> tuple[int, ...]:
        """How many values each factor has."""
        return len(SHAPES), len(SCALES), self.orientations, self.positions, self.positions

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return math.prod(self.levels)

    def factors(self) -> np.ndarray:
        """The factors of each picture, (count, 5)."""
        return np.indices(self.levels).reshape(len(self.levels), -1).T

    def pictures(self) -> np.ndarray:
        """All pictures, 0 or 1, (count, side, side)."""
        sprites = self.sprites()
        x = allocate((*self.levels, self.side, self.side), np.dtype(np.uint8))
        x[:] = 0
        width = sprites.shape[-1]
        for across, down in product(range(self.positions), repeat=2):
            x[:, :, :, across, down, down : down + width, across : across + width] = sprites
        return x.reshape(self.count, self.side, self.side)

    def sprites(self) -> np.ndarray:
        """Each shape at each scale and orientation in the middle of a frame that moves as a whole, (3, 6, O, w, w)."""
        width = self.side - self.positions + 1
        drawn = [
            self._sprite(inside, scale * width / 2, 2 * math.pi * turn / self.orientations, width)
            for inside, scale, turn in product(SHAPES.values(), SCALES, range(self.orientations))
        ]
        return np.reshape(np.array(drawn, np.uint8), (*self.levels[:3], width, width))

    def _sprite(self, inside: Inside, radius: float, angle: float, width: int) -> np.ndarray:
        down, across = np.indices((width, width)) - (width - 1) / 2
        right, up = across / radius, -down / radius
        cos, sin = math.cos(angle), math.sin(angle)
        return inside(right * cos + up * sin, up * cos - right * sin)

    def raw(self, name: str) -> Raw:
        """The data set of this name; its labels are the factors."""
        return Raw(name, name, {"x": self.pictures()}, self.factors(), label_columns=FACTORS)


SMALL = Grid(side=32, orientations=20, positions=16)
"""92 160 pictures, 94 MB: enough to learn from on a laptop."""

FULL = Grid(side=64, orientations=40, positions=32)
"""737 280 pictures, 3 GB: the levels of dSprites."""
