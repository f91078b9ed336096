"""How much simple classifiers read off features, on data that neither they nor their settings have seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from lowerbound.data.dataset import Dataset
from lowerbound.data.rows import Rows
from lowerbound.data.spec import SPLITS, DataSpec, Variable
from lowerbound.errors import InputError

Array = np.ndarray
Splits = Mapping[str, Array]
"""An array for each of the splits train, validation and test."""

INVERSE_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
NEIGHBOURS = (1, 3, 5, 10, 20)


@final
@dataclass(frozen=True)
class Probe:
    """A family of classifiers with one setting, to be chosen among `choices` on the validation rows."""

    setting: str
    choices: tuple[float, ...]
    build: Callable[[Any], Any]

    def measure(self, features: Splits, labels: Splits) -> dict[str, float]:
        """Accuracy on the test rows of the classifier that is best on the validation rows; both fitted to train."""
        best, chosen, classifier = max(self._fitted(features, labels), key=lambda found: found[0])
        accuracy = float(classifier.score(features["test"], labels["test"]))
        stderr = math.sqrt(accuracy * (1 - accuracy) / len(labels["test"]))
        return {"accuracy": accuracy, "stderr": stderr, "validation_accuracy": best, self.setting: chosen}

    def _fitted(self, features: Splits, labels: Splits) -> list[tuple[float, float, Any]]:
        found = [(choice, self.build(choice).fit(features["train"], labels["train"])) for choice in self.choices]
        return [(float(each.score(features["validation"], labels["validation"])), c, each) for c, each in found]


def logistic(inverse_penalty: float) -> Any:
    """Logistic regression on features brought to mean 0 and variance 1."""
    from sklearn.linear_model import LogisticRegression  # slow to import, as all of scikit-learn is
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=inverse_penalty, max_iter=1000))


def nearest(neighbours: float) -> Any:
    """The vote of the k nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(int(neighbours))


PROBES: Mapping[str, Probe] = {
    "linear": Probe("inverse_penalty", INVERSE_PENALTIES, logistic),
    "knn": Probe("neighbours", NEIGHBOURS, nearest),
}


def labelled(data: Dataset, rows: int) -> tuple[dict[str, dict[str, Array]], Splits]:
    """The stored values of each variable, and the labels, of each split; `rows` training rows at most, evenly spread.

    Raises:
        InputError: the data have no labels, or vectors or several in their place.
    """
    about = data.spec.condition
    if about is None or about.kind != "category" or about.shape:
        raise InputError(f"{data.spec.name!r} has no labels to tell apart; give data with one label for each row")
    splits = {name: data.split(name) for name in SPLITS}
    chosen: dict[str, Any] = {
        "train": evenly(splits["train"].count, rows),
        "validation": slice(None),
        "test": slice(None),
    }
    names = [variable.name for variable in data.spec.variables]
    x = {split: {name: rows.array(name)[chosen[split]] for name in names} for split, rows in splits.items()}
    return x, {split: _codes(rows)[chosen[split]] for split, rows in splits.items()}


def evenly(count: int, most: int) -> Array:
    """At most so many of `count` row numbers, evenly spread.

    >>> evenly(10, 4).tolist(), evenly(2, 4).tolist()
    ([0, 3, 6, 9], [0, 1])
    """
    return np.unique(np.linspace(0, count - 1, most).astype(int))


def plain(spec: DataSpec, x: Mapping[str, Array]) -> Array:
    """All values of a datum in one row, (N, V), a category's codes one-hot; for missing ones the mean, or no code."""
    columns = [_one_hot(v, x[v.name]) if v.kind == "category" else _whole(v, x[v.name]) for v in spec.variables]
    return np.concatenate([each.reshape(len(each), -1).astype(np.float32) for each in columns], 1)


def _one_hot(variable: Variable, codes: Array) -> Array:
    levels = variable.levels or 1
    return np.eye(levels + 1, levels, dtype=np.float32)[np.nan_to_num(codes, nan=levels).astype(int)]


def _whole(variable: Variable, values: Array) -> Array:
    return np.where(np.isnan(values), variable.mean or 0.0, values) if variable.missing else values


def probe(codes: Splits, raw: Splits, labels: Splits) -> dict[str, Any]:
    """The classifiers on the codes (N, D), on principal components of the same width, and on the raw values (N, V).

    Where data have fewer values than the code, there are only as many components.

    >>> rows = np.random.default_rng(0).normal(size=(90, 3))
    >>> splits = dict(zip(SPLITS, rows.reshape(3, 30, 3)))
    >>> labels = {name: (part[:, 0] > 0).astype(int) for name, part in splits.items()}
    >>> probe(splits, splits, labels)["codes"]["linear"]["accuracy"] > 0.8
    True
    """
    if len(np.unique(labels["train"])) < 2:
        raise InputError("a probe tells labels apart, and the training rows have only one; give data with two or more")
    features = {"codes": codes, "pca": principal(raw, codes["train"].shape[1]), "raw": raw}
    return {"rows": len(labels["train"]), **{name: accuracies(each, labels) for name, each in features.items()}}


def principal(raw: Splits, width: int) -> Splits:
    """The first principal components of the training rows, (N, width); exact and without chance."""
    from sklearn.decomposition import PCA

    pca = PCA(min(width, *raw["train"].shape), svd_solver="full").fit(raw["train"])
    return {name: pca.transform(rows) for name, rows in raw.items()}


def accuracies(features: Splits, labels: Splits) -> dict[str, Any]:
    """What each classifier reads off the features (N, D), by its name, and their width."""
    found = {name: probe.measure(features, labels) for name, probe in PROBES.items()}
    return {"width": int(features["train"].shape[1]), **found}


def _codes(rows: Rows) -> Array:
    assert rows.condition is not None  # the description has one
    return rows.condition
