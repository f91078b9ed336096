"""Components with a hidden scale to each entry: Student's t for heavy tails, negative binomials for spread-out counts.

x | u ~ N(μ, σ²/u) is Student's t, x | u ~ Poisson(m u) negative binomial, when u ~ Gamma(a, a), whose mean is one. EM
takes u's expectation as it takes that of the component. Entries are independent given the component; missing ones are
left out. A prior is worth `strength` rows that look like the pooled data and have u = 1, log u as under a = `ORDINARY`.
Chuanhai Liu and Donald B. Rubin, "ML estimation of the t distribution using EM and its extensions, ECM and ECME", 1995.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Explanation, Family, Statistics
from lowerbound.mixtures.discrete import STRENGTH, Separate, counted, pooled_rate, positive

ORDINARY = 5.0
"""a before any data: ten degrees of freedom."""
SHAPES = (0.05, 500.0)
"""The least and the greatest a."""


class Scaled(NamedTuple):
    """What is known of one column, (R, N, K) each: log p(x), E u and E log u."""

    log_prob: Tensor
    mean: Tensor
    log: Tensor


@final
class HiddenScales(Explanation):
    """Columns one by one, so that memory is that of responsibilities; u is worked out again for the M-step.

    rows, seen (N, D) in float64, in which differences of log Γ are taken; gaps are filled with anything. column: what
    is known of column d. dtype: that of log_prob.
    """

    def __init__(self, rows: Tensor, seen: Tensor, column: Callable[[int], Scaled], dtype: torch.dtype) -> None:
        self._rows, self._seen, self._column = rows, seen, column
        parts = (column(d).log_prob * seen[:, d, None] for d in range(rows.shape[1]))
        self._log_prob = sum(parts, start=rows.new_zeros(())).to(dtype)

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        columns = [self._of(d, responsibilities.double()) for d in range(self._rows.shape[1])]
        return {name: torch.stack([each[name] for each in columns], -1) for name in columns[0]}

    def _of(self, d: int, responsibilities: Tensor) -> dict[str, Tensor]:
        x, mine = self._rows[:, d], responsibilities * self._seen[:, d, None]
        hidden = self._column(d)
        scaled = mine * hidden.mean
        return {
            "seen": mine.sum(-2),
            "total": torch.einsum("rnk,n->rk", mine, x),
            "scale": scaled.sum(-2),
            "first": torch.einsum("rnk,n->rk", scaled, x),
            "second": torch.einsum("rnk,n->rk", scaled, x.square()),
            "shape": (mine * (hidden.log - hidden.mean)).sum(-2),
        }


@final
@dataclass(frozen=True, eq=False)
class Students(Separate):
    """Π_d t(x_d; μ_kd, σ_kd², 2 a_kd degrees of freedom).

    loc, variance (σ²), tail (a), all (R, K, D); origin, spread (D,): mean and variance of the rows that the prior is
    worth, origin also what rows are measured from; floor: σ² is not less.
    """

    loc: Tensor
    variance: Tensor
    tail: Tensor
    origin: Tensor
    spread: Tensor
    strength: float = STRENGTH
    floor: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.loc.shape[0], self.loc.shape[1]

    @property
    def sound(self) -> Tensor:
        return (self.variance > 0).all(-1)

    @property
    def penalty(self) -> Tensor:
        around = ((self.loc - self.origin).square() + self.spread) / self.variance
        normal = -0.5 * self.strength * (self.variance.log() + around)
        return (normal + self.strength * _tail_penalty(self.tail)).sum((-2, -1))

    @property
    def free(self) -> int:
        return 3 * self.loc[0].numel()

    def explain(self, rows: Tensor) -> Explanation:
        x = (rows.double() - self.origin).nan_to_num(0.0)
        parameters = (self.loc - self.origin, self.variance, self.tail)

        def column(d: int) -> Scaled:
            return _student(x[:, d, None], *(each[:, None, :, d] for each in parameters))

        return HiddenScales(x, (~rows.isnan()).double(), column, rows.dtype)

    def refit(self, counts: Tensor, statistics: Statistics) -> Students:
        scale, first = statistics["scale"], statistics["first"]
        loc = first / (scale + self.strength)
        around = statistics["second"] - 2 * loc * first + loc.square() * scale
        met = around + self.strength * (loc.square() + self.spread)
        variance = (met / (statistics["seen"] + self.strength)).clamp_min(self.floor)
        return replace(self, loc=loc + self.origin, variance=variance, tail=_tail(statistics, self.strength))

    def pick(self, mixtures: Tensor) -> Students:
        kept = {name: getattr(self, name)[mixtures] for name in ("loc", "variance", "tail")}
        return replace(self, **kept)

    def typical(self, responsibilities: Tensor) -> Tensor:
        return responsibilities @ self.loc[0]

    def sample(self, which: Tensor) -> Tensor:
        tail = self.tail[0, which]
        scale = torch.distributions.Gamma(tail, tail, validate_args=False).sample()
        return self.loc[0, which] + (self.variance[0, which] / scale).sqrt() * torch.randn_like(scale)

    def tensors(self) -> dict[str, Tensor]:
        values = {"loc": self.loc, "variance": self.variance, "tail": self.tail}
        return {**values, "origin": self.origin, "spread": self.spread}


@final
@dataclass(frozen=True, eq=False)
class NegativeBinomials(Separate):
    """Π_d NB(x_d) of mean m_kd and variance m + m²/a_kd.

    rate (m), tail (a), both (R, K, D); prior (D,): mean of the `strength` rows that the prior is worth.
    """

    rate: Tensor
    tail: Tensor
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
        poisson = self.prior * self.rate.log() - self.rate
        return self.strength * (poisson + _tail_penalty(self.tail)).sum((-2, -1))

    @property
    def free(self) -> int:
        return 2 * self.rate[0].numel()

    def explain(self, rows: Tensor) -> Explanation:
        x, seen = counted(rows.double())

        def column(d: int) -> Scaled:
            return _negative_binomial(x[:, d, None], self.rate[:, None, :, d], self.tail[:, None, :, d])

        return HiddenScales(x, seen, column, rows.dtype)

    def refit(self, counts: Tensor, statistics: Statistics) -> NegativeBinomials:
        met = statistics["total"] + self.strength * self.prior
        rate = met / (statistics["scale"] + self.strength)
        return NegativeBinomials(rate, _tail(statistics, self.strength), self.prior, self.strength)

    def pick(self, mixtures: Tensor) -> NegativeBinomials:
        return NegativeBinomials(self.rate[mixtures], self.tail[mixtures], self.prior, self.strength)

    def typical(self, responsibilities: Tensor) -> Tensor:
        return responsibilities @ self.rate[0]

    def sample(self, which: Tensor) -> Tensor:
        tail = self.tail[0, which]
        return torch.poisson(self.rate[0, which] * torch.distributions.Gamma(tail, tail, validate_args=False).sample())

    def tensors(self) -> dict[str, Tensor]:
        return {"rate": self.rate, "tail": self.tail, "prior": self.prior}


@final
@dataclass(frozen=True)
class Student(Family):
    """Columns with heavy tails: Student's t, its degrees of freedom fitted; no σ² is below the floor."""

    strength: float = STRENGTH
    floor: float = 0.0

    def pooled(self, rows: Tensor, restarts: int, components: int) -> Students:
        mean = rows.double().nanmean(0)
        variance = (rows - mean).square().nanmean(0).clamp_min(self.floor)
        loc = mean.expand(restarts, components, -1)
        tail = torch.full_like(loc, ORDINARY)
        return Students(loc, variance.expand_as(loc), tail, mean, variance, positive(self.strength), self.floor)


@final
@dataclass(frozen=True)
class NegativeBinomial(Family):
    """Columns of counts that vary by more than their mean."""

    strength: float = STRENGTH

    def pooled(self, rows: Tensor, restarts: int, components: int) -> NegativeBinomials:
        rate = pooled_rate(rows)
        spread = rate.expand(restarts, components, -1)
        return NegativeBinomials(spread, torch.full_like(spread, ORDINARY), rate, positive(self.strength))


def _student(x: Tensor, loc: Tensor, variance: Tensor, tail: Tensor) -> Scaled:
    half = tail + 0.5 * (x - loc).square() / variance
    constant = torch.lgamma(tail + 0.5) - torch.lgamma(tail) - 0.5 * (2 * math.pi * tail * variance).log()
    log_prob = constant - (tail + 0.5) * (half / tail).log()
    return Scaled(log_prob, (tail + 0.5) / half, torch.digamma(tail + 0.5) - half.log())


def _negative_binomial(x: Tensor, rate: Tensor, tail: Tensor) -> Scaled:
    both, shape = tail + rate, tail + x
    combinations = torch.lgamma(shape) - torch.lgamma(tail) - torch.lgamma(x + 1)
    log_prob = combinations + tail * (tail / both).log() + x * (rate / both).log()
    return Scaled(log_prob, shape / both, torch.digamma(shape) - both.log())


def _tail(statistics: Statistics, strength: float) -> Tensor:
    """The a that is likeliest: log a + 1 − ψ(a) + mean of E log u − E u = 0, by bisection of log a."""
    prior = torch.tensor(ORDINARY).digamma() - math.log(ORDINARY) - 1
    mean = (statistics["shape"] + strength * prior) / (statistics["seen"] + strength)
    low, high = (torch.full_like(mean, math.log(end)) for end in SHAPES)
    for _ in range(50):
        middle = (low + high) / 2
        beyond = middle + 1 - middle.exp().digamma() + mean < 0
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return low.exp()


def _tail_penalty(tail: Tensor) -> Tensor:
    """log p(a) of one row's worth of prior, but for a constant."""
    prior = torch.tensor(ORDINARY).digamma() - math.log(ORDINARY) - 1
    return tail * tail.log() - torch.lgamma(tail) + tail * prior
