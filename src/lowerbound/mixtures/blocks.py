"""Rows in blocks, which EM walks over again and again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple, final

import torch
from torch import Tensor

BLOCK_VALUES = 2**20
"""Values of a block, about: few enough that what is worked out of a block stays near the processor."""


class Block(NamedTuple):
    """rows (n, D), NaN where an entry is missing; weights (n,), how many rows each counts for."""

    rows: Tensor
    weights: Tensor


class Blocks(ABC):
    """All rows, a block at a time, in the same order each time."""

    @property
    @abstractmethod
    def width(self) -> int:
        """D."""

    @abstractmethod
    def __iter__(self) -> Iterator[Block]:
        """The blocks."""

    @abstractmethod
    def some(self, count: int, generator: torch.Generator) -> Tensor:
        """At most `count` of the rows, drawn without replacement; all of them if there are no more."""


@final
class InMemory(Blocks):
    """Rows (N, D) of an array that is in memory, with weights (N,) or one each.

    >>> [len(block.rows) for block in InMemory(torch.zeros(10, 2), values=8)]
    [4, 4, 2]
    """

    def __init__(self, rows: Tensor, weights: Tensor | None = None, values: int = BLOCK_VALUES) -> None:
        self.rows = rows
        self.weights = rows.new_ones(len(rows)) if weights is None else weights.to(rows)
        self._length = max(1, values // rows.shape[1])

    @property
    def width(self) -> int:
        return self.rows.shape[1]

    def __iter__(self) -> Iterator[Block]:
        parts = zip(self.rows.split(self._length), self.weights.split(self._length))
        return (Block(rows, weights) for rows, weights in parts)

    def some(self, count: int, generator: torch.Generator) -> Tensor:
        if count >= len(self.rows):
            return self.rows
        return self.rows[torch.randperm(len(self.rows), generator=generator)[:count].to(self.rows.device)]
