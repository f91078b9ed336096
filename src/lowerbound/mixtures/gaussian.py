"""Gaussian components with spherical, diagonal, tied and full covariances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Components, Explanation, Family, Statistics

LOG_2PI = math.log(2 * math.pi)
FLOOR = 1e-6
"""Added to each variance after the M-step unless told otherwise, as scikit-learn does."""


@final
class Quadratic(Explanation):
    """log p_k(x) = φ(x)·w_k + c_k, where φ are monomials: a product of matrices in the E-step, another in the M-step.

    features (N, F); coefficients (R, K, F); constants (R, K); parts: how the F columns are split into named sums.
    """

    def __init__(self, features: Tensor, coefficients: Tensor, constants: Tensor, parts: dict[str, int]) -> None:
        self._features, self._parts = features, parts
        R, K, F = coefficients.shape
        w = coefficients.reshape(R * K, F).to(features)
        found = torch.addmm(constants.reshape(R * K).to(features), features, w.T)
        self._log_prob = found.unflatten(-1, (R, K)).movedim(-2, 0)

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        totals = (responsibilities.mT @ self._features).double()
        return dict(zip(self._parts, totals.split(list(self._parts.values()), -1)))


def pairs(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """i and j of all products x_i x_j with i ≤ j."""
    i, j = torch.triu_indices(width, width, device=device)
    return i, j


@final
@dataclass(frozen=True, eq=False)
class FullGaussians(Components):
    """N(μ_k, Σ_k) with any covariance.

    loc (R, K, D); covariance (R, K, D, D); origin (D,): what rows are measured from, near the data's mean, lest squares
    cancel; floor: added to each variance by the M-step.
    """

    loc: Tensor
    covariance: Tensor
    origin: Tensor
    floor: float = FLOOR

    @property
    def shape(self) -> tuple[int, int]:
        return self.loc.shape[0], self.loc.shape[1]

    @cached_property
    def _factor(self) -> tuple[Tensor, Tensor]:
        return torch.linalg.cholesky_ex(self.covariance)

    @property
    def sound(self) -> Tensor:
        return self._factor[1] == 0

    @property
    def penalty(self) -> Tensor:
        return self.loc.new_zeros(len(self.loc))

    @property
    def free(self) -> int:
        K, D = self.loc.shape[1:]
        return K * D + K * D * (D + 1) // 2

    @cached_property
    def precision(self) -> Tensor:
        """Σ_k^-1, (R, K, D, D)."""
        return torch.cholesky_inverse(self._factor[0])

    @cached_property
    def _coefficients(self) -> tuple[Tensor, Tensor]:
        loc, D = self.loc - self.origin, self.loc.shape[-1]
        i, j = pairs(D, loc.device)
        linear = torch.einsum("rkij,rkj->rki", self.precision, loc)
        quadratic = -self.precision[..., i, j] * torch.where(i == j, 0.5, 1.0).to(loc)
        half_log_det = self._factor[0].diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constants = -0.5 * (loc * linear).sum(-1) - half_log_det - 0.5 * D * LOG_2PI
        return torch.cat([quadratic, linear], -1), constants

    def explain(self, rows: Tensor) -> Explanation:
        x = rows - self.origin.to(rows)
        i, j = pairs(x.shape[1], x.device)
        features = torch.cat([x[:, i] * x[:, j], x], -1)
        return Quadratic(features, *self._coefficients, {"second": len(i), "first": x.shape[1]})

    def refit(self, counts: Tensor, statistics: Statistics) -> FullGaussians:
        D = self.loc.shape[-1]
        mean = statistics["first"] / counts[..., None]
        i, j = pairs(D, mean.device)
        second = mean.new_empty(*mean.shape, D)
        second[..., i, j] = second[..., j, i] = statistics["second"] / counts[..., None]
        covariance = second - mean[..., :, None] * mean[..., None, :]
        return FullGaussians(
            mean + self.origin, covariance + self.floor * torch.eye(D).to(mean), self.origin, self.floor
        )

    def pick(self, mixtures: Tensor) -> FullGaussians:
        return FullGaussians(self.loc[mixtures], self.covariance[mixtures], self.origin, self.floor)

    def sample(self, which: Tensor) -> Tensor:
        noise = torch.randn_like(self.loc[0, which])
        return self.loc[0, which] + torch.einsum("nij,nj->ni", self._factor[0][0, which], noise)

    def tensors(self) -> dict[str, Tensor]:
        return {"loc": self.loc, "covariance": self.covariance, "origin": self.origin}


@final
@dataclass(frozen=True, eq=False)
class DiagonalGaussians(Components):
    """N(μ_k, diag σ_k²): entries independent given the component, so that missing ones are simply left out.

    loc, variance (R, K, D); origin (D,) and floor as of `FullGaussians`. Rows may hold NaN.
    """

    loc: Tensor
    variance: Tensor
    origin: Tensor
    floor: float = FLOOR

    @property
    def shape(self) -> tuple[int, int]:
        return self.loc.shape[0], self.loc.shape[1]

    @property
    def sound(self) -> Tensor:
        return (self.variance > 0).all(-1)

    @property
    def penalty(self) -> Tensor:
        return self.loc.new_zeros(len(self.loc))

    @property
    def free(self) -> int:
        return 2 * self.loc.shape[1] * self.loc.shape[2]

    @cached_property
    def _coefficients(self) -> Tensor:
        loc, precision = self.loc - self.origin, 1 / self.variance
        constants = -0.5 * (precision * loc.square() + self.variance.log() + LOG_2PI)
        return torch.cat([-0.5 * precision, precision * loc, constants], -1)

    def explain(self, rows: Tensor) -> Explanation:
        seen = (~rows.isnan()).to(rows)
        x = torch.where(rows.isnan(), 0, rows - self.origin.to(rows))
        none = self.loc.new_zeros(self.shape)
        D = rows.shape[1]
        return Quadratic(
            torch.cat([x * x, x, seen], -1), self._coefficients, none, {"second": D, "first": D, "seen": D}
        )

    def refit(self, counts: Tensor, statistics: Statistics) -> DiagonalGaussians:
        seen = statistics["seen"].clamp_min(torch.finfo(torch.float64).tiny)
        mean = statistics["first"] / seen
        variance = (statistics["second"] / seen - mean.square()).clamp_min(0) + self.floor
        return DiagonalGaussians(mean + self.origin, variance, self.origin, self.floor)

    def pick(self, mixtures: Tensor) -> DiagonalGaussians:
        return DiagonalGaussians(self.loc[mixtures], self.variance[mixtures], self.origin, self.floor)

    def sample(self, which: Tensor) -> Tensor:
        return self.loc[0, which] + self.variance[0, which].sqrt() * torch.randn_like(self.loc[0, which])

    def tensors(self) -> dict[str, Tensor]:
        return {"loc": self.loc, "variance": self.variance, "origin": self.origin}


@final
@dataclass(frozen=True)
class Full(Family):
    """A covariance of its own for each component."""

    floor: float = FLOOR

    def pooled(self, rows: Tensor, restarts: int, components: int) -> FullGaussians:
        mean = rows.double().nanmean(0)
        x = torch.where(rows.isnan(), 0, rows - mean)
        covariance = x.mT @ x / len(x) + self.floor * torch.eye(len(mean)).to(x)
        loc = mean.expand(restarts, components, -1)
        return FullGaussians(loc, covariance.expand(*loc.shape, -1), mean, self.floor)


@final
@dataclass(frozen=True)
class Diagonal(Family):
    """Variances of its own for each component, no covariance."""

    floor: float = FLOOR

    def pooled(self, rows: Tensor, restarts: int, components: int) -> DiagonalGaussians:
        mean = rows.double().nanmean(0)
        variance = (rows - mean).square().nanmean(0) + self.floor
        loc = mean.expand(restarts, components, -1)
        return DiagonalGaussians(loc, variance.expand_as(loc), mean, self.floor)
