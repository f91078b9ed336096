"""Chains over what is hidden, beside the exact conditional of a model whose every state can be written down."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from agree import LIMIT, assert_mean
from lowerbound.core import Batch, Bernoulli, Fixed, Latent, OneHot
from lowerbound.core.gibbs import Rule, always, metropolis, start, walked
from toys import Affine, Bayes, LinearGaussian, one_hot

pytestmark = pytest.mark.usefixtures("double")

OBSERVED = torch.tensor([True, False, True, False])
SEEN = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
CHAINS, SWEEPS = 5_000, 30


class FourBits:
    """z one of three, x four bits: sixteen states of x, and a posterior that is exact or any other."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.prior = Fixed(one_hot, logits=torch.randn(3))
        self.likelihood = Bernoulli(Affine(2 * torch.randn(4, 3), torch.zeros(4)))

    def exact(self) -> Latent:
        return Latent(self.prior, Bayes(self.prior, self.likelihood), self.likelihood)

    def wrong(self) -> Latent:
        """q reads x, and says something else of it than the posterior does."""
        return Latent(self.prior, OneHot(Affine(torch.randn(3, 4), torch.randn(3))), self.likelihood)

    def conditional(self) -> Tensor:
        """p of each of the four states of the two hidden bits given the observed ones."""
        states = SEEN.repeat(4, 1)
        states[:, ~OBSERVED] = torch.tensor(list(product((0.0, 1.0), repeat=2)))
        z = torch.eye(3)[:, None]
        joint = self.prior().log_prob(z) + self.likelihood(z).log_prob(states)
        return torch.softmax(torch.logsumexp(joint, 0), 0)


def frequencies(model: Latent, rule: Rule) -> Tensor:
    """Which of the four states each chain is in at the end, one-hot."""
    chains = Batch({"x": SEEN.repeat(CHAINS, 1)})
    observed = {"x": OBSERVED.expand(CHAINS, 4)}
    x = walked(model, start(model, chains), observed, SWEEPS, rule).batch.x["x"]
    assert (x[:, OBSERVED] == SEEN[OBSERVED]).all()
    code = (x[:, ~OBSERVED] @ torch.tensor([2.0, 1.0])).long()
    return torch.eye(4)[code]


@torch.no_grad()
@pytest.mark.parametrize("rule", [always, metropolis])
def test_with_the_exact_posterior_both_rules_draw_from_the_conditional(rule: Rule) -> None:
    toy = FourBits()
    assert_mean(frequencies(toy.exact(), rule), toy.conditional())


@torch.no_grad()
def test_metropolis_within_gibbs_is_right_whatever_is_proposed() -> None:
    toy = FourBits()
    assert_mean(frequencies(toy.wrong(), metropolis), toy.conditional())


@torch.no_grad()
def test_pseudo_gibbs_is_not() -> None:
    toy = FourBits()
    found = frequencies(toy.wrong(), always)
    error = found.std(0) / CHAINS**0.5
    assert ((found.mean(0) - toy.conditional()) / error).abs().max() > 3 * LIMIT


@torch.no_grad()
def test_a_gaussian_conditional_has_its_moments() -> None:
    """x_hidden | x_observed of a linear-Gaussian model, with a posterior wider than it should be."""
    torch.manual_seed(0)
    toy = LinearGaussian()
    model, normal, observed = toy.model(widen=0.5), toy.marginal(), OBSERVED
    x = normal.sample()
    chains = Batch({"x": x.repeat(CHAINS, 1)})
    place = walked(model, start(model, chains), {"x": observed.expand(CHAINS, 4)}, SWEEPS)
    cov = normal.covariance_matrix
    gain = cov[~observed][:, observed] @ torch.linalg.inv(cov[observed][:, observed])
    mean = normal.mean[~observed] + gain @ (x - normal.mean)[observed]
    spread = cov[~observed][:, ~observed] - gain @ cov[observed][:, ~observed]
    hidden = place.batch.x["x"][:, ~observed]
    assert_mean(hidden, mean)
    assert_mean((hidden - mean)[:, :, None] * (hidden - mean)[:, None], spread)
    assert 0.2 < place.accepted.mean() < 0.99
