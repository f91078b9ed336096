"""How well each dimension of a code speaks of one factor of the data, for data whose factors are known.

codes: (N, D) floats, what a model makes of N data. factors: (N, F) whole numbers from 0, what the data were made from.
Every factor is taken as a category, whatever the order of its levels. To be disentangled is a matter of axes: a code
turned in its space says as much of the data, and scores less.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from lowerbound.data.rows import Rows
from lowerbound.errors import InputError
from lowerbound.evaluation.metrics import ACTIVE_VARIANCE

Array = np.ndarray

BINS = 20
"""Cells of equal width into which a dimension of the code is cut for its information."""

VOTES = 800
"""Groups of data for the FactorVAE score, as many again to test it on."""

GROUP = 64
"""Data in each such group."""

TREES = 10
"""Trees in each forest of the DCI scores."""

DEPTHS = (3, 6, 12)
"""Depths of those trees, of which held-out rows choose: a deeper one than the code deserves splits on noise."""


class Encodes(Protocol):
    """What `disentanglement` needs of a trained model; `Fitted` is one."""

    def encode(self, x: Any) -> Array:
        """E[z|x], (N, D)."""

    def rows(self, data: Any = None, split: str = "test") -> Rows:
        """A split of data for this model."""


def disentanglement(fitted: Encodes, data: Any = None, split: str = "test", seed: int = 0) -> dict[str, Any]:
    """All scores of a model's codes E[z|x] on a split of data with several labels to a row, as JSON values.

    data: anything that `load_data` takes, "shapes" for one; by default what the model was trained on.

    Raises:
        InputError: the data have no known factors.
    """
    rows = fitted.rows(data, split)
    names, factors = known_factors(rows)
    codes = fitted.encode({variable.name: rows.array(variable.name) for variable in rows.spec.variables})
    return {"count": rows.count, **scores(codes, factors, names, seed)}


def known_factors(rows: Rows) -> tuple[tuple[str, ...], Array]:
    """The names of the factors that vary in these rows, and their levels (N, F)."""
    condition, factors = rows.spec.condition, rows.condition
    if condition is None or factors is None or condition.columns is None or condition.kind != "category":
        raise InputError(f"{rows.spec.name} has no known factors; give data with several labels a row, such as shapes")
    varied = factors.min(0) < factors.max(0)
    return tuple(np.array(condition.columns)[varied].tolist()), factors[:, varied]


def scores(codes: Array, factors: Array, names: tuple[str, ...], seed: int = 0) -> dict[str, Any]:
    """All scores by name, and the mutual information (nats) of each factor with each dimension."""
    return {
        "mig": mig(codes, factors),
        "dci": dci(codes, factors, seed)._asdict(),
        "sap": sap(codes, factors),
        "factor_vae_score": factor_vae_score(codes, factors, seed),
        "information": {name: column.tolist() for name, column in zip(names, mutual_information(codes, factors).T)},
    }


def mig(codes: Array, factors: Array) -> float:
    """Mutual information gap: how far the dimension that knows most of a factor is ahead of the next.

        mean over factors v of (I(z_(1); v) − I(z_(2); v)) / H(v)                       in [0, 1]

    Ricky T. Q. Chen, Xuechen Li, Roger Grosse and David Duvenaud, "Isolating sources of disentanglement in variational
    autoencoders", 2018. Information is that of histograms of `BINS` cells of equal width, as Francesco Locatello et
    al., "Challenging common assumptions in the unsupervised learning of disentangled representations", 2019, have it.

    >>> factors = np.indices((4, 5)).reshape(2, -1).T
    >>> round(mig(factors, factors), 12)
    1.0
    """
    entropies = [entropy(np.bincount(levels) / len(levels)) for levels in factors.T]
    return float(np.mean(gaps(mutual_information(codes, factors)) / entropies))


def sap(codes: Array, factors: Array) -> float:
    """Separated attribute predictability: how far the best dimension predicts a factor better than the next.

    A dimension predicts the level whose mean is nearest to it; predictions are scored by accuracy, each level counting
    the same. So the most that L levels can give is 1 − 1/L. Abhishek Kumar, Prasanna Sattigeri and Avinash
    Balakrishnan, "Variational inference of disentangled latent concepts from unlabeled observations", 2018.

    >>> factors = np.indices((4, 4)).reshape(2, -1).T
    >>> sap(factors, factors)
    0.75
    """
    accuracy = np.array([[nearest_mean_accuracy(z, levels) for levels in factors.T] for z in codes.T])
    return float(np.mean(gaps(accuracy)))


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each in [0, 1]."""

    disentanglement: float
    completeness: float
    informativeness: float


def dci(codes: Array, factors: Array, seed: int = 0) -> DCI:
    """From forests that predict each factor from the code: see `dci_of_importance`.

    They learn from a half of the rows, a quarter chooses their depth, and informativeness is their accuracy on the
    last quarter. Cian Eastwood and Christopher K. I. Williams, "A framework for the quantitative evaluation of
    disentangled representations", 2018.
    """
    train, held, test = parts(len(codes), seed)
    forests = [_best_forest(codes, levels, train, held, seed) for levels in factors.T]
    importance = np.stack([forest.feature_importances_ for forest in forests], axis=1)
    accuracy = np.mean([forest.score(codes[test], levels[test]) for forest, levels in zip(forests, factors.T)])
    return DCI(*dci_of_importance(importance), float(accuracy))


def dci_of_importance(importance: Array) -> tuple[float, float]:
    """Disentanglement and completeness of how much each dimension matters to each factor, R (D, F) ≥ 0.

    disentanglement: the mean over dimensions, weighted by their shares of R, of 1 − H(R_d·)/log F: 1 where each speaks
    of one factor. completeness: the same over factors, 1 − H(R_·f)/log D: 1 where each is spoken of by one dimension.

    >>> dci_of_importance(np.array([[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]]))[0]
    1.0
    """
    return _peakedness(importance), _peakedness(importance.T)


def factor_vae_score(codes: Array, factors: Array, seed: int = 0) -> float:
    """How often the dimension that varies least in a group of data tells which of their factors was the same.

    `VOTES` groups of `GROUP` data that share a level of one factor teach, for each dimension, which factor it stands
    for; as many others test it. Dimensions that carry nothing are left out. Hyunjik Kim and Andriy Mnih, "Disentangling
    by factorising", 2018.

    >>> factors = np.indices((4, 5)).reshape(2, -1).T
    >>> factor_vae_score(factors, factors)
    1.0
    """
    random = np.random.default_rng(seed)
    active = codes[:, codes.var(0) > ACTIVE_VARIANCE]
    if not active.size:
        return 1 / factors.shape[1]
    train, test = (_votes(active / active.std(0), factors, random) for _ in range(2))
    return float(test[train.argmax(0), np.arange(test.shape[1])].sum() / test.sum())


def _votes(codes: Array, factors: Array, random: np.random.Generator) -> Array:
    """How often, with each factor fixed, each dimension varied least; (F, D)."""
    votes = np.zeros((factors.shape[1], codes.shape[1]))
    for _ in range(VOTES):
        factor = random.integers(factors.shape[1])
        alike = np.flatnonzero(factors[:, factor] == random.choice(factors[:, factor]))
        votes[factor, codes[random.choice(alike, GROUP)].var(0).argmin()] += 1
    return votes


def mutual_information(codes: Array, factors: Array) -> Array:
    """I(z_d; v_f) of the histograms of codes (N, D) and factors (N, F), (D, F) nats."""
    cells = [binned(z) for z in codes.T]
    return np.array([[information(z, levels) for levels in factors.T] for z in cells])


def binned(values: Array) -> Array:
    """The number of the cell that each value (N,) falls into, of `BINS` between the least and the greatest.

    >>> binned(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 10, 19]
    """
    low, high = values.min(), values.max()
    cells = (values - low) * (BINS / (high - low)) if high > low else np.zeros(len(values))
    return np.minimum(cells.astype(np.int64), BINS - 1)


def information(a: Array, b: Array) -> float:
    """I(a; b) = H(a) + H(b) − H(a, b) of two columns of whole numbers (N,), nats.

    >>> round(information(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])) / math.log(2), 12)
    1.0
    """
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    return entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint.ravel())


def entropy(shares: Array) -> float:
    """−Σ p log p of probabilities, nats.

    >>> entropy(np.array([1.0, 0.0]))
    0.0
    """
    held = shares[shares > 0]
    return float(-(held * np.log(held)).sum()) + 0.0


def gaps(table: Array) -> Array:
    """The greatest entry of each column of (D, F) less the second greatest, or less 0 where D is 1; (F,)."""
    ranked = np.sort(np.vstack([table, np.zeros((1, table.shape[1]))]) if len(table) == 1 else table, axis=0)
    return ranked[-1] - ranked[-2]


def nearest_mean_accuracy(values: Array, levels: Array) -> float:
    """How often a value (N,) is nearest to the mean of those of its own level, the mean over levels."""
    counts = np.bincount(levels)
    present = np.flatnonzero(counts)
    means = np.bincount(levels, values)[present] / counts[present]
    guessed = present[np.abs(values[:, None] - means).argmin(1)]
    return float((np.bincount(levels, guessed == levels)[present] / counts[present]).mean())


def parts(count: int, seed: int) -> list[Array]:
    """Row numbers 0 … count − 1 at random in a half and two quarters."""
    order = np.random.default_rng(seed).permutation(count)
    return np.split(order, [count // 2, 3 * count // 4])


def _peakedness(table: Array) -> float:
    """1 − H(row)/log(columns), the mean over rows weighted by their sums; 0 where the table is."""
    sums = table.sum(1)
    rows = table[sums > 0] / sums[sums > 0, None]
    if not len(rows):
        return 0.0
    spread = np.array([entropy(row) for row in rows]) / math.log(max(2, table.shape[1]))
    return float(np.average(1 - spread, weights=sums[sums > 0]))


def _best_forest(codes: Array, levels: Array, train: Array, held: Array, seed: int) -> Any:
    """Bagged trees that may look at every dimension at every split, so that each goes to the ones that matter."""
    from sklearn.ensemble import RandomForestClassifier  # slow to import, and nothing else here needs it

    given = {"criterion": "entropy", "max_features": None, "random_state": seed}
    grown = [RandomForestClassifier(TREES, max_depth=depth, **given) for depth in DEPTHS]
    for forest in grown:
        forest.fit(codes[train], levels[train])
    return max(grown, key=lambda forest: forest.score(codes[held], levels[held]))
