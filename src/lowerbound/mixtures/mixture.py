"""A mixture p(x) = Σ_k π_k p_k(x), and one pass of the E-step over it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from lowerbound.mixtures.blocks import Block
from lowerbound.mixtures.components import Components, Explanation
from lowerbound.mixtures.weights import Weights

CACHE_VALUES = 2**19
"""Values that are worked on at once for each thread of a processor: they stay beside it."""
DEVICE_VALUES = 2**26
"""Values that are worked on at once on other devices."""
NEGLIGIBLE = -60.0
"""Log odds are no less than this: 1e-26 is as good as 0, and exponentials far below it take twenty times as long."""
LEAST_ROWS = 1024
"""With fewer rows at once, the calls would cost more than the work."""


@final
@dataclass(frozen=True, eq=False)
class Expectation:
    """What the E-step found in some rows: sums, so that those of two sets of rows add up.

    log_likelihood (R,): Σ_n w_n log p(x_n), nats. weight: Σ_n w_n. counts (R, K): Σ_n w_n r_nk. statistics: those of
    the components. All float64.
    """

    log_likelihood: Tensor
    weight: Tensor
    counts: Tensor
    statistics: dict[str, Tensor]

    @property
    def sums(self) -> tuple[Tensor, ...]:
        """All of it, the statistics in the order of their names."""
        named = (self.statistics[name] for name in sorted(self.statistics))
        return self.log_likelihood, self.weight, self.counts, *named

    def __add__(self, other: Expectation) -> Expectation:
        return Expectation(
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
            self.counts + other.counts,
            {name: total + other.statistics[name] for name, total in self.statistics.items()},
        )

    def __mul__(self, factor: float | Tensor) -> Expectation:
        return Expectation(
            self.log_likelihood * factor,
            self.weight * factor,
            self.counts * factor,
            {name: total * factor for name, total in self.statistics.items()},
        )


def summed(parts: Iterable[Expectation]) -> Expectation:
    """The sum of what was found in several sets of rows, gathered in place."""
    rest = iter(parts)
    total = next(rest) * 1
    for part in rest:
        for gathered, more in zip(total.sums, part.sums):
            gathered += more
    return total


class Shares(NamedTuple):
    """log p(x) of each row, (R, N), and each component's responsibility for it, (R, N, K)."""

    log_prob: Tensor
    responsibilities: Tensor


def shared(log_joint: Tensor, weights: Tensor | float = 1.0) -> Shares:
    """log Σ_k exp and, times the rows' weights (N,), the softmax; from one exponential.

    For a row that no component can explain, log p = -inf, and all are alike responsible.

    >>> shared(torch.tensor([[0.0, 0.0]]))
    Shares(log_prob=tensor([0.6931]), responsibilities=tensor([[0.5000, 0.5000]]))
    """
    top = log_joint.amax(-1)
    least = torch.finfo(top.dtype).min
    odds = (log_joint - top.clamp_min(least)[..., None]).clamp_min_(NEGLIGIBLE).exp_()
    total = odds.sum(-1)
    scale = weights / total
    return Shares(top.add_(total.log_()), odds.mul_(scale[..., None]))


@final
@dataclass(frozen=True, eq=False)
class Mixture:
    """R mixtures of K components each, fitted side by side; a finished one has R = 1.

    A value: fitting makes another. Geoffrey McLachlan and David Peel, "Finite mixture models", 2000.
    """

    weights: Weights
    components: Components

    @property
    def shape(self) -> tuple[int, int]:
        """(R, K)."""
        return self.components.shape

    @property
    def penalty(self) -> Tensor:
        """What is added to the log-likelihood for the bound that EM climbs, (R,)."""
        return self.weights.penalty + self.components.penalty

    @property
    def free(self) -> int:
        """Free parameters."""
        return self.components.free + self.shape[1] - 1

    def rows_at_once(self, device: torch.device) -> int:
        """How many rows are best explained together: of each about as many values are held as a component has."""
        values = CACHE_VALUES * torch.get_num_threads() if device.type == "cpu" else DEVICE_VALUES
        R, K = self.shape
        return max(LEAST_ROWS, values // (self.components.free // K + 2 * R * K))

    def shares(self, rows: Tensor) -> Shares:
        """log p(x) (R, N) and responsibilities (R, N, K) of rows (N, D)."""
        parts = [self._shares(self.components.explain(part)) for part in self._parts(rows)]
        return Shares(*(torch.cat(each, 1) for each in zip(*parts)))

    def log_prob(self, rows: Tensor) -> Tensor:
        """log p(x) of rows (N, D), of their observed entries alone where some are missing; (R, N) nats."""
        parts = (self._shares(self.components.explain(part)).log_prob for part in self._parts(rows))
        return torch.cat(list(parts), 1)

    def expect(self, block: Block) -> Expectation:
        """The E-step on a block of rows."""
        return summed(map(self._expect, self._parts(block.rows), self._parts(block.weights)))

    def refit(self, found: Expectation) -> Mixture:
        """The M-step."""
        return Mixture(self.weights.refit(found.counts), self.components.refit(found.counts, found.statistics))

    def pick(self, mixtures: Tensor) -> Mixture:
        """Some of the R mixtures, by number or by a mask."""
        return Mixture(self.weights.pick(mixtures), self.components.pick(mixtures))

    def sample(self, count: int) -> Tensor:
        """Rows drawn from the first mixture, (count, D), by torch's generator."""
        return self.components.sample(torch.multinomial(self.weights.mean[0], count, replacement=True))

    def _parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.chunk(max(1, math.ceil(len(rows) / self.rows_at_once(rows.device))))

    def _shares(self, explanation: Explanation, weights: Tensor | float = 1.0) -> Shares:
        log_prob = explanation.log_prob
        return shared(log_prob + self.weights.log.to(log_prob)[:, None], weights)

    def _expect(self, rows: Tensor, weights: Tensor) -> Expectation:
        explanation = self.components.explain(rows)
        log_prob, weighted = self._shares(explanation, weights)
        return Expectation(
            (log_prob @ weights.to(log_prob)).double(),
            weights.sum().double(),
            weighted.sum(-2).double(),
            explanation.statistics(weighted),
        )
