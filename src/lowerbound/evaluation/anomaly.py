"""How well scores tell anomalies from ordinary data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lowerbound.errors import InputError

Array = np.ndarray

SCORES = {"log_p": -1.0, "distortion": 1.0, "rate": 1.0, "error": 1.0}
"""Figures of a datum that can score it, and the sign that makes the score rise with strangeness."""


def scores(figures: Mapping[str, Array]) -> dict[str, Array]:
    """Scores (N,), higher for stranger data, from the figures of each datum; those that a model has.

    >>> scores({"log_p": np.array([-90.0]), "ess": np.array([3.0])})
    {'minus_log_p': array([90.])}
    """
    named = {name: f"minus_{name}" if sign < 0 else name for name, sign in SCORES.items()}
    return {named[name]: sign * figures[name] for name, sign in SCORES.items() if name in figures}


def detection(score: Array, anomalous: Array) -> dict[str, float]:
    """Areas under the ROC curve (with its standard error) and under the precision-recall curve (average precision).

    0.5 is chance for the first, the share of anomalies for the second. James A. Hanley and
    Barbara J. McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", 1982.

    Raises:
        InputError: no anomalies, nothing but anomalies, or scores that are not finite.

    >>> detection(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))["auroc"]
    0.75
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # slow to import

    if anomalous.all() or not anomalous.any():
        raise InputError("there must be both ordinary and anomalous rows; choose another label or other data")
    if not np.isfinite(score).all():
        raise InputError("some scores are not finite; train the model further, or leave out the rows beyond it")
    area, strange = float(roc_auc_score(anomalous, score)), int(anomalous.sum())
    return {
        "auroc": area,
        "auroc_stderr": _hanley_mcneil(area, strange, len(score) - strange),
        "aupr": float(average_precision_score(anomalous, score)),
    }


def detections(scored: Mapping[str, Array], anomalous: Array) -> dict[str, Any]:
    """`detection` by each score."""
    return {name: detection(score, anomalous) for name, score in scored.items()}


def _hanley_mcneil(area: float, positives: int, negatives: int) -> float:
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (first - area**2) + (negatives - 1) * (second - area**2)
    return math.sqrt(max(spread, 0.0) / (positives * negatives))
