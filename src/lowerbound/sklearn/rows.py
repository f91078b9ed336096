"""From a matrix that scikit-learn has checked to data that can be trained on, however few its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from lowerbound.data.checks import checked_values, refuse_unseen
from lowerbound.data.condition import condition_of
from lowerbound.data.dataset import Dataset
from lowerbound.data.describe import describe, kept
from lowerbound.data.fingerprint import fingerprint
from lowerbound.data.raw import Raw
from lowerbound.data.spec import DataSpec, Kind, Variable
from lowerbound.evaluation.rawdata import checked_variable

Array = np.ndarray

About = tuple[Variable, Array]
"""What rows are told: its description, and what is stored of each."""

NAME = "X"
"""What scikit-learn calls its data, here in refusals and in a run's description of them."""


def described(
    x: Array, kind: Kind | Literal["auto"], train: Array, columns: tuple[str, ...] | None, missing: bool = False
) -> Variable:
    """What the rows (N, D) hold, by type and range where the kind is auto; statistics are of the rows `train`.

    A column that does not vary is centred and not scaled, as scikit-learn's `StandardScaler` has it. missing: whether
    NaN are values that were not observed; any row may then have them, whether or not these do.

    Raises:
        InputError: there is no such kind, or the values are not of it, or a column has none.

    >>> described(np.array([[0.5, 7.0], [1.5, 7.0]]), "real", np.arange(2), None).std
    (0.5, 1.0)
    """
    raw = Raw(NAME, NAME, {NAME: x}, columns=columns)
    kind, found = checked_values(raw, NAME, None if kind == "auto" else kind, missing)
    if missing:
        refuse_unseen(raw, NAME, train)
    told = replace(found, missing=missing)
    return describe(NAME, kind, kept(x, kind, told), train, told, raw.levels, columns)


def conditioned(y: Array, train: Array) -> About:
    """What the rows are told, (N,) or (N, d), described by the rows `train`; see `data.condition.condition_of`.

    >>> conditioned(np.array(["b", "a"]), np.arange(2))[1].tolist()
    [1, 0]
    """
    about, stored = condition_of(Raw("y", "y", {}, labels=np.asarray(y)), train)
    assert about is not None  # there are labels
    assert stored is not None
    return about, stored


def dataset(x: Array, variable: Variable, train: Array, validation: Array, about: About | None = None) -> Dataset:
    """The rows as data of this variable, with these row numbers to train and to validate on; none to test on."""
    arrays = {NAME: checked_variable(variable, x)}
    told, stored = about or (None, None)
    splits = {"train": train, "validation": validation, "test": np.arange(0)}
    counts = {name: len(rows) for name, rows in splits.items()}
    whole = arrays if stored is None else {**arrays, "(condition)": stored}
    spec = DataSpec(NAME, (variable,), told, len(x), fingerprint(whole), counts, 0)
    return Dataset(spec, arrays, stored, splits)


def split(count: int, fraction: float, seed: int) -> tuple[Array, Array]:
    """Row numbers to train and to validate on, at random: ⌊count · fraction⌋ for the latter, none of few rows.

    >>> [len(rows) for rows in split(50, 0.1, seed=0)], [len(rows) for rows in split(9, 0.1, seed=0)]
    ([45, 5], [9, 0])
    """
    order = np.random.RandomState(seed).permutation(count)
    held = int(count * fraction)
    return np.sort(order[held:]), np.sort(order[:held])
