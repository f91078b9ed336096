"""Rows in blocks, which EM walks over again and again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self, final

import torch
from torch import Tensor

BLOCK_VALUES = 2**20
"""Values of a block, about: few enough that what is worked out of a block stays near the processor."""


class Block(NamedTuple):
    """rows (n, D), NaN where an entry is missing; weights (n,), how many rows each counts for."""

    rows: Tensor
    weights: Tensor

    @classmethod
    def even(cls, rows: Tensor) -> Self:
        """Rows that count for one each."""
        return cls(rows, rows.new_ones(len(rows)))

    def at(self, numbers: Tensor | slice) -> Block:
        """Some of the rows, by number."""
        return Block(self.rows[numbers], self.weights[numbers])

    def shuffled(self, generator: torch.Generator) -> Block:
        """The same rows in random order."""
        return self.at(torch.randperm(len(self.rows), generator=generator).to(self.rows.device))


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

    @abstractmethod
    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[Block]:
        """All rows once, `size` at a time (fewer at the end), as well mixed as the place that holds them allows."""


@final
class InMemory(Blocks):
    """Rows (N, D) of an array that is in memory, with weights (N,) or one each.

    >>> [len(block.rows) for block in InMemory(torch.zeros(10, 2), values=8)]
    [4, 4, 2]
    """

    def __init__(self, rows: Tensor, weights: Tensor | None = None, values: int = BLOCK_VALUES) -> None:
        self.rows = rows
        self.weights = rows.new_ones(len(rows)) if weights is None else weights.to(rows)
        self._length = block_length(rows.shape[1], values)

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

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[Block]:
        order = torch.randperm(len(self.rows), generator=generator).to(self.rows.device)
        return (Block(self.rows[part], self.weights[part]) for part in order.split(size))


def block_length(width: int, values: int = BLOCK_VALUES) -> int:
    """Rows of a block of about so many values.

    >>> block_length(64)
    16384
    """
    return max(1, values // width)


def recut(blocks: Iterable[Block], length: int) -> Iterator[Block]:
    """The same rows in blocks of this length, the last of which may be shorter.

    >>> [len(block.rows) for block in recut(InMemory(torch.zeros(10, 2), values=6), 4)]
    [4, 4, 2]
    """
    held: list[Block] = []
    for block in blocks:
        held.append(block)
        if sum(len(each.rows) for each in held) >= length:
            *whole, rest = _split(_joined(held), length)
            yield from whole
            held = [rest]
    if held:
        yield from _split(_joined(held), length)


def _joined(blocks: list[Block]) -> Block:
    return Block(*map(torch.cat, zip(*blocks))) if len(blocks) > 1 else blocks[0]


def _split(block: Block, length: int) -> list[Block]:
    return [Block(*parts) for parts in zip(block.rows.split(length), block.weights.split(length))]
