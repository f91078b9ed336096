"""Gaussian components with spherical, diagonal, tied and full covariances."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, final

import torch
from torch import Tensor

from lowerbound.mixtures import missing
from lowerbound.mixtures.components import Explanation, Family, Statistics
from lowerbound.mixtures.conditional import Conditional, Gaussians
from lowerbound.mixtures.quadratic import (
    ByEntry,
    Filled,
    Polynomials,
    Products,
    Quadratic,
    SharedQuadratic,
    complete,
    pairs,
    unpacked,
)

LOG_2PI = math.log(2 * math.pi)
FLOOR = 1e-6
"""Added to each variance after the M-step unless told otherwise, as scikit-learn does."""
ROUNDING = 3e-3
"""Work is done in double precision, whatever the rows are, where single precision might move a row's log p further."""


class Located(Gaussians):
    """Gaussians with a mean each.

    loc (R, K, D); origin (D,): what rows are measured from, near the data's mean, lest squares cancel, and a number of
    single precision, lest it be rounded; floor: added to each variance by the M-step.
    """

    loc: Tensor
    origin: Tensor
    floor: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.loc.shape[0], self.loc.shape[1]

    @property
    def penalty(self) -> Tensor:
        return self.loc.new_zeros(len(self.loc))

    @property
    @abstractmethod
    def magnitude(self) -> Tensor:
        """The size of the terms of (x − μ)ᵀP(x − μ), multiplied out about the origin, in rows of the component; (R, K).

        It is the root of their sum of squares, for each is rounded by itself: this times the precision of a number is,
        within a factor of about two, by how many nats the rounding moves log p(x); the mean over rows moves by a tenth
        of it or less.
        """

    @cached_property
    def delicate(self) -> bool:
        """Whether terms cancel so far that single precision will not do: narrow components that lie far apart."""
        return not float(self.magnitude.max()) * torch.finfo(torch.float32).eps < ROUNDING

    @property
    def certain(self) -> Tensor:
        """Where double precision will do: a covariance that it leaves nothing of is singular, whatever its factor."""
        return self.magnitude * torch.finfo(torch.float64).eps < ROUNDING

    @property
    def centred(self) -> Tensor:
        """The means, measured from the origin."""
        return self.loc - self.origin

    def precise(self, rows: Tensor) -> Tensor:
        """Rows in the precision to work in."""
        return rows.double() if self.delicate else rows


@dataclass(frozen=True, eq=False)
class Dense(Located):
    """N(μ_k, Σ_k) with covariances (R, K, D, D), or (R, 1, D, D) where components share one. Rows may hold NaN."""

    loc: Tensor
    covariance: Tensor
    origin: Tensor
    floor: float = FLOOR

    @cached_property
    def factor(self) -> tuple[Tensor, Tensor]:
        """The lower Cholesky factors, and 0 where there is one."""
        return torch.linalg.cholesky_ex(self.covariance)

    @property
    def precision(self) -> Tensor:
        """Σ_k^-1, of the shape of the covariances."""
        return self.normals.precision

    @property
    def sound(self) -> Tensor:
        return (self.factor[1] == 0) & self.certain

    @property
    def magnitude(self) -> Tensor:
        power = self.covariance.diagonal(dim1=-2, dim2=-1) + self.centred.square()
        return ((self.precision.square() @ power[..., None])[..., 0] * power).sum(-1).sqrt()

    @cached_property
    def normals(self) -> missing.Normals:
        """As `missing` takes them, measured from the origin."""
        return missing.Normals(self.centred, self.factor[0])

    @cached_property
    def linear(self) -> tuple[Tensor, Tensor]:
        """Pμ and log p(x) at x = origin: the coefficients of x and of 1, (R, K, D) and (R, K)."""
        loc, half_log_det = self.centred, self.normals.half_log_det
        linear = (self.precision @ loc[..., None])[..., 0]
        return linear, -0.5 * (loc * linear).sum(-1) - half_log_det - 0.5 * loc.shape[-1] * LOG_2PI

    def explain(self, rows: Tensor) -> Explanation:
        x = self.precise(rows)
        if complete(x):
            return self.whole(x, self.origin)
        return missing.explained(x - self.origin.to(x), self.normals, lambda some: self.whole(some, 0 * self.origin))

    @abstractmethod
    def whole(self, rows: Tensor, origin: Tensor) -> Explanation:
        """How rows without gaps are explained, which are yet to be measured from this origin."""

    def pick(self, mixtures: Tensor) -> Self:
        return replace(self, loc=self.loc[mixtures], covariance=self.covariance[mixtures])

    def sample(self, which: Tensor) -> Tensor:
        loc, factor = self.loc[0, which], self.factor[0].expand(*self.shape, -1, -1)[0, which]
        return loc + (factor @ torch.randn_like(loc)[..., None])[..., 0]

    def conditional(self, rows: Tensor) -> Conditional:
        mean, variance = missing.conditional(rows - self.origin, self.normals)
        return Conditional(mean + self.origin, variance)

    def draw(self, rows: Tensor, which: Tensor) -> Tensor:
        return missing.drawn(rows - self.origin, which, self.normals) + self.origin

    def tensors(self) -> dict[str, Tensor]:
        return {"loc": self.loc, "covariance": self.covariance, "origin": self.origin}

    def floored(self, covariance: Tensor) -> Tensor:
        """With the floor on the diagonal."""
        return covariance + self.floor * torch.eye(covariance.shape[-1]).to(covariance)


@final
class FullGaussians(Dense):
    """N(μ_k, Σ_k), a covariance for each component; (R, K, D, D)."""

    @property
    def free(self) -> int:
        K, D = self.loc.shape[1:]
        return K * D + K * D * (D + 1) // 2

    @cached_property
    def _densities(self) -> Polynomials:
        i, j = pairs(self.loc.shape[-1], self.loc.device)
        times = (i < j).to(self.loc) + 0.5 * (i == j)
        linear, constants = self.linear
        return Polynomials(torch.cat([-times * self.precision[..., i, j], linear], -1), constants)

    def whole(self, rows: Tensor, origin: Tensor) -> Explanation:
        D = rows.shape[1]
        parts = {"second": len(pairs(D, rows.device)[0]), "first": D}
        return Quadratic(Filled(Products, rows, origin), self._densities, parts)

    def refit(self, counts: Tensor, statistics: Statistics) -> FullGaussians:
        mean = statistics["first"] / counts[..., None]
        second = unpacked(statistics["second"] / counts[..., None], mean.shape[-1])
        covariance = self.floored(second - mean[..., :, None] * mean[..., None, :])
        return replace(self, loc=mean + self.origin, covariance=covariance)


@final
class TiedGaussians(Dense):
    """N(μ_k, Σ), one covariance for the components of a mixture; (R, 1, D, D)."""

    @property
    def free(self) -> int:
        K, D = self.loc.shape[1:]
        return K * D + D * (D + 1) // 2

    @cached_property
    def _whitening(self) -> Tensor:
        """L^-T: rows times it have unit covariance; (R, D, D)."""
        factor = self.factor[0][:, 0]
        return torch.linalg.solve_triangular(factor, torch.eye(factor.shape[-1]).to(factor), upper=False).mT

    def whole(self, rows: Tensor, origin: Tensor) -> Explanation:
        return SharedQuadratic(rows - origin.to(rows), self._whitening, *self.linear)

    def refit(self, counts: Tensor, statistics: Statistics) -> TiedGaussians:
        mean, total = statistics["first"] / counts[..., None], counts.sum(-1)[:, None, None, None]
        between = ((counts[..., None] * mean).mT @ mean)[:, None]
        covariance = self.floored((unpacked(statistics["second"], mean.shape[-1]) - between) / total)
        return replace(self, loc=mean + self.origin, covariance=covariance)


@dataclass(frozen=True, eq=False)
class Entrywise(Located):
    """N(μ_k, diag σ_k²): entries independent given the component, so that missing ones are simply left out.

    variance (R, K, D), or (R, K, 1) where the entries share one.
    """

    loc: Tensor
    variance: Tensor
    origin: Tensor
    floor: float = FLOOR

    @property
    def sound(self) -> Tensor:
        return (self.variance > 0).all(-1)

    @property
    def magnitude(self) -> Tensor:
        return (1 + self.centred.square() / self.variance).square().sum(-1).sqrt()

    @cached_property
    def _densities(self) -> tuple[Polynomials, Polynomials]:
        """Of rows without gaps, in x² and x; and of rows with, in x², x and 1 for each entry that is there."""
        loc, precision = self.centred, 1 / self.variance
        constants = -0.5 * (precision * loc.square() + self.variance.log() + LOG_2PI)
        varying = torch.cat([(-0.5 * precision).expand_as(loc), precision * loc], -1)
        gaps = Polynomials(torch.cat([varying, constants], -1), torch.zeros_like(constants[..., 0]))
        return Polynomials(varying, constants.sum(-1)), gaps

    def explain(self, rows: Tensor) -> Explanation:
        return ByEntry(self.precise(rows), self.origin, *self._densities)

    def pick(self, mixtures: Tensor) -> Self:
        return replace(self, loc=self.loc[mixtures], variance=self.variance[mixtures])

    def sample(self, which: Tensor) -> Tensor:
        return self.loc[0, which] + self.variance[0, which].sqrt() * torch.randn_like(self.loc[0, which])

    def conditional(self, rows: Tensor) -> Conditional:
        gone, x = rows.isnan()[:, None], rows[:, None].double()
        return Conditional(torch.where(gone, self.loc[0], x), torch.where(gone, self.variance[0], 0))

    def draw(self, rows: Tensor, which: Tensor) -> Tensor:
        return torch.where(rows.isnan(), self.sample(which), rows)

    def tensors(self) -> dict[str, Tensor]:
        return {"loc": self.loc, "variance": self.variance, "origin": self.origin}

    def mean(self, statistics: Statistics) -> Tensor:
        """The likeliest means, measured from the origin; that of an entry nobody has seen stays where it is."""
        seen = statistics["seen"]
        return torch.where(seen > 0, statistics["first"] / seen, self.centred)


@final
class DiagonalGaussians(Entrywise):
    """N(μ_k, diag σ_k²), a variance for each entry of each component; (R, K, D)."""

    @property
    def free(self) -> int:
        return 2 * self.loc.shape[1] * self.loc.shape[2]

    def refit(self, counts: Tensor, statistics: Statistics) -> DiagonalGaussians:
        mean, seen = self.mean(statistics), statistics["seen"]
        variance = (statistics["second"] / seen - mean.square()).clamp_min(0) + self.floor
        return replace(self, loc=mean + self.origin, variance=torch.where(seen > 0, variance, self.variance))


@final
class SphericalGaussians(Entrywise):
    """N(μ_k, σ_k² I), one variance for each component; (R, K, 1)."""

    @property
    def free(self) -> int:
        return self.loc.shape[1] * (self.loc.shape[2] + 1)

    def refit(self, counts: Tensor, statistics: Statistics) -> SphericalGaussians:
        mean, seen = self.mean(statistics), statistics["seen"]
        squares = (statistics["second"] - seen * mean.square()).sum(-1, keepdim=True)
        variance = (squares / seen.sum(-1, keepdim=True)).clamp_min(0) + self.floor
        return replace(self, loc=mean + self.origin, variance=variance)


@final
@dataclass(frozen=True)
class Full(Family):
    """A covariance of its own for each component."""

    floor: float = FLOOR

    def pooled(self, rows: Tensor, restarts: int, components: int) -> FullGaussians:
        origin, covariance = _moments(rows, self.floor)
        loc = origin.expand(restarts, components, -1)
        return FullGaussians(loc, covariance.expand(*loc.shape, -1), origin, self.floor)


@final
@dataclass(frozen=True)
class Tied(Family):
    """One covariance for all components."""

    floor: float = FLOOR

    def pooled(self, rows: Tensor, restarts: int, components: int) -> TiedGaussians:
        origin, covariance = _moments(rows, self.floor)
        loc = origin.expand(restarts, components, -1)
        return TiedGaussians(loc, covariance.expand(restarts, 1, -1, -1), origin, self.floor)


@final
@dataclass(frozen=True)
class Diagonal(Family):
    """Variances of its own for each component, no covariance."""

    floor: float = FLOOR

    def pooled(self, rows: Tensor, restarts: int, components: int) -> DiagonalGaussians:
        origin, covariance = _moments(rows, self.floor)
        loc = origin.expand(restarts, components, -1)
        return DiagonalGaussians(loc, covariance.diagonal().expand_as(loc), origin, self.floor)


@final
@dataclass(frozen=True)
class Spherical(Family):
    """One variance for each component."""

    floor: float = FLOOR

    def pooled(self, rows: Tensor, restarts: int, components: int) -> SphericalGaussians:
        origin, covariance = _moments(rows, self.floor)
        loc = origin.expand(restarts, components, -1)
        return SphericalGaussians(loc, covariance.diagonal().mean().expand(*loc.shape[:2], 1), origin, self.floor)


COVARIANCES: dict[str, type[Full] | type[Tied] | type[Diagonal] | type[Spherical]] = {
    "full": Full,
    "tied": Tied,
    "diag": Diagonal,
    "spherical": Spherical,
}
"""The families by the names that scikit-learn gives them."""


def _moments(rows: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """The mean, as a number of single precision, and the covariance about it, gaps at the mean."""
    mean = rows.double().nanmean(0).float().double()
    x = torch.where(rows.isnan(), 0, rows - mean)
    return mean, x.mT @ x / len(x) + floor * torch.eye(len(mean)).to(x)
