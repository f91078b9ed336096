"""Means over data with their standard errors, and moments of rows that come in chunks."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor


def estimate(values: Tensor) -> dict[str, float | None]:
    """The mean of per-datum values (N,) and its standard error, sd / √N.

    The error is that of the mean as a statement about new data of the same source. Where each value is itself a
    Monte-Carlo estimate with a draw of its own, the draws' variance is part of sd, so nothing is to be added for it.
    With one datum there is no error to state, and it is None.

    >>> estimate(torch.tensor([1.0, 3.0]))
    {'value': 2.0, 'stderr': 1.0}
    """
    values = values.double()
    stderr = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"value": finite(values.mean().item()), "stderr": finite(stderr)}


def monte_carlo_error(stderr: Tensor) -> float | None:
    """The standard error of a mean over these very data, from each datum's own (N,): √(Σ s_i²) / N.

    >>> monte_carlo_error(torch.tensor([3.0, 4.0]))
    2.5
    """
    return finite(stderr.double().square().sum().sqrt().item() / len(stderr))


def finite(value: float) -> float | None:
    """The value, or None for what JSON cannot say (NaN, ±∞).

    >>> finite(1.5), finite(math.inf)
    (1.5, None)
    """
    return value if math.isfinite(value) else None


@final
class Moments:
    """Mean and variance of rows (n, D) that arrive in chunks, in float64 and bounded memory.

    Tony F. Chan, Gene H. Golub and Randall J. LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances", 1979.

    >>> moments = Moments()
    >>> moments.add(torch.tensor([[1.0], [2.0]])); moments.add(torch.tensor([[6.0]]))
    >>> moments.mean, moments.variance
    (tensor([3.], dtype=torch.float64), tensor([4.6667], dtype=torch.float64))
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, rows: Tensor) -> None:
        """Take in a chunk of rows."""
        rows = rows.double()
        count, mean = len(rows), rows.mean(0)
        shift, total = mean - self.mean, self.count + count
        self._squares = self._squares + (rows - mean).square().sum(0) + shift.square() * self.count * count / total
        self.mean = self.mean + shift * count / total
        self.count = total

    @property
    def variance(self) -> Tensor:
        """Σ(x − mean)² / n, (D,)."""
        return self._squares / self.count
