"""The Fréchet distance against scipy's root of a matrix, and against answers that are known."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from agree import refused
from lowerbound.errors import InputError
from lowerbound.evaluation.frechet import between, covariance, extrapolated, frechet, square_root

SEEDS = (0, 1, 2)


def spread(random: np.random.Generator, width: int) -> np.ndarray:
    """A covariance of any shape."""
    factor = random.normal(size=(width, width))
    return factor @ factor.T / width


@pytest.mark.parametrize("seed", SEEDS)
def test_scipys_root_gives_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(200, 5)) @ spread(random, 5), random.normal(size=(300, 5)) + 1
    covariances = np.cov(a.T), np.cov(b.T)
    cross = np.trace(sqrtm(covariances[0] @ covariances[1]).real)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + sum(map(np.trace, covariances)) - 2 * cross
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet(b, a) == pytest.approx(frechet(a, b), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_covariances_that_commute_are_as_far_apart_as_their_roots(seed: int) -> None:
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.normal(size=(4, 4)))[0]
    first, second = random.uniform(0.1, 3, size=(2, 4))
    found = between(np.zeros(4), turn * first @ turn.T, np.ones(4), turn * second @ turn.T)
    assert found == pytest.approx(4 + np.square(np.sqrt(first) - np.sqrt(second)).sum(), abs=1e-9)


def test_a_set_is_no_way_from_itself_even_where_it_is_flat() -> None:
    flat = np.random.default_rng(0).normal(size=(50, 2)) @ np.ones((2, 6))
    assert frechet(flat, flat[::-1]) == pytest.approx(0, abs=1e-6)


def test_the_root_squares_to_the_matrix() -> None:
    matrix = spread(np.random.default_rng(0), 7)
    assert np.allclose(square_root(matrix) @ square_root(matrix), matrix, atol=1e-12)
    assert np.allclose(covariance(matrix), np.cov(matrix.T), atol=1e-12)


def test_few_rows_are_biased_upwards_and_the_extrapolation_much_less() -> None:
    plain, endless = [], []
    for seed in range(8):
        a, b = np.random.default_rng(seed).normal(size=(2, 600, 10))
        plain.append(frechet(a, b))
        endless.append(extrapolated(a, b, seed))
    assert np.min(plain) > 0.08
    assert abs(np.mean(endless)) < 0.2 * np.mean(plain)


def test_what_are_no_features_is_refused() -> None:
    with refused(
        "features are two sets of two or more rows of one width, and were given (1, 3) and (5, 3)", InputError
    ):
        frechet(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(InputError, match="one width"):
        frechet(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(InputError, match="NaN"):
        frechet(np.full((4, 2), np.nan), np.zeros((4, 2)))
