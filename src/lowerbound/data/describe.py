"""From a checked array to its `Variable` and to the type in which it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lowerbound.data.likelihoods import default_likelihood
from lowerbound.data.spec import Kind, Variable
from lowerbound.data.store import cast
from lowerbound.data.survey import Survey, read

_KEPT: dict[Kind, tuple[str, ...]] = {
    "binary": ("uint8",),
    "byte": ("uint8",),
    "unit": ("float32", "float64"),
    "real": ("float32", "float64"),
    "count": ("int32", "uint8", "int16", "int64"),
    "category": ("int64", "uint8", "int16", "int32"),
}
"""Kind -> the types in which torch can keep it, first the one that others become."""


def kept(values: np.ndarray, kind: Kind, found: Survey) -> np.ndarray:
    """The same values in a type that torch can keep; no copy is made where they already are.

    Values some of which are missing stay floats, whatever their kind, for these have NaN.

    >>> kept(np.array([[True, False]]), "binary", Survey(0, 1, True)).dtype.name
    'uint8'
    """
    if values.dtype.name in _KEPT["real" if found.missing else kind] and values.dtype.isnative:
        return values
    if values.dtype.kind == "f" and (found.missing or kind in {"unit", "real"}):
        return cast(values, "float64" if values.dtype.itemsize > 4 else "float32")
    if kind in {"count", "real"} and found.high > np.iinfo(np.int32).max:
        return cast(values, "float64" if kind == "real" else "int64")
    return cast(values, "float64" if kind == "real" else _KEPT[kind][0])


def describe(
    name: str,
    kind: Kind,
    values: np.ndarray,
    train: np.ndarray,
    found: Survey,
    levels: int,
    columns: tuple[str, ...] | None = None,
    near_binary: bool = False,
) -> Variable:
    """The `Variable` of an array; ranges and statistics are of its training rows `train`."""
    shape = values.shape[1:]
    facts: dict[str, Any] = {
        "columns": columns,
        "missing": found.missing,
        **_range(kind, values, train, found, levels, bool(columns)),
    }
    likelihood, why = default_likelihood(Variable(name, kind, shape, **facts), near_binary)
    return Variable(name, kind, shape, likelihood=likelihood, why=why, **facts)


def _range(
    kind: Kind, values: np.ndarray, train: np.ndarray, found: Survey, levels: int, by_column: bool
) -> dict[str, Any]:
    if kind in {"binary", "unit"}:
        return {"low": 0, "high": 1, "levels": 2 if kind == "binary" else None}
    if kind == "byte":
        return {"low": 0, "high": levels - 1, "levels": levels}
    if kind == "category":
        return {"low": 0, "high": int(found.high), "levels": int(found.high) + 1}
    low, high, mean, std = scales(values, train, by_column)
    return {"low": low, "high": high} if kind == "count" else {"low": low, "high": high, "mean": mean, "std": std}


Moments = tuple[float, float, tuple[float, ...], tuple[float, ...]]
"""Least, greatest, means and standard deviations."""


def scales(values: np.ndarray, rows: np.ndarray, by_column: bool = False) -> Moments:
    """`moments` whose deviations can be divided by."""
    low, high, mean, std = moments(values, rows, by_column)
    return low, high, mean, tuple(map(_scale, std, mean))


def _scale(std: float, mean: float) -> float:
    """What a column is divided by; one that does not vary is only centred."""
    return std if std > 1e-12 * abs(mean) else 1.0


def moments(values: np.ndarray, rows: np.ndarray, by_column: bool = False) -> Moments:
    """Least, greatest, mean and standard deviation of what was observed of the given rows, read a chunk at a time.

    The mean and the deviation are a column's (a place in the last dimension) for data of one dimension, and where that
    is asked for; else one number over all.

    >>> moments(np.array([[1.0, 0.0], [3.0, 0.0], [9.0, 9.0]]), np.array([0, 1]))
    (0.0, 3.0, (2.0, 0.0), (1.0, 0.0))
    """
    axis = tuple(range(values.ndim - 1)) if by_column or values.ndim == 2 else None
    low = float(np.fmin.reduce([np.fmin.reduce(part, axis=None) for part in read(values, rows)]))
    high = float(np.fmax.reduce([np.fmax.reduce(part, axis=None) for part in read(values, rows)]))
    mean = _average(lambda part: part, read(values, rows), axis)
    variance = _average(lambda part: (part - mean) ** 2, read(values, rows), axis)
    return low, high, _tuple(mean), _tuple(np.sqrt(variance))


def _average(
    of: Callable[[np.ndarray], np.ndarray], parts: Iterator[np.ndarray], axis: tuple[int, ...] | None
) -> np.ndarray:
    """Mean of a function of the values that were observed."""
    total, count = np.zeros(()), np.zeros(())
    for part in parts:
        found = of(part.astype(np.float64))
        total, count = total + np.nansum(found, axis=axis), count + (~np.isnan(found)).sum(axis=axis)
    return np.asarray(total / count)


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.atleast_1d(values).tolist())
