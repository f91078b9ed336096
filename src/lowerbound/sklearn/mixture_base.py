"""What the estimators share whose models are mixtures, fitted by EM."""

from __future__ import annotations

import sys
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor

from lowerbound.arguments import Count, NonNegative, conformed
from lowerbound.distributed import World, choose_device
from lowerbound.errors import InputError
from lowerbound.mixtures.bayes import point
from lowerbound.mixtures.blocks import Block, InMemory, recut
from lowerbound.mixtures.em import START_ROWS, Fit, Until, fit
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.starts import KMeans, PlusPlus, RandomRows, Start
from lowerbound.mixtures.stepwise import BATCH, Pace, Stepwise
from lowerbound.randomness import isolated, reseed
from lowerbound.sklearn import folders
from lowerbound.sklearn.base import plain, seed_of
from lowerbound.sklearn.rows import Array
from lowerbound.sklearn.values import Kept

STARTS: dict[str, Start] = {"kmeans": KMeans(), "k-means++": PlusPlus(), "random_from_data": RandomRows()}
"""init_params -> how first centres are found."""

POWER = 0.7
"""How fast what was learnt before gives way, in `partial_fit`; see `mixtures.stepwise.Pace`."""


@dataclass(kw_only=True, eq=False, repr=False)
class MixtureEstimator(BaseEstimator, ABC):  # type: ignore[misc]
    """A mixture fitted by EM as an estimator; parameters and attributes that scikit-learn has are as there.

    tol, max_iter: EM stops once a step adds less than tol nats a row to the bound, or after so many. n_init: restarts,
    fitted side by side, of which the likeliest is kept. init_params: kmeans, k-means++ or random_from_data.
    warm_start: whether `fit` goes on from the last mixture. verbose: whether each restart's end is told on stderr.
    device: auto takes a GPU if there is one.

    Rows may lack entries (NaN): they are summed over, not filled in. float32 rows are worked on in single precision.

    Fitted: converged_, n_iter_, lower_bound_, lower_bounds_ as in scikit-learn; n_reseeded_: components that were lost
    on the way and began anew; mixture_: the library's own mixture; n_samples_seen_: weight of all rows learnt from.
    """

    tol: float = 1e-3
    max_iter: int = 100
    n_init: int = 1
    init_params: Literal["kmeans", "k-means++", "random_from_data"] = "kmeans"
    random_state: Any = None
    warm_start: bool = False
    verbose: int = 0
    device: str = "auto"

    n_components: int
    """How many there are; each estimator says what by default."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Climb by EM on rows X (N, D), each of which counts as many times as its weight says; y is not looked at."""
        self._climb(self._rows(X, sample_weight, reset=True))
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """`fit`, and then the likeliest component of each row, (N,)."""
        rows = self._rows(X, sample_weight, reset=True)
        self._climb(rows)
        return self._responsibilities(rows).argmax(1)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Stepwise EM: learn from rows X once, and let go of them.

        The first rows ever given are fitted to convergence, as `fit` does; later ones move the running means of what
        EM sums, w rows after W by (w / (W + w))^0.7, and the M-step follows. See `mixtures.stepwise`.
        """
        rows = self._rows(X, sample_weight, reset=not hasattr(self, "kept_"))
        if hasattr(self, "kept_"):
            self._learn(rows)
        else:
            self._climb(rows)
        return self

    def predict(self, X: Any) -> Array:
        """The likeliest component of each row, (N,)."""
        return self.predict_proba(X).argmax(1)

    def predict_proba(self, X: Any) -> Array:
        """Responsibilities p(k|x), (N, K)."""
        return self._responsibilities(self._asked(X))

    def score_samples(self, X: Any) -> Array:
        """log p(x) of each row, (N,) nats; of its observed entries where some are missing."""
        rows, density = self._asked(X), point(self.mixture_)
        return np.concatenate([density.log_prob(block.rows)[0].cpu().numpy() for block in rows])

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x) over the rows, in nats."""
        return float(self.score_samples(X).mean(dtype=np.float64))

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Rows drawn from p(x), (n, D), and the components they are from, (n,), in order of these."""
        count = conformed("n_samples", plain(n_samples), Count)
        weights = self.mixture_.weights.mean[0]
        with isolated(weights.device):
            reseed(weights.device, seed_of(self.random_state))
            which = torch.multinomial(weights, count, replacement=True).sort().values
            rows = self.mixture_.components.sample(which)
        return rows.cpu().numpy(), which.cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Keep the fitted estimator at `path`, a new folder of JSON and safetensors, without any pickle.

        A random_state that is no number is not kept.
        """
        check_is_fitted(self)
        fitted = {name: getattr(self, name, None) for name in folders.FITTED}
        folders.write(path, folders.Content(type(self).__name__, self.get_params(deep=False), fitted, self.kept_.value))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The estimator that `save` kept.

        Raises:
            InputError: no whole folder of such an estimator.
        """
        found = folders.read(path)
        unknown = set(found.params) - set(cls._get_param_names())
        if found.estimator != cls.__name__ or unknown:
            raise InputError(f"{path} holds a {found.estimator} and not a {cls.__name__} of this version")
        estimator = cls(**found.params)
        for name, value in found.fitted.items():
            if value is not None:
                setattr(estimator, name, np.array(value, object) if name == "feature_names_in_" else value)
        estimator.kept_ = Kept(found.value)
        return estimator

    @property
    def mixture_(self) -> Mixture:
        """The fitted mixture, whose parameters are in float64."""
        check_is_fitted(self)
        found: Mixture = self.kept_.value.mixture
        return found

    @property
    def weights_(self) -> Array:
        """How often each component is drawn, (K,)."""
        return self.mixture_.weights.mean[0].cpu().numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "density_estimator"
        tags.input_tags.allow_nan = True
        return tags

    @abstractmethod
    def _begun(self, rows: InMemory, restarts: int, start: Start, generator: torch.Generator) -> Mixture:
        """The mixtures that EM starts from, one a restart."""

    def _rows(self, X: Any, sample_weight: Any = None, reset: bool = False) -> InMemory:
        """The rows with their weights, on the device; the first ever given (reset) must be enough for a mixture."""
        types = [np.float64, np.float32]
        x = validate_data(
            self, X, reset=reset, dtype=types, ensure_all_finite="allow-nan", ensure_min_samples=1 + reset
        )
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, x, ensure_non_negative=True)
        if reset:
            require_observed(x)
            require_enough(x, conformed("n_components", plain(self.n_components), Count))
        return InMemory(self._sent(x), None if weights is None else self._sent(weights))

    def _asked(self, X: Any) -> InMemory:
        check_is_fitted(self)
        return self._rows(X)

    def _sent(self, x: Array) -> Tensor:
        return torch.from_numpy(np.require(x, requirements=["C", "W"])).to(choose_device(self.device, World()))

    def _climb(self, rows: InMemory) -> None:
        steps, tolerance = (
            conformed("max_iter", plain(self.max_iter), Count),
            conformed("tol", plain(self.tol), NonNegative),
        )
        found = fit(self._first(rows), rows, Until(tolerance, steps))
        self.kept_ = Kept(Stepwise.at(found.mixture, rows))
        self.n_samples_seen_ = float(rows.weights.sum())
        self.converged_, self.n_iter_, self.n_reseeded_ = found.converged, found.steps, found.reseeded
        self.lower_bound_, self.lower_bounds_ = found.bound, max(found.history, key=lambda bounds: bounds[-1])
        self._tell(found)

    def _first(self, rows: InMemory) -> Mixture:
        """Where EM begins."""
        if self.warm_start and hasattr(self, "kept_"):
            return self.mixture_
        if self.init_params not in STARTS:
            raise InputError(f"init_params must be one of {', '.join(STARTS)}, not {self.init_params!r}")
        restarts = conformed("n_init", plain(self.n_init), Count)
        generator = torch.Generator().manual_seed(seed_of(self.random_state))
        return self._begun(merged(rows), restarts, STARTS[self.init_params], generator)

    def _learn(self, rows: InMemory) -> None:
        stream = reduce(self._learnt, recut(rows, BATCH), self.kept_.value)
        self.kept_ = Kept(stream)
        self.lower_bound_ = float(stream.log_likelihood)

    def _learnt(self, stream: Stepwise, batch: Block) -> Stepwise:
        """The stream after one more mini-batch, which moves it by (share of all rows so far)^POWER."""
        weight = float(batch.weights.sum())
        delay = (self.n_samples_seen_ + weight) / weight - (stream.steps + 1)
        self.n_samples_seen_ += weight
        return stream.learn(batch, Pace(POWER, delay), seed=seed_of(self.random_state))

    def _responsibilities(self, rows: InMemory) -> Array:
        mixture = self.mixture_
        return np.concatenate([mixture.shares(block.rows).responsibilities[0].cpu().numpy() for block in rows])

    def _tell(self, found: Fit) -> None:
        """Say what is not as it should be, and if asked how each restart ended."""
        if self.verbose:
            for number, bounds in enumerate(found.history):
                print(f"restart {number}: {len(bounds)} steps, {bounds[-1]:.6g} nats a row", file=sys.stderr)
        if not found.converged:
            sentence = (
                f"the likeliest of the restarts has not converged after {found.steps} steps; raise max_iter or tol"
            )
            warnings.warn(sentence, ConvergenceWarning, stacklevel=4)


def merged(rows: InMemory) -> InMemory:
    """Rows that are alike as one of their joint weight, in an order of their values; of very many, all as they come.

    So that a random start is the same in whatever order rows come, and whether they are repeated or weighted.

    >>> twice = merged(InMemory(torch.tensor([[1.0], [0.0], [1.0]]), torch.tensor([1.0, 0.0, 2.0])))
    >>> twice.rows.tolist(), twice.weights.tolist()
    ([[1.0]], [3.0])
    """
    if len(rows.rows) > START_ROWS:
        return rows
    counted = rows.weights > 0
    kept, weights = (each[counted].cpu().numpy() for each in (rows.rows, rows.weights.double()))
    order = np.lexsort(kept.T[::-1])
    ranked = kept[order]
    differs = ((ranked[1:] != ranked[:-1]) & ~(np.isnan(ranked[1:]) & np.isnan(ranked[:-1]))).any(1)
    first = np.flatnonzero(np.append(True, differs))
    found, counts = ranked[first], np.add.reduceat(weights[order], first)
    return InMemory(torch.from_numpy(found).to(rows.rows), torch.from_numpy(counts).to(rows.rows))


def require_observed(x: Array) -> None:
    """Refuse a column of which nothing was observed."""
    empty = np.flatnonzero(np.isnan(x).all(axis=0))
    if len(empty):
        raise InputError(f"X: column {empty[0]} has no value at all; leave it out")


def require_enough(x: Array, components: int) -> None:
    """Refuse fewer rows than components."""
    if len(x) < components:
        raise InputError(f"X has n_samples = {len(x)}, fewer than n_components = {components}; give more rows")
