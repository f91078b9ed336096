"""Which rows are for training, for validation and for the test: by seed and count alone."""

from __future__ import annotations

import numpy as np

from lowerbound.errors import InputError

LEAST_ROWS = 10
"""With fewer rows no split into three is worth the name."""

OFFICIAL_VALIDATION = 5_000
"""Rows of an official training set that are kept for validation."""


def draw_splits(count: int, seed: int, test: int = 0) -> dict[str, np.ndarray]:
    """Row numbers of `train`, `validation` and `test`: disjoint, sorted, all rows used.

    With an official test set (the last `test` rows) validation is 5 000 rows, or a tenth if that is fewer, of the
    rest. Without one, a tenth each is drawn for validation and test.

    >>> {name: len(rows) for name, rows in draw_splits(100, seed=0).items()}
    {'train': 80, 'validation': 10, 'test': 10}
    >>> {name: len(rows) for name, rows in draw_splits(70_000, seed=0, test=10_000).items()}
    {'train': 55000, 'validation': 5000, 'test': 10000}
    """
    if seed < 0:
        raise InputError(f"the seed of the split is {seed}; give 0 or a greater whole number")
    # Of numpy's generators only the raw bits are promised to stay the same from version to version.
    order = np.argsort(np.random.PCG64(seed).random_raw(count - test), kind="stable")
    tenth = max(1, count // 10)
    held = [min(OFFICIAL_VALIDATION, tenth)] if test else [tenth, tenth]
    parts = np.split(order, np.cumsum(held))
    validation, train = np.sort(parts[0]), np.sort(parts[-1])
    official = np.arange(count - test, count)
    return {"train": train, "validation": validation, "test": official if test else np.sort(parts[1])}


def draw_splits_of_groups(groups: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The same of groups (N,) of rows that belong together: all rows of one are in one split.

    >>> splits = draw_splits_of_groups(np.arange(100) // 5, seed=0)
    >>> {name: rows.tolist() for name, rows in splits.items() if name != "train"}
    {'validation': [15, 16, 17, 18, 19, 55, 56, 57, 58, 59], 'test': [10, 11, 12, 13, 14, 65, 66, 67, 68, 69]}
    """
    different, number = np.unique(groups, return_inverse=True)
    drawn = draw_splits(len(different), seed)
    return {name: np.flatnonzero(np.isin(number, chosen)) for name, chosen in drawn.items()}
