"""Whether what was made is what was asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lowerbound.errors import InputError

Array = np.ndarray


def coherence(found: Array, asked: Array, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The share of samples that a classifier takes for what was asked, over all and for each label.

    found: (N,), codes that a classifier gives the samples (or two modalities' classifiers give each other's). asked:
    (N,), codes that they were made for. names: what the codes 0, 1, … are called. The classifier's own error is in the
    share: state its accuracy on real data beside it. Yuge Shi, N. Siddharth, Brooks Paige and Philip H. S. Torr,
    "Variational mixture-of-experts autoencoders for multi-modal deep generative models", 2019.

    Raises:
        InputError: no samples, or not as many codes as samples.

    >>> found = coherence(np.array([1, 1, 0, 2]), np.array([1, 1, 0, 0]))
    >>> found["share"], found["per_label"]
    (0.75, {'0': 0.5, '1': 1.0})
    """
    found, asked = np.asarray(found), np.asarray(asked)
    if found.shape != asked.shape or found.ndim != 1 or not len(found):
        raise InputError(f"each sample needs one code asked and one found, and there are {asked.shape}, {found.shape}")
    right = found == asked
    share = float(right.mean())
    called = {code: str(code) if names is None else names[code] for code in np.unique(asked).tolist()}
    each = {name: float(right[asked == code].mean()) for code, name in called.items()}
    return {
        "count": len(right),
        "share": share,
        "stderr": math.sqrt(share * (1 - share) / len(right)),
        "per_label": each,
    }
