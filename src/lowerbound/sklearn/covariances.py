"""Covariances of Gaussian components in the shapes that scikit-learn gives them, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.errors import InputError
from lowerbound.mixtures.components import Components, Family
from lowerbound.mixtures.gaussian import Diagonal, Full
from lowerbound.sklearn.rows import Array


class Form(ABC):
    """One covariance_type: its family, and its components' covariances as arrays."""

    @abstractmethod
    def family(self, floor: float) -> Family:
        """The family of such components."""

    @abstractmethod
    def shape(self, components: int, width: int) -> tuple[int, ...]:
        """The shape of their covariances and precisions."""

    @abstractmethod
    def covariances(self, found: Any) -> Array:
        """The covariances of the first mixture's components."""

    @abstractmethod
    def cholesky(self, covariances: Array) -> Array:
        """Upper triangular factors U of the precisions U Uᵀ, or roots of the precisions where there are none but
        variances."""

    @abstractmethod
    def with_precisions(self, found: Any, precisions: Tensor) -> Components:
        """The components with these precisions in each of the mixtures."""

    @abstractmethod
    def precisions(self, cholesky: Array) -> Array:
        """The precisions themselves."""


@final
@dataclass(frozen=True)
class Matrices(Form):
    """Whole covariances: one for each component, or one that all share."""

    kind: type[Full]
    shared: bool

    def family(self, floor: float) -> Family:
        return self.kind(floor)

    def shape(self, components: int, width: int) -> tuple[int, ...]:
        return (width, width) if self.shared else (components, width, width)

    def covariances(self, found: Any) -> Array:
        kept: Array = found.covariance[0].cpu().numpy()
        return kept[0] if self.shared else kept

    def cholesky(self, covariances: Array) -> Array:
        lower = np.linalg.inv(np.linalg.cholesky(covariances))
        return np.ascontiguousarray(np.swapaxes(lower, -1, -2))

    def precisions(self, cholesky: Array) -> Array:
        return cholesky @ np.swapaxes(cholesky, -1, -2)

    def with_precisions(self, found: Any, precisions: Tensor) -> Components:
        if not _is_positive(precisions):
            raise InputError("precisions_init must be symmetric and positive definite")
        return replace(found, covariance=torch.linalg.inv(precisions).expand_as(found.covariance).clone())


@final
@dataclass(frozen=True)
class Variances(Form):
    """Variances alone: one for each column, or one for all."""

    kind: type[Diagonal]
    single: bool

    def family(self, floor: float) -> Family:
        return self.kind(floor)

    def shape(self, components: int, width: int) -> tuple[int, ...]:
        return (components,) if self.single else (components, width)

    def covariances(self, found: Any) -> Array:
        kept: Array = found.variance[0].cpu().numpy()
        return kept.reshape(len(kept), -1)[:, 0] if self.single else kept

    def cholesky(self, covariances: Array) -> Array:
        return np.asarray(covariances**-0.5)

    def precisions(self, cholesky: Array) -> Array:
        return np.asarray(cholesky**2)

    def with_precisions(self, found: Any, precisions: Tensor) -> Components:
        if not (precisions > 0).all():
            raise InputError("precisions_init must be positive")
        given = precisions.reshape(found.variance.shape[1], -1)
        return replace(
            found, variance=(1 / given).reshape(1, *found.variance.shape[1:]).expand_as(found.variance).clone()
        )


FORMS: dict[str, Form] = {
    "full": Matrices(Full, shared=False),
    "diag": Variances(Diagonal, single=False),
}
"""covariance_type -> what it is."""


def _is_positive(matrices: Tensor) -> bool:
    symmetric = torch.allclose(matrices, matrices.mT)
    return symmetric and not bool(torch.linalg.cholesky_ex(matrices).info.any())
