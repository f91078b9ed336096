"""How a network's output is read: parameters, clamps, types and devices."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import assert_close
from lowerbound.core import (
    Bernoulli,
    Categorical,
    Conditional,
    ContinuousBernoulli,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Fixed,
    Gaussian,
    Homoscedastic,
    Laplace,
    NegativeBinomial,
    OneHot,
    Point,
    Poisson,
    Table,
    flat,
    squared_error,
    standard_normal,
)

pytestmark = pytest.mark.usefixtures("double")

SAME = nn.Identity()


def test_a_gaussian_reads_mean_and_log_variance() -> None:
    h, x = torch.randn(4, 3, 2), torch.randn(4, 3)
    expected = D.Normal(h[..., 0], (0.5 * h[..., 1]).exp()).log_prob(x).sum(-1)
    assert_close(Gaussian(SAME)(h).log_prob(x), expected)


def test_a_laplace_reads_mean_and_log_squared_scale() -> None:
    h, x = torch.randn(4, 3, 2), torch.randn(4, 3)
    expected = D.Laplace(h[..., 0], (0.5 * h[..., 1]).exp()).log_prob(x).sum(-1)
    assert_close(Laplace(SAME)(h).log_prob(x), expected)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_one_scale_for_all_data_is_fixed_or_learned(shape: tuple[int, ...]) -> None:
    h, x, log_scale = torch.randn(4, 3), torch.randn(4, 3), torch.full(shape, 0.4)
    expected = D.Normal(h, math.exp(0.4)).log_prob(x).sum(-1)
    fixed, learned = Homoscedastic(SAME, log_scale), Homoscedastic(SAME, nn.Parameter(log_scale))
    assert_close(fixed(h).log_prob(x), expected)
    assert_close(learned(h).log_prob(x), expected)
    assert not list(fixed.parameters())
    assert [p.shape for p in learned.parameters()] == [shape]
    assert "log_scale" in fixed.state_dict()


def test_the_best_learned_scale_is_the_root_mean_square() -> None:
    x = 0.3 * torch.randn(1000, 1)
    part = Homoscedastic(SAME, nn.Parameter(0.5 * x.square().mean().log()))
    part(torch.zeros(1000, 1)).log_prob(x).sum().backward()
    assert_close(part.log_scale.grad, 0.0, within=1e-9)


def test_squared_error_is_the_gaussian_of_variance_one_half() -> None:
    """−log p = ‖x − μ‖² + (D/2) log π."""
    h, x = torch.randn(4, 7), torch.randn(4, 7)
    assert_close(-squared_error(SAME)(h).log_prob(x), (x - h).square().sum(-1) + 3.5 * math.log(math.pi), within=1e-6)
    assert_close(squared_error(SAME)(h).variance, 0.5, within=1e-6)


@pytest.mark.parametrize("log_variance", [-1e9, -15.0, 15.0, 1e9])
def test_scales_are_clamped(log_variance: float) -> None:
    h, clamped = torch.tensor([[0.0, log_variance]]), max(-15.0, min(15.0, log_variance))
    assert_close(Gaussian(SAME)(h).variance.log(), clamped)
    assert_close((0.5 * Laplace(SAME)(h).variance).log(), clamped)
    assert_close(Homoscedastic(SAME, torch.tensor(log_variance / 2))(h).variance.log(), clamped)


def test_bits_symbols_and_counts() -> None:
    logits, x = torch.randn(4, 3), torch.tensor([[0.0, 1.0, 1.0]] * 4)
    signs = 2 * x - 1
    assert_close(Bernoulli(SAME)(logits).log_prob(x), nn.functional.logsigmoid(signs * logits).sum(-1))
    h, codes = torch.randn(4, 3, 5), torch.tensor([[0.0, 4.0, 2.0]] * 4)
    by_code = h.log_softmax(-1).gather(-1, codes.long().unsqueeze(-1)).squeeze(-1).sum(-1)
    assert_close(Categorical(SAME, 5)(h).log_prob(codes), by_code)
    assert_close(Poisson(SAME)(logits).log_prob(codes), D.Poisson(logits.exp()).log_prob(codes).sum(-1))
    log_mean, log_r = h[..., 0], h[..., 1]
    theirs = D.NegativeBinomial(log_r.exp(), logits=log_mean - log_r)
    assert_close(NegativeBinomial(SAME)(h[..., :2]).log_prob(codes), theirs.log_prob(codes).sum(-1), within=1e-11)


def test_a_single_class_is_certain() -> None:
    """A network gives one number a value without a dimension for it; the event must not be taken for classes."""
    d = Categorical(SAME, 1)(torch.randn(4, 3))
    assert (d.batch_shape, d.event_shape) == ((4,), (3,))
    assert (d.log_prob(torch.zeros(4, 3)) == 0).all()


@pytest.mark.parametrize("build", [Poisson, NegativeBinomial])
def test_rates_are_clamped(build: type[Conditional]) -> None:
    for log_rate, clamped in ((-1e6, -15.0), (1e6, 15.0)):
        h = torch.full((3, 2) if build is NegativeBinomial else (3,), log_rate)
        assert_close(build(SAME)(h).mean.log(), clamped)


def test_a_mixture_of_logistics_is_the_sum_of_its_parts() -> None:
    part = DiscretizedLogisticMixture(SAME, components=3, levels=9, event_dims=1)
    assert part.per_value == 9
    h, x = torch.randn(4, 2, 9), torch.randint(0, 9, (4, 2)).double()
    logits, loc, log_variance = h.chunk(3, -1)
    one = DiscretizedLogistic(SAME, 9)
    terms = [
        one.family(torch.stack([loc[..., i] + offset, log_variance[..., i]], -1)).log_prob(x)
        for i, offset in enumerate((-1.0, 0.0, 1.0))
    ]
    expected = torch.logsumexp(logits.log_softmax(-1) + torch.stack(terms, -1), -1).sum(-1)
    assert_close(part(h).log_prob(x), expected)


def test_a_one_hot_latent_is_a_vector() -> None:
    q = OneHot(SAME)(torch.randn(4, 5))
    assert q.event_shape == (5,)
    assert q.sample((3,)).sum(-1).eq(1).all()
    assert_close(q.log_prob(torch.eye(5)[0]), q.logits[:, 0])


def test_a_point_is_the_network_output() -> None:
    h = torch.randn(4, 3)
    assert torch.equal(Point(SAME)(h).rsample(), h)
    assert (Point(SAME)(h).log_prob(h) == 0).all()


def test_a_fixed_distribution_learns_what_is_a_parameter() -> None:
    prior = Fixed(D.Normal, loc=torch.zeros(2), scale=nn.Parameter(torch.ones(2)))
    assert [name for name, _ in prior.named_parameters()] == ["scale"]
    assert [name for name, _ in prior.named_buffers()] == ["loc"]
    prior("anything", None).log_prob(torch.ones(2)).sum().backward()
    assert prior.scale.grad is not None


def test_what_is_none_is_not_given() -> None:
    class Recording(nn.Module):
        def forward(self, *given: object) -> Tensor:
            self.given = given
            return torch.zeros(1, 2)

    for build in (Gaussian, OneHot):
        net = Recording()
        build(net)(torch.ones(1), None)
        assert len(net.given) == 1


@pytest.mark.parametrize("part", [Gaussian(SAME), Bernoulli(SAME), OneHot(SAME), ContinuousBernoulli(SAME)])
def test_parameters_are_at_least_float32(part: Conditional) -> None:
    for given, made in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert part(torch.zeros(3, 2, dtype=given)).sample().dtype == made


@pytest.mark.parametrize("prior", [standard_normal(3), flat(3), standard_normal(2, 3)])
def test_priors_follow_their_module(prior: Conditional) -> None:
    assert prior.float()().log_prob(torch.zeros(prior.like.shape)).shape == ()
    assert standard_normal(3).float()().sample().dtype == torch.float32
    assert prior.to("meta").like.device.type == "meta"


def test_a_table_starts_at_the_prior() -> None:
    q = Table(4, 3)(torch.tensor([0, 3]))
    assert (q.mean == 0).all()
    assert (q.variance == 1).all()
