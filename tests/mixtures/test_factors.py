"""Factor analysers against dense Gaussians of the same covariance, against scikit-learn, and against calculus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA, FactorAnalysis
from torch import Tensor

from agree import assert_close, assert_mean
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.components import Statistics
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.factors import Common, FactorAnalysers, Factors, Isotropic, Noise, Own
from lowerbound.mixtures.gaussian import FullGaussians

WIDTH, LATENT, COMPONENTS = 6, 2, 3
NOISES = {"own": Own(), "common": Common(), "isotropic": Isotropic()}


def analysers(restarts: int = 2) -> FactorAnalysers:
    loc = 2 * torch.randn(restarts, COMPONENTS, WIDTH, dtype=torch.float64)
    loadings = torch.randn(restarts, COMPONENTS, WIDTH, LATENT, dtype=torch.float64)
    return FactorAnalysers(loc, loadings, 0.1 + torch.rand_like(loc), torch.ones(WIDTH, dtype=torch.float64), floor=0.0)


def dense(found: FactorAnalysers) -> FullGaussians:
    """The same densities, their covariances written out."""
    covariance = found.loadings @ found.loadings.mT + torch.diag_embed(found.variance)
    return FullGaussians(found.loc, covariance, found.origin, found.floor)


def plane(count: int = 400, gaps: float = 0.0) -> Tensor:
    """Rows near a plane, noise of a size of its own in each entry."""
    turn = torch.randn(LATENT, WIDTH, dtype=torch.float64)
    noise = torch.linspace(0.3, 0.8, WIDTH, dtype=torch.float64) * torch.randn(count, WIDTH, dtype=torch.float64)
    rows = 1 + torch.randn(count, LATENT, dtype=torch.float64) @ turn + noise
    return torch.where(torch.rand(count, WIDTH) < gaps, torch.nan, rows)


@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_densities_are_those_of_the_covariances_written_out(gaps: float) -> None:
    found, rows = analysers(), plane(50, gaps)
    assert_close(found.explain(rows).log_prob, dense(found).explain(rows).log_prob, 1e-9)


def test_rows_are_explained_alone_as_together() -> None:
    found, rows = analysers(), torch.cat([plane(5), plane(5, 0.4), torch.full((1, WIDTH), torch.nan).double()])
    alone = torch.cat([found.explain(row[None]).log_prob for row in rows], 1)
    assert_close(found.explain(rows).log_prob, alone, 1e-10)
    assert_close(alone[:, -1], 0.0, 1e-10)


def expected_gradients(found: FactorAnalysers, statistics: Statistics) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of the complete data's expected log-likelihood by loc, loadings and variance."""
    regression = torch.cat([found.loadings, (found.loc - found.origin)[..., None]], -1)
    gram, cross = statistics["gram"], statistics["cross"]
    slope = (cross - regression @ gram) / found.variance[..., None]
    squares = statistics["second"] - (2 * cross * regression).sum(-1) + (regression @ gram * regression).sum(-1)
    counts = gram[..., -1:, -1]
    return slope[..., -1], slope[..., :-1], 0.5 * (squares / found.variance - counts) / found.variance


@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_statistics_give_the_gradient_of_log_p(gaps: float) -> None:
    """By Fisher's identity: it is the expected gradient of log p(x, z, k) given what is observed."""
    found, rows = analysers(), plane(60, gaps)
    assert not found.delicate
    values = [each.requires_grad_() for each in (found.loc, found.loadings, found.variance)]
    explanation = found.explain(rows)
    gradients = torch.autograd.grad(explanation.log_prob.logsumexp(-1).sum(), values, retain_graph=True)
    with torch.no_grad():
        expected = expected_gradients(found, explanation.statistics(explanation.log_prob.softmax(-1)))
    for gradient, exact in zip(gradients, expected):
        assert_close(gradient, exact, 1e-8)


def test_one_component_is_factor_analysis() -> None:
    x = plane()
    theirs = FactorAnalysis(LATENT, svd_method="lapack", tol=1e-12, max_iter=10_000).fit(x.numpy())
    ours = fit(begin(Factors(LATENT, floor=0), InMemory(x), 1), InMemory(x), Until(1e-13, 3000))
    assert ours.bound == pytest.approx(theirs.score(x.numpy()), abs=1e-8)
    assert np.allclose(ours.mixture.log_prob(x)[0], theirs.score_samples(x.numpy()), atol=1e-4)


def test_one_component_with_isotropic_noise_is_probabilistic_pca() -> None:
    x = plane()
    found = fit(begin(Factors(LATENT, Isotropic(), 0), InMemory(x), 1), InMemory(x), Until(1e-13, 3000)).mixture
    ours, unbiased = found.components, len(x) / (len(x) - 1)
    assert isinstance(ours, FactorAnalysers)
    same = replace(ours, loadings=ours.loadings * unbiased**0.5, variance=ours.variance * unbiased)
    theirs = PCA(LATENT).fit(x.numpy())
    assert ours.variance[0, 0, 0] * unbiased == pytest.approx(theirs.noise_variance_, rel=1e-6)
    assert np.allclose(same.explain(x).log_prob[0, :, 0], theirs.score_samples(x.numpy()), atol=1e-5)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_no_step_lowers_the_likelihood(noise: Noise, gaps: float) -> None:
    x = torch.cat([plane(150, gaps), 2 + plane(150, gaps)])
    blocks = InMemory(x, torch.rand(len(x)), values=600)
    found = fit(begin(Factors(LATENT, noise, 0), blocks, 3, restarts=2), blocks, Until(0, 40))
    assert not found.reseeded
    for history in found.history:
        assert np.diff(history).min() > -1e-9 * abs(history[-1])


def test_what_noise_has_in_common_is_fitted_so() -> None:
    found = {
        name: fit(begin(Factors(LATENT, noise), InMemory(plane()), 2), InMemory(plane())).mixture.components
        for name, noise in NOISES.items()
    }
    variances = {name: each.tensors()["variance"][0] for name, each in found.items()}
    assert_close(variances["common"][0], variances["common"][1])
    assert_close(variances["isotropic"], variances["isotropic"][:, :1])
    assert [each.free for each in found.values()] == [2 * (6 + 11) + 12, 2 * (6 + 11) + 6, 2 * (6 + 11) + 2]


def test_a_component_without_rows_leaves_the_noise_of_the_others_alone() -> None:
    found = replace(analysers(1), noise=Common())
    shares = torch.rand(1, 50, COMPONENTS, dtype=torch.float64) * torch.tensor([1.0, 1.0, 0.0])
    higher = found.refit(shares.sum(1), found.explain(plane(50)).statistics(shares))
    assert higher.sound.tolist() == [[True, True, False]]


def test_conditionals_are_those_of_the_covariances_written_out() -> None:
    found, rows = analysers(), plane(30, 0.4)
    for ours, theirs in zip(found.conditional(rows), dense(found).conditional(rows)):
        assert_close(ours, theirs, 1e-9)


def test_codes_are_what_least_squares_with_a_prior_gives() -> None:
    found, rows = analysers(1), plane(1, 0.4)
    seen = ~rows[0].isnan()
    scale = found.variance[0, 0, seen].sqrt()
    design = torch.cat([found.loadings[0, 0, seen] / scale[:, None], torch.eye(LATENT).double()])
    target = torch.cat([(rows[0] - found.loc[0, 0])[seen] / scale, torch.zeros(LATENT).double()])
    assert_close(found.codes(rows)[0, 0, 0], torch.linalg.lstsq(design, target[:, None]).solution[:, 0], 1e-9)


@pytest.mark.parametrize("row", [0, 1])
def test_draws_have_the_moments_of_their_conditionals(row: int) -> None:
    """Whole rows too: with every entry missing, a draw is a sample. Two times 12 z-tests and their squares."""
    found, rows = analysers(1), torch.cat([plane(1, 0.4), torch.full((1, WIDTH), torch.nan).double()])
    many = rows[row].repeat(4000, 1)
    exact = dense(found).conditional(rows[row : row + 1])
    for which in (0, 2):
        drawn = found.draw(many, torch.full((len(many),), which))
        assert_mean(drawn, exact.mean[0, which])
        assert_mean((drawn - exact.mean[0, which]).square(), exact.variance[0, which])


def test_samples_have_the_covariance() -> None:
    found = analysers(1)
    x = found.sample(torch.ones(4000, dtype=torch.long)) - found.loc[0, 1]
    assert_mean((x[:, :, None] * x[:, None]).flatten(1), dense(found).covariance[0, 1].flatten())


def test_nothing_is_as_large_as_a_covariance() -> None:
    """At 100,000 entries one covariance would be 80 GB."""
    rows = torch.randn(12, 100_000)
    rows[:6, ::3] = torch.nan
    found = begin(Factors(2, floor=1e-2), InMemory(rows), 2)
    assert found.refit(found.expect(next(iter(InMemory(rows))))).log_prob(rows).isfinite().all()


def test_too_many_factors_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer factors than entries"):
        begin(Factors(WIDTH), InMemory(plane()), 2)
