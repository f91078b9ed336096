"""Gaussians with correlations: against torch's with the same covariance, and exact where the posterior is one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import assert_close, assert_mean
from lowerbound.core import (
    ELBO,
    STL,
    Batch,
    Conditional,
    Gaussian,
    Homoscedastic,
    Latent,
    kl_per_dimension,
    standard_normal,
    total,
)
from lowerbound.core.divergences import known_kl
from lowerbound.core.estimators import detached
from lowerbound.core.gaussians import FullGaussian, LowRankGaussian, full_width
from toys import Affine, Constant

pytestmark = pytest.mark.usefixtures("double")

PARTS = {
    "full": (lambda net, dim: FullGaussian(net, dim), full_width),
    "low-rank": (lambda net, dim: LowRankGaussian(net, dim, 2), lambda dim: 4 * dim),
}


def posterior(name: str, dim: int, rows: int = 4) -> D.Distribution:
    build, width = PARTS[name]
    return build(nn.Identity(), dim)(torch.randn(rows, width(dim)))


def as_torch(q: D.Distribution) -> D.MultivariateNormal:
    return D.MultivariateNormal(q.mean, covariance_matrix=q.covariance_matrix)


def test_a_full_gaussian_is_the_one_its_network_describes() -> None:
    h = torch.randn(5, full_width(3))
    q = FullGaussian(nn.Identity(), 3)(h)
    scale = (h[:, 3:6] / 2).exp()
    lower = torch.eye(3).repeat(5, 1, 1)
    lower[:, 1, 0], lower[:, 2, 0], lower[:, 2, 1] = h[:, 6:].T / math.sqrt(3)
    factor = scale[:, :, None] * lower
    assert_close(q.mean, h[:, :3])
    assert_close(q.covariance_matrix, factor @ factor.mT, within=1e-10)


def test_a_low_rank_gaussian_is_the_one_its_network_describes() -> None:
    h = torch.randn(5, 3, 4)
    q = LowRankGaussian(nn.Identity(), 3, 2)(h.flatten(1))
    scale, factor = (h[..., 1] / 2).exp(), h[..., 2:] / math.sqrt(3)
    expected = scale[:, :, None] * (torch.eye(3) + factor @ factor.mT) * scale[:, None]
    assert_close(q.mean, h[..., 0])
    assert_close(q.covariance_matrix, expected, within=1e-10)


@pytest.mark.parametrize("name", PARTS)
def test_densities_and_draws_are_those_of_the_covariance(name: str) -> None:
    q = posterior(name, 4)
    z = q.rsample((7,))
    assert_close(q.log_prob(z), as_torch(q).log_prob(z), within=1e-9)
    centred = q.sample((40_000,)) - q.mean
    assert_mean(centred[..., :, None] * centred[..., None, :], q.covariance_matrix)


@pytest.mark.parametrize("name", PARTS)
def test_densities_integrate_to_one(name: str) -> None:
    q = posterior(name, 2, rows=1)
    line = torch.linspace(-15, 15, 601)
    grid = q.mean + torch.cartesian_prod(line, line)[:, None] * q.variance.sqrt()
    cell = (line[1] - line[0]).square() * q.variance.sqrt().prod()
    assert_close(q.log_prob(grid).exp().sum() * cell, 1.0, within=1e-6)


@pytest.mark.parametrize("name", PARTS)
def test_the_divergence_from_independent_normals_is_torchs(name: str) -> None:
    q = posterior(name, 3)
    p = Gaussian(nn.Identity())(torch.randn(3, 2))
    for prior in (p, standard_normal(3)()):
        expected = D.kl_divergence(as_torch(q), D.MultivariateNormal(prior.mean, torch.diag(prior.variance)))
        assert_close(kl_per_dimension(q, prior), expected[:, None], within=1e-9)


def test_no_divergence_is_made_up() -> None:
    laplace = D.Independent(D.Laplace(torch.zeros(3), torch.ones(3)), 1)
    assert known_kl(posterior("full", 3), laplace) is None


@pytest.mark.parametrize("name", PARTS)
def test_detached_it_is_the_same_without_gradient(name: str) -> None:
    build, width = PARTS[name]
    h, z = torch.randn(4, width(3), requires_grad=True), torch.randn(4, 3, requires_grad=True)
    q = build(nn.Identity(), 3)(h)
    detached(q).log_prob(z).sum().backward()
    assert h.grad is None
    assert_close(z.grad, torch.autograd.grad(q.log_prob(z).sum(), z)[0], within=1e-10)


class Correlated:
    """z ~ N(0, I), x|z ~ N(Wz, σ²I) with any W: given x, z is Gaussian and its dimensions are correlated."""

    def __init__(self, size: int = 5, latent: int = 3, noise: float = 0.6) -> None:
        self.weight, self.noise = torch.randn(size, latent), noise
        precision = torch.eye(latent) + self.weight.T @ self.weight / noise**2
        self.covariance = torch.linalg.inv(precision)

    def model(self) -> Latent:
        read = self.covariance @ self.weight.T / self.noise**2
        likelihood = Homoscedastic(Affine(self.weight, torch.zeros(5)), torch.tensor(math.log(self.noise)))
        return Latent(standard_normal(3), FullGaussian(Exact(read, self.covariance), 3), likelihood)

    def marginal(self) -> D.MultivariateNormal:
        return D.MultivariateNormal(torch.zeros(5), self.weight @ self.weight.T + self.noise**2 * torch.eye(5))


class Exact(nn.Module):
    """The numbers of a `FullGaussian` with mean Rx and this covariance."""

    def __init__(self, read: Tensor, covariance: Tensor) -> None:
        super().__init__()
        factor = torch.linalg.cholesky(covariance)
        scale = factor.diagonal()
        row, column = torch.tril_indices(3, 3, -1)
        lower = (factor / scale[:, None])[row, column] * math.sqrt(3)
        self.mean, self.shape = Affine(read, torch.zeros(3)), Constant(torch.cat([2 * scale.log(), lower]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.mean(x), self.shape(x)], -1)


def test_log_w_is_log_p_where_the_posterior_is_correlated() -> None:
    """No factorised posterior could do so: with the exact one every draw has the same weight."""
    toy = Correlated()
    batch = Batch({"x": toy.marginal().sample((6,))})
    log_w = toy.model().trace(batch, 5).log_w
    assert_close(log_w, toy.marginal().log_prob(batch.x["x"]).expand(5, 6), within=1e-9)


def test_the_encoder_rests_at_the_exact_correlated_posterior() -> None:
    toy = Correlated()
    model = toy.model()
    total(ELBO()(model.trace(Batch({"x": toy.marginal().sample((6,))}), 3, STL()))).backward()
    assert max(p.grad.abs().max() for p in model.posterior.parameters()) < 1e-9


@pytest.mark.parametrize("name", PARTS)
def test_hostile_numbers_stay_finite(name: str) -> None:
    torch.set_default_dtype(torch.float32)
    build, width = PARTS[name]
    for size in (0.0, 1e3, -1e3):
        q = build(nn.Identity(), 3)(torch.full((2, width(3)), size))
        assert isinstance(build(nn.Identity(), 3), Conditional)
        assert q.rsample((5,)).isfinite().all()
