"""Variational Bayes: the bound against exact marginal likelihoods and scikit-learn's fixed points."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.mixture import BayesianGaussianMixture
from torch import Tensor

from lowerbound.mixtures.bayes import DIAGONAL, FULL, INDEPENDENT, SPHERICAL, TIED, Bayesian, Believed, Kind, point
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import Fit, Until, begin, expectation, fit
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.weights import Dirichlet, StickBreaking, Weighting

KINDS = {"full": FULL, "tied": TIED, "diag": DIAGONAL, "spherical": SPHERICAL, "independent": INDEPENDENT}
WEIGHTS = {"dirichlet_distribution": Dirichlet.even, "dirichlet_process": StickBreaking.even}


def clouds(count: int = 300, width: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(3, width, generator=generator, dtype=torch.float64)
    which = torch.randint(3, (count,), generator=generator)
    return centres[which] + torch.randn(count, width, generator=generator, dtype=torch.float64)


def climbed(x: Tensor, kind: Kind, weights: Weighting, components: int, steps: int = 200, restarts: int = 1) -> Fit:
    start = begin(Bayesian(kind), InMemory(x), components, restarts, weights=weights)
    return fit(start, InMemory(x), Until(1e-13, steps))


def evidence(x: Tensor, degrees: float, scale: Tensor) -> float:
    """log p(x) under one Gaussian with a Normal-Wishart prior at the rows' mean with β = 1: Student's t, row by row."""
    D, loc, A, beta, nu, total = x.shape[1], x.numpy().mean(0), scale.numpy(), 1.0, degrees, 0.0
    for row in x.numpy():
        free = nu - D + 1
        total += stats.multivariate_t(loc, A * (beta + 1) / (beta * free), df=free).logpdf(row)
        A = A + np.outer(row - loc, row - loc) * beta / (beta + 1)
        loc, beta, nu = (beta * loc + row) / (beta + 1), beta + 1, nu + 1
    return total


@pytest.mark.parametrize("kind", ["full", "tied"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_with_one_component_the_bound_is_the_log_probability_of_the_rows(kind: str, weights: str) -> None:
    x = clouds(count=20)
    found = climbed(x, KINDS[kind], WEIGHTS[weights](), 1)
    # Under a Dirichlet process rows might have fallen into later components: log E v^20 under Beta(1, 1) that none did.
    none_later = -math.log(21) if weights == "dirichlet_process" else 0.0
    assert 20 * found.bound == pytest.approx(evidence(x, 3.0, torch.cov(x.T)) + none_later, abs=1e-9)


def test_independent_entries_have_the_sum_of_their_log_probabilities() -> None:
    x = clouds(count=20)
    found = climbed(x, INDEPENDENT, Dirichlet.even(), 1)
    each = [evidence(x[:, d : d + 1], 3.0, torch.cov(x[:, d])[None, None]) for d in range(3)]
    assert 20 * found.bound == pytest.approx(sum(each), abs=1e-9)


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_diagonal_beliefs_of_any_precision_bound_it_from_below(kind: str) -> None:
    x = clouds(count=20)
    variance = x.var(0) if kind == "diag" else x.var(0).mean().expand(3)
    found = climbed(x, KINDS[kind], Dirichlet.even(), 1)
    assert 20 * found.bound < evidence(x, 3.0, variance.diag()) - 0.01


def test_with_one_component_the_bound_is_what_quadrature_finds() -> None:
    x = torch.tensor([[0.3], [-1.0], [0.8], [2.0]], dtype=torch.float64)
    A, loc = float(x.var()), float(x.mean())

    mean = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    log_precision = torch.linspace(-14, 6, 2001, dtype=torch.float64)[:, None]
    precision = log_precision.exp()
    prior = 0.5 * (A / 2 * precision).log() - math.lgamma(0.5) - A / 2 * precision  # of log Λ under Gamma(½, A/2)
    squares = (x - mean).square().sum(0) + (mean - loc).square()
    log_joint = prior + 2.5 * (precision / (2 * math.pi)).log() - 0.5 * precision * squares
    integral = torch.trapezoid(torch.trapezoid(log_joint.exp(), mean), log_precision[:, 0]).item()
    assert 4 * climbed(x, FULL, Dirichlet.even(), 1).bound == pytest.approx(math.log(integral), abs=1e-5)


def test_with_two_components_the_bound_lies_below_what_enumeration_finds() -> None:
    x = torch.tensor([[0.3], [-1.0], [5.0], [5.5], [0.1]], dtype=torch.float64)
    scale, alpha = torch.cov(x.T).reshape(1, 1), 0.5

    def given(rows: Tensor) -> float:
        D, loc, A, beta, nu, total = 1, float(x.mean()), float(scale), 1.0, 1.0, 0.0
        for row in rows[:, 0].tolist():
            total += stats.t.logpdf(row, nu - D + 1, loc, math.sqrt(A * (beta + 1) / (beta * nu)))
            A += (row - loc) ** 2 * beta / (beta + 1)
            loc, beta, nu = (beta * loc + row) / (beta + 1), beta + 1, nu + 1
        return total

    def assigned(n: int) -> float:
        both = [math.lgamma(alpha + m) - math.lgamma(alpha) for m in (n, 5 - n)]
        return sum(both) + math.lgamma(2 * alpha) - math.lgamma(2 * alpha + 5)

    masks = [torch.tensor([bool(code >> i & 1) for i in range(5)]) for code in range(32)]
    exact = np.logaddexp.reduce([assigned(int(m.sum())) + given(x[m]) + given(x[~m]) for m in masks])
    bounds = [5 * climbed(x, FULL, Dirichlet.even(alpha), 2, restarts=r).bound for r in (1, 8)]
    assert exact - 3 < bounds[1] < exact
    assert bounds[0] <= bounds[1] + 1e-9


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_never_falls(kind: str, weights: str, missing: float) -> None:
    x = clouds(count=150)
    gaps = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < missing
    found = climbed(torch.where(gaps, torch.nan, x), KINDS[kind], WEIGHTS[weights](), 5, 30, restarts=3)
    for history in found.history:
        assert len(history) > 5
        assert all(after >= before - 1e-10 * abs(before) for before, after in pairwise(history))


def sklearn_from(start: Mixture, x: Tensor, kind: str, weights: str, steps: int) -> BayesianGaussianMixture:
    """scikit-learn's model after so many steps from the same responsibilities."""
    first = start.shares(x).responsibilities[0].numpy()
    theirs = BayesianGaussianMixture(
        n_components=start.shape[1],
        covariance_type=kind,
        weight_concentration_prior_type=weights,
        reg_covar=0.0,
        tol=0.0,
        max_iter=steps,
    )
    theirs._initialize_parameters = lambda X, random_state, **more: theirs._initialize(X, first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return theirs.fit(x.numpy())


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_the_same_start_leads_where_scikit_learn_gets(kind: str, weights: str) -> None:
    x, steps = clouds(), 30
    start = begin(Bayesian(KINDS[kind]), InMemory(x), 5, weights=WEIGHTS[weights]())
    theirs = sklearn_from(start, x, kind, weights, steps)
    mixture = start
    for _ in range(steps + 1):  # the first of ours makes what theirs begins with
        mixture = mixture.refit(expectation(mixture, InMemory(x)))
    held = mixture.components
    assert isinstance(held, Believed)
    assert np.allclose(mixture.weights.mean[0], theirs.weights_, atol=1e-8)
    assert np.allclose(held.loc[0], theirs.means_, atol=1e-8)
    assert np.allclose(held.degrees[0], theirs.degrees_of_freedom_, atol=1e-8)
    assert np.allclose(held.precision[0], theirs.mean_precision_, atol=1e-8)
    covariance = (held.scale / held._as_scale(held.degrees))[0]
    assert np.allclose(covariance[:, 0] if kind == "spherical" else covariance, theirs.covariances_, atol=1e-8)
    assert np.allclose(mixture.shares(x).responsibilities[0], theirs.predict_proba(x.numpy()), atol=1e-8)
    assert np.allclose(mixture.log_prob(x)[0], theirs.score_samples(x.numpy()), atol=1e-8)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_components_that_are_not_needed_fade_out(weights: str) -> None:
    found = climbed(clouds(count=600), FULL, WEIGHTS[weights](1e-3), 10, 500)
    held = found.mixture.weights
    assert isinstance(held, Dirichlet | StickBreaking)
    assert held.used.tolist() == [3]
    assert found.reseeded == 0


def test_at_its_mean_a_belief_is_a_mixture_with_a_density() -> None:
    x = clouds()[:, :1]
    mixture = point(climbed(x, FULL, Dirichlet.even(), 3).mixture)
    grid = torch.linspace(-40, 40, 20_001, dtype=torch.float64)[:, None]
    assert torch.trapezoid(mixture.log_prob(grid)[0].exp(), grid[:, 0]).item() == pytest.approx(1, abs=1e-6)


def test_impossible_priors_are_refused() -> None:
    with pytest.raises(ValueError, match="degrees of freedom above 2"):
        Bayesian(degrees=2.0).pooled(clouds(), 1, 1)
    with pytest.raises(ValueError, match="above zero"):
        Dirichlet.even(0.0)(1, 2, torch.device("cpu"))
