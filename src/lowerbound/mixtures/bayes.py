"""Gaussian components that are believed rather than known: Normal-Wishart posteriors, by variational Bayes.

    μ_k | Λ_k ~ N(m_0, (β_0 Λ_k)⁻¹),   Λ_k ~ Wishart(ν_0, A_0⁻¹)
    q(μ_k | Λ_k) = N(m_k, (β_k Λ_k)⁻¹),   q(Λ_k) = Wishart(ν_k, A_k⁻¹)

The E-step takes E log N(x | μ, Λ⁻¹), which is the log density of a Gaussian at m_k and A_k/ν_k plus a number, so that
what Gaussian components can do (rows with gaps, the rest of a row given some of it) these can. The bound, with −KL of
all beliefs added, constants too, is a lower bound on the log probability of all rows; with one component it is that.
Such a mixture's `log_prob` is a term of that bound; `point` makes an ordinary mixture of it, which has a density.

Hagai Attias, "A variational Bayesian framework for graphical models", 2000; Christopher M. Bishop, "Pattern recognition
and machine learning", 2006, section 10.2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias, final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Components, Explanation, Family, Statistics
from lowerbound.mixtures.gaussian import DiagonalGaussians, FullGaussians
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.weights import Proportions

Gaussians: TypeAlias = FullGaussians | DiagonalGaussians


@final
class Shifted(Explanation):
    """Another explanation, with a number added to each log p_k(x): shift (R, 1, K) or (N, 1)."""

    def __init__(self, within: Explanation, shift: Tensor) -> None:
        self._within, self._log_prob = within, within.log_prob + shift.to(within.log_prob)

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        return self._within.statistics(responsibilities)


class Form(ABC):
    """What matrices A, as they are kept, can do."""

    @abstractmethod
    def gaussians(self, loc: Tensor, covariance: Tensor, origin: Tensor) -> Gaussians:
        """N(loc, covariance), without a floor."""

    @abstractmethod
    def covariance(self, found: Components) -> Tensor:
        """Of Gaussians, as such matrices."""

    @abstractmethod
    def outer(self, d: Tensor) -> Tensor:
        """d dᵀ, (..., D)."""

    @abstractmethod
    def log_det(self, a: Tensor) -> Tensor:
        """log|A|, (...)."""

    @abstractmethod
    def ratio(self, b: Tensor, a: Tensor) -> Tensor:
        """tr(B A⁻¹), (...)."""


@final
@dataclass(frozen=True)
class Dense(Form):
    """Whole matrices (..., D, D)."""

    def gaussians(self, loc: Tensor, covariance: Tensor, origin: Tensor) -> Gaussians:
        return FullGaussians(loc, covariance.expand(*loc.shape, -1), origin, 0.0)

    def covariance(self, found: Components) -> Tensor:
        return found.tensors()["covariance"]

    def outer(self, d: Tensor) -> Tensor:
        return d[..., :, None] * d[..., None, :]

    def log_det(self, a: Tensor) -> Tensor:
        return 2 * torch.linalg.cholesky_ex(a)[0].diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def ratio(self, b: Tensor, a: Tensor) -> Tensor:
        return (torch.cholesky_inverse(torch.linalg.cholesky_ex(a)[0]) * b).sum((-2, -1))


@final
@dataclass(frozen=True)
class Entries(Form):
    """Diagonals (..., D)."""

    def gaussians(self, loc: Tensor, covariance: Tensor, origin: Tensor) -> Gaussians:
        return DiagonalGaussians(loc, covariance.expand_as(loc), origin, 0.0)

    def covariance(self, found: Components) -> Tensor:
        return found.tensors()["variance"]

    def outer(self, d: Tensor) -> Tensor:
        return d.square()

    def log_det(self, a: Tensor) -> Tensor:
        return a.log().sum(-1)

    def ratio(self, b: Tensor, a: Tensor) -> Tensor:
        return (b / a).sum(-1)


Join: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From what the rows of each component add to A, and its count, to what they add where precisions share something."""


def own(scatter: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing is shared."""
    return scatter, counts


def tied(scatter: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """One precision for all components, (R, 1, D, D)."""
    return scatter.sum(1, keepdim=True), counts.sum(1, keepdim=True)


def rounded(scatter: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """One variance for all entries: A is a multiple of I."""
    return scatter.mean(-1, keepdim=True).expand_as(scatter), counts


@final
@dataclass(frozen=True)
class Kind:
    """A kind of precision: how A is kept, what is shared, and the order of the Wishart distributions in which D entries
    fall: one of order D, or D of order one, which are Gamma distributions."""

    form: Form
    join: Join
    order: Callable[[int], int]


FULL = Kind(Dense(), own, lambda width: width)
"""A precision of its own for each component."""
TIED = Kind(Dense(), tied, lambda width: width)
"""One for all components. (scikit-learn counts N/K rows towards it, where all N tell of it.)"""
DIAGONAL = Kind(Entries(), own, lambda width: width)
"""As scikit-learn's "diag": precisions are any matrices, the posteriors' A is diagonal. Never exact for D > 1."""
SPHERICAL = Kind(Entries(), rounded, lambda width: width)
"""As scikit-learn's "spherical": likewise, with A a multiple of I."""
INDEPENDENT = Kind(Entries(), own, lambda width: 1)
"""Precisions are diagonal, their entries Gamma(ν/2, A_d/2)."""


@final
@dataclass(frozen=True, eq=False)
class Prior:
    """Normal-Wishart: m_0 (D,), β_0, ν_0 and A_0, (D, D) or (D,)."""

    loc: Tensor
    precision: float
    degrees: float
    scale: Tensor


@final
@dataclass(frozen=True, eq=False)
class Believed(Components):
    """Normal-Wishart posteriors of means and precisions.

    loc (R, K, D): m; precision (R, K): β; degrees (R, K or 1): ν; scale (R, K or 1, D, D) or (R, K, D): A.
    """

    kind: Kind
    prior: Prior
    loc: Tensor
    precision: Tensor
    degrees: Tensor
    scale: Tensor

    @cached_property
    def point(self) -> Gaussians:
        """N(m_k, A_k/ν_k): the Gaussians at E μ and at the inverse of E Λ."""
        covariance = self.scale / self._as_scale(self.degrees)
        return self.kind.form.gaussians(self.loc, covariance, self.prior.loc)

    @property
    def shape(self) -> tuple[int, int]:
        return self.loc.shape[0], self.loc.shape[1]

    @property
    def sound(self) -> Tensor:
        return self.point.sound

    @property
    def free(self) -> int:
        return self.point.free

    @property
    def penalty(self) -> Tensor:
        return -(self._kl_of_means.sum(-1) + self._kl_of_precisions.sum(-1))

    def explain(self, rows: Tensor) -> Explanation:
        return Shifted(self.point.explain(rows), self._beyond_point[:, None])

    def refit(self, counts: Tensor, statistics: Statistics) -> Believed:
        n = counts[..., None].clamp_min(torch.finfo(torch.float64).tiny)
        found = self.point.refit(n[..., 0], statistics)
        offset, around = self._whole(n, statistics, found)
        precision = self.prior.precision + n
        between = self._as_scale(n[..., 0] * self.prior.precision / precision[..., 0]) * self.kind.form.outer(offset)
        scatter, seen = self.kind.join(self._as_scale(n[..., 0]) * around + between, counts)
        return replace(
            self,
            loc=self.prior.loc + n * offset / precision,
            precision=precision[..., 0],
            degrees=self.prior.degrees + seen,
            scale=self.prior.scale + scatter,
        )

    def pick(self, mixtures: Tensor) -> Believed:
        names = ("loc", "precision", "degrees", "scale")
        return replace(self, **{name: getattr(self, name)[mixtures] for name in names})

    def sample(self, which: Tensor) -> Tensor:
        return self.point.sample(which)

    def filled(self, rows: Tensor, responsibilities: Tensor) -> Tensor:
        return self.point.filled(rows, responsibilities)

    def draw(self, rows: Tensor, which: Tensor) -> Tensor:
        return self.point.draw(rows, which)

    def tensors(self) -> dict[str, Tensor]:
        belief = {"loc": self.loc, "precision": self.precision, "degrees": self.degrees, "scale": self.scale}
        return {**belief, "prior_loc": self.prior.loc, "prior_scale": self.prior.scale}

    @property
    def _width(self) -> int:
        return self.loc.shape[-1]

    def _as_scale(self, numbers: Tensor) -> Tensor:
        """(R, K) to be multiplied with A."""
        return numbers.reshape(*numbers.shape, *[1] * self.prior.scale.dim())

    def _whole(self, n: Tensor, statistics: Statistics, found: Components) -> tuple[Tensor, Tensor]:
        """Mean, from m_0, and covariance of each component's rows, what entries are missing as the component expects.

        Where entries are apart, `found` is of those that were seen; n − seen others stand at the mean that was
        expected, in whose variance they are.
        """
        mean, covariance = found.tensors()["loc"] - self.prior.loc, self.kind.form.covariance(found)
        if isinstance(self.kind.form, Dense) or "seen" not in statistics:
            return mean, covariance
        share, held = statistics["seen"] / n, self.point.tensors()
        before = held["loc"] - self.prior.loc
        second = share * (covariance + mean.square()) + (1 - share) * (held["variance"] + before.square())
        mean = share * mean + (1 - share) * before
        return mean, second - mean.square()

    @property
    def _beyond_point(self) -> Tensor:
        """E log N(x | μ, Λ⁻¹) − log N(x | m, A/ν), (R, K)."""
        D = self._width
        return 0.5 * (_digammas(self.degrees, self._order, D) - D * (self.degrees / 2).log() - D / self.precision)

    @property
    def _order(self) -> int:
        return self.kind.order(self._width)

    @property
    def _kl_of_means(self) -> Tensor:
        """E KL(q(μ | Λ) ‖ p(μ | Λ)), (R, K)."""
        share = self.prior.precision / self.precision
        moved = self.kind.form.ratio(self.kind.form.outer(self.loc - self.prior.loc), self.scale)
        return 0.5 * (self._width * (share - 1 - share.log()) + self.prior.precision * self.degrees * moved)

    @property
    def _kl_of_precisions(self) -> Tensor:
        """KL(q(Λ) ‖ p(Λ)), (R, K or 1)."""
        D, form = self._width, self.kind.form
        log_det = _digammas(self.degrees, self._order, D) + D * math.log(2) - form.log_det(self.scale)
        energy = self.degrees * (form.ratio(self.prior.scale, self.scale) - D)
        before = self.degrees.new_tensor(self.prior.degrees)
        norms = self._log_norm(self.degrees, self.scale) - self._log_norm(before, self.prior.scale)
        return norms + 0.5 * ((self.degrees - before) * log_det + energy)

    def _log_norm(self, degrees: Tensor, scale: Tensor) -> Tensor:
        """The log of what a Wishart density is multiplied with, but for what both have."""
        D, p = self._width, self._order
        log_gamma = (D // p) * torch.special.multigammaln(degrees / 2, p)
        return 0.5 * degrees * (self.kind.form.log_det(scale) - D * math.log(2)) - log_gamma


@final
@dataclass(frozen=True)
class Bayesian(Family):
    """Gaussians with a Normal-Wishart prior.

    kind: `FULL`, `TIED`, `DIAGONAL`, `SPHERICAL` or `INDEPENDENT`; precision: β_0; degrees: ν_0, D unless told
    otherwise; loc: m_0, the mean of the rows; scale: A_0, their covariance (variances, for diagonal kinds). These are
    what scikit-learn's BayesianGaussianMixture assumes. floor: added to the diagonal of A_0, for rows that do not vary
    in every direction.
    """

    kind: Kind = FULL
    precision: float = 1.0
    degrees: float | None = None
    loc: Tensor | None = None
    scale: Tensor | None = None
    floor: float = 0.0

    def pooled(self, rows: Tensor, restarts: int, components: int) -> Believed:
        prior = self._prior(rows.double())
        scatter = prior.scale.expand(restarts, components, *prior.scale.shape)
        counts = scatter.new_ones(restarts, components)
        scale, seen = self.kind.join(scatter, counts)
        loc = prior.loc.expand(restarts, components, -1)
        degrees = torch.full_like(seen, prior.degrees)
        return Believed(self.kind, prior, loc, prior.precision * counts, degrees, scale)

    def _prior(self, rows: Tensor) -> Prior:
        width, known = rows.shape[1], self.degrees
        degrees = float(width if known is None else known)
        if not (self.precision > 0 and degrees > self.kind.order(width) - 1):
            raise ValueError(
                f"the prior's precision must be above 0 and its degrees of freedom above {self.kind.order(width) - 1}, "
                f"not {self.precision} and {degrees}"
            )
        loc = rows.nanmean(0) if self.loc is None else self.loc.to(rows)
        scale = _scatter(self.kind, rows) if self.scale is None else self.scale.to(rows)
        unit = torch.ones_like(loc)
        floor = self.floor * (unit.diag() if scale.dim() == 2 else unit)
        return Prior(loc, self.precision, degrees, scale + floor)


def point(mixture: Mixture) -> Mixture:
    """The mixture at what a believed one expects of its weights, means and precisions: one with a density.

    >>> from lowerbound.mixtures.blocks import InMemory
    >>> from lowerbound.mixtures.em import begin, fit
    >>> from lowerbound.mixtures.weights import Dirichlet
    >>> x = InMemory(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
    >>> believed = fit(begin(Bayesian(), x, 2, weights=Dirichlet.even()), x).mixture
    >>> point(believed).log_prob(torch.zeros(1, 2)).shape
    torch.Size([1, 1])
    """
    held = mixture.components
    return Mixture(Proportions(mixture.weights.mean.log()), held.point if isinstance(held, Believed) else held)


def _scatter(kind: Kind, rows: Tensor) -> Tensor:
    """The covariance of rows, gaps at the mean; divided by N − 1."""
    off = (rows - rows.nanmean(0)).nan_to_num(0.0)
    if isinstance(kind.form, Dense):
        return off.mT @ off / (len(off) - 1)
    variance = off.square().sum(0) / ((~rows.isnan()).sum(0) - 1)
    return kind.join(variance, variance)[0]


def _digammas(degrees: Tensor, order: int, width: int) -> Tensor:
    """E log|Λ| − D log 2 + log|A|."""
    steps = torch.arange(order, device=degrees.device)
    return (width // order) * ((degrees[..., None] - steps) / 2).digamma().sum(-1)
