"""Pareto k̂ against a transcription of the published algorithm, as ArviZ has it, and against known tails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from agree import assert_close
from lowerbound.core import pareto_k
from lowerbound.core.psis import tail_length

pytestmark = pytest.mark.usefixtures("double")


def reference_k(log_weights: np.ndarray) -> float:
    """k̂ of one column, as `_psislw` and `_gpdfit` of ArviZ 0.23 compute it (Apache-2.0), without the smoothing."""
    x, n_samples = np.sort(log_weights - log_weights.max()), len(log_weights)
    cutoff_ind = -int(np.ceil(min(n_samples / 5.0, 3 * n_samples**0.5))) - 1
    xcutoff = max(x[cutoff_ind], np.log(np.finfo(float).tiny))
    tail = x[x > xcutoff]
    return _gpdfit(np.exp(tail) - np.exp(xcutoff)) if len(tail) > 4 else math.inf


@np.errstate(over="ignore")
def _gpdfit(ary: np.ndarray) -> float:
    prior_bs, prior_k, n = 3, 10, len(ary)
    m_est = 30 + int(n**0.5)
    b_ary = 1 - np.sqrt(m_est / (np.arange(1, m_est + 1, dtype=float) - 0.5))
    b_ary /= prior_bs * ary[int(n / 4 + 0.5) - 1]
    b_ary += 1 / ary[-1]
    k_ary = np.log1p(-b_ary[:, None] * ary).mean(axis=1)
    len_scale = n * (np.log(-(b_ary / k_ary)) - k_ary - 1)
    weights = 1 / np.exp(len_scale - len_scale[:, None]).sum(axis=1)
    real = weights >= 10 * np.finfo(float).eps
    weights, b_ary = weights[real], b_ary[real]
    b_post = np.sum(b_ary * weights / weights.sum())
    k_post = np.log1p(-b_post * ary).mean()
    return float((n * k_post + prior_k * 0.5) / (n + prior_k))


def tails(particles: int) -> dict[str, torch.Tensor]:
    """Log weights of many kinds, (K, 8) each."""
    noise, exponential = torch.randn(particles, 8), torch.distributions.Exponential(1.0).sample((particles, 8))
    return {
        "normal": noise,
        "narrow": 0.01 * noise,
        "wide": 30.0 * noise,
        "far from zero": noise - 1e5,
        "pareto 0.3": 0.3 * exponential,
        "pareto 0.7": 0.7 * exponential,
        "pareto 1.5": 1.5 * exponential,
        "bounded": torch.rand(particles, 8).log(),
        "tied": (4 * noise).round() / 4,
        "tied at the top": noise.clamp(max=noise.quantile(0.9)),
        "tied at the cut": torch.where(noise < noise.quantile(0.97), noise.clamp(max=0.0), noise),
        "one giant": torch.cat([noise[1:], torch.full((1, 8), 60.0)]),
        "underflowing": 400.0 * noise,
    }


@pytest.mark.parametrize("kind", tails(25))
@pytest.mark.parametrize("particles", [25, 26, 100, 1000, 5000])
def test_agrees_with_the_published_algorithm(particles: int, kind: str) -> None:
    log_w = tails(particles)[kind]
    expected = torch.tensor([reference_k(column) for column in log_w.T.numpy()])
    found = pareto_k(log_w)
    assert torch.equal(found.isinf(), expected.isinf())
    finite = expected.isfinite()
    assert_close(found[finite] / expected[finite] if finite.any() else torch.ones(1), 1.0, within=1e-6)


def test_most_kinds_of_tails_have_an_answer() -> None:
    """So that the comparison above is of numbers and not of infinities."""
    answered = [pareto_k(log_w).isfinite().all() for log_w in tails(1000).values()]
    assert sum(answered) >= 10


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_finds_the_shape_of_a_pareto_tail(shape: float) -> None:
    """Within 0.15 for each of 20 sets of 100 000, where its standard error is about (1 + k)/√950 ≈ 0.05."""
    log_w = shape * torch.distributions.Exponential(1.0).sample((100_000, 20))
    k = pareto_k(log_w)
    assert (k - shape).abs().max() < 0.2
    assert (k.mean() - shape).abs() < 0.05


def test_what_has_no_tail_says_so() -> None:
    assert (pareto_k(torch.zeros(100, 3)) == -math.inf).all()
    assert (pareto_k(torch.randn(20, 3)) == math.inf).all()
    assert (pareto_k(torch.randn(1, 3)) == math.inf).all()
    giant = torch.zeros(100, 1)
    giant[0] = 5.0
    assert pareto_k(giant) == math.inf


def test_a_common_factor_changes_nothing() -> None:
    log_w = torch.randn(400, 5)
    assert_close(pareto_k(log_w + 3000.0), pareto_k(log_w), within=1e-9)


def test_columns_do_not_see_each_other() -> None:
    """Columns with tails of different lengths, fitted together, are fitted as if alone."""
    log_w = torch.cat([each[:, :1] for each in tails(300).values()], 1)
    together = pareto_k(log_w)
    alone = torch.cat([pareto_k(column[:, None]) for column in log_w.T])
    assert torch.equal(together.isinf(), alone.isinf())
    assert_close(together[together.isfinite()], alone[alone.isfinite()])


def test_never_a_nan() -> None:
    for spread in (1e-9, 1e-3, 1.0, 1e2, 1e3, 1e5, 1e12):
        for particles in (25, 1000):
            assert not pareto_k(spread * torch.randn(particles, 200)).isnan().any()


def test_float32_weights_are_fitted_in_float64() -> None:
    log_w = torch.randn(1000, 5).float()
    assert pareto_k(log_w).dtype == torch.float32
    assert_close(pareto_k(log_w).double(), pareto_k(log_w.double()), within=1e-6)


def test_length_of_the_tail() -> None:
    """min(K/5, 3√K), rounded up: the two meet at 225."""
    assert [tail_length(k) for k in (10, 25, 26, 225, 226, 1000, 5000)] == [2, 5, 6, 45, 46, 95, 213]
