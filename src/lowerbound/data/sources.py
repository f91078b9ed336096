"""Data sets by name: `digits` comes with scikit-learn, the others are fetched once, checked, and kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowerbound.data.raw import Raw


def read_digits() -> Raw:
    """scikit-learn's 1 797 handwritten digits, 8×8 pixels of 17 levels. Needs no network.

    >>> read_digits().arrays["x"].shape
    (1797, 8, 8)
    """
    from sklearn.datasets import load_digits  # a second to import, and only this needs it

    digits = load_digits()
    names = tuple(map(str, digits.target_names))
    x = digits.images.astype(np.uint8)
    return Raw("digits", "digits", {"x": x}, digits.target, label_names=names, levels=17, near_binary=True)


SOURCES: dict[str, Callable[[], Raw]] = {"digits": read_digits}
"""Name -> how to read it."""
