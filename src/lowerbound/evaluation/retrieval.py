"""How often the right one is among the first that are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowerbound.errors import InputError

Array = np.ndarray

FIRST = (1, 5, 10)
"""The k of R@k."""


def retrieval(scores: Array, targets: Array | None = None, first: Sequence[int] = FIRST) -> dict[str, Any]:
    """R@k and the median rank of the right one among N candidates for Q queries, beside chance.

    scores: (Q, N), higher for what fits better. targets: (Q,), the number of each query's right candidate; by default
    the q-th. recall: k -> share of queries whose right candidate is among the k best. Candidates of equal score stand
    in random order, over which these are expectations: a model that gives all the same score does as well as chance.

    Raises:
        InputError: scores that are no matrix of numbers, or targets that are not among its columns.

    >>> found = retrieval(np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]]), first=(1, 2))
    >>> found["recall"], found["median_rank"], found["chance"]["median_rank"]
    ({1: 0.3333333333333333, 2: 0.6666666666666666}, 2.0, 2.0)
    """
    scores, targets = _checked(scores, targets)
    better, equal = standing(scores, targets)
    count = scores.shape[1]
    recall = {k: np.clip((k - better) / (equal + 1), 0, 1) for k in first}
    return {
        "queries": len(scores),
        "candidates": count,
        "recall": {k: float(found.mean()) for k, found in recall.items()},
        "stderr": {k: float(found.std() / np.sqrt(len(scores))) for k, found in recall.items()},
        "median_rank": float(np.median(1 + better + equal / 2)),
        "chance": {"recall": {k: min(k / count, 1.0) for k in first}, "median_rank": (count + 1) / 2},
    }


def standing(scores: Array, targets: Array) -> tuple[Array, Array]:
    """How many candidates score higher than the right one, and how many others the same, (Q,) each."""
    right = np.take_along_axis(scores, targets[:, None], 1)
    return (scores > right).sum(1), (scores == right).sum(1) - 1


def _checked(scores: Array, targets: Array | None) -> tuple[Array, Array]:
    scores = np.asarray(scores)
    if scores.ndim != 2 or not scores.size or np.isnan(scores).any():
        raise InputError(f"scores are a matrix of queries by candidates without NaN, and were given {scores.shape}")
    targets = np.arange(len(scores)) if targets is None else np.asarray(targets)
    if targets.shape != (len(scores),) or targets.min() < 0 or targets.max() >= scores.shape[1]:
        raise InputError(f"each of {len(scores)} queries needs the number of its right one among {scores.shape[1]}")
    return scores, targets
