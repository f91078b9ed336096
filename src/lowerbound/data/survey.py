"""One pass over an array, a chunk at a time: is every value finite, what is the range, what kind of value is it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from lowerbound.data.mapped import release
from lowerbound.data.spec import Kind

CHUNK_BYTES = 16 << 20


@final
@dataclass(frozen=True)
class Survey:
    """What one pass over an array found.

    `bad` is the index of the first value that will not do; `missing` says whether there are NaN that will. The rest is
    said of the other values.
    """

    low: float
    high: float
    whole: bool
    bad: tuple[int, ...] | None = None
    missing: bool = False


def chunks(array: np.ndarray) -> Iterator[slice]:
    """Slices of rows, each of about 16 MiB, so that a file mapped into memory is never in memory whole.

    >>> [part.stop for part in chunks(np.zeros((3, 1 << 21)))]
    [1, 2, 3]
    """
    step = max(1, CHUNK_BYTES // max(1, array.nbytes // len(array)))
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))
        release(array)


def read(array: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows, by number, a chunk at a time.

    >>> [part.tolist() for part in read(np.array([[3.0], [4.0], [5.0]]), np.array([0, 2]))]
    [[[3.0], [5.0]]]
    """
    return (array[rows[part]] for part in chunks(array) if part.start < len(rows))


def survey(array: np.ndarray, missing: bool = False) -> Survey:
    """Survey a numeric array; it stops at the first value that is not finite, unless NaN stand for what is missing.

    >>> survey(np.array([[0.0, 2.0], [1.0, np.nan]])).bad
    (1, 1)
    >>> survey(np.array([3, 1], dtype=np.uint8))
    Survey(low=1.0, high=3.0, whole=True, bad=None, missing=False)
    >>> survey(np.array([3, np.nan]), missing=True)
    Survey(low=3.0, high=3.0, whole=True, bad=None, missing=True)
    """
    parts = []
    for part in chunks(array):
        parts.append(_survey_chunk(array[part], part.start, missing))
        if parts[-1].bad:
            return parts[-1]
    low, high = min(each.low for each in parts), max(each.high for each in parts)
    return Survey(low, high, all(each.whole for each in parts), missing=any(each.missing for each in parts))


def infer_kind(array: np.ndarray, found: Survey) -> Kind:
    """The kind of value that an array holds, by its type and its range.

    Bytes are an ordered scale (a picture) unless all are 0 or 1. Other whole numbers are counts when none is
    negative, and floats in [0, 1] are grey values.

    >>> values = np.array([0.2, 0.9])
    >>> infer_kind(values, survey(values))
    'unit'
    """
    if found.whole and found.low >= 0 and found.high <= 1:
        return "binary"
    if array.dtype == np.uint8:
        return "byte"
    if found.whole and found.low >= 0:
        return "count"
    return "unit" if found.low >= 0 and found.high <= 1 else "real"


def _survey_chunk(values: np.ndarray, start: int, missing: bool) -> Survey:
    if np.isfinite(values.min()) and np.isfinite(values.max()):
        return _of_finite(values)
    bad = np.isinf(values) if missing else ~np.isfinite(values)
    if not bad.any():
        return replace(_of_finite(values[~np.isnan(values)]), missing=True)
    row, *rest = np.argwhere(bad)[0]
    return Survey(0.0, 0.0, False, (start + int(row), *map(int, rest)))


def _of_finite(values: np.ndarray) -> Survey:
    if not values.size:
        return Survey(math.inf, -math.inf, True)
    whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
    return Survey(float(values.min()), float(values.max()), whole)
