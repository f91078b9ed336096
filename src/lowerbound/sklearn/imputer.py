"""What is missing of rows, filled in from what was observed of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from lowerbound.evaluation.imputation import Manner
from lowerbound.mixtures import conditional
from lowerbound.randomness import isolated, reseed
from lowerbound.sklearn.anomaly import seeded
from lowerbound.sklearn.base import DensityEstimator, seed_of
from lowerbound.sklearn.mixture_base import MixtureEstimator
from lowerbound.sklearn.rows import Array
from lowerbound.sklearn.selection import Chosen, Scaling

Centre = Literal["mean", "median"]


@final
class Imputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills in what is missing of a row from the rest, by a density of whole rows; stands where IterativeImputer does.

        E[x_missing | x_observed], or the median, or a draw of p(x_missing | x_observed)

    estimator: a mixture, under which these are exact, or a VAE, under which they are by importance sampling; a clone is
    fitted to the rows with their gaps. None is a mixture of Gaussians of full covariance whose size the rows decide.
    missing_values, add_indicator, keep_empty_features: as in scikit-learn; an empty column that is kept is 0.
    centre: what stands for all that an entry may be, mean or median. sample_posterior: whether `transform` gives a draw
    instead; see `draw` for several. particles: draws of z for each row, of a VAE. random_state: fixes what is random.

    Fitted: estimator_; indicator_; n_features_in_, feature_names_in_.

    Stef van Buuren, "Flexible imputation of missing data", 2018, on why several draws and not one guess are what later
    analyses should be given; Zoubin Ghahramani and Michael I. Jordan, "Supervised learning from incomplete data via an
    EM approach", 1994.

    >>> X = np.arange(20.0)[:, None] * [1.0, 2.0]
    >>> X[3, 0] = X[7, 1] = np.nan
    >>> Imputer(random_state=0).fit_transform(X)[[3, 7]].round(2)
    array([[ 3.,  6.],
           [ 7., 14.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [DensityEstimator, MixtureEstimator, None],
        "centre": [StrOptions({"mean", "median"})],
        "sample_posterior": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        missing_values: Any = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        centre: Centre = "mean",
        sample_posterior: bool = False,
        particles: int = 1000,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.centre = centre
        self.sample_posterior = sample_posterior
        self.particles = particles
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the estimator to rows X (N, D) with gaps; y is not looked at."""
        self._validate_params()
        x = self._gaps(X, reset=True)
        self.frame_ = SimpleImputer(
            missing_values=self.missing_values,
            add_indicator=self.add_indicator,
            keep_empty_features=self.keep_empty_features,
        ).fit(X)
        self.seen_ = ~np.isnan(x).all(axis=0)
        self.completion_ = self._begun(x[:, self.seen_])
        return self

    def transform(self, X: Any) -> Array:
        """The rows without gaps, (N, D), and beside them the indicators if asked for."""
        check_is_fitted(self)
        if self.sample_posterior:
            return self.draw(X, 1)[0]
        x = self._gaps(X)
        return self._framed(X, self.completion_.filled(x[:, self.seen_], self.centre))

    def draw(self, X: Any, n: int = 5) -> Array:
        """Several completions of the rows, (n, N, D): gaps of a row are drawn together; for multiple imputation."""
        check_is_fitted(self)
        x, seed = self._gaps(X), seed_of(self.random_state)
        return np.stack([self._framed(X, drawn) for drawn in self.completion_.drawn(x[:, self.seen_], n, seed)])

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the columns that come out: those that went in but for empty ones, and the indicators'."""
        check_is_fitted(self)
        return np.asarray(self.frame_.get_feature_names_out(input_features), dtype=object)

    @property
    def estimator_(self) -> Any:
        """The fitted estimator; one of a mixture has seen columns of mean 0 and variance 1."""
        check_is_fitted(self)
        return self.completion_.estimator

    @property
    def indicator_(self) -> Any:
        """scikit-learn's `MissingIndicator`, or None."""
        check_is_fitted(self)
        return self.frame_.indicator_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "completion_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = _is_nan(self.missing_values)
        return tags

    def _gaps(self, X: Any, reset: bool = False) -> Array:
        """The rows as floats, NaN for what is missing."""
        finite = "allow-nan" if _is_nan(self.missing_values) else True
        x = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=finite)
        return x if _is_nan(self.missing_values) else np.where(x == self.missing_values, np.nan, x)

    def _begun(self, x: Array) -> Completion:
        seed = seed_of(self.random_state)
        if isinstance(self.estimator, DensityEstimator):
            return ByDraws(seeded(self.estimator, seed).set_params(missing=True), self.particles, x)
        return ByMixture(None if self.estimator is None else seeded(self.estimator, seed), seed, x)

    def _framed(self, X: Any, values: Array) -> Array:
        """The columns in their places among empty ones that are kept, and before the indicators."""
        out = np.array(self.frame_.transform(X), dtype=values.dtype)
        places = np.flatnonzero(self.seen_) if self.keep_empty_features else slice(values.shape[1])
        out[:, places] = values
        return out


class Completion(ABC):
    """A fitted estimator that can say what is missing."""

    estimator: Any

    @abstractmethod
    def filled(self, x: Array, centre: Centre) -> Array:
        """Rows (N, D) with NaN at the centre of what may be there."""

    @abstractmethod
    def drawn(self, x: Array, count: int, seed: int) -> list[Array]:
        """Rows (N, D) with a draw for NaN, as many times as asked for."""


@final
class ByMixture(Completion):
    """By the exact conditionals of a mixture, which is fitted to standardised columns; None for one of fitting size."""

    def __init__(self, estimator: MixtureEstimator | None, seed: int, x: Array) -> None:
        if estimator is None:
            found = Chosen(seed).fit(x)
            self.scaling, self.estimator = found.scaling_, found.mixture_
        else:
            self.scaling = Scaling(x)
            self.estimator = estimator.fit(self.scaling(x))

    def filled(self, x: Array, centre: Centre) -> Array:
        mixture, rows = self.estimator.mixture_, self._rows(x)
        found = conditional.imputed(mixture, rows) if centre == "mean" else conditional.quantiles(mixture, rows, 0.5)
        return self._restored(x, found)

    def drawn(self, x: Array, count: int, seed: int) -> list[Array]:
        rows = self._rows(x)
        with isolated(rows.device):
            reseed(rows.device, seed)
            return [self._restored(x, found) for found in conditional.drawn(self.estimator.mixture_, rows, count)]

    def _rows(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(self.scaling(x)).to(self.estimator.mixture_.weights.mean.device)

    def _restored(self, x: Array, found: torch.Tensor) -> Array:
        return np.where(np.isnan(x), self.scaling.inverse(found.cpu().numpy()), x).astype(x.dtype)


@final
class ByDraws(Completion):
    """By importance sampling from the posterior of a model with a latent; see `evaluation.imputation`."""

    def __init__(self, estimator: DensityEstimator, particles: int, x: Array) -> None:
        self.estimator, self.particles = estimator.fit(x), particles

    def filled(self, x: Array, centre: Centre) -> Array:
        return np.asarray(self.estimator.model_.impute(x, Manner(self.particles, centre=centre)).values)

    def drawn(self, x: Array, count: int, seed: int) -> list[Array]:
        return list(self.estimator.model_.impute(x, Manner(self.particles, draws=count), seed).draws)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))
