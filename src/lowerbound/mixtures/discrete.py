"""Components over codes, binaries and counts: entries independent given the component, missing ones left out.

A mixture of them is latent-class analysis. All are smoothed by a prior that is worth `strength` rows that look like
the pooled data, so that no code that a component has not met gets probability zero; its log density is in the bound.
Paul F. Lazarsfeld and Neil W. Henry, "Latent structure analysis", 1968.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Components, Explanation, Family, Statistics

STRENGTH = 1.0
"""Rows that a prior is worth unless told otherwise."""


@final
class Linear(Explanation):
    """log p_k(x) = φ(x)·w_k: a product of matrices in the E-step, another in the M-step.

    features (N, F): φ; coefficients (R, K, F): w; parts: how the F columns are split into named sums.
    """

    def __init__(self, features: Tensor, coefficients: Tensor, parts: dict[str, int]) -> None:
        self._features, self._parts = features, parts
        self._log_prob = features @ coefficients.to(features).mT

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        totals = (responsibilities.to(self._features).mT @ self._features).double()
        return dict(zip(self._parts, totals.split(list(self._parts.values()), -1)))


class Separate(Components):
    """Components under which entries are independent, so that what is observed says nothing more of what is missing."""

    @abstractmethod
    def typical(self, responsibilities: Tensor) -> Tensor:
        """What the first mixture expects of each entry, of codes the likeliest; (N, K) -> (N, D)."""

    @final
    def filled(self, rows: Tensor, responsibilities: Tensor) -> Tensor:
        return torch.where(rows.isnan(), self.typical(responsibilities.double()), rows)

    @final
    def draw(self, rows: Tensor, which: Tensor) -> Tensor:
        return torch.where(rows.isnan(), self.sample(which), rows)


@final
@dataclass(frozen=True, eq=False)
class Categoricals(Separate):
    """Π_d Categorical(x_d; p_kd) over columns of codes 0, 1, …, C_d − 1.

    log_shares (R, K, F): log p of each code of each column, side by side; prior (F,): what is added to each code's
    count, so that p has the density Dirichlet(1 + prior); levels: C_d of each column, summing to F.
    """

    log_shares: Tensor
    prior: Tensor
    levels: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return self.log_shares.shape[0], self.log_shares.shape[1]

    @property
    def sound(self) -> Tensor:
        return self.log_shares.isfinite().all(-1)

    @property
    def penalty(self) -> Tensor:
        held, K = 1 + self.prior, self.log_shares.shape[1]
        constant = torch.lgamma(_sums(held, self.levels)).sum() - torch.lgamma(held).sum()
        return (self.log_shares @ self.prior).sum(-1) + K * constant

    @property
    def free(self) -> int:
        return self.log_shares.shape[1] * sum(levels - 1 for levels in self.levels)

    def explain(self, rows: Tensor) -> Explanation:
        return Linear(one_hot(rows, self.levels), self.log_shares, {"codes": sum(self.levels)})

    def refit(self, counts: Tensor, statistics: Statistics) -> Categoricals:
        return Categoricals(_log_shares(statistics["codes"] + self.prior, self.levels), self.prior, self.levels)

    def pick(self, mixtures: Tensor) -> Categoricals:
        return Categoricals(self.log_shares[mixtures], self.prior, self.levels)

    def typical(self, responsibilities: Tensor) -> Tensor:
        columns = (responsibilities @ self.log_shares[0].exp()).split(self.levels, -1)
        return torch.stack([shares.argmax(-1) for shares in columns], -1).double()

    def sample(self, which: Tensor) -> Tensor:
        columns = self.log_shares[0].exp().split(self.levels, -1)
        return torch.cat([torch.multinomial(shares[which], 1) for shares in columns], -1).double()

    def tensors(self) -> dict[str, Tensor]:
        return {"log_shares": self.log_shares, "prior": self.prior}


@final
@dataclass(frozen=True, eq=False)
class Poissons(Separate):
    """Π_d Poisson(x_d; λ_kd) over columns of counts.

    rate (R, K, D); prior (D,): the mean of the `strength` rows that each component has met beforehand, so that λ has
    the density Gamma(1 + strength · prior, strength).
    """

    rate: Tensor
    prior: Tensor
    strength: float = STRENGTH

    @property
    def shape(self) -> tuple[int, int]:
        return self.rate.shape[0], self.rate.shape[1]

    @property
    def sound(self) -> Tensor:
        return (self.rate > 0).all(-1)

    @property
    def penalty(self) -> Tensor:
        prior = torch.distributions.Gamma(1 + self.strength * self.prior, self.strength, validate_args=False)
        return prior.log_prob(self.rate).sum((-2, -1))

    @property
    def free(self) -> int:
        return self.rate[0].numel()

    @cached_property
    def _coefficients(self) -> Tensor:
        return torch.cat([self.rate.log(), -self.rate, torch.ones_like(self.rate[..., :1])], -1)

    def explain(self, rows: Tensor) -> Explanation:
        x, seen = counted(rows)
        features = torch.cat([x, seen, -torch.lgamma(x + 1).sum(-1, keepdim=True)], -1)
        D = x.shape[1]
        return Linear(features, self._coefficients, {"total": D, "seen": D, "volume": 1})

    def refit(self, counts: Tensor, statistics: Statistics) -> Poissons:
        met = statistics["total"] + self.strength * self.prior
        return Poissons(met / (statistics["seen"] + self.strength), self.prior, self.strength)

    def pick(self, mixtures: Tensor) -> Poissons:
        return Poissons(self.rate[mixtures], self.prior, self.strength)

    def typical(self, responsibilities: Tensor) -> Tensor:
        return responsibilities @ self.rate[0]

    def sample(self, which: Tensor) -> Tensor:
        return torch.poisson(self.rate[0, which])

    def tensors(self) -> dict[str, Tensor]:
        return {"rate": self.rate, "prior": self.prior}


@final
@dataclass(frozen=True)
class Categorical(Family):
    """Columns of codes, of so many levels each.

    >>> rows = torch.tensor([[0.0, 2.0], [0.0, torch.nan], [1.0, 1.0]])
    >>> Categorical((2, 3)).pooled(rows, 1, 1).log_shares.exp()[0, 0].round(decimals=2)
    tensor([0.6200, 0.3800, 0.1400, 0.4300, 0.4300], dtype=torch.float64)
    """

    levels: tuple[int, ...]
    strength: float = STRENGTH

    def pooled(self, rows: Tensor, restarts: int, components: int) -> Categoricals:
        log_shares = _log_shares(one_hot(rows.double(), self.levels).sum(0) + 0.5, self.levels)
        prior = positive(self.strength) * log_shares.exp()
        return Categoricals(log_shares.expand(restarts, components, -1), prior, self.levels)


@final
@dataclass(frozen=True)
class Bernoulli(Family):
    """Columns of zeros and ones."""

    strength: float = STRENGTH

    def pooled(self, rows: Tensor, restarts: int, components: int) -> Categoricals:
        return Categorical((2,) * rows.shape[1], self.strength).pooled(rows, restarts, components)


@final
@dataclass(frozen=True)
class Poisson(Family):
    """Columns of counts."""

    strength: float = STRENGTH

    def pooled(self, rows: Tensor, restarts: int, components: int) -> Poissons:
        rate = pooled_rate(rows)
        return Poissons(rate.expand(restarts, components, -1), rate, positive(self.strength))


def one_hot(rows: Tensor, levels: tuple[int, ...]) -> Tensor:
    """A 1 for the code of each column, (N, D) -> (N, Σ_d C_d); zeros where an entry is missing.

    Raises:
        ValueError: a value is none of its column's codes.

    >>> one_hot(torch.tensor([[1.0, 0.0], [torch.nan, 2.0]]), (2, 3))
    tensor([[0., 1., 1., 0., 0.],
            [0., 0., 0., 0., 1.]])
    """
    codes = torch.cat([torch.arange(count, device=rows.device) for count in levels])
    column = torch.arange(len(levels), device=rows.device).repeat_interleave(torch.tensor(levels, device=rows.device))
    found = (rows[:, column] == codes).to(rows)
    if found.sum() != (~rows.isnan()).sum():
        wrong = (~rows.isnan() & (_sums(found, levels) == 0)).any(0).nonzero()[0].item()
        raise ValueError(f"column {wrong} (from 0) holds a value other than its codes 0 to {levels[int(wrong)] - 1}")
    return found


def counted(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Counts with zeros for what is missing, and which were seen, both (N, D) numbers.

    Raises:
        ValueError: a value is negative or no whole number.
    """
    x, seen = rows.nan_to_num(0.0), (~rows.isnan()).to(rows)
    if ((x < 0) | (x != x.floor())).any():
        raise ValueError("a column of counts holds a value that is negative or no whole number")
    return x, seen


def pooled_rate(rows: Tensor) -> Tensor:
    """The mean of columns of counts, half a count and one row added, lest it be zero; (D,)."""
    x, seen = counted(rows.double())
    return (x.sum(0) + 0.5) / (seen.sum(0) + 1)


def positive(strength: float) -> float:
    """A prior's strength; none at all is refused, since what was never met would be impossible."""
    if not strength > 0:
        raise ValueError(f"a prior must be worth more than no row, not {strength}")
    return strength


def _log_shares(counts: Tensor, levels: tuple[int, ...]) -> Tensor:
    return torch.cat([(part / part.sum(-1, keepdim=True)).log() for part in counts.split(levels, -1)], -1)


def _sums(values: Tensor, levels: tuple[int, ...]) -> Tensor:
    """The sum over each column's codes, (..., F) -> (..., D)."""
    return torch.stack([part.sum(-1) for part in values.split(levels, -1)], -1)
