"""What the estimators share whose models recipes make and training fits."""

from __future__ import annotations

import hashlib
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from lowerbound.arguments import conformed
from lowerbound.data.dataset import Dataset
from lowerbound.data.spec import Kind, Variable
from lowerbound.errors import InputError, Interrupted
from lowerbound.fitted import Fitted
from lowerbound.randomness import derive
from lowerbound.recipes import registry
from lowerbound.run.settings import Settings
from lowerbound.sklearn.rows import NAME, About, Array, dataset, described, split
from lowerbound.sklearn.trained import Trained, record
from lowerbound.training.progress import Silent, shown_on

TOGETHER = 64
"""Rows that go through a network together: a multiple of what any processor works on at once."""


@dataclass(kw_only=True, eq=False, repr=False)
class RecipeEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A recipe's model as an estimator: rows go to codes and back.

    A subclass is a dataclass whose fields are arguments of its recipe, by their names; they are explained there
    (`lowerbound recipes vae`). The others are of training:

    kind: what the values are; real columns are standardised by the training rows. auto tells 0/1, counts and [0, 1]
    from the rest by the rows that `fit` is given, and the likelihood auto follows. missing: whether NaN are values that
    were not observed, of which the bound says nothing; else they are refused. epochs, lr, weight_decay, clip,
    device: see `Settings`. batch_size: rows a step at most, for a pass is over batches of equal size; auto is a 32nd of
    the rows between 16 and 128, so that few rows make for steps enough. patience:
    epochs without a better validation bound after which to stop. validation_fraction: of the rows, to choose the best
    weights by; with too few rows for one, all are trained on and the last weights are kept. warm_start: whether `fit`
    begins at the weights of the last fit, on the old scale of the columns. random_state: fixes all that is random.
    verbose: whether training says how far it is, on stderr.

    Fitted: model_, the `Fitted` with all the verbs of the library; n_iter_, epochs of the last training;
    n_features_in_, feature_names_in_ as everywhere.
    """

    kind: Kind | Literal["auto"] = "real"
    missing: bool = False
    epochs: int = 50
    batch_size: int | Literal["auto"] = "auto"
    lr: float = 1e-3
    weight_decay: float = 0.0
    clip: float | None = None
    patience: int | None = None
    validation_fraction: float = 0.1
    warm_start: bool = False
    random_state: Any = None
    device: str = "auto"
    verbose: bool = False

    recipe: ClassVar[str]
    """The name of the recipe."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on rows X (N, D), an array or a table; y is what each is told, if the model is told anything."""
        x, seed = self._given(X, reset=True, least=2), seed_of(self.random_state)
        train, validation = split(
            len(x), conformed("validation_fraction", self.validation_fraction, float, (0, 0.9)), seed
        )
        former = getattr(self, "trained_", None) if self.warm_start else None
        variable = former.variable if former else self._described(x, train)
        if self.patience is not None and not len(validation):
            raise InputError("patience needs rows to validate on; give more rows or a larger validation_fraction")
        about = self._condition(y, len(x), train, former and former.condition)
        data = dataset(x, variable, train, validation, about)
        self.trained_ = self._train(data, self._settings(len(train), seed), former)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One pass over rows X, all of them, from where the last training ended.

        Of the first rows ever given the columns' scale is taken, for good. The learning rate is constant, the
        optimiser's moments go on from call to call (after a `fit` they begin anew), and the last weights are kept.
        What a recipe fits to finished codes (an autoencoder's density of them) is fitted to these rows alone.
        """
        former: Trained | None = getattr(self, "trained_", None)
        x = self._given(X, reset=former is None)
        rows, steps = np.arange(len(x)), former.steps if former else 0
        variable = former.variable if former else self._described(x, rows)
        settings = self._settings(len(x), derive(seed_of(self.random_state), "partial_fit", steps))
        once = replace(settings, epochs=1, schedule="constant", patience=None)
        about = self._condition(y, len(x), rows, former and former.condition)
        self.trained_ = self._train(dataset(x, variable, rows, rows[:0], about), once, former, keep_moments=True)
        return self

    def transform(self, X: Any) -> Array:
        """The code of each row, E[z|x]; (N, n_components_) float32."""
        x = self._given(X)
        return self.model_.encode(filled_up(x))[: len(x)]

    def inverse_transform(self, X: Any) -> Array:
        """E[x|z] of codes X (N, n_components_), on the data's own scale; (N, D) float32."""
        check_is_fitted(self)
        return np.asarray(self.model_.decode(check_array(X, dtype=[np.float32, np.float64], input_name="X")))

    def save(self, path: str | Path) -> None:
        """Keep the model at `path`, a new folder, as a run of JSON and safetensors without any pickle.

        `lowerbound.load` and the command line take it too.
        """
        check_is_fitted(self)
        self.trained_.write(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """An estimator of a run's folder, saved by `save` or trained by other means, on rows of one dimension.

        What a run does not record (validation_fraction, verbose, …) is at its default; `set_params` changes it.

        Raises:
            InputError: no whole run, one of another recipe, or one of other data than a matrix.
        """
        trained = Trained.read(path)
        estimator = cls(**_recorded(cls, trained))
        if trained.record.recipe != estimator.recipe or len(trained.variable.shape) != 1:
            raise InputError(f"{path} holds a {trained.record.recipe} and not a {estimator.recipe} of rows of numbers")
        estimator._resume(trained)
        return estimator

    @abstractmethod
    def score(self, X: Any, y: Any = None) -> float:
        """How well the model does on rows X; higher is better."""

    @property
    def model_(self) -> Fitted:
        """The trained model, with all the verbs of the library."""
        check_is_fitted(self)
        return self.trained_.fitted

    @property
    def n_iter_(self) -> int:
        """Epochs of the last training."""
        return self.trained_.epochs

    @property
    def n_components_(self) -> int:
        """Numbers in a code."""
        return self.model_.width

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "trained_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.allow_nan = bool(self.missing)
        return tags

    @abstractmethod
    def _condition(self, y: Any, count: int, train: Array, former: Variable | None) -> About | None:
        """What y says of so many rows, as data keep it; described by the rows `train`, or as it was before."""

    def _given(self, X: Any, reset: bool = False, least: int = 1) -> Array:
        """The rows, checked as scikit-learn checks them, in memory that torch may take as it is."""
        if not reset:
            check_is_fitted(self)
        finite = "allow-nan" if self.missing else True
        x = validate_data(self, X, reset=reset, ensure_min_samples=least, ensure_all_finite=finite)
        return np.require(x, requirements=["C", "W"])

    def _described(self, x: Array, train: Array) -> Variable:
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else tuple(map(str, names))
        return described(x, self.kind, train, columns, bool(self.missing))

    def _train(self, data: Dataset, settings: Settings, former: Trained | None, keep_moments: bool = False) -> Trained:
        new = record(self.recipe, self._arguments(), data, settings)
        progress = shown_on(sys.stderr) if self.verbose else Silent()
        if former and not former.fits(new):
            raise InputError(
                "warm_start and partial_fit go on with the model there is; fit one of other arguments anew"
            )
        try:
            with config_context(array_api_dispatch=False):  # scikit-learn itself may be asked for a density of codes
                return Trained.by(new, data, progress, former and former.start, keep_moments)
        except Interrupted:  # a search over settings would take it for a failure of these, and go on with the next
            raise KeyboardInterrupt from None

    def _arguments(self) -> dict[str, Any]:
        known = registry.get(self.recipe).parameters
        return {name: plain(value) for name, value in self.get_params(deep=False).items() if name in known}

    def _settings(self, rows: int, seed: int) -> Settings:
        names = ("epochs", "lr", "weight_decay", "clip", "patience", "device")
        given = {name: plain(getattr(self, name)) for name in names}
        most = min(128, max(16, rows // 32)) if self.batch_size == "auto" else plain(self.batch_size)
        asked = Settings(**given, batch_size=most, seed=seed)
        return replace(asked, batch_size=even(rows, asked.batch_size))

    def _resume(self, trained: Trained) -> None:
        """Stand as after the fit that made this."""
        self.trained_ = trained
        self.n_features_in_ = trained.variable.shape[0]
        if trained.variable.columns is not None:
            self.feature_names_in_ = np.array(trained.variable.columns, dtype=object)


@dataclass(kw_only=True, eq=False, repr=False)
class Unconditional(RecipeEstimator, ABC):
    """An estimator that does not look at y."""

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Rows drawn from p(x), (n_samples, D); by the estimator's own random_state unless another is given."""
        check_is_fitted(self)
        state = self.random_state if random_state is None else random_state
        return np.asarray(self.model_.sample(n_samples, seed=seed_of(state), mean=False))

    def _condition(self, y: Any, count: int, train: Array, former: Variable | None) -> None:
        return None


@dataclass(kw_only=True, eq=False, repr=False)
class DensityEstimator(Unconditional, ABC):
    """An estimator whose model gives log p(x).

    draws: how many of z for each row, by importance sampling.
    """

    draws: int = 1000

    def score_samples(self, X: Any) -> Array:
        """log p(x) of each row by importance sampling, (N,) nats; with few draws too low rather than too high.

        What is drawn for a row follows from the row itself, so that its figure is the same beside any others.
        """
        x, draws = self._given(X), plain(self.draws)
        rows = (self.model_.log_prob(row[None], draws, row_seed(row))[0] for row in x)
        return np.fromiter(rows, np.float64, len(x))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x) over the rows, in nats."""
        return float(self.score_samples(X).mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "density_estimator"
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class Reconstructor(Unconditional, ABC):
    """An estimator whose model encodes to points, of which there is no log p(x) to be had."""

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean squared error of the reconstruction, of values as the model sees them.

        Real columns are in units of the training rows' standard deviation, so that 1 + score is about the share of
        variance that the codes keep.
        """
        x = self._given(X)
        view = self.model_.setup.views[NAME].cpu()
        seen = [view.expected(torch.from_numpy(values)).double() for values in (x, self.model_.reconstruct(x))]
        return -float((seen[0] - seen[1])[~torch.from_numpy(np.isnan(x))].square().mean())


def seed_of(random_state: Any) -> int:
    """A seed drawn from what scikit-learn takes for a source of chance."""
    return int(check_random_state(random_state).randint(2**31 - 1))


def row_seed(row: Array) -> int:
    """A number that follows from the values of a row.

    >>> row_seed(np.array([1.0, 0.0])) == row_seed(np.array([1, -0.0], dtype=np.float32))
    True
    """
    return int.from_bytes(hashlib.blake2b((row.astype(np.float64) + 0.0).tobytes(), digest_size=7).digest(), "big")


def filled_up(x: Array) -> Array:
    """The rows and the last of them again, to a multiple of `TOGETHER` rows.

    What is left over when a processor works on many numbers at once is worked out by other instructions, and in single
    precision comes out otherwise in the last digit; so a row's code would depend on its place.

    >>> filled_up(np.zeros((70, 2))).shape
    (128, 2)
    """
    return np.pad(x, ((0, -len(x) % TOGETHER), (0, 0)), mode="edge")


def even(rows: int, most: int) -> int:
    """The size of batches, at most `most`, that leave the fewest rows out.

    >>> even(200, 128), even(10, 128), even(129, 128)
    (100, 10, 64)
    """
    return rows // -(-rows // most)


def plain(value: Any) -> Any:
    """The value in Python's own types: grids of settings are often numpy's.

    >>> plain(np.int64(3)), plain(np.array([8, 4]))
    (3, [8, 4])
    """
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _recorded(estimator: type[RecipeEstimator], trained: Trained) -> dict[str, Any]:
    """The arguments that a run records, of those that an estimator has."""
    kept = trained.record
    found = {
        **kept.arguments,
        **kept.settings.to_json(),
        "kind": trained.variable.kind,
        "missing": trained.variable.missing,
        "random_state": kept.settings.seed,
    }
    return {field.name: found[field.name] for field in fields(estimator) if field.name in found}
