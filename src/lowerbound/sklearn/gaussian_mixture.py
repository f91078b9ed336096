"""Gaussian mixtures as estimators."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.arguments import Count, NonNegative, conformed
from lowerbound.errors import InputError
from lowerbound.mixtures.bayes import point
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.components import Components
from lowerbound.mixtures.em import begin
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.starts import Start
from lowerbound.mixtures.weights import Proportions
from lowerbound.sklearn.base import plain
from lowerbound.sklearn.covariances import Form, finite, form
from lowerbound.sklearn.mixture_base import MixtureEstimator
from lowerbound.sklearn.rows import Array


@dataclass(kw_only=True, eq=False, repr=False)
class GaussianEstimator(MixtureEstimator, ABC):
    """A mixture of Gaussians, whose parameters are told in scikit-learn's shapes.

    covariance_type: full, tied, diag or spherical as in scikit-learn.

    Fitted: weights_, means_, covariances_, precisions_, precisions_cholesky_, all float64.
    """

    covariance_type: str = "full"

    @property
    def means_(self) -> Array:
        """μ_k, (K, D)."""
        return self._components.loc[0].cpu().numpy()

    @property
    def covariances_(self) -> Array:
        """Σ_k: (D, D) of tied, (K, D) of diag, (K,) of spherical, (K, D, D) of all others."""
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
        return point(self.mixture_).components

    @property
    def _form(self) -> Form:
        return form(self.covariance_type)


@final
@dataclass(eq=False, repr=False)
class GaussianMixture(GaussianEstimator):
    """A mixture of Gaussians in the place of scikit-learn's, with sample_weight, missing entries and `partial_fit`.

    n_components: how many. covariance_type: also factor, which is Λ_k Λ_kᵀ + Ψ_k with n_factors columns in Λ_k and a
    variance for each column of the rows (mixtures of factor analysers), and ppca, where Ψ_k is one variance. reg_covar:
    added to each variance after an M-step. weights_init, means_init, precisions_init: where EM starts, in the shapes of
    weights_, means_ and precisions_; the same start leads where scikit-learn's leads. The others, and what is fitted:
    see `GaussianEstimator` and `MixtureEstimator`.

    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> mixture = GaussianMixture(3, random_state=0).fit(X)
    >>> mixture.means_.shape, mixture.predict_proba(X).shape, mixture.converged_
    ((3, 4), (150, 3), True)
    """

    n_components: int = 1
    _: KW_ONLY
    n_factors: int = 2
    reg_covar: float = 1e-6
    weights_init: Any = None
    means_init: Any = None
    precisions_init: Any = None

    def aic(self, X: Any) -> float:
        """Akaike's information criterion, 2·(free parameters) − 2 Σ log p(x); the lower the better."""
        return 2 * self.mixture_.free - 2 * float(self.score_samples(X).sum(dtype=np.float64))

    def bic(self, X: Any) -> float:
        """The Bayesian information criterion, (free parameters)·log N − 2 Σ log p(x); the lower the better."""
        found = self.score_samples(X)
        return self.mixture_.free * math.log(len(found)) - 2 * float(found.sum(dtype=np.float64))

    def _begun(self, rows: InMemory, restarts: int, start: Start, generator: torch.Generator) -> Mixture:
        floor, factors = conformed("reg_covar", plain(self.reg_covar), NonNegative), plain(self.n_factors)
        family = self._form.family(floor, conformed("n_factors", factors, Count), self.n_features_in_)
        return self._told(begin(family, rows, plain(self.n_components), restarts, start, generator))

    def _told(self, mixture: Mixture) -> Mixture:
        """The mixture, with what the user gave of it in place."""
        K, D, weights, components = plain(self.n_components), self.n_features_in_, mixture.weights, mixture.components
        if self.weights_init is not None:
            weights = _proportions(finite("weights_init", self.weights_init, (K,)), mixture)
        if self.means_init is not None:
            components = _moved(components, finite("means_init", self.means_init, (K, D)))
        if self.precisions_init is not None:
            precisions = finite("precisions_init", self.precisions_init, self._form.shape(K, D))
            components = self._form.with_precisions(components, precisions.to(weights.mean))
        return Mixture(weights, components)


def _moved(components: Any, means: Tensor) -> Components:
    moved: Components = replace(components, loc=means.to(components.loc).expand_as(components.loc).clone())
    return moved


def _proportions(weights: Tensor, mixture: Mixture) -> Proportions:
    if not ((weights >= 0).all() and torch.isclose(weights.sum(), weights.new_ones(()))):
        raise InputError("weights_init must be at least 0 and add up to 1")
    return Proportions(weights.log().to(mixture.weights.mean).expand(mixture.shape).clone())
