"""KL divergences: by sum, in closed form, by Monte Carlo; and the one divergence that a VAE minimises."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution, Independent, kl_divergence

from agree import LIMIT, assert_close, assert_mean
from lowerbound.core import (
    ELBO,
    Batch,
    Categorical,
    Enumerate,
    Fixed,
    Latent,
    OneHot,
    discrete_kl,
    flat,
    kl_per_dimension,
    monte_carlo_kl,
    standard_normal,
    total,
)
from lowerbound.core.certain import PointMass
from lowerbound.core.distributions import LogScaleNormal, StandardNormal
from lowerbound.core.divergences import known_kl
from toys import Affine, bits, one_hot

pytestmark = pytest.mark.usefixtures("double")

P, Q = torch.tensor([0.2, 0.4, 0.4]), torch.tensor([0.4, 0.2, 0.4])


def test_the_worked_example() -> None:
    """P = (.2, .4, .4), Q = (.4, .2, .4): the terms are −.1386, .2773 and 0, and their sum .2 log 2 = .1386 nats."""
    p, q = P.double(), Q.double()
    terms = p * (p / q).log()
    assert [round(float(term), 4) for term in terms] == [-0.1386, 0.2773, 0.0]
    assert_close(discrete_kl(p, q), 0.2 * math.log(2), within=1e-7)


def test_sums_agree_with_scipy() -> None:
    p, q = torch.rand(50, 7), torch.rand(50, 7)
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    p[:10, 0] = 0
    expected = torch.tensor(rel_entr(p.numpy(), q.numpy()).sum(-1))
    assert_close(discrete_kl(p, q), expected)
    assert (discrete_kl(q, p)[:10] == math.inf).all()


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        ([0.5, 0.5, 0.0], [0.25, 0.25, 0.5], math.log(2)),
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], 0.0),
        ([0.5, 0.5, 0.0], [1.0, 0.0, 0.0], math.inf),
        ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], math.inf),
        ([1.0, 0.0, 0.0], [0.5, 0.5, 0.0], math.log(2)),
    ],
)
def test_zeros_and_infinities(p: list[float], q: list[float], expected: float) -> None:
    assert discrete_kl(torch.tensor(p), torch.tensor(q)) == pytest.approx(expected)


def test_directions_differ() -> None:
    """The seeker of modes and the coverer of mass rank the same two candidates differently."""
    truth = torch.tensor([0.49, 0.02, 0.49])
    mode, cover = torch.tensor([0.96, 0.02, 0.02]), torch.ones(3) / 3
    assert discrete_kl(mode, truth) < discrete_kl(cover, truth)
    assert discrete_kl(truth, mode) > discrete_kl(truth, cover)


KINDS = ("standard", "log-scale", "torch")


def gaussians(kind: str) -> tuple[Distribution, D.Normal]:
    """Six Gaussians, as this class and as torch's own."""
    loc, scale = torch.randn(6), torch.rand(6) + 0.3
    if kind == "standard":
        loc, scale = torch.zeros(6), torch.ones(6)
    made = {
        "standard": StandardNormal(loc),
        "log-scale": LogScaleNormal(loc, scale.log()),
        "torch": D.Normal(loc, scale),
    }
    return made[kind], D.Normal(loc, scale)


@pytest.mark.parametrize(
    ("first", "second"),
    [(a, b) for a in KINDS for b in KINDS if (a, b) != ("standard", "torch")],
)
def test_gaussian_pairs_agree_with_torch_and_with_samples(first: str, second: str) -> None:
    (q, q_torch), (p, p_torch) = gaussians(first), gaussians(second)
    expected = kl_divergence(q_torch, p_torch)
    assert_close(kl_divergence(q, p), expected)
    z = q.sample((100_000,))
    if not torch.equal(expected, torch.zeros(6)):
        assert_mean(q.log_prob(z) - p.log_prob(z), expected)


def test_kl_of_nearly_equal_gaussians_keeps_its_digits() -> None:
    """KL(N(0, e^2ε) ‖ N(0, 1)) = ε² + O(ε³), where σ² − 1 − log σ² would cancel to nothing."""
    for size in (1e-3, 1e-5, 1e-7):
        q = LogScaleNormal(torch.zeros(1), torch.full((1,), size))
        assert kl_divergence(q, StandardNormal(torch.zeros(1))).item() == pytest.approx(size**2, rel=2 * size + 1e-2)


@pytest.mark.parametrize(("event", "columns"), [((3,), 3), ((2, 3), 6), ((), 1)])
def test_one_column_for_each_dimension(event: tuple[int, ...], columns: int) -> None:
    q = Independent(LogScaleNormal(torch.randn(4, *event), torch.randn(4, *event)), len(event))
    p = Independent(StandardNormal(torch.zeros(event)), len(event))
    each = kl_per_dimension(q, p)
    assert each.shape == (4, columns)
    assert (each >= 0).all()
    assert_close(each.sum(-1), kl_divergence(q, Independent(StandardNormal(torch.zeros(4, *event)), len(event))))


def test_discrete_latents_have_a_closed_form() -> None:
    q, p = torch.randn(4, 3), torch.randn(3)
    assert_close(kl_per_dimension(one_hot(q), one_hot(p)).squeeze(-1), discrete_kl(q.softmax(-1), p.softmax(-1)))
    by_bit = kl_per_dimension(bits(q), bits(p))
    both = [torch.stack([each.sigmoid(), 1 - each.sigmoid()], -1) for each in (q, p)]
    assert_close(by_bit, discrete_kl(both[0], both[1].expand(4, 3, 2)))


def test_what_has_no_closed_form_is_none() -> None:
    q = Independent(LogScaleNormal(torch.zeros(4, 2), torch.zeros(4, 2)), 1)
    mixture = D.MixtureSameFamily(
        D.Categorical(logits=torch.zeros(2)), Independent(D.Normal(torch.zeros(2, 2), 1.0), 1)
    )
    assert known_kl(q, mixture) is None
    assert known_kl(q, flat(2)()) is None
    assert known_kl(q, standard_normal(2)()).shape == (4, 2)


def test_a_point_under_a_flat_prior_has_no_rate() -> None:
    q = Independent(PointMass(torch.randn(4, 2)), 1)
    assert (kl_per_dimension(q, flat(2)()) == 0).all()


def test_monte_carlo_states_its_own_error() -> None:
    """2 000 estimates with known answers: their z-scores have mean 0 and sd 1, to 4.5 standard errors of each."""
    q = LogScaleNormal(torch.randn(2000), 0.3 * torch.randn(2000))
    p = LogScaleNormal(torch.zeros(2000), torch.zeros(2000))
    value, stderr = monte_carlo_kl(q, p, samples=1000)
    z = (value - kl_divergence(q, p)) / stderr
    assert abs(z.mean()) < LIMIT / 2000**0.5
    assert abs(z.std() - 1) < LIMIT / 4000**0.5
    assert not value.requires_grad


def test_one_divergence_is_the_elbo() -> None:
    """KL(p̃(x) q(z|x) ‖ p(x, z)) = −E ELBO − H(p̃), every term a sum over 4 × 3 states."""
    empirical = torch.tensor([0.1, 0.2, 0.3, 0.4])
    prior = Fixed(one_hot, logits=torch.randn(3))
    model = Latent(prior, OneHot(nn.Embedding(4, 3)), Categorical(Affine(torch.randn(4, 3), torch.zeros(4)), 4, 0))
    x, z = torch.arange(4), torch.eye(3)
    q = model.infer(Batch({"x": x})).probs
    p_x_given_z = model.decode(z)["x"].base_dist.probs
    left = (empirical[:, None] * q).flatten()
    right = (prior().probs[:, None] * p_x_given_z).T.flatten()
    elbo = -ELBO()(model.trace(Batch({"x": x}), 1, Enumerate()))["negative_elbo"]
    entropy = -(empirical * empirical.log()).sum()
    assert_close(discrete_kl(left, right), -(empirical * elbo).sum() - entropy)
    marginal = right.reshape(4, 3).sum(1)
    assert discrete_kl(left, right) > discrete_kl(empirical, marginal)


def test_the_same_latent_is_a_mixture_and_a_continuous_mixture() -> None:
    """A VAE is a mixture with a continuous index: one class, one likelihood, another prior and another sum."""
    decoder = Affine(torch.randn(2, 3), torch.zeros(2))
    likelihood = Categorical(decoder, 2, 0)
    x = Batch({"x": torch.tensor([0, 1, 1])})
    embedded = nn.Embedding(2, 3)
    discrete = Latent(Fixed(one_hot, logits=torch.zeros(3)), OneHot(embedded), likelihood)
    assert discrete.trace(x, 1, Enumerate()).log_w.shape == (3, 3)
    total(ELBO()(discrete.trace(x, 1, Enumerate()))).backward()
    assert embedded.weight.grad.abs().sum() > 0
    mass = sum_over(discrete, x)
    expected = (decoder(torch.eye(3)).log_softmax(-1)[:, x.x["x"]].exp() / 3).sum(0)
    assert_close(mass, expected)


def sum_over(model: Latent, x: Batch) -> Tensor:
    trace = model.trace(x, 1, Enumerate())
    return (trace.log_px + trace.log_p).exp().sum(0)
