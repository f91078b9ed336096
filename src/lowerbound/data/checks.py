"""Refusals of data that cannot be trained on, each before any work starts and each with its place and its remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np

from lowerbound.data.raw import Raw, shown
from lowerbound.data.spec import Kind
from lowerbound.data.splits import LEAST_ROWS
from lowerbound.data.store import cast
from lowerbound.data.survey import Survey, chunks, infer_kind, read, survey
from lowerbound.errors import InputError

GREATEST = 1e30
"""A value beyond this has a square that single precision cannot hold."""

MOST_CATEGORIES = 1_000
"""More different labels than this are no categories."""

_WANTS: dict[Kind, str] = {
    "binary": "0 or 1",
    "byte": "a whole number from 0 to {top}",
    "unit": "a number from 0 to 1",
    "real": "a number",
    "count": "a whole number, 0 or more",
    "category": "a whole number, 0 or more",
}


def checked_count(raw: Raw) -> int:
    """The number of rows, the same in every array and in the labels, and enough of them."""
    counts = {name: len(array) for name, array in raw.arrays.items()}
    if raw.labels is not None:
        counts["labels"] = len(raw.labels)
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name!r} has {count:,}" for name, count in counts.items())
        raise InputError(f"{raw.place}: rows do not match ({each}); give every array one row a datum")
    count = next(iter(counts.values()))
    if count < LEAST_ROWS:
        rows = "1 row" if count == 1 else f"{count} rows"
        raise InputError(f"{raw.place} holds {rows}, too few to train, validate and test on: give {LEAST_ROWS} or more")
    return count


def checked_values(raw: Raw, name: str, kind: Kind | None, missing: bool = False) -> tuple[Kind, Survey]:
    """The kind of an array (the declared one, or as inferred) once every value of it is fit for that kind.

    missing: whether NaN may stand for values that were not observed.
    """
    values = raw.arrays[name]
    found = survey(values, missing)
    if found.bad:
        _refuse_infinite(raw, name, found.bad)
    kind = kind or infer_kind(values, found)
    if kind not in get_args(Kind):
        raise InputError(f"there is no kind {kind!r} of values; choose one of: {', '.join(get_args(Kind))}")
    _refuse_misfit(raw, name, kind, found)
    return kind, found


def refuse_unseen(raw: Raw, name: str, train: np.ndarray) -> None:
    """Refuse columns of which no training row has a value, and arrays of several dimensions without any."""
    values = raw.arrays[name]
    axis = 0 if values.ndim == 2 else None
    seen = np.atleast_1d(np.any([(~np.isnan(part)).any(axis=axis) for part in read(values, train)], axis=0))
    if not seen.all():
        _refuse_columns(raw, name, np.flatnonzero(~seen), "missing from")


def refuse_constant(raw: Raw, name: str, kind: Kind, train: np.ndarray) -> None:
    """Refuse columns that do not vary over the training rows: of real values, and of measurements in a named table.

    Pixels and codes may be constant.
    """
    values = raw.arrays[name]
    if values.ndim > 2 and kind == "real":
        low, high = _extremes(values, train, axis=None)
    elif values.ndim == 2 and (kind == "real" or (raw.columns and kind in {"count", "unit"})):
        low, high = _extremes(values, train, axis=0)
    else:
        return
    scale = np.maximum(np.abs(low), np.abs(high))
    constant = np.flatnonzero(high - low <= 1e-12 * scale)
    if len(constant):
        _refuse_columns(raw, name, constant, "the same in")


def _extremes(values: np.ndarray, rows: np.ndarray, axis: int | None) -> tuple[np.ndarray, np.ndarray]:
    parts = [(np.fmin.reduce(part, axis=axis), np.fmax.reduce(part, axis=axis)) for part in read(values, rows)]
    low, high = (ends.reduce(each) for ends, each in zip((np.fmin, np.fmax), zip(*parts)))
    return np.atleast_1d(low).astype(np.float64), np.atleast_1d(high).astype(np.float64)


def _refuse_columns(raw: Raw, name: str, wrong: np.ndarray, what: str) -> None:
    if raw.arrays[name].ndim > 2:
        raise InputError(f"{raw.place}: the values of {name!r} are {what} all training rows; give other data")
    names = [repr(raw.columns[i]) if raw.columns else str(i) for i in wrong[:5]]
    more = f" and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
    one, them = ("column {} is", "it") if len(wrong) == 1 else ("columns {} are", "them")
    which = one.format(", ".join(names) + more)
    raise InputError(f"{raw.place}: {which} {what} all training rows; leave {them} out")


def _refuse_infinite(raw: Raw, name: str, index: tuple[int, ...]) -> None:
    if np.isnan(raw.arrays[name][index]):
        raise InputError(
            f"{raw.at(name, index)} is NaN or empty; remove the row, fill it in, or say that values may be missing "
            f"(in Python missing=True, in the command --missing)"
        )
    raise InputError(f"{raw.at(name, index)} is infinite; remove the row or fill in a finite value")


def _refuse_misfit(raw: Raw, name: str, kind: Kind, found: Survey) -> None:
    top = raw.levels - 1
    bounds = {"binary": 1, "byte": top, "unit": 1, "category": 2**31 - 1, "count": 2**53, "real": GREATEST}
    low, high, whole = (-GREATEST if kind == "real" else 0), bounds[kind], kind not in {"unit", "real"}
    if low <= found.low and found.high <= high and (found.whole or not whole):
        return
    values = raw.arrays[name]
    index = _first(values, lambda part: (part < low) | (part > high) | (whole & (part != np.rint(part))))
    wants = _WANTS[kind].format(top=top)
    if kind == "real":
        raise InputError(f"{raw.at(name, index)} is {values[index]:.4g}, too large to square; rescale it")
    raise InputError(
        f"{raw.at(name, index)} is {values[index]:.6g}, but kind {kind!r} takes {wants}; "
        f"correct it or load the data with another kind, such as 'real'"
    )


def _first(values: np.ndarray, wrong: Callable[[np.ndarray], np.ndarray]) -> tuple[int, ...]:
    for part in chunks(values):
        found = np.argwhere(wrong(values[part]))
        if len(found):
            row, *rest = found[0]
            return (part.start + int(row), *map(int, rest))
    raise AssertionError("the survey said that there is one")


def checked_array(place: str, name: str, values: np.ndarray) -> np.ndarray:
    """An array of plain numbers, one row a datum with at least one dimension; nothing else gets through."""
    if values.dtype.kind not in "biuf":
        _refuse_type(place, name, values.dtype)
    if values.ndim == 0:
        raise InputError(f"{place}: {name!r} is a single number; give an array with one row a datum")
    if values.size == 0:
        raise InputError(f"{place}: {name!r} is empty (shape {values.shape}); give at least {LEAST_ROWS} rows")
    values = cast(values, "float32") if values.dtype == np.float16 else values
    return values[:, None] if values.ndim == 1 else values


def _refuse_type(place: str, name: str, dtype: np.dtype) -> None:
    words = {"O": "Python objects (ragged rows, perhaps)", "U": "text", "S": "text", "c": "complex numbers"}
    what = words.get(dtype.kind, shown(dtype))
    raise InputError(f"{place}: {name!r} holds {what}; give numbers in rows of one shape")
