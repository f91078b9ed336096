"""Rows that are unlikely under a density, told apart."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self, final

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from lowerbound.sklearn.base import seed_of
from lowerbound.sklearn.rows import Array
from lowerbound.sklearn.selection import Chosen


@final
class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Rows of little probability, by any estimator with `score_samples`: a VAE, a mixture, one of scikit-learn's.

        decision_function(x) = log p(x) − offset,  where a share `contamination` of the training rows is below 0

    estimator: what gives log p(x); a clone of it is fitted. None is the bulk of a mixture of Gaussians (see `Bulk`).
    contamination: the share of rows that are taken for anomalies, on which `predict`, the offset and the bulk depend;
    of any other estimator the order of the scores does not. random_state: given to the estimator, where it has one.

    Fitted: estimator_; offset_, nats; n_features_in_, feature_names_in_.

    Christopher M. Bishop, "Novelty detection and neural network validation", 1994.

    >>> from sklearn.neighbors import KernelDensity
    >>> X = np.append(np.random.default_rng(0).normal(size=(99, 2)), [[9.0, 9.0]], axis=0)
    >>> AnomalyDetector(KernelDensity(), contamination=0.01).fit_predict(X).argmin()
    np.int64(99)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "score_samples"]), None],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator: Any = None, *, contamination: float = 0.1, random_state: Any = None) -> None:
        self.estimator = estimator
        self.contamination = contamination
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the estimator to rows X (N, D), and the offset to its scores of them; y is not looked at."""
        self._validate_params()
        x = self._rows(X, reset=True)
        self.estimator_ = self._fresh().fit(x)
        self.offset_ = float(np.percentile(self.estimator_.score_samples(x), 100 * self.contamination))
        return self

    def score_samples(self, X: Any) -> Array:
        """log p(x) of each row, (N,): what the estimator says; lower is stranger."""
        check_is_fitted(self)
        return np.asarray(self.estimator_.score_samples(self._rows(X)))

    def decision_function(self, X: Any) -> Array:
        """log p(x) − offset_, (N,): below 0 for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Array:
        """-1 for anomalies, 1 for the other rows, (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.estimator is None or get_tags(self.estimator).input_tags.allow_nan
        return tags

    def _fresh(self) -> Any:
        if self.estimator is None:
            return Bulk(self.contamination, seed_of(self.random_state))
        return seeded(self.estimator, self.random_state)

    def _rows(self, X: Any, reset: bool = False) -> Array:
        finite = "allow-nan" if get_tags(self).input_tags.allow_nan else True
        return np.asarray(validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=finite))


@final
class Bulk:
    """log of what the greatest components of a mixture give a row: Σ_k π_k p_k(x) over those.

    If at most a share c of the rows are anomalies, a component of fewer may be made of them, and does not vouch for a
    row: the greatest count, as many as it takes to hold 1 − c of the mass. That what is ordinary and what is not are a
    mixture is the model of Peter J. Huber, "Robust estimation of a location parameter", 1964.

    Fitted: chosen_, the mixture on standardised columns whose size the rows decide; counts_, (K,) true or false.

    >>> random = np.random.default_rng(0)
    >>> X = np.append(random.normal(size=(190, 2)), random.normal(size=(10, 2)) / 9 + 5, axis=0)
    >>> bulk = Bulk(contamination=0.1).fit(X)
    >>> bulk.counts_.sum(), (bulk.score_samples(X[190:]) < -9).all()
    (np.int64(1), np.True_)
    """

    def __init__(self, contamination: float = 0.1, seed: int = 0) -> None:
        self.contamination, self.seed = contamination, seed

    def fit(self, X: Array) -> Self:
        """Fit the mixture to all rows (N, D), and see which of its components count."""
        self.chosen_ = Chosen(self.seed).fit(X)
        self.counts_ = greatest(self.chosen_.mixture_.weights_, 1 - self.contamination)
        return self

    def score_samples(self, X: Array) -> Array:
        """That log of each row, (N,) nats."""
        shares = self.chosen_.mixture_.predict_proba(self.chosen_.scaling_(X))[:, self.counts_].sum(1)
        found = self.chosen_.score_samples(X) + np.log(np.maximum(shares, np.finfo(np.float64).tiny))
        return np.asarray(found)


def greatest(weights: Array, share: float) -> Array:
    """Which of the weights (K,) are among the greatest, as few as hold this share of them all.

    >>> greatest(np.array([0.05, 0.6, 0.35]), 0.9)
    array([False,  True,  True])
    """
    order = np.argsort(-weights)
    before = np.cumsum(weights[order]) - weights[order]
    found = np.zeros(len(weights), bool)
    found[order[before < share * weights.sum()]] = True
    return found


def seeded(estimator: Any, random_state: Any) -> Any:
    """A clone that draws what is random from a seed of ours, where it draws at all and none of its own is set."""
    fresh = clone(estimator)
    if random_state is not None and "random_state" in fresh.get_params():
        fresh.set_params(random_state=seed_of(random_state))
    return fresh
