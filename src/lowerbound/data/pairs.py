"""Data of two variables made of data of one: pictures of two sets paired by class, and the halves of pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowerbound.data.raw import Raw

SEED = 0
"""Fixes which picture goes with which, as part of what the data set is."""


def by_class(first: Raw, second: Raw, names: tuple[str, str], name: str) -> Raw:
    """Rows of one set each beside a row of the other of the same label, under two names.

    No row is used twice, so of a label there are as many pairs as the rarer set has; which row goes with which is drawn
    once for all. Rows of the official tests are paired among themselves and come last. The labels are the first's.
    """
    bits = np.random.PCG64(SEED)
    train, test = (_paired(bits, part(first), part(second)) for part in (_training, _testing))
    rows = np.concatenate([train, test])
    arrays = {each: raw.arrays["x"][rows[:, side]] for side, (each, raw) in enumerate(zip(names, (first, second)))}
    labels = _labels(first)[rows[:, 0]]
    return replace(first, name=name, place=name, arrays=arrays, labels=labels, test=len(test))


def halves(raw: Raw, name: str) -> Raw:
    """The left and the right half of each picture, by these names; of an odd width the middle column is the right's."""
    x = raw.arrays["x"]
    middle = x.shape[2] // 2
    return replace(raw, name=name, place=name, arrays={"left": x[:, :, :middle], "right": x[:, :, middle:]})


def _paired(bits: np.random.PCG64, first: dict[int, np.ndarray], second: dict[int, np.ndarray]) -> np.ndarray:
    """Row numbers side by side, (N, 2), in an order drawn at random; from rows by label."""
    pairs = [_side_by_side(_shuffled(bits, rows), _shuffled(bits, second[label])) for label, rows in first.items()]
    return _shuffled(bits, np.concatenate(pairs))


def _shuffled(bits: np.random.PCG64, rows: np.ndarray) -> np.ndarray:
    """Of numpy's generators only the raw bits are promised to stay the same from version to version."""
    found: np.ndarray = rows[np.argsort(bits.random_raw(len(rows)), kind="stable")]
    return found


def _side_by_side(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    count = min(len(first), len(second))
    return np.stack([first[:count], second[:count]], 1)


def _training(raw: Raw) -> dict[int, np.ndarray]:
    return _by_label(_labels(raw), np.arange(len(_labels(raw)) - raw.test))


def _testing(raw: Raw) -> dict[int, np.ndarray]:
    count = len(_labels(raw))
    return _by_label(_labels(raw), np.arange(count - raw.test, count))


def _by_label(labels: np.ndarray, rows: np.ndarray) -> dict[int, np.ndarray]:
    return {int(label): rows[labels[rows] == label] for label in np.unique(labels)}


def _labels(raw: Raw) -> np.ndarray:
    assert raw.labels is not None
    return raw.labels
