"""How much simple classifiers read off features, on data that neither they nor their settings have seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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


PROBES: Mapping[str, Probe] = {
    "linear": Probe(
        "inverse_penalty",
        INVERSE_PENALTIES,
        lambda c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)),
    ),
    "knn": Probe("neighbours", NEIGHBOURS, lambda k: KNeighborsClassifier(int(k))),
}
"""Logistic regression on standardised features, its penalty chosen; and the k nearest neighbours, k chosen."""


def compare(codes: Splits, raw: Splits, labels: Splits) -> dict[str, Any]:
    """The probes on the codes (N, D), on principal components of the same width, and on the raw values (N, V).

    Where data have fewer values than the code, there are only as many components.

    >>> rows = np.random.default_rng(0).normal(size=(90, 3))
    >>> splits = dict(zip(("train", "validation", "test"), rows.reshape(3, 30, 3)))
    >>> labels = {name: (part[:, 0] > 0).astype(int) for name, part in splits.items()}
    >>> compare(splits, splits, labels)["codes"]["linear"]["accuracy"] > 0.8
    True
    """
    features = {"codes": codes, "pca": principal(raw, codes["train"].shape[1]), "raw": raw}
    return {name: _measured(each, labels) for name, each in features.items()}


def principal(raw: Splits, width: int) -> Splits:
    """The first principal components of the training rows, (N, width); exact and without chance."""
    pca = PCA(min(width, *raw["train"].shape), svd_solver="full").fit(raw["train"])
    return {name: pca.transform(rows) for name, rows in raw.items()}


def _measured(features: Splits, labels: Splits) -> dict[str, Any]:
    if len(np.unique(labels["train"])) < 2:
        raise InputError("a probe tells labels apart, and the training rows have only one; give data with two or more")
    found = {name: probe.measure(features, labels) for name, probe in PROBES.items()}
    return {"width": int(features["train"].shape[1]), **found}
