"""Mixtures of Gaussians and pseudo-inputs: against torch's mixture, written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import assert_close, assert_mean
from lowerbound.core import Gaussian
from lowerbound.core.gaussians import FullGaussian, full_width
from lowerbound.core.mixtures import GaussianMixture, MixturePrior, equal_mixture
from lowerbound.core.vamp import VampPrior
from lowerbound.precision import products


@pytest.fixture
def numbers() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(6).log_softmax(0), 2 * torch.randn(6, 3), torch.randn(6, 3)


def written_out(log_weights: Tensor, loc: Tensor, log_scale: Tensor) -> D.MixtureSameFamily:
    return D.MixtureSameFamily(D.Categorical(logits=log_weights), D.Independent(D.Normal(loc, log_scale.exp()), 1))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("lead", [(), (4,), (5, 4)])
def test_a_mixture_is_torchs_in_value_and_gradient(lead: tuple[int, ...]) -> None:
    z = torch.randn(*lead, 3, requires_grad=True)
    leaves = [each.requires_grad_() for each in (torch.randn(6), torch.randn(6, 3), torch.randn(6, 3))]
    outcomes = []
    for build in (GaussianMixture, written_out):
        log_p = build(leaves[0].log_softmax(0), *leaves[1:]).log_prob(z)
        outcomes.append([log_p, *torch.autograd.grad(log_p.sum(), [z, *leaves])])
    for ours, theirs in zip(*outcomes):
        assert_close(ours, theirs, within=1e-10)


def test_its_moments_and_draws_are_torchs(numbers: tuple[Tensor, Tensor, Tensor]) -> None:
    mixture, expected = GaussianMixture(*numbers), written_out(*numbers)
    assert_close(mixture.mean, expected.mean, within=1e-5)
    assert_close(mixture.variance, expected.variance, within=1e-4)
    z = mixture.sample((40_000,))
    assert_mean(z, expected.mean)
    assert_mean((z - expected.mean).square(), expected.variance)


@pytest.mark.usefixtures("double")
def test_it_integrates_to_one() -> None:
    mixture = MixturePrior(5, 2)()
    line = torch.linspace(-9, 9, 401)
    density = mixture.log_prob(torch.cartesian_prod(line, line)).exp()
    assert_close(density.sum() * (line[1] - line[0]) ** 2, 1.0, within=1e-6)


def test_narrow_components_far_out_lose_no_nats_in_float32_nor_to_rough_products() -> None:
    """Squares of some 10^8 cancel to a few nats; in float32 products whole nats would be lost."""
    loc, log_scale = 100 + torch.randn(6, 3), torch.full((6, 3), -4.5)
    z = loc[:4] + 0.01 * torch.randn(4, 3)
    weights = torch.zeros(6).log_softmax(0)
    exact = written_out(weights.double(), loc.double(), log_scale.double()).log_prob(z.double())
    with products("bf16"):
        assert_close(GaussianMixture(weights, loc, log_scale).log_prob(z), exact, within=1e-3)


def posterior() -> Gaussian:
    return Gaussian(nn.Sequential(nn.Linear(4, 6), nn.Unflatten(-1, (3, 2))))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_a_vamp_prior_is_the_mixture_of_its_inputs_posteriors(kind: str) -> None:
    encoder = posterior() if kind == "diagonal" else FullGaussian(nn.Linear(4, full_width(3)), 3)
    prior = VampPrior(encoder, 5, (4,))
    z = torch.randn(2, 7, 3)
    each = torch.stack([encoder(u).log_prob(z) for u in prior.inputs])
    assert_close(prior().log_prob(z), torch.logsumexp(each, 0) - torch.tensor(5.0).log(), within=1e-10)
    assert prior().sample((8,)).shape == (8, 3)


def test_its_density_teaches_the_encoder_and_the_inputs() -> None:
    encoder = posterior()
    prior = VampPrior(encoder, 5, (4,))
    prior().log_prob(torch.randn(7, 3)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in [*encoder.parameters(), prior.inputs])


def test_the_encoder_is_saved_with_the_posterior_alone() -> None:
    assert list(VampPrior(posterior(), 5, (4,)).state_dict()) == ["inputs"]


def test_inputs_begin_as_data() -> None:
    prior, data = VampPrior(posterior(), 5, (4,)), torch.rand(3, 4)
    prior.start_at(data)
    assert torch.equal(prior.inputs, data[[0, 1, 2, 0, 1]])


def test_equal_parts_that_do_not_factorise_are_mixed_as_they_are() -> None:
    parts = D.MultivariateNormal(torch.randn(4, 2), torch.eye(2))
    z = torch.randn(6, 2)
    expected = torch.logsumexp(parts.log_prob(z[:, None]), 1) - torch.tensor(4.0).log()
    assert_close(equal_mixture(parts).log_prob(z), expected, within=1e-5)
