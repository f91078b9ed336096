"""One pass over an array, a chunk at a time: is every value finite, what is the range, what kind of value is it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from lowerbound.data.spec import Kind

CHUNK_BYTES = 16 << 20


@final
@dataclass(frozen=True)
class Survey:
    """What one pass over an array found; `bad` is the index of its first NaN or infinity."""

    low: float
    high: float
    whole: bool
    bad: tuple[int, ...] | None = None


def chunks(array: np.ndarray) -> Iterator[slice]:
    """Slices of rows, each of about 16 MiB, so that a file mapped into memory is never in memory whole.

    >>> [part.stop for part in chunks(np.zeros((3, 1 << 21)))]
    [1, 2, 3]
    """
    step = max(1, CHUNK_BYTES // max(1, array.nbytes // len(array)))
    return (slice(start, min(start + step, len(array))) for start in range(0, len(array), step))


def survey(array: np.ndarray) -> Survey:
    """Survey a numeric array; it stops at the first value that is not finite.

    >>> survey(np.array([[0.0, 2.0], [1.0, np.nan]])).bad
    (1, 1)
    >>> survey(np.array([3, 1], dtype=np.uint8))
    Survey(low=1.0, high=3.0, whole=True, bad=None)
    """
    parts = []
    for part in chunks(array):
        parts.append(_survey_chunk(array[part], part.start))
        if parts[-1].bad:
            return parts[-1]
    low, high = min(each.low for each in parts), max(each.high for each in parts)
    return Survey(low, high, all(each.whole for each in parts))


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


def _survey_chunk(values: np.ndarray, start: int) -> Survey:
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        row, *rest = np.argwhere(~np.isfinite(values))[0]
        return Survey(0.0, 0.0, False, (start + int(row), *map(int, rest)))
    whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
    return Survey(float(low), float(high), whole)
