"""scikit-learn's own conformance suite over every estimator of the package."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks
from small_estimators import SMALL

import lowerbound.sklearn as ours


@parametrize_with_checks(SMALL)
def test_scikit_learn_holds_it_for_an_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two epochs and of few rows
        check(estimator)


def test_every_estimator_is_among_them() -> None:
    exported = {name for name in ours.__all__ if issubclass(getattr(ours, name), BaseEstimator)}
    assert {type(each).__name__ for each in SMALL} == exported
