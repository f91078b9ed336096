"""The covariance of codes over a batch, and what a distance from the identity costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agree import assert_close, assert_mean
from lowerbound.core import Diagonal, OffDiagonal, covariance_of_codes, covariance_of_means
from toys import LinearGaussian

pytestmark = pytest.mark.usefixtures("double")


def test_the_covariance_of_means_is_numpys() -> None:
    toy = LinearGaussian(latent=3)
    trace = toy.model(0.5).trace(toy.data(12))
    expected = np.cov(trace.q.mean.detach().numpy().T, ddof=0)
    assert_close(covariance_of_means(trace), torch.from_numpy(expected))


def test_the_covariance_of_codes_is_that_of_what_is_drawn() -> None:
    toy = LinearGaussian(latent=2)
    trace = toy.model(0.5, 0.4).trace(toy.data(5), 40_000)
    centred = trace.z - trace.q.mean.mean(0)
    products = (centred[..., :, None] * centred[..., None, :]).mean(1)
    assert_mean(products.detach(), covariance_of_codes(trace).detach())


@pytest.mark.parametrize("covariance", [covariance_of_means, covariance_of_codes])
def test_costs_are_sums_over_the_two_parts(covariance: object) -> None:
    toy = LinearGaussian(latent=3)
    trace = toy.model(0.5, 0.4).trace(toy.data(6))
    c = covariance(trace)  # type: ignore[operator]
    off = sum(c[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    assert_close(OffDiagonal(covariance)(trace)["covariance"], off.expand(6))  # type: ignore[arg-type]
    own = sum((c[i, i] - 1) ** 2 for i in range(3))
    assert_close(Diagonal(covariance)(trace)["variance"], own.expand(6))  # type: ignore[arg-type]


def test_codes_that_are_already_so_cost_nothing() -> None:
    """An exact posterior of a factorised model: its aggregate is the prior, up to the draw of the data."""
    toy = LinearGaussian()
    trace = toy.model().trace(toy.data(200_000))
    assert OffDiagonal(covariance_of_codes)(trace)["covariance"][0] < 1e-3
    assert Diagonal(covariance_of_codes)(trace)["variance"][0] < 1e-3
