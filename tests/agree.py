"""What "equal in mean" means here: a z-test at |z| < 4.5, which a true equality fails once in 150 000 comparisons.

Seeds are fixed, so a test that passes keeps passing; the rate says how surprising a first failure is.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from torch import Tensor

LIMIT = 4.5


def z_scores(draws: Tensor, expected: Tensor | float) -> Tensor:
    """(mean − expected) in standard errors of the mean, draws being independent along the first dimension."""
    error = draws.std(0) / len(draws) ** 0.5
    # Where every draw is the same there is no noise to hide in: allow rounding only.
    return (draws.mean(0) - expected) / error.clamp_min(1e-12)


def assert_mean(draws: Tensor, expected: Tensor | float) -> None:
    """The draws' mean is `expected`, at 4.5 standard errors for each entry."""
    z = z_scores(draws, expected)
    assert z.abs().max() < LIMIT, f"{draws.mean(0)} is not {expected}: z = {z}"


def assert_same_mean(a: Tensor, b: Tensor) -> None:
    """Two independent sets of draws share a mean."""
    error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt().clamp_min(1e-12)
    z = (a.mean(0) - b.mean(0)) / error
    assert z.abs().max() < LIMIT, f"{a.mean(0)} is not {b.mean(0)}: z = {z}"


def assert_close(a: Tensor, b: Tensor | float, within: float = 1e-12) -> None:
    """Equal to within rounding."""
    worst = (a - b).abs().max()
    assert worst <= within, f"off by {worst:.3g}"


def refused(sentence: str, error: type[Exception] = ValueError) -> Any:
    """Expects this error with exactly this sentence."""
    return pytest.raises(error, match=f"^{re.escape(sentence)}$")
