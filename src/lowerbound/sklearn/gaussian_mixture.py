"""Gaussian mixtures as estimators."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.arguments import NonNegative, conformed
from lowerbound.errors import InputError
from lowerbound.mixtures.components import Components, Family
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.weights import Proportions
from lowerbound.sklearn.base import plain
from lowerbound.sklearn.covariances import FORMS, Form
from lowerbound.sklearn.mixture_base import MixtureEstimator
from lowerbound.sklearn.rows import Array


@final
@dataclass(eq=False, repr=False)
class GaussianMixture(MixtureEstimator):
    """A mixture of Gaussians in the place of scikit-learn's, with sample_weight, missing entries and `partial_fit`.

    n_components: how many. covariance_type: full, tied, diag or spherical. reg_covar: added to each variance after an
    M-step. weights_init, means_init, precisions_init: where EM starts, in the shapes of weights_, means_ and
    precisions_; the same start leads where scikit-learn's leads. The others: see `MixtureEstimator`.

    Fitted: weights_, means_, covariances_, precisions_, precisions_cholesky_, all float64, and what `MixtureEstimator`
    has.

    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> mixture = GaussianMixture(3, random_state=0).fit(X)
    >>> mixture.means_.shape, mixture.predict_proba(X).shape, mixture.converged_
    ((3, 4), (150, 3), True)
    """

    n_components: int = 1
    _: KW_ONLY
    covariance_type: str = "full"
    reg_covar: float = 1e-6
    weights_init: Any = None
    means_init: Any = None
    precisions_init: Any = None

    @property
    def means_(self) -> Array:
        """μ_k, (K, D)."""
        return self._components.loc[0].cpu().numpy()

    @property
    def covariances_(self) -> Array:
        """Σ_k: (K, D, D) of full, (D, D) of tied, (K, D) of diag, (K,) of spherical."""
        return self._form.covariances(self._components)

    @property
    def precisions_cholesky_(self) -> Array:
        """Upper triangular U with precision U Uᵀ; of variances alone their roots' inverses."""
        return self._form.cholesky(self.covariances_)

    @property
    def precisions_(self) -> Array:
        """The inverses of covariances_."""
        return self._form.precisions(self.precisions_cholesky_)

    @property
    def _components(self) -> Any:
        return self.mixture_.components

    @property
    def _form(self) -> Form:
        if self.covariance_type not in FORMS:
            raise InputError(f"covariance_type must be one of {', '.join(FORMS)}, not {self.covariance_type!r}")
        return FORMS[self.covariance_type]

    def _family(self) -> Family:
        return self._form.family(conformed("reg_covar", plain(self.reg_covar), NonNegative))

    def _started(self, mixture: Mixture) -> Mixture:
        (K, D), weights, components = self._shape(mixture), mixture.weights, mixture.components
        if self.weights_init is not None:
            weights = _proportions(_given("weights_init", self.weights_init, (K,)), mixture)
        if self.means_init is not None:
            means = _given("means_init", self.means_init, (K, D))
            components = _moved(components, means)
        if self.precisions_init is not None:
            precisions = _given("precisions_init", self.precisions_init, self._form.shape(K, D))
            components = self._form.with_precisions(components, precisions.to(weights.mean))
        return Mixture(weights, components)

    def _shape(self, mixture: Mixture) -> tuple[int, int]:
        return mixture.shape[1], self.n_features_in_


def _moved(components: Any, means: Tensor) -> Components:
    moved: Components = replace(components, loc=means.to(components.loc).expand_as(components.loc).clone())
    return moved


def _given(name: str, values: Any, shape: tuple[int, ...]) -> Tensor:
    found = np.asarray(values, dtype=np.float64)
    if found.shape != shape:
        raise InputError(f"{name} must be of shape {shape}, not {found.shape}")
    if not np.isfinite(found).all():
        raise InputError(f"{name} must be finite")
    return torch.from_numpy(found)


def _proportions(weights: Tensor, mixture: Mixture) -> Proportions:
    if not ((weights >= 0).all() and torch.isclose(weights.sum(), weights.new_ones(()))):
        raise InputError("weights_init must be at least 0 and add up to 1")
    return Proportions(weights.log().to(mixture.weights.mean).expand(mixture.shape).clone())
