import math

import pytest
import torch

from lowerbound.evaluation.statistics import Moments, estimate, finite, monte_carlo_error


def test_the_standard_error_is_that_of_the_mean() -> None:
    values = torch.randn(2000, 50, dtype=torch.float64) * 3
    errors = [estimate(row)["stderr"] for row in values]
    assert sum(errors) / len(errors) == pytest.approx(values.mean(1).std().item(), rel=0.05)


def test_noise_of_each_estimate_is_part_of_the_standard_error() -> None:
    truth, noise = torch.randn(100_000), 2 * torch.randn(100_000)
    assert estimate(truth + noise)["stderr"] == pytest.approx(math.sqrt(5 / 100_000), rel=0.02)


def test_one_datum_has_no_standard_error() -> None:
    assert estimate(torch.tensor([2.0])) == {"value": 2.0, "stderr": None}


def test_what_is_not_finite_is_none() -> None:
    assert estimate(torch.tensor([-math.inf, 0.0])) == {"value": None, "stderr": None}
    assert finite(math.nan) is None


def test_float32_values_are_summed_in_float64() -> None:
    values = torch.full((1_000_000,), 1e4) + 0.1
    assert estimate(values)["value"] == pytest.approx(float(values[0]), abs=1e-9)


def test_the_monte_carlo_error_falls_with_the_data() -> None:
    assert monte_carlo_error(torch.full((400,), 2.0)) == pytest.approx(0.1)


@pytest.mark.parametrize("sizes", [(100,), (1, 99), (33, 33, 34), (99, 1)])
def test_moments_do_not_depend_on_the_chunks(sizes: tuple[int, ...]) -> None:
    rows = 1000 + torch.randn(100, 3, dtype=torch.float64)
    moments = Moments()
    for chunk in rows.split(sizes):
        moments.add(chunk)
    torch.testing.assert_close(moments.mean, rows.mean(0))
    torch.testing.assert_close(moments.variance, rows.var(0, correction=0))
