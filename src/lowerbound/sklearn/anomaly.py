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

    estimator: what gives log p(x); a clone of it is fitted. None is a mixture of Gaussians of full covariance on
    standardised columns, whose size the rows decide (see `selection.Chosen`). contamination: the share of rows that are
    taken for anomalies, on which `predict` and the offset depend, and the order of the scores does not. random_state:
    given to the estimator, where it has one.

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
        fresh = (
            Chosen(seed_of(self.random_state)) if self.estimator is None else seeded(self.estimator, self.random_state)
        )
        self.estimator_ = fresh.fit(x)
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

    def _rows(self, X: Any, reset: bool = False) -> Array:
        finite = "allow-nan" if get_tags(self).input_tags.allow_nan else True
        return np.asarray(validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=finite))


def seeded(estimator: Any, random_state: Any) -> Any:
    """A clone that draws what is random from a seed of ours, where it draws at all and none of its own is set."""
    fresh = clone(estimator)
    if random_state is not None and "random_state" in fresh.get_params():
        fresh.set_params(random_state=seed_of(random_state))
    return fresh
