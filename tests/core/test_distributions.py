"""Densities against torch and scipy, and against exact arithmetic where those lose their digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import distributions as D
from torch.distributions import Distribution, Independent

from agree import assert_close, refused
from lowerbound.core import bernoulli
from lowerbound.core.bernoulli import LogitBernoulli
from lowerbound.core.certain import Flat, PointMass
from lowerbound.core.distributions import (
    ContinuousBernoulli,
    DiscretizedLogistic,
    LogScaleNormal,
    NegativeBinomial,
    StandardNormal,
    log1mexp,
    log_rising,
)
from lowerbound.core.observation import observed_log_prob

pytestmark = pytest.mark.usefixtures("double")

LOC = torch.linspace(-2, 2, 5, dtype=torch.float64)
LOG_SCALE = torch.linspace(-3, 2, 5, dtype=torch.float64)
LOGITS = torch.tensor([-30.0, -3.0, -0.5, 0.5, 3.0, 30.0], dtype=torch.float64)


def normals() -> list[tuple[Distribution, D.Normal]]:
    zero = torch.zeros(5)
    return [
        (LogScaleNormal(LOC, LOG_SCALE), D.Normal(LOC, LOG_SCALE.exp())),
        (LogScaleNormal(LOC, torch.tensor(0.3)), D.Normal(LOC, math.exp(0.3))),
        (StandardNormal(zero), D.Normal(zero, 1.0)),
    ]


@pytest.mark.parametrize("case", range(3))
def test_normals_agree_with_torch(case: int) -> None:
    ours, theirs = normals()[case]
    x = 3 * torch.randn(7, 5)
    for f in (lambda d: d.log_prob(x), lambda d: d.cdf(x), lambda d: d.entropy()):
        assert_close(f(ours), f(theirs))
    for name in ("mean", "mode", "variance", "stddev"):
        assert_close(getattr(ours, name), getattr(theirs, name).expand(5))
    wide = ours.expand((2, 5))
    assert wide.batch_shape == (2, 5)
    assert_close(wide.log_prob(x[:2]), theirs.log_prob(x[:2]))


def test_normals_draw_what_torch_draws() -> None:
    draws = []
    for d in (LogScaleNormal(LOC, LOG_SCALE), D.Normal(LOC, LOG_SCALE.exp())):
        torch.manual_seed(0)
        draws.append(d.rsample((3,)))
    assert_close(*draws)


def test_a_tiny_scale_keeps_its_digits() -> None:
    assert LogScaleNormal(torch.zeros(1), torch.tensor([-400.0])).log_prob(torch.zeros(1)) == 400 - 0.5 * math.log(
        2 * math.pi
    )


def test_continuous_bernoulli_agrees_with_torch_where_torch_is_stable() -> None:
    """torch leaves its own unstable region, λ in (.499, .501), to a Taylor series; and it clips large logits."""
    logits = LOGITS[1:-1]
    ours, theirs = ContinuousBernoulli(logits), D.ContinuousBernoulli(logits=logits)
    x = torch.linspace(0, 1, 11)[:, None]
    assert_close(ours.log_prob(x), theirs.log_prob(x), within=1e-9)
    assert_close(ours.icdf(x[1:-1]), theirs.icdf(x[1:-1]), within=1e-7)
    for name in ("mean", "variance"):
        assert_close(getattr(ours, name), getattr(theirs, name), within=1e-7)
    assert ours.mode.tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_has_no_seam(dtype: torch.dtype) -> None:
    """On both sides of where the series take over, everything agrees with the exact forms in high precision."""
    edge, digits = (0.1, 2e-6) if dtype == torch.float32 else (0.01, 1e-10)
    for logit in (-2 * edge, -edge * 1.001, -edge * 0.999, -edge / 7, edge / 7, edge * 0.999, edge * 1.001, 2 * edge):
        d, l = ContinuousBernoulli(torch.tensor(logit, dtype=dtype)), np.longdouble(logit)  # noqa: E741
        assert abs(d.log_normaliser - float(np.log(l / np.tanh(l / 2)))) < digits
        assert abs(d.mean - float(-1 / np.expm1(-l) - 1 / l)) < digits
        assert abs(d.variance - float(1 / l**2 - 1 / (4 * np.sinh(l / 2) ** 2))) < 30 * digits
        for u in (0.1, 0.5, 0.9):
            exact = float(np.log1p(np.longdouble(u) * np.expm1(l)) / l)
            assert abs(d.icdf(torch.tensor(u, dtype=dtype)) - exact) < digits


def test_continuous_bernoulli_is_symmetric() -> None:
    x = torch.linspace(0, 1, 9)[:, None]
    one, other = ContinuousBernoulli(LOGITS), ContinuousBernoulli(-LOGITS)
    assert_close(one.log_prob(x), other.log_prob(1 - x))
    assert_close(one.mean, 1 - other.mean)
    assert_close(one.variance, other.variance)
    assert_close(one.icdf(x), 1 - other.icdf(1 - x))
    assert_close(one.expand((2, 6)).log_prob(x[0]), one.log_prob(x[0]).expand(2, 6))


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_discretised_logistic_is_a_difference_of_cdfs(levels: int) -> None:
    loc, scale = torch.tensor([-1.3, 0.0, 0.4, 0.99]), torch.tensor([0.05, 0.3, 1.0, 5.0])
    x = torch.arange(levels).double()[:, None]
    unit, half = 2 * x / (levels - 1) - 1, 1 / (levels - 1)
    above, below = (stats.logistic.cdf((unit + sign * half - loc) / scale) for sign in (1, -1))
    above[-1], below[0] = 1.0, 0.0
    assert_close(
        DiscretizedLogistic(loc, scale.log(), levels).log_prob(x).exp(), torch.tensor(above - below), within=1e-12
    )


def test_discretised_logistic_is_exact_far_in_its_tails() -> None:
    """log(σ(a) − σ(b)) with a and b 2 000 scales out, where both round to 0 or to 1."""
    d = DiscretizedLogistic(torch.tensor(-1.0), torch.tensor(-8.0), 256)
    for level in (200.0, 254.0):
        centre = 2 * level / 255 - 1 + 1.0
        a, b = (centre + 1 / 255) * math.exp(8), (centre - 1 / 255) * math.exp(8)
        exact = -b + math.log(-math.expm1(b - a))  # 1 − σ(t) = e^−t to within e^−2t
        assert_close(d.log_prob(torch.tensor(level)), exact, within=1e-9)


def test_moments_of_a_discretised_logistic_are_sums() -> None:
    d = DiscretizedLogistic(torch.tensor([-1.1, 0.3, 0.9]), torch.tensor([-2.0, -6.0, 0.5]), 17)
    x = torch.arange(17.0)[:, None]
    mass = d.log_prob(x).exp()
    mean = (mass * x).sum(0)
    assert_close(d.mean, mean)
    assert_close(d.variance, (mass * (x - mean).square()).sum(0))
    assert d.support.check(d.sample((100,))).all()
    assert_close(d.expand((2, 3)).mean, mean.expand(2, 3))


def test_log1mexp() -> None:
    """Against numpy's long double, from where 1 − e^−a is a to where it is 1; and its slope 1/(e^a − 1)."""
    a = torch.logspace(-12, 2.5, 200).requires_grad_()
    long = a.detach().numpy().astype(np.longdouble)
    exact = np.where(long < 1, np.log(-np.expm1(-long)), np.log1p(-np.exp(-long))).astype(float)
    assert_close(log1mexp(a).detach() / torch.tensor(exact), 1.0, within=1e-12)
    log1mexp(a).sum().backward()
    assert_close(a.grad * torch.tensor(np.expm1(long).astype(float)), 1.0, within=1e-9)


def test_negative_binomial_agrees_with_scipy() -> None:
    mean, r = torch.tensor([0.01, 1.0, 20.0, 300.0])[:, None], torch.tensor([0.05, 1.0, 29.0, 31.0, 200.0])
    d = NegativeBinomial(mean.log(), r.log())
    x = torch.tensor([0.0, 1.0, 7.0, 250.0])[:, None, None]
    exact = stats.nbinom.logpmf(x.numpy(), r.numpy(), (r / (r + mean)).numpy())
    assert_close((d.log_prob(x) - torch.tensor(exact)) / (1 + abs(torch.tensor(exact))), 0.0, within=1e-10)
    assert_close(d.mean / mean, 1.0)
    assert_close(d.variance / (mean + mean**2 / r), 1.0)
    assert d.expand((2, 4, 5)).log_prob(x[:2]).shape == (2, 4, 5)


def test_modes_of_the_negative_binomial() -> None:
    d = NegativeBinomial(torch.tensor([-2.0, 1.0, 3.3, 3.0]), torch.tensor([0.4, -0.5, 1.2, 9.0]))
    mass = d.log_prob(torch.arange(100.0)[:, None])
    assert_close(mass.gather(0, d.mode.long()[None])[0], mass.max(0).values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_rising_is_a_sum_of_logs(dtype: torch.dtype) -> None:
    """log Γ(r+n) − log Γ(r) = Σ_{i<n} log(r+i), across the point where the series takes over."""
    digits = 1e-6 if dtype == torch.float32 else 1e-14
    r = torch.tensor([1e-6, 0.5, 1.0, 29.9, 30.1, 300.0, 1e4, 1e6, 3e6], dtype=dtype)
    for n in (0, 1, 2, 40, 1000):
        terms = (r.numpy().astype(np.longdouble) + np.arange(n)[:, None]).astype(np.longdouble)
        exact = torch.tensor(np.log(terms).sum(0).astype(float))
        found = log_rising(r, torch.tensor(float(n), dtype=dtype))
        assert_close((found - exact) / (1 + exact.abs()), 0.0, within=50 * digits)


def test_negative_binomial_becomes_poisson() -> None:
    """At r = e^15 they differ by O(x²/r); in float32 the two log Γ alone would differ by whole nats."""
    x = torch.arange(12.0)
    for dtype, digits in ((torch.float32, 1e-4), (torch.float64, 1e-4)):
        d = NegativeBinomial(torch.tensor(1.0, dtype=dtype), torch.tensor(15.0, dtype=dtype))
        assert_close(d.log_prob(x.to(dtype)).double(), torch.tensor(stats.poisson.logpmf(x, math.e)), within=digits)


def test_point_masses_and_flat_priors() -> None:
    value = torch.randn(3, 2, requires_grad=True)
    d = PointMass(value)
    assert torch.equal(d.rsample((4,)), value.expand(4, 3, 2))
    assert d.rsample((4,)).requires_grad
    assert not d.sample((4,)).requires_grad
    assert d.mean is d.mode is value
    assert (d.variance == 0).all()
    assert (d.expand((5, 3, 2)).log_prob(torch.zeros(5, 3, 2)) == 0).all()
    f = Flat(torch.zeros(2))
    assert f.expand((3, 2)).batch_shape == (3, 2)
    assert (f.log_prob(torch.randn(3, 2)) == 0).all()
    with refused("a flat prior has no samples: fit a density to the codes, or train a model with a proper prior"):
        f.sample((2,))


@pytest.mark.parametrize("event", [(), (3,), (2, 3)])
def test_masked_log_prob_sums_over_the_event(event: tuple[int, ...]) -> None:
    d = Independent(LogScaleNormal(torch.zeros(4, *event), torch.zeros(())), len(event))
    x, mask = torch.randn(4, *event), torch.rand(4, *event) < 0.5
    by_entry = d.base_dist.log_prob(x) * mask
    assert_close(observed_log_prob(d, x, mask), by_entry.reshape(4, -1).sum(-1))
    assert_close(observed_log_prob(d, x, None), d.log_prob(x))


def test_logistic_quantiles_reach_both_ends() -> None:
    """Samples of a wide logistic fill the end bins, which take the tails."""
    d = DiscretizedLogistic(torch.zeros(20_000), torch.full((20_000,), 3.0), 4)
    share = (d.sample() == 0).double().mean()
    assert abs(share - special.expit((-2 / 3) / math.exp(3.0))) < 4.5 * (0.25 / 20_000) ** 0.5


def test_logistic_samples_reach_into_the_tails() -> None:
    """χ² at p > 1e-6 on 256 levels, of which the outer hundred hold two samples in a thousand."""
    d = DiscretizedLogistic(torch.tensor(0.1), torch.tensor(-2.5), 256)
    expected = 200_000 * d.log_prob(torch.arange(256.0)).exp()
    seen = torch.bincount(d.sample((200_000,)).long(), minlength=256)
    common = expected > 10
    assert common.sum() > 120
    statistic = ((seen - expected).square() / expected)[common].sum()
    assert stats.chi2.sf(statistic, int(common.sum())) > 1e-6


def test_continuous_bernoulli_at_extreme_logits_is_exponential() -> None:
    """For l → −∞ the density is −l·e^{lx}; the mean −1/l, the variance 1/l²."""
    logits = torch.tensor([-1e4, -100.0])
    d = ContinuousBernoulli(logits)
    x = torch.tensor([0.0, 1e-3])[:, None]
    assert_close(d.log_prob(x), (-logits).log() + x * logits, within=1e-9)
    assert_close(d.mean * -logits, 1.0, within=1e-9)
    assert_close(d.variance * logits.square(), 1.0, within=1e-9)


@pytest.mark.parametrize("event", [(1,), (64,), (28, 28), (787,), (127,), (3, 200)])
def test_summing_a_bernoulli_by_products_gives_its_log_prob(
    event: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for counts of dimensions that are prime, and where most factors are ½ or 1."""
    monkeypatch.setattr(bernoulli, "CACHED", 0)
    shape = (5, 4, *event)
    logits = torch.cat([5 * torch.randn(3, *shape[1:]), torch.zeros(1, *shape[1:]), torch.full((1, *shape[1:]), 300.0)])
    d = Independent(LogitBernoulli(logits.double()), len(event))
    x = torch.randint(0, 2, (4, *event)).double()
    with torch.no_grad():
        found = observed_log_prob(d, x, None)
    torch.testing.assert_close(found, d.log_prob(x), rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("cached", [0, 100])
def test_a_certain_bernoulli_has_mass_one_or_none(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bernoulli, "CACHED", cached)
    logits = torch.tensor([[torch.inf, -torch.inf]])
    with torch.no_grad():
        d = Independent(LogitBernoulli(logits), 1)
        assert observed_log_prob(d, torch.tensor([[1.0, 0.0]]), None).tolist() == [0.0]
        assert observed_log_prob(d, torch.tensor([[1.0, 1.0]]), None).tolist() == [-torch.inf]
