"""Families over groups of columns, joined into one: mixed columns, a covariance among some beside codes in others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple, final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Components, Explanation, Family, Statistics


class Group(NamedTuple):
    """Components of some columns of the rows."""

    columns: tuple[int, ...]
    components: Components


@final
class Joint(Explanation):
    """Explanations of groups that are independent given the component: log densities add up."""

    def __init__(self, parts: list[Explanation]) -> None:
        self._parts = parts
        self._log_prob = reduce(add, (part.log_prob for part in parts))

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        return _prefixed(part.statistics(responsibilities) for part in self._parts)


@final
@dataclass(frozen=True, eq=False)
class Products(Components):
    """Π_g p_kg(x_g) over groups g of columns, which together are all columns."""

    groups: tuple[Group, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return self.groups[0].components.shape

    @property
    def sound(self) -> Tensor:
        return torch.stack([each.components.sound for each in self.groups]).all(0)

    @property
    def penalty(self) -> Tensor:
        return torch.stack([each.components.penalty for each in self.groups]).sum(0)

    @property
    def free(self) -> int:
        return sum(each.components.free for each in self.groups)

    def explain(self, rows: Tensor) -> Explanation:
        return Joint([each.components.explain(rows[:, list(each.columns)]) for each in self.groups])

    def refit(self, counts: Tensor, statistics: Statistics) -> Products:
        return Products(
            tuple(
                Group(columns, components.refit(counts, _of(number, statistics)))
                for number, (columns, components) in enumerate(self.groups)
            )
        )

    def pick(self, mixtures: Tensor) -> Products:
        return Products(tuple(Group(each.columns, each.components.pick(mixtures)) for each in self.groups))

    def sample(self, which: Tensor) -> Tensor:
        return self._joined([each.components.sample(which) for each in self.groups])

    def filled(self, rows: Tensor, responsibilities: Tensor) -> Tensor:
        return self._joined(
            [each.components.filled(rows[:, list(each.columns)], responsibilities) for each in self.groups]
        )

    def draw(self, rows: Tensor, which: Tensor) -> Tensor:
        return self._joined([each.components.draw(rows[:, list(each.columns)], which) for each in self.groups])

    def tensors(self) -> dict[str, Tensor]:
        return _prefixed(each.components.tensors() for each in self.groups)

    def _joined(self, parts: list[Tensor]) -> Tensor:
        """The groups' columns in the order of the rows'."""
        order = torch.tensor([column for each in self.groups for column in each.columns])
        return torch.cat([part.double() for part in parts], -1)[:, order.argsort().to(parts[0].device)]


@final
@dataclass(frozen=True)
class Product(Family):
    """Families of groups of columns, by number; every column is in one group.

    >>> from lowerbound.mixtures.discrete import Bernoulli
    >>> from lowerbound.mixtures.gaussian import Full
    >>> mixed = Product((((0, 2), Full()), ((1,), Bernoulli())))
    >>> mixed.pooled(torch.tensor([[0.5, 1.0, 2.0], [1.5, 0.0, 0.0], [0.0, 1.0, 1.0]]), 1, 4).shape
    (1, 4)
    """

    groups: tuple[tuple[tuple[int, ...], Family], ...]

    def pooled(self, rows: Tensor, restarts: int, components: int) -> Products:
        held = sorted(column for columns, _ in self.groups for column in columns)
        if held != list(range(rows.shape[1])):
            raise ValueError(f"the groups hold columns {held}, but every one of {rows.shape[1]} must be in one group")
        return Products(
            tuple(
                Group(columns, family.pooled(rows[:, list(columns)], restarts, components))
                for columns, family in self.groups
            )
        )


def _prefixed(parts: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{number}.{name}": value for number, part in enumerate(parts) for name, value in part.items()}


def _of(number: int, statistics: Statistics) -> dict[str, Tensor]:
    prefix = f"{number}."
    return {name.removeprefix(prefix): value for name, value in statistics.items() if name.startswith(prefix)}
