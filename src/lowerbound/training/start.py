"""What a model is told of the data before its first step and after its last, or where it goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from lowerbound.core import Batch
from lowerbound.data.rows import Sampler
from lowerbound.recipes.registry import Setup

MOST_ROWS = 1 << 16
"""Rows that a mean is taken over; of more, that many at even distances."""

ROWS_AT_ONCE = 4096


@final
@dataclass(frozen=True, eq=False)
class Start:
    """Where a training goes on that was over: on other data, as rows come in.

    weights: as a run keeps them. moments: the optimiser's, empty to begin them anew. steps: those that the model has
    behind it, from which the objective's schedules are reckoned.
    """

    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor] = field(default_factory=dict)
    steps: int = 0


def spread(rows: int, count: int, device: torch.device) -> Tensor:
    """Return the numbers of `count` rows at even distances; of all rows where there are fewer.

    Example:
        >>> spread(10, 3, torch.device("cpu"))
        tensor([0, 3, 6])
    """
    few = min(rows, count)
    return torch.arange(few, device=device) * (rows // max(1, few))


@torch.no_grad()
def mean_values(setup: Setup, rows: Sampler, device: torch.device) -> dict[str, Tensor]:
    """Return the mean of each variable over the rows, as its view expects it."""
    index = torch.arange(0, rows.count, -(-rows.count // MOST_ROWS), device=device)
    sums: dict[str, Tensor] = {}
    for batch in rows.batches(index.split(ROWS_AT_ONCE)):
        for name, values in expected(setup, batch):
            sums[name] = sums.get(name, torch.zeros_like(values[0])) + values.sum(0)
    return {name: (total / len(index)).to(torch.get_default_dtype()) for name, total in sums.items()}


def in_order(rows: Sampler, device: torch.device) -> Iterator[Tensor]:
    """Return the numbers of all rows, from the first to the last, some at a time."""
    return iter(torch.arange(rows.count, device=device).split(ROWS_AT_ONCE))


def expected(setup: Setup, batch: Batch) -> Iterator[tuple[str, Tensor]]:
    """Return the variables of a batch through their views, in double precision."""
    return ((name, setup.views[name].expected(values).double()) for name, values in batch.x.items())
