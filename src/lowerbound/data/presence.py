"""Variables that were not observed of a row at all: all of its values of them are NaN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lowerbound.data.raw import Raw
from lowerbound.data.spec import Kind
from lowerbound.data.store import cast
from lowerbound.errors import InputError

MARK = "_present"
"""An array x_present (N,) of 0 and 1 beside an array x says of which rows x was observed."""


def without_absent(place: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays by name with NaN for the rows that were not observed; what says which are those is left out.

    >>> found = without_absent("file", {"x": np.ones((2, 1), np.uint8), "x_present": np.array([True, False])})
    >>> found["x"].tolist()
    [[1.0], [nan]]
    """
    marks = {name.removesuffix(MARK): marks for name, marks in arrays.items() if _marks(name, arrays)}
    kept = {name: values for name, values in arrays.items() if not _marks(name, arrays)}
    return {name: _gapped(place, name, values, marks.get(name)) for name, values in kept.items()}


def hidden(raw: Raw, share: float, seed: int = 0) -> Raw:
    """The data with this share of the variables of rows hidden, each by itself, and none in the official test.

    A row may thus lose all its variables. Which are hidden depends on the seed, the number of rows and the variable's
    place among the others alone.
    """
    count = len(next(iter(raw.arrays.values())))
    drawn = np.random.PCG64(seed).random_raw((len(raw.arrays), count)) / 2**64
    shown = (drawn >= share) | (np.arange(count) >= count - raw.test)
    marks = dict(zip(raw.arrays, shown))
    arrays = {name: _gapped(raw.place, name, x, marks[name]) for name, x in raw.arrays.items()}
    return replace(raw, arrays=arrays, kinds={**raw.kinds, **kinds_before(raw.arrays, arrays)})


def kinds_before(given: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> dict[str, Kind]:
    """What the values of arrays were that were bytes before they took NaN."""
    bytes_before = [name for name, values in arrays.items() if values.dtype != given[name].dtype == np.uint8]
    return {name: "byte" if given[name].max() > 1 else "binary" for name in bytes_before}


def _marks(name: str, arrays: Mapping[str, np.ndarray]) -> bool:
    return name.endswith(MARK) and name.removesuffix(MARK) in arrays


def _gapped(place: str, name: str, values: np.ndarray, present: np.ndarray | None) -> np.ndarray:
    if present is None or len(present) != len(values):
        return _unmarked(place, name, values, present)
    if present.ndim != 1 or not np.isin(present, (0, 1)).all():
        raise InputError(f"{place}: {name + MARK!r} must be 0 or 1 for each row, whether {name!r} was observed of it")
    found = cast(values, "float64" if values.dtype == np.float64 else "float32")
    found[~present.astype(bool)] = np.nan
    return found


def _unmarked(place: str, name: str, values: np.ndarray, present: np.ndarray | None) -> np.ndarray:
    if present is None:
        return values
    raise InputError(
        f"{place}: {name + MARK!r} has {len(present):,} rows and {name!r} {len(values):,}; give each as many"
    )
