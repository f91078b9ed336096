"""Law 2: every density integrates to one, its moments and its samples are its own, and its gradients are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution

from agree import assert_close, assert_mean
from catalogue import FITS, LIKELIHOODS, likelihood, nodes, parameters, raw, support, variable
from lowerbound.core import Gaussian, Table, flat, standard_normal
from lowerbound.data.likelihoods import ACCEPTS
from lowerbound.data.views import view_for

pytestmark = pytest.mark.usefixtures("double")

WITH_MEAN = [name for name in LIKELIHOODS if name != "categorical"]  # codes of categories have none
COUNTS = [name for name in LIKELIHOODS if "count" in ACCEPTS[name]]
REPARAMETERISED = [
    name for name in LIKELIHOODS if likelihood(name)(torch.zeros(likelihood(name).per_value)).has_rsample
]


def scalar(name: str, copies: int = 12, spread: float = 1.0, seed: int = 0) -> Distribution:
    """A scalar distribution of each of `copies` random parameters; counts only as large as a sum can reach."""
    torch.manual_seed(seed)
    part = likelihood(name)
    h = parameters(part, copies, spread=spread)
    return part(h.clamp(-2, 2) if name in COUNTS else h)


@torch.no_grad()
def masses(d: Distribution) -> tuple[Tensor, Tensor]:
    """Values (N, *batch) and their probabilities, of which the sums are integrals."""
    x, weight = nodes(d)
    return x, weight * d.log_prob(x).exp()


@pytest.mark.parametrize("spread", [1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_integrates_to_one(name: str, spread: float) -> None:
    """The trapezoidal rule is off by 2e-7 at Laplace's kink, and by rounding elsewhere."""
    _, mass = masses(scalar(name, spread=spread))
    assert_close(mass.sum(0), 1.0, within=1e-6)


@pytest.mark.parametrize("spread", [1.0, 30.0])
@pytest.mark.parametrize("name", WITH_MEAN)
def test_mean_and_variance_are_those_of_the_density(name: str, spread: float) -> None:
    d = scalar(name, spread=spread)
    x, mass = masses(d)
    off, variance = ((mass * (x - d.mean) ** power).sum(0) for power in (1, 2))
    assert_close(off / (1e-9 + d.mean.abs() + variance.sqrt()), 0.0, within=1e-6)
    assert_close((d.variance - variance) / (1e-9 + variance), 0.0, within=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_samples_fit_the_density(name: str, seed: int) -> None:
    """χ² or Kolmogorov–Smirnov at p > 1e-6, some 150 of them: they would fail by chance once in 7 000 seeds."""
    d = scalar(name, copies=4, seed=seed)
    samples, (x, mass) = d.sample((20_000,)), masses(d)
    for column in range(4):
        assert p_value(samples[:, column], x[:, column], mass[:, column], support(d).is_discrete) > 1e-6


def p_value(samples: Tensor, x: Tensor, mass: Tensor, discrete: bool) -> float:
    if not discrete:
        below = mass.cumsum(0) - mass / 2
        return float(stats.kstest(samples.numpy(), lambda at: np.interp(at, x.numpy(), below.numpy())).pvalue)
    expected = len(samples) * mass
    seen = torch.bincount(samples.long(), minlength=len(x)).double()
    common = expected >= 10
    pairs = [torch.cat([each[common], each[~common].sum()[None]]) for each in (seen, expected)]
    kept = pairs[1] > 1e-6
    assert pairs[0][~kept].sum() == 0
    return float(stats.chi2.sf(((pairs[0] - pairs[1]).square() / pairs[1])[kept].sum(), max(int(kept.sum()) - 1, 1)))


@pytest.mark.parametrize("name", WITH_MEAN)
def test_sample_means_are_the_mean(name: str) -> None:
    d = scalar(name, copies=20)
    assert_mean(d.sample((20_000,)), d.mean)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_values_that_cannot_be_drawn_are_not(name: str) -> None:
    d = scalar(name, spread=10.0)
    assert support(d).check(d.sample((1000,))).all()


@pytest.mark.parametrize("centre", [-30.0, -0.5, 0.0, 0.005, 0.5, 30.0])
@pytest.mark.parametrize("name", REPARAMETERISED)
def test_reparameterised_gradients_are_the_integrals(name: str, centre: float) -> None:
    """d/dh E[f(x)] over 100 000 draws, each with parameters of its own, against the differentiated integral."""
    part = likelihood(name)
    h = torch.full((2,) if part.per_value == 2 else (), 0.3)
    h.flatten()[0].fill_(centre)
    f = lambda x: x.sin() + 0.1 * (x - centre).square()  # noqa: E731
    leaf = h.clone().requires_grad_()
    x, weight = (each.detach() for each in nodes(part(leaf)))
    (exact,) = torch.autograd.grad((weight * part(leaf).log_prob(x).exp() * f(x)).sum(), leaf)
    copies = h.expand(100_000, *h.shape).clone().requires_grad_()
    (drawn,) = torch.autograd.grad(f(part(copies).rsample()).sum(), copies)
    assert_mean(drawn, exact)


def test_what_can_be_reparameterised() -> None:
    assert {"gaussian", "laplace", "continuous-bernoulli"} <= set(REPARAMETERISED)


def test_inverse_cdf_of_the_continuous_bernoulli() -> None:
    """The mass below icdf(u) is u, by quadrature up to it; at logits on both sides of where its series takes over."""
    u = torch.linspace(0.01, 0.99, 9)
    for logit in (-300.0, -5.0, -0.0101, -0.0099, 0.0, 0.0099, 0.0101, 5.0, 300.0):
        d = likelihood("continuous-bernoulli")(torch.tensor(logit)).base_dist
        edge = d.icdf(u)
        x = torch.linspace(0, 1, 20_001)[:, None] * edge
        assert_close(torch.trapezoid(d.log_prob(x).exp(), x, dim=0), u, within=3e-5)
        assert_close(d.icdf(torch.tensor([0.0, 1.0])), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in FITS if not view_for(variable(k), n).random])
def test_the_data_as_given_have_mass_one(name: str, kind: str) -> None:
    """View and likelihood together: p over the stored values, log-volume included, sums or integrates to one."""
    one = variable(kind, (1,))
    view = view_for(one, name)
    part = likelihood(name, (1,), kind)
    d = part(parameters(part, 5, 1))
    if support(d).is_discrete:
        stored = torch.arange(one.high + 1 if kind != "count" else 4000)[:, None, None].expand(-1, 5, 1)
        mass = (d.log_prob(view(stored)) + view.log_volume).exp().sum(0)
    else:
        seen, _ = nodes(d.base_dist)
        stored = (seen * 2.0 + 0.5) if kind == "real" else seen * (one.high - one.low) + one.low
        density = (d.log_prob(view(stored)) + view.log_volume).exp()
        mass = torch.trapezoid(density, stored[..., 0], dim=0)
    assert_close(mass, 1.0, within=1e-5)


def test_stored_values_come_back_through_the_view() -> None:
    for name, kind in FITS:
        view = view_for(variable(kind), name)
        if not view.random:
            stored = raw(kind, 3, 8, 8)
            assert_close(view.inverse(view(stored)), stored.double(), within=1e-12)


def test_priors_and_posteriors() -> None:
    """A Gaussian posterior, a row of a table and the standard prior are the Gaussians they say they are."""
    table = Table(4, 3)
    torch.nn.init.normal_(table.rows.weight)
    z = torch.randn(6, 2, 3)
    rows = table.rows(torch.tensor([3, 1])).unflatten(-1, (2, 3)).mT
    loc, log_variance = rows.unbind(-1)
    reference = torch.distributions.Normal(loc, (0.5 * log_variance).exp()).log_prob(z).sum(-1)
    assert_close(table(torch.tensor([3, 1])).log_prob(z), reference)
    assert_close(Gaussian(torch.nn.Identity())(rows).log_prob(z), reference)
    assert_close(standard_normal(3)().log_prob(z), -0.5 * z.square().sum(-1) - 1.5 * math.log(2 * math.pi))
    assert (flat(3)().log_prob(z) == 0).all()


def test_a_wrong_density_would_be_noticed() -> None:
    """The tests above can fail: a Bernoulli over grey values is no density, as the notes' trap has it."""
    x, weight = nodes(scalar("continuous-bernoulli"))
    unnormalised = torch.distributions.Bernoulli(logits=torch.ones(12), validate_args=False).log_prob(x)
    assert ((weight * unnormalised.exp()).sum(0) < 0.8).all()
