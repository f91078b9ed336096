"""Shares of samples that are what was asked."""

import numpy as np
import pytest

from lowerbound.errors import InputError
from lowerbound.evaluation.coherence import coherence


def test_shares_over_all_and_by_label() -> None:
    asked, found = np.repeat([0, 2, 5], [2, 4, 4]), np.array([0, 0, 2, 2, 2, 1, 5, 5, 0, 0])
    got = coherence(found, asked, names=tuple("abcdef"))
    assert (got["count"], got["share"]) == (10, 0.7)
    assert got["per_label"] == {"a": 1.0, "c": 0.75, "f": 0.5}
    assert got["stderr"] == pytest.approx((0.7 * 0.3 / 10) ** 0.5)


def test_of_nothing_there_is_no_share() -> None:
    for found, asked in ((np.zeros(0), np.zeros(0)), (np.zeros(2), np.zeros(3))):
        with pytest.raises(InputError, match="one code asked"):
            coherence(found, asked)
