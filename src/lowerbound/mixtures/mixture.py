"""A mixture p(x) = Σ_k π_k p_k(x), and one pass of the E-step over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from lowerbound.mixtures.blocks import Block
from lowerbound.mixtures.components import Components, Explanation
from lowerbound.mixtures.weights import Weights


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


class Shares(NamedTuple):
    """log p(x) of each row, (R, N), and each component's responsibility for it, (R, N, K)."""

    log_prob: Tensor
    responsibilities: Tensor


def shared(log_joint: Tensor) -> Shares:
    """log Σ_k exp and the softmax, from one exponential.

    >>> shared(torch.tensor([[0.0, 0.0]]))
    Shares(log_prob=tensor([0.6931]), responsibilities=tensor([[0.5000, 0.5000]]))
    """
    top = log_joint.amax(-1, keepdim=True)
    odds = (log_joint - top).exp_()
    total = odds.sum(-1, keepdim=True)
    return Shares((top + total.log()).squeeze(-1), odds.div_(total))


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

    def shares(self, rows: Tensor) -> Shares:
        """log p(x) (R, N) and responsibilities (R, N, K) of rows (N, D)."""
        return self._shares(self.components.explain(rows))

    def log_prob(self, rows: Tensor) -> Tensor:
        """log p(x) of rows (N, D), of their observed entries alone where some are missing; (R, N) nats."""
        return self.shares(rows).log_prob

    def expect(self, block: Block) -> Expectation:
        """The E-step on a block of rows."""
        explanation = self.components.explain(block.rows)
        log_prob, responsibilities = self._shares(explanation)
        weighted = responsibilities.mul_(block.weights[:, None])
        return Expectation(
            (log_prob * block.weights).sum(-1, dtype=torch.float64),
            block.weights.sum(dtype=torch.float64),
            weighted.sum(-2, dtype=torch.float64),
            explanation.statistics(weighted),
        )

    def refit(self, found: Expectation) -> Mixture:
        """The M-step."""
        return Mixture(self.weights.refit(found.counts), self.components.refit(found.counts, found.statistics))

    def pick(self, mixtures: Tensor) -> Mixture:
        """Some of the R mixtures, by number or by a mask."""
        return Mixture(self.weights.pick(mixtures), self.components.pick(mixtures))

    def sample(self, count: int) -> Tensor:
        """Rows drawn from the first mixture, (count, D), by torch's generator."""
        return self.components.sample(torch.multinomial(self.weights.mean[0], count, replacement=True))

    def _shares(self, explanation: Explanation) -> Shares:
        log_prob = explanation.log_prob
        return shared(log_prob + self.weights.log.to(log_prob)[:, None])
