"""Flow matching against exact answers: linear fields, and the velocity that Gaussian data ask for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from agree import assert_close, assert_mean, assert_same_mean, refused
from lowerbound.core import Batch, FlowMatched, FlowMatching, Gaussian, Laplace, Latent, standard_normal
from lowerbound.core.flow_matching import Carried, directions, walk, with_divergence

pytestmark = pytest.mark.usefixtures("double")


def linear(size: int) -> tuple[Tensor, MultivariateNormal]:
    """A matrix A, and where dz/dt = Az carries N(0, I) by time 1."""
    a = 0.5 * torch.randn(size, size) / size**0.5
    whole = torch.linalg.matrix_exp(a)
    return a, MultivariateNormal(torch.zeros(size), whole @ whole.T)


@torch.no_grad()
def test_a_linear_field_carries_noise_to_a_known_gaussian() -> None:
    a, exact = linear(3)
    carried = Carried(lambda z, t: z @ a.T, torch.zeros(3), steps=100)
    z = exact.sample((2, 5))
    assert_close(carried.log_prob(z), exact.log_prob(z), within=1e-4)
    drawn = carried.sample((20_000,))
    products = drawn.unsqueeze(2) * drawn.unsqueeze(1)
    assert_mean(products.flatten(1), exact.covariance_matrix.flatten())


@torch.no_grad()
def test_the_error_of_the_walk_is_of_second_order() -> None:
    a, exact = linear(3)
    z = exact.sample((50,))
    errors = [
        (Carried(lambda z, t: z @ a.T, torch.zeros(3), steps).log_prob(z) - exact.log_prob(z)).abs().max()
        for steps in (10, 20)
    ]
    assert 3 < errors[0] / errors[1] < 5


@torch.no_grad()
def test_beyond_sixteen_dimensions_the_density_is_right_in_mean() -> None:
    a, exact = linear(20)
    carried = Carried(lambda z, t: z @ a.T, torch.zeros(20), steps=40)
    z = exact.sample()
    found = carried.log_prob(z.expand(2000, -1))
    assert found.std() > 0.01
    assert_mean(found - exact.log_prob(z), 0.0)


def test_a_divergence_is_the_trace_of_the_jacobian() -> None:
    net, z, t = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)), torch.randn(3, 4), torch.zeros(3)
    _, found = with_divergence(lambda z, t: net(z), z, t, directions(z))
    jacobians = torch.func.vmap(torch.func.jacrev(net))(z)
    assert_close(found, jacobians.diagonal(dim1=1, dim2=2).sum(1))


def test_the_best_velocity_for_gaussian_data_has_the_least_mismatch() -> None:
    """Of z ~ N(m, s²): E[z − ε | z_t] in closed form; by its side any other velocity does worse."""
    m, s = 1.5, 0.5

    def best(z: Tensor, t: Tensor) -> Tensor:
        t = t.unsqueeze(-1)
        variance = (1 - t) ** 2 + t**2 * s**2
        return m + (t * s**2 - (1 - t)) / variance * (z - t * m)

    z = m + s * torch.randn(100_000, 1)
    exact, off = (Carried(field, torch.zeros(1), 1) for field in (best, lambda z, t: best(z, t) + 0.3))
    assert_same_mean(off.mismatch(z), exact.mismatch(z) + 0.09)
    carried = Carried(best, torch.zeros(1), steps=200)
    x = m + s * torch.randn(5, 1)
    assert_close(carried.log_prob(x), torch.distributions.Normal(m, s).log_prob(x).squeeze(1), within=1e-3)


def test_the_regression_teaches_the_velocity_alone() -> None:
    prior = FlowMatched(Drift(), (3,), steps=2)
    encoder, x = nn.Linear(3, 6), torch.randn(5, 3)
    posterior = Gaussian(nn.Sequential(encoder, nn.Unflatten(-1, (3, 2))))
    model = Latent(prior, posterior, Laplace(nn.Sequential(nn.Linear(3, 6), nn.Unflatten(-1, (3, 2)))))
    terms = FlowMatching()(model.trace(Batch({"x": x}), 4))
    assert terms["mismatch"].shape == (5,)
    terms["mismatch"].sum().backward()
    assert encoder.weight.grad is None
    assert prior.velocity.drift.weight.grad.abs().sum() > 0


def test_it_needs_a_prior_with_a_velocity() -> None:
    model = Latent(standard_normal(2), Gaussian(nn.Unflatten(-1, (2, 2))), Laplace(nn.Unflatten(-1, (1, 2))))
    with refused("flow matching needs a prior whose velocity it can match; use FlowMatched"):
        FlowMatching()(model.trace(Batch({"x": torch.randn(3, 4)})))


def test_a_walk_there_and_back_ends_where_it_began() -> None:
    z = torch.randn(4, 2)
    there = walk(lambda z, t: z.sin() + t.unsqueeze(1), z, 0.0, 1.0, 500)
    assert_close(walk(lambda z, t: z.sin() + t.unsqueeze(1), there, 1.0, 0.0, 500), z, within=1e-5)


class Drift(nn.Module):
    """A linear velocity."""

    def __init__(self) -> None:
        super().__init__()
        self.drift = nn.Linear(3, 3)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        return self.drift(z) + t.unsqueeze(1)
