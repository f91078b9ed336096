"""Precision, recall, density and coverage against loops over all pairs, and against what chance makes of them."""

import math

import numpy as np
import pytest

from agree import LIMIT
from lowerbound.errors import InputError
from lowerbound.evaluation import coverage as module
from lowerbound.evaluation.coverage import Coverage, coverage, radii


def by_loops(real: np.ndarray, made: np.ndarray, k: int) -> Coverage:
    """The definitions, as they stand in the papers."""
    reach = lambda rows: [sorted(np.linalg.norm(rows - row, axis=1))[k] for row in rows]  # noqa: E731 - 0 is itself
    around_real, around_made = reach(real), reach(made)
    inside = [[np.linalg.norm(x - y) <= around_real[i] for i, x in enumerate(real)] for y in made]
    inverse = [[np.linalg.norm(x - y) <= around_made[j] for j, y in enumerate(made)] for x in real]
    precision, recall = np.mean([any(each) for each in inside]), np.mean([any(each) for each in inverse])
    return Coverage(precision, recall, np.sum(inside) / (k * len(made)), np.mean(np.any(inside, axis=0)))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_definitions_give_the_same(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)  # not a divisor of either size
    random = np.random.default_rng(k)
    real, made = random.normal(size=(40, 3)), 0.7 * random.normal(size=(25, 3)) + 0.5
    assert coverage(real, made, k) == pytest.approx(by_loops(real, made, k))


def test_of_one_distribution_density_and_coverage_are_as_proved() -> None:
    k, n, m, times = 5, 60, 40, 400
    random = np.random.default_rng(0)
    found = np.array([coverage(random.normal(size=(n, 2)), random.normal(size=(m, 2)), k) for _ in range(times)])
    expected = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    for column, value in ((2, 1.0), (3, expected)):
        error = found[:, column].std() / math.sqrt(times)
        assert abs(found[:, column].mean() - value) < LIMIT * error


def test_far_away_large_offsets_cost_no_digits() -> None:
    random = np.random.default_rng(0)
    real, made = random.normal(size=(2, 50, 4))
    assert coverage(real + 1e5, made + 1e5) == pytest.approx(coverage(real, made))


def test_a_collapsed_model_is_precise_and_covers_little() -> None:
    random = np.random.default_rng(0)
    found = coverage(random.normal(size=(500, 2)), 0.02 * random.normal(size=(500, 2)))
    assert found.precision == 1 > 0.2 > found.coverage
    assert found.recall < 0.1


def test_neighbours_must_be_there() -> None:
    with pytest.raises(InputError, match="1 to 4 neighbours"):
        radii(np.zeros((5, 2)), 5)
