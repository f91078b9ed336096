"""A mixture of Gaussians whose size the rows themselves decide."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Self, final

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from lowerbound.sklearn.gaussian_mixture import GaussianMixture
from lowerbound.sklearn.rows import Array

RIDGES: tuple[float, ...] = (1e-6, 1e-3, 1e-2, 1e-1)
"""What is tried for `reg_covar`, in units of a column's variance."""

TRIAL = {"tol": 1e-2, "max_iter": 50}
"""How far a mixture climbs before it is judged."""

FOLDS, ENOUGH = 5, 1000
"""Parts of the rows that are held out in turn; of so many rows the first part alone tells enough."""

LEAST_ROWS = 10
"""With fewer rows nothing is held out: they are described by one Gaussian with the greatest ridge."""


@final
class Scaling:
    """Columns brought to mean 0 and variance 1 by what was observed of them; constant ones are centred alone.

    >>> Scaling(np.array([[1.0, 7.0], [3.0, np.nan]]))(np.array([[5.0, 8.0]]))
    array([[3., 1.]])
    """

    def __init__(self, x: Array) -> None:
        self.mean, scale = np.nanmean(x, 0, dtype=np.float64), np.nanstd(x, 0, dtype=np.float64)
        self.scale = np.where(scale > 1e-12 * np.abs(self.mean), scale, 1.0)

    def __call__(self, x: Array) -> Array:
        """In units of a column's deviation from its mean."""
        return (x - self.mean) / self.scale

    def inverse(self, z: Array) -> Array:
        """Back to the columns' own units."""
        return z * self.scale + self.mean

    def log_volumes(self, x: Array) -> Array:
        """What log p of each scaled row must be lowered by for that of the row as given, (N,) nats."""
        return (~np.isnan(x)) @ np.log(self.scale)


@final
class Chosen:
    """A mixture fitted to standardised rows, NaN where entries are missing, of the likeliest size.

    Components are doubled as long as the mean log p of rows held out rises; the ridge that is added to variances is the
    best of a few for one Gaussian, and grows as long as that is better for more. What is best is fitted to all rows.

    Fitted: scaling_; mixture_, a `GaussianMixture` of scaled rows.

    >>> rows = np.random.default_rng(0).normal(size=(400, 2)) + np.repeat([[-5.0], [5.0]], 200, 0)
    >>> Chosen(seed=0).fit(rows).mixture_.n_components
    2
    """

    def __init__(self, seed: int = 0, device: str = "auto") -> None:
        self.seed, self.device = seed, device

    def fit(self, X: Array) -> Self:
        """Choose, and fit to all rows (N, D)."""
        self.scaling_ = Scaling(X)
        z = self.scaling_(X)
        count, ridge = (1, RIDGES[-1]) if len(z) < LEAST_ROWS else self._best(z)
        self.mixture_ = _fitted(self._sized(count, ridge), z)
        return self

    def score_samples(self, X: Array) -> Array:
        """log p(x) of each row as given, (N,) nats."""
        found = self.mixture_.score_samples(self.scaling_(X)) - self.scaling_.log_volumes(X)
        return np.asarray(found)

    def _best(self, z: Array) -> tuple[int, float]:
        """Components and ridge."""
        ladder = self._ladder(z)
        best, score = next(ladder)
        for better, found in ladder:
            if found <= score:
                break
            best, score = better, found
        return best

    def _ladder(self, z: Array) -> Iterator[tuple[tuple[int, float], float]]:
        """1, 2, 4, … components, each with its best ridge and their score."""
        parts = list(KFold(FOLDS, shuffle=True, random_state=self.seed).split(z))
        parts = parts[:1] if len(z) >= ENOUGH else parts
        ridges, count = RIDGES, 1
        while count <= len(z) // 4:
            scores = [self._score(count, ridge, z, parts) for ridge in ridges]
            best = int(np.argmax(scores))
            yield (count, ridges[best]), scores[best]
            ridges, count = ridges[best : best + 2], 2 * count

    def _score(self, count: int, ridge: float, z: Array, parts: list[tuple[Array, Array]]) -> float:
        """Mean log p of rows that the mixture is not fitted to."""
        return float(
            np.mean([_held_out(self._sized(count, ridge, **TRIAL), z[train], z[held]) for train, held in parts])
        )

    def _sized(self, count: int, ridge: float, **climb: Any) -> GaussianMixture:
        return GaussianMixture(count, reg_covar=ridge, random_state=self.seed, device=self.device, **climb)


def _held_out(mixture: GaussianMixture, train: Array, held: Array) -> float:
    """Where the mixture cannot be fitted, none could be worse."""
    try:
        return _fitted(mixture, train).score(held)
    except ValueError:
        return -np.inf


def _fitted(mixture: Any, rows: Array) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what has not converged is judged as it stands
        return mixture.fit(rows)
