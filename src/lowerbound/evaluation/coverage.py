"""How far made data lie where real data do, and reach everywhere that real data do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lowerbound.errors import InputError
from lowerbound.evaluation.frechet import checked_features

Array = np.ndarray

NEIGHBOURS = 5
"""k: the ball around a row reaches to its k-th nearest neighbour in its own set."""

ROWS_AT_ONCE = 1000
"""Rows whose distances are held at once."""


class Coverage(NamedTuple):
    """Four shares of balls and rows; see `coverage`. Density alone may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def coverage(real: Array, made: Array, k: int = NEIGHBOURS) -> Coverage:
    """What the balls around features (N, D) of real and (M, D) of made data say of each other.

    A ball reaches from a row to the k-th nearest other row of its own set. precision: share of made rows in the ball of
    any real row; recall: of real rows in that of any made one. density: real balls that a made row is in, the mean over
    made rows, / k; coverage: share of real balls with a made row in them. Of two sets of one distribution density is 1
    and coverage 1 − Π_{i=1..k} (N − i)/(N + M − i), near 1 − 2^−k for sets of one size; precision and recall depend on
    the sizes, so compare them at one.

    Tuomas Kynkäänniemi, Tero Karras, Samuli Laine, Jaakko Lehtinen and Timo Aila, "Improved precision and recall metric
    for assessing generative models", 2019; Muhammad Ferjad Naeem, Seong Joon Oh, Youngjung Uh, Yunjey Choi and Jaejun
    Yoo, "Reliable fidelity and diversity metrics for generative models", 2020.

    Raises:
        InputError: features that are not finite rows of one width, or as few in a set as k.

    >>> x, y = np.random.default_rng(0).normal(size=(2, 400, 2))
    >>> coverage(x, y).precision > 0.9, coverage(x, y + 100).coverage
    (True, 0.0)
    """
    real, made = checked_features(real, made)
    around_real, around_made = radii(real, k), radii(made, k)
    inside = np.zeros(len(made))
    recalled, covered = [], []
    for rows, distances in _pieces(real, made):
        within = distances <= around_real[rows, None]
        inside += within.sum(0)
        covered.append(within.any(1))
        recalled.append((distances <= around_made).any(1))
    shares = (inside > 0).mean(), np.concatenate(recalled).mean(), inside.mean() / k, np.concatenate(covered).mean()
    return Coverage(*map(float, shares))


def radii(rows: Array, k: int) -> Array:
    """The distance of each row (N, D) to the k-th nearest of the others, squared, (N,).

    >>> radii(np.array([[0.0], [1.0], [3.0]]), 1).round(9).tolist()
    [1.0, 1.0, 4.0]
    """
    if not 1 <= k < len(rows):
        raise InputError(f"a row has 1 to {len(rows) - 1} neighbours in a set of {len(rows)}, not {k}; change k")
    found = []
    for part, distances in _pieces(rows, rows):
        distances[np.arange(len(distances)), np.arange(len(rows))[part]] = np.inf
        found.append(np.partition(distances, k - 1, axis=1)[:, k - 1])
    return np.concatenate(found)


def _pieces(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Squared distances of a few rows of a to all of b at a time.

    About the mean of b, so that the digits that cancel in |x|² + |y|² − 2xy are few.
    """
    centre = b.mean(0)
    others = b - centre
    norms = np.square(others).sum(1)
    for start in range(0, len(a), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows = a[part] - centre
        yield part, np.clip(np.square(rows).sum(1)[:, None] + norms - 2 * rows @ others.T, 0, None)
