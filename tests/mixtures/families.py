"""Every family that EM fits, and random problems for each: what the law of EM is tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.mixtures.bayes import DIAGONAL, FULL, INDEPENDENT, SPHERICAL, TIED, Bayesian
from lowerbound.mixtures.blocks import Blocks, InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.discrete import Bernoulli, Categorical, Poisson
from lowerbound.mixtures.em import SPARE_ROWS, begin, expectation, maximisation
from lowerbound.mixtures.factors import Common, Factors, Isotropic, Own
from lowerbound.mixtures.gaussian import Diagonal, Full, Spherical, Tied
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.product import Product
from lowerbound.mixtures.scales import NegativeBinomial, Student
from lowerbound.mixtures.weights import Dirichlet, Proportions, StickBreaking, Weighting


class Case(NamedTuple):
    """A family for rows of D entries; rows of the kind it fits, from real ones; beliefs of the weights, if any."""

    family: Callable[[int], Family]
    rows: Callable[[Tensor], Tensor]
    weights: Weighting = Proportions.even


def numbers(x: Tensor) -> Tensor:
    return x


def bits(x: Tensor) -> Tensor:
    return (x > 0).double()


def levels(x: Tensor) -> Tensor:
    return x.round().clamp(-1, 1) + 1


def counts(x: Tensor) -> Tensor:
    return (x / 2).exp().clamp_max(1e4).round()


def mixed(x: Tensor) -> Tensor:
    return torch.cat([bits(x[:, :1]), x[:, 1:]], 1)


CASES = {
    "full": Case(lambda D: Full(0), numbers),
    "tied": Case(lambda D: Tied(0), numbers),
    "diag": Case(lambda D: Diagonal(0), numbers),
    "spherical": Case(lambda D: Spherical(0), numbers),
    "factor": Case(lambda D: Factors(1 + D // 3, Own(), 0), numbers),
    "factor, common noise": Case(lambda D: Factors(1 + D // 3, Common(), 0), numbers),
    "ppca": Case(lambda D: Factors(1 + D // 3, Isotropic(), 0), numbers),
    "bernoulli": Case(lambda D: Bernoulli(), bits),
    "categorical": Case(lambda D: Categorical((3,) * D), levels),
    "poisson": Case(lambda D: Poisson(), counts),
    "negative-binomial": Case(lambda D: NegativeBinomial(), counts),
    "student": Case(lambda D: Student(), numbers),
    "mixed columns": Case(lambda D: Product((((0,), Bernoulli()), (tuple(range(1, D)), Full(0)))), mixed),
    "bayesian full": Case(lambda D: Bayesian(FULL), numbers, Dirichlet.even()),
    "bayesian tied": Case(lambda D: Bayesian(TIED), numbers, StickBreaking.even()),
    "bayesian diag": Case(lambda D: Bayesian(DIAGONAL), numbers, StickBreaking.even()),
    "bayesian spherical": Case(lambda D: Bayesian(SPHERICAL), numbers, Dirichlet.even()),
    "bayesian independent": Case(lambda D: Bayesian(INDEPENDENT), numbers, Dirichlet.even()),
}


SIZES = ((60, 401), (2, 9), (1, 6), (1, 6))
"""From and below: rows, entries, clouds, components."""


class Problem(NamedTuple):
    """Where EM starts, and on what."""

    start: Mixture
    blocks: Blocks


def problem(case: Case, seed: int, missing: float = 0.3) -> Problem:
    """A random problem: clouds of 60 to 400 weighted rows, 2 to 8 entries of any covariance, some of them missing."""
    generator = torch.Generator().manual_seed(seed)
    N, D, clouds, K = (int(torch.randint(low, high, (), generator=generator)) for low, high in SIZES)
    turns = torch.randn(clouds, D, D, generator=generator, dtype=torch.float64)
    centres = 3 * torch.randn(clouds, D, generator=generator, dtype=torch.float64)
    noise = torch.randn(N, D, generator=generator, dtype=torch.float64)
    which = torch.randint(clouds, (N,), generator=generator)
    x = case.rows(centres[which] + (turns[which] @ noise[..., None])[..., 0])
    gaps = torch.rand(N, D, generator=generator) < missing
    weights = 0.1 + 2 * torch.rand(N, generator=generator)
    blocks = InMemory(torch.where(gaps, torch.nan, x), weights, values=100 * D)
    return Problem(begin(case.family(D), blocks, K, generator=generator, weights=case.weights), blocks)


class Step(NamedTuple):
    """fall: by what part of itself the bound fell, negative where it rose; reseeded: how many components began anew."""

    fall: float
    reseeded: int


def climb(mixture: Mixture, blocks: Blocks, steps: int) -> Iterator[Step]:
    """Steps of EM."""
    generator = torch.Generator().manual_seed(0)
    spare = blocks.some(SPARE_ROWS, generator)
    found = expectation(mixture, blocks)
    for _ in range(steps):
        before = float(found.log_likelihood + mixture.penalty)
        mixture, lost, _ = maximisation(mixture, found, spare, generator)
        found = expectation(mixture, blocks)
        after = float(found.log_likelihood + mixture.penalty)
        yield Step((before - after) / abs(after), int(lost.sum()))
