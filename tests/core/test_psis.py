"""Pareto k̂ and smoothed weights against ArviZ on the same log weights, and against known tails."""

from __future__ import annotations

import math

import arviz
import pytest
import torch

from agree import assert_close
from lowerbound.core import pareto_k, smoothed
from lowerbound.core.psis import tail_length

pytestmark = pytest.mark.usefixtures("double")


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
def test_agrees_with_arviz(particles: int, kind: str) -> None:
    """k̂ to 1e-6 of itself, and each smoothed log weight to 1e-6; weights that tie may be smoothed in another order."""
    log_w = tails(particles)[kind]
    theirs, expected = (torch.from_numpy(each) for each in arviz.psislw(log_w.T.numpy(), normalize=False))
    found = pareto_k(log_w)
    assert torch.equal(found.isinf(), expected.isinf())
    finite = expected.isfinite()
    assert_close(found[finite] / expected[finite] if finite.any() else torch.ones(1), 1.0, within=1e-6)
    ours = smoothed(log_w)
    if "tied" in kind:
        ours, theirs = ours.sort(0).values, theirs.sort(1).values
    assert_close(ours, theirs.T, within=1e-6)


@pytest.mark.parametrize("particles", [2, 5, 20])
def test_too_few_to_have_a_tail_stay_as_they_are(particles: int) -> None:
    log_w = torch.randn(particles, 3)
    assert torch.equal(smoothed(log_w), log_w)


def test_smoothing_keeps_order_and_largest() -> None:
    """No weight overtakes another, none exceeds the largest drawn, and what is not in the tail stays."""
    log_w = 0.8 * torch.distributions.Exponential(1.0).sample((1000, 7))
    found, order = smoothed(log_w), log_w.argsort(0)
    assert (found.gather(0, order).diff(dim=0) >= -1e-12).all()
    assert (found <= log_w.max(0).values).all()
    body = order[: -tail_length(1000)]
    assert_close(found.gather(0, body), log_w.gather(0, body))
    assert (found != log_w).any()


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


@pytest.mark.parametrize("values", [2, 3, 10, 30])
def test_weights_of_few_values_have_an_answer(values: int) -> None:
    """A z of finitely many values gives ties without end: infinite, perhaps, but never a NaN, and smoothed or left."""
    log_w = (3 * torch.randn(values, 200)).gather(0, torch.randint(values, (10_000, 200)))
    assert not pareto_k(log_w).isnan().any()
    assert smoothed(log_w).isfinite().all()


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
