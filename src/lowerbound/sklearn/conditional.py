"""What estimators share whose models are told y."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from lowerbound.data.spec import Variable
from lowerbound.errors import InputError
from lowerbound.evaluation.conditions import values
from lowerbound.fitted import Fitted
from lowerbound.sklearn.base import RecipeEstimator, plain, row_seed, seed_of
from lowerbound.sklearn.rows import About, Array, conditioned


@dataclass(kw_only=True, eq=False, repr=False)
class ConditionalDensityEstimator(RecipeEstimator, ABC):
    """An estimator of p(x|y): y is what each row is told.

    y: whole numbers or text (N,), of which each value is a class; floats (N,) or (N, d), vectors. Where a method is
    given no y it tells nothing, of which a model is asked that learns to do without (drop above 0).

    draws: how many of z for each row, by importance sampling.

    Fitted: classes_, the names of the classes; and as of `RecipeEstimator`.
    """

    draws: int = 1000

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """log p(x|y) of each row by importance sampling, (N,) nats; without y log p(x), told nothing.

        What is drawn for a row follows from the row itself, so that its figure is the same beside any others.
        """
        x, draws = self._given(X), plain(self.draws)
        models = self._models(y, len(x))
        rows = (model.log_prob(row[None], draws, row_seed(row))[0] for model, row in zip(models, x))
        return np.fromiter(rows, np.float64, len(x))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x|y) over the rows, in nats."""
        return float(self.score_samples(X, y).mean())

    def sample(self, n_samples: int = 1, y: Any = None, random_state: Any = None) -> Array:
        """Rows drawn from p(x|y), (n_samples, D); by the estimator's own random_state unless another is given.

        y: one value for all of them, or one for each.
        """
        check_is_fitted(self)
        state, model = self.random_state if random_state is None else random_state, self.model_
        told = model if y is None else model.given(as_y(self._about, y))
        return np.asarray(told.sample(n_samples, seed=seed_of(state), mean=False))

    @property
    def classes_(self) -> Array:
        """The names of the classes that the rows may be told, (C,)."""
        return np.array(self.model_.labels)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "density_estimator"
        tags.target_tags.required = True
        return tags

    @property
    def _about(self) -> Variable:
        about = self.trained_.record.data.condition
        assert about is not None  # it is never fitted without
        return about

    def _condition(self, y: Any, count: int, train: Array, former: Variable | None) -> About:
        if y is None:
            raise InputError("a conditional model requires y to be passed, but the target y is None")
        check_consistent_length(np.empty(count), y)
        if np.asarray(y).dtype.kind == "O":
            type_of_target(y, input_name="y", raise_unknown=True)
        return conditioned(y, train) if former is None else (former, values(former, as_y(former, y)))

    def _models(self, y: Any, count: int) -> list[Fitted]:
        """For each row the model that is told its y."""
        if y is None:
            return [self.model_] * count
        check_consistent_length(np.empty(count), y)
        return [self.model_.given(each) for each in as_y(self._about, y)]


def as_y(about: Variable, y: Any) -> Any:
    """y as it is told: single numbers are vectors of one, where vectors are.

    >>> as_y(Variable("condition", "real", (1,), 0, 1), [0.5, 1.0]).shape
    (2, 1)
    """
    found = np.asarray(y)
    return found.reshape(-1, 1) if about.kind == "real" and about.shape == (1,) else found if found.ndim else y
