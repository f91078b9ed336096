"""Maximum mean discrepancy against its exact value between Gaussians."""

from __future__ import annotations

import math

import pytest
import torch

from agree import assert_close, assert_mean
from lowerbound.core import MMD, gaussian_kernel, mmd
from lowerbound.core.aggregate import codes, prior_draws
from toys import LinearGaussian

pytestmark = pytest.mark.usefixtures("double")


def test_the_kernel_by_hand() -> None:
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    expected = torch.tensor([[math.exp(-float((u - v).square().sum()) / 4) for v in b] for u in a])
    assert_close(gaussian_kernel(a, b), expected)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_unbiased_for_the_known_value_of_two_gaussians(shift: float) -> None:
    """N(m, I) against N(0, I): MMD² = 2 (1 + 4/D)^(−D/2) (1 − exp(−‖m‖²/(D + 4)))."""
    d = 3
    height = (1 + 4 / d) ** (-d / 2)
    exact = 2 * height * (1 - math.exp(-d * shift**2 / (d + 4)))
    found = torch.stack([mmd(torch.randn(10, d) + shift, torch.randn(8, d)) for _ in range(4000)])
    assert_mean(found, exact)


def test_pairs_by_hand() -> None:
    a, b = torch.randn(3, 2), torch.randn(4, 2)
    k = lambda u, v: float(gaussian_kernel(u[None], v[None]))  # noqa: E731
    among = lambda p: [k(p[i], p[j]) for i in range(len(p)) for j in range(len(p)) if i != j]  # noqa: E731
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    expected = mean(among(a)) + mean(among(b)) - 2 * mean([k(u, v) for u in a for v in b])
    assert_close(mmd(a, b), expected)


def test_a_single_point_is_finite() -> None:
    assert mmd(torch.zeros(1, 2), torch.zeros(1, 2)).isfinite()


def test_codes_of_the_exact_posterior_are_not_told_from_the_prior() -> None:
    toy = LinearGaussian()
    near, far = (MMD()(toy.model(shrink).trace(toy.data(300), 20))["mmd"].detach() for shrink in (1.0, 0.0))
    assert near.shape == (300,)
    assert abs(near[0]) < 2e-3 < far[0]


def test_draws_of_the_prior_are_laid_out_like_the_codes() -> None:
    toy = LinearGaussian(latent=3)
    trace = toy.model().trace(toy.data(7), 5)
    assert codes(trace).shape == prior_draws(trace).shape == (5, 7, 3)
    assert_mean(prior_draws(trace).flatten(0, 1), 0.0)
