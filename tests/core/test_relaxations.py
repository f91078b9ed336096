"""Finite latents as thresholds of continuous scores: the marginals, what is drawn given z, slopes and divergences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Independent, kl_divergence

from agree import assert_close, assert_mean
from lowerbound.core import bits, kl_per_dimension, one_hot
from lowerbound.core.relaxations import Binary, OneOfMany, Relaxation, logits_of, relaxation, uniform

pytestmark = pytest.mark.usefixtures("double")

DRAWS = 40_000
KINDS = [pytest.param(Binary(), id="binary"), pytest.param(OneOfMany(), id="one-of-many")]


def hard(kind: Relaxation, s: Tensor) -> Tensor:
    return (s > 0).to(s.dtype) if isinstance(kind, Binary) else torch.eye(s.shape[-1])[s.argmax(-1)]


def latent(kind: Relaxation, logits: Tensor) -> D.Distribution:
    return bits(logits) if isinstance(kind, Binary) else one_hot(logits)


def cumulative(kind: Relaxation, noise: Tensor) -> Tensor:
    """Uniform where the noise is logistic, or Gumbel's."""
    return torch.sigmoid(noise) if isinstance(kind, Binary) else torch.exp(-torch.exp(-noise))


def assert_uniform(u: Tensor) -> None:
    for power in (1, 2, 3, 6):
        assert_mean(u**power, 1 / (power + 1))
    pairs = (u - 0.5)[..., :-1] * (u - 0.5)[..., 1:]
    assert_mean(pairs, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_of_logits_and_noise_has_the_latent_s_law(kind: Relaxation) -> None:
    logits = torch.randn(4).log_softmax(-1) if isinstance(kind, OneOfMany) else torch.randn(4)
    noise = kind.noise(uniform(logits, DRAWS))
    assert_uniform(cumulative(kind, noise))
    assert_mean(hard(kind, logits + noise), latent(kind, logits).mean)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_given_z_lead_back_to_it_and_are_distributed_as_all_are(kind: Relaxation) -> None:
    """Over z ~ q they are logits plus independent noise: so one may draw z first and its scores after."""
    logits = torch.randn(4).log_softmax(-1) if isinstance(kind, OneOfMany) else torch.randn(4)
    z = latent(kind, logits).sample((DRAWS,))
    s = kind.given(logits, z, uniform(logits, DRAWS))
    assert torch.equal(hard(kind, s), z)
    assert_uniform(cumulative(kind, s - logits))


@pytest.mark.parametrize("kind", KINDS)
def test_a_cold_relaxation_is_the_latent(kind: Relaxation) -> None:
    s = torch.randn(100, 4)
    assert_close(kind.soft(s / 1e-6), hard(kind, s), within=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_autograd_s(kind: Relaxation) -> None:
    logits = torch.randn(5, 4, requires_grad=True)
    q = latent(kind, logits)
    z = q.sample()
    (slope,) = torch.autograd.grad(q.log_prob(z).sum(), logits, retain_graph=True)
    assert_close(kind.score(logits, z), slope)
    assert type(relaxation(q)) is type(kind)
    (whole,) = torch.autograd.grad((logits_of(q) * z).sum(), logits)
    assert whole.shape == slope.shape


@pytest.mark.parametrize("extreme", [-80.0, 80.0])
def test_scores_given_z_are_finite_at_the_ends(extreme: float) -> None:
    torch.set_default_dtype(torch.float32)
    logits = torch.full((1000, 3), extreme, requires_grad=True)
    for z in (torch.zeros(1000, 3), torch.ones(1000, 3)):
        s = Binary().given(logits, z, uniform(logits))
        (slope,) = torch.autograd.grad(s.sum(), logits)
        assert s.isfinite().all()
        assert slope.isfinite().all()
    z = torch.eye(3)[torch.arange(1000) % 3]
    assert OneOfMany().given(torch.tensor([0.0, 0.0, extreme]).expand(1000, 3), z, uniform(z)).isfinite().all()


def test_the_divergence_of_bits_is_torch_s_and_broadcasts() -> None:
    q, p = torch.randn(5, 4), torch.randn(4)
    exact = kl_divergence(D.Bernoulli(logits=q), D.Bernoulli(logits=p.expand(5, 4)))
    assert_close(kl_per_dimension(bits(q), bits(p)), exact)
    assert_close(kl_divergence(bits(torch.tensor([60.0])), bits(torch.tensor([0.0]))), torch.log(torch.tensor(2.0)))


def test_several_one_hot_latents_diverge_each_by_itself() -> None:
    q, p = torch.randn(5, 4, 3), torch.randn(4, 3)
    found = kl_per_dimension(one_hot(q, 2), one_hot(p, 2))
    q, p = q.softmax(-1), p.softmax(-1)
    assert found.shape == (5, 4)
    assert_close(found, (q * (q / p).log()).sum(-1))
    assert isinstance(one_hot(p, 2), Independent)
