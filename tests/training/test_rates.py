"""Learning rates over time, against their formulas."""

from __future__ import annotations

import math

import pytest

from lowerbound.run.settings import Settings
from lowerbound.training.rates import learning_rate


def test_a_constant_rate_does_not_change() -> None:
    settings = Settings(lr=0.3, schedule="constant")
    assert {learning_rate(settings, step, 100) for step in range(100)} == {0.3}


def test_warm_up_is_a_straight_line_that_ends_at_the_full_rate() -> None:
    settings = Settings(lr=1.0, lr_warmup=4, schedule="cosine")
    assert [learning_rate(settings, step, 100) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize("step", [10, 25, 55, 99])
def test_cosine_counts_from_the_end_of_warm_up(step: int) -> None:
    settings = Settings(lr=2.0, lr_warmup=10, schedule="cosine")
    assert learning_rate(settings, step, 100) == pytest.approx(1 + math.cos(math.pi * (step - 10) / 90))


def test_steps_fall_to_a_tenth_and_a_hundredth() -> None:
    settings = Settings(lr=1.0, schedule="step")
    assert [learning_rate(settings, step, 8) for step in range(8)] == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]


def test_warm_up_longer_than_training_is_allowed() -> None:
    assert learning_rate(Settings(lr=1.0, lr_warmup=100), 9, 10) == pytest.approx(0.1)
