"""Refinement: on linear-Gaussian models, whose best posteriors of any family are known, it finds exactly those."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as D
from torch import nn
from torch.distributions import Distribution, Independent

from agree import assert_close, refused
from correlated import Correlated
from lowerbound.core import Batch, Latent, correlated, log_marginal, posed, refined
from lowerbound.core.gaussians import LowRankGaussian
from lowerbound.core.refinement import paired_draws

pytestmark = pytest.mark.usefixtures("double")


def started(toy: Correlated, n: int = 50) -> tuple[Latent, Batch, Distribution]:
    model, batch = toy.model(), toy.data(n)
    return model, batch, model.infer(batch)


def test_finds_the_best_diagonal_gaussian() -> None:
    """To 0.005 nats, of the 0.8 that no diagonal Gaussian can gain and the 20 that the encoder loses."""
    toy = Correlated()
    model, batch, q = started(toy)
    found = refined(model, batch, q, lr=0.2)
    left = toy.kl(batch, found.q) - toy.gap
    assert (left > -1e-9).all()
    assert left.mean() < 0.005
    assert left.max() < 0.03
    assert abs(found.rise.mean()) < 0.03


def test_finds_the_posterior_itself_where_the_family_has_it() -> None:
    toy = Correlated()
    model, batch, q = started(toy)
    found = refined(model, batch, correlated(q), lr=0.2).q
    assert toy.kl(batch, found).mean() < 5e-4


def test_a_few_shared_directions_are_found() -> None:
    """Two of them come nearer to a posterior of three dimensions than none, and lose nothing when any may follow."""
    toy = Correlated(latent=3)
    model, batch, q = started(toy)
    numbers = torch.cat([torch.stack([q.mean, q.variance.log()], -1), 0.1 * torch.randn(50, 3, 2)], -1)
    start = LowRankGaussian(nn.Flatten(), 3, rank=2)(numbers)
    found = refined(model, batch, start, lr=0.2).q
    assert isinstance(found, D.LowRankMultivariateNormal)
    assert toy.kl(batch, found).mean() < toy.kl(batch, refined(model, batch, q, lr=0.2).q).mean() - 0.3
    again = correlated(found)
    assert_close(again.covariance_matrix, found.covariance_matrix, within=1e-9)


def test_the_model_is_left_as_it_was_and_needs_no_gradient_of_its_caller() -> None:
    toy = Correlated()
    model, batch, q = started(toy, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        found = refined(model, batch, q, steps=5).q
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not found.mean.requires_grad


def test_the_same_seed_finds_the_same() -> None:
    toy = Correlated()
    model, batch, q = started(toy, 5)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(refined(model, batch, q, steps=20).q)
    assert torch.equal(found[0].mean, found[1].mean)
    assert torch.equal(found[0].variance, found[1].variance)


def test_a_datum_climbs_as_it_would_alone() -> None:
    """Three copies of a datum and that datum alone: the same but for the draws."""
    toy = Correlated()
    model, batch, q = started(toy, 1)
    copies = Batch({"x": batch.x["x"].expand(3, -1)})
    together = refined(model, copies, correlated(model.infer(copies)), lr=0.2).q
    alone = refined(model, batch, correlated(q), lr=0.2).q
    assert_close(together.mean, alone.mean, within=1e-3)


def test_where_the_climb_was_too_short_it_says_so() -> None:
    toy = Correlated()
    found = refined(*started(toy), steps=40, lr=0.01)
    assert found.rise.mean() > 0.1


def test_no_gradient_is_left() -> None:
    assert not refined(*started(Correlated(), 4), steps=4).q.mean.requires_grad


@pytest.mark.parametrize("full", [False, True])
def test_importance_sampling_from_the_posteriors_found(full: bool) -> None:
    """Near the posterior each weight is near p(x), so few draws do, and each datum is given its own q."""
    toy = Correlated()
    model, batch, q = started(toy)
    found = refined(model, batch, correlated(q) if full else q, lr=0.2).q
    estimate = log_marginal(*posed(model, batch, found), particles=500)
    truth = toy.marginal().log_prob(batch.x["x"])
    assert_close(estimate.log_p, truth, within=0.02 if full else 0.5)
    assert estimate.ess.mean() > (450 if full else 100)


def test_pairs_of_draws_mirror_each_other() -> None:
    q = Independent(D.Normal(torch.randn(5, 3), 2.0), 1)
    z = paired_draws(q, 4)
    assert_close(z[:2] + z[2:], 2 * q.mean.expand(2, -1, -1))
    assert paired_draws(q, 3).shape == (3, 5, 3)


def test_what_is_no_gaussian_is_refused() -> None:
    toy = Correlated()
    model, batch, _ = started(toy, 5)
    sentence = "a posterior is refined where it is Gaussian, and Laplace is not"
    with refused(sentence):
        refined(model, batch, Independent(D.Laplace(torch.zeros(5, 3), 1.0), 1))
