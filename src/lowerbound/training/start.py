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
    """Return the mean of what was observed of each variable over the rows, as its view expects it.

    Where nothing was (a pixel that no row has) it is 0.
    """
    index = torch.arange(0, rows.count, -(-rows.count // MOST_ROWS), device=device)
    sums: dict[str, Tensor] = {}
    for batch in rows.batches(index.split(ROWS_AT_ONCE)):
        for name, found in expected(setup, batch):
            sums[name] = sums.get(name, torch.zeros_like(found)) + found
    return {name: (total / count.clamp_min(1)).to(torch.get_default_dtype()) for name, (total, count) in sums.items()}


def in_order(rows: Sampler, device: torch.device) -> Iterator[Tensor]:
    """Return the numbers of all rows, from the first to the last, some at a time."""
    return iter(torch.arange(rows.count, device=device).split(ROWS_AT_ONCE))


def expected(setup: Setup, batch: Batch) -> Iterator[tuple[str, Tensor]]:
    """Return, of each variable of a batch through its view, the sum and the number of what was observed, (2, *shape).

    In double precision.
    """
    for name, stored in batch.x.items():
        values, mask = setup.views[name].expected(stored).double(), batch.mask_of(name)
        seen = torch.ones_like(values) if mask is None else mask.double()
        yield name, torch.stack([(values * seen).sum(0), seen.sum(0)])
