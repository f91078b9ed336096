"""Covariances of Gaussian components in the shapes that scikit-learn gives them, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.errors import InputError
from lowerbound.mixtures.bayes import DIAGONAL, FULL, SPHERICAL, TIED, Kind
from lowerbound.mixtures.components import Components, Family
from lowerbound.mixtures.factors import Factors, Isotropic, Noise, Own
from lowerbound.mixtures.gaussian import Diagonal, Full, Spherical, Tied
from lowerbound.sklearn.rows import Array


class Form(ABC):
    """One covariance_type: its family, and its components' covariances as arrays."""

    @abstractmethod
    def family(self, floor: float, factors: int, width: int) -> Family:
        """The family of such components of rows of this width."""

    @abstractmethod
    def shape(self, components: int, width: int) -> tuple[int, ...]:
        """The shape of their covariances and precisions."""

    @abstractmethod
    def covariances(self, found: Any) -> Array:
        """The covariances of the first mixture's components."""

    @abstractmethod
    def cholesky(self, covariances: Array) -> Array:
        """Upper triangular U with precision U Uᵀ; where there are variances alone, one over their roots."""

    @abstractmethod
    def precisions(self, cholesky: Array) -> Array:
        """The precisions themselves."""

    @abstractmethod
    def with_precisions(self, found: Any, precisions: Tensor) -> Components:
        """The components with these precisions in each of the mixtures."""


class Whole(Form, ABC):
    """Whole matrices (..., D, D)."""

    def cholesky(self, covariances: Array) -> Array:
        lower = np.linalg.inv(np.linalg.cholesky(covariances))
        return np.ascontiguousarray(np.swapaxes(lower, -1, -2))

    def precisions(self, cholesky: Array) -> Array:
        return cholesky @ np.swapaxes(cholesky, -1, -2)


class Believable(Form, ABC):
    """A form whose precisions may be believed rather than known."""

    belief: Kind
    """What is then believed."""

    @abstractmethod
    def scale(self, prior: Any, width: int) -> Tensor:
        """A covariance_prior, in scikit-learn's shape, as `Bayesian` takes it."""


@final
@dataclass(frozen=True)
class Matrices(Whole, Believable):
    """A covariance for each component, or one that all share."""

    kind: Callable[[float], Family]
    belief: Kind
    shared: bool

    def family(self, floor: float, factors: int, width: int) -> Family:
        return self.kind(floor)

    def shape(self, components: int, width: int) -> tuple[int, ...]:
        return (width, width) if self.shared else (components, width, width)

    def covariances(self, found: Any) -> Array:
        kept: Array = found.covariance[0].cpu().numpy()
        return kept[0] if self.shared else kept

    def with_precisions(self, found: Any, precisions: Tensor) -> Components:
        if not _is_positive(precisions):
            raise InputError("precisions_init must be symmetric and positive definite")
        return replace(found, covariance=torch.linalg.inv(precisions).expand_as(found.covariance).clone())

    def scale(self, prior: Any, width: int) -> Tensor:
        return finite("covariance_prior", prior, (width, width))


@final
@dataclass(frozen=True)
class Variances(Believable):
    """A variance for each column, or one for all."""

    kind: Callable[[float], Family]
    belief: Kind
    single: bool

    def family(self, floor: float, factors: int, width: int) -> Family:
        return self.kind(floor)

    def shape(self, components: int, width: int) -> tuple[int, ...]:
        return (components,) if self.single else (components, width)

    def covariances(self, found: Any) -> Array:
        kept: Array = found.variance[0].cpu().numpy()
        return kept[:, 0] if self.single else kept

    def cholesky(self, covariances: Array) -> Array:
        return np.asarray(covariances**-0.5)

    def precisions(self, cholesky: Array) -> Array:
        return np.asarray(cholesky**2)

    def with_precisions(self, found: Any, precisions: Tensor) -> Components:
        if not (precisions > 0).all():
            raise InputError("precisions_init must be positive")
        each = precisions.reshape(len(precisions), -1)
        return replace(found, variance=(1 / each).expand_as(found.variance).clone())

    def scale(self, prior: Any, width: int) -> Tensor:
        return finite("covariance_prior", prior, () if self.single else (width,)).expand(width).clone()


@final
@dataclass(frozen=True)
class LowRank(Whole):
    """Λ Λᵀ + Ψ of few factors: a matrix is made only where one is asked for."""

    noise: Noise

    def family(self, floor: float, factors: int, width: int) -> Family:
        if factors >= width:
            raise InputError(f"X has n_features = {width}; n_factors = {factors} must be fewer than that")
        return Factors(factors, self.noise, floor)

    def shape(self, components: int, width: int) -> tuple[int, ...]:
        return components, width, width

    def covariances(self, found: Any) -> Array:
        kept: Array = (found.loadings @ found.loadings.mT + found.variance.diag_embed())[0].cpu().numpy()
        return kept

    def with_precisions(self, found: Any, precisions: Tensor) -> Components:
        raise InputError("precisions_init says nothing of factors; leave it out, or take another covariance_type")


FORMS: dict[str, Form] = {
    "full": Matrices(Full, FULL, shared=False),
    "tied": Matrices(Tied, TIED, shared=True),
    "diag": Variances(Diagonal, DIAGONAL, single=False),
    "spherical": Variances(Spherical, SPHERICAL, single=True),
    "factor": LowRank(Own()),
    "ppca": LowRank(Isotropic()),
}
"""covariance_type -> what it is."""


def form(covariance_type: str) -> Form:
    """The form of this name.

    Raises:
        InputError: there is none.
    """
    if covariance_type not in FORMS:
        raise InputError(f"covariance_type must be one of {', '.join(FORMS)}, not {covariance_type!r}")
    return FORMS[covariance_type]


def finite(name: str, values: Any, shape: tuple[int, ...]) -> Tensor:
    """What a user gave by this name, refused if it is of another shape or holds NaN or infinity."""
    found = np.asarray(values, dtype=np.float64)
    if found.shape != shape:
        raise InputError(f"{name} must be of shape {shape}, not {found.shape}")
    if not np.isfinite(found).all():
        raise InputError(f"{name} must be finite")
    return torch.from_numpy(found)


def _is_positive(matrices: Tensor) -> bool:
    symmetric = torch.allclose(matrices, matrices.mT)
    return symmetric and not bool(torch.linalg.cholesky_ex(matrices).info.any())
