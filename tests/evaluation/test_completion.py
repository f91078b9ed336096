"""What is hidden given the rest, against models of which it is known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from agree import LIMIT, assert_close, assert_mean, refused
from catalogue import Case, batch, spec, variable
from lowerbound.core import ELBO, Batch, Enumerate, Pathwise, Point
from lowerbound.data.masks import Hiding, Masks
from lowerbound.data.views import Identity, Standardise
from lowerbound.errors import InputError
from lowerbound.evaluation.completion import Completing, Part, completions, joined, log_conditional
from lowerbound.recipes.registry import Setup
from toys import LinearGaussian, Mixture

OBSERVED = torch.tensor([True, False, True, False])
VIEW = Standardise([1.0, 0.0, 2.0, -3.0], [2.0, 0.5, 1.0, 4.0], 4)


@pytest.fixture
def toy(double: None) -> LinearGaussian:
    return LinearGaussian()


def setup_of(toy: LinearGaussian) -> Setup:
    """The exact model, but for a posterior that is wide and knows of whole rows alone."""
    return Setup(toy.model(widen=1.0), {"x": VIEW}, ELBO(), Pathwise())


def exact(toy: LinearGaussian, x: Tensor) -> tuple[torch.distributions.MultivariateNormal, Tensor]:
    """p(x_hidden | x_observed) of one row, and its log at what is hidden."""
    normal = toy.marginal()
    cov = normal.covariance_matrix
    gain = cov[~OBSERVED][:, OBSERVED] @ torch.linalg.inv(cov[OBSERVED][:, OBSERVED])
    mean = normal.mean[~OBSERVED] + gain @ (x - normal.mean)[OBSERVED]
    spread = cov[~OBSERVED][:, ~OBSERVED] - gain @ cov[OBSERVED][:, ~OBSERVED]
    d = torch.distributions.MultivariateNormal(mean, spread)
    return d, d.log_prob(x[~OBSERVED])


def part_of(toy: LinearGaussian, rows: int) -> Part:
    return Part(setup_of(toy), toy.data(rows), {"x": OBSERVED.expand(rows, 4)})


@torch.no_grad()
@pytest.mark.parametrize("method", ["importance", "refined"])
def test_both_estimates_of_the_conditional_are_right(toy: LinearGaussian, method: str) -> None:
    part = part_of(toy, 5)
    found = log_conditional(part, Completing(particles=5000, method=method))
    x = part.seen.x["x"]
    # The view divides by its spread, and so log p of the data as given has less of it.
    log_p = torch.stack([exact(toy, row)[1] for row in x]) - VIEW.std[~OBSERVED].log().sum()
    for name, error in (("log_p", "stderr"), ("by_weights", "by_weights_stderr")):
        # A posterior that is found exactly weighs all alike, and then there is rounding alone.
        assert ((found[name] - log_p) / found[error].clamp_min(1e-6)).abs().max() < LIMIT
        assert found[error].max() < 0.15
    assert_close(found["whole"] - found["part"], found["log_p"])


@torch.no_grad()
def test_a_fitted_posterior_weighs_less_unevenly(toy: LinearGaussian) -> None:
    part = part_of(toy, 5)
    wide, near = (
        log_conditional(part, Completing(particles=300, method=method)) for method in ("importance", "refined")
    )
    assert (near["part_stderr"] < 0.5 * wide["part_stderr"]).all()


@torch.no_grad()
def test_where_every_z_is_summed_over_it_is_exact(double: None) -> None:
    torch.manual_seed(1)
    toy = Mixture(size=4)
    setup = Setup(toy.exact(), {"x": Identity()}, ELBO(), Enumerate())
    x = toy.data(6)
    found = log_conditional(Part(setup, x, {"x": OBSERVED.expand(6, 4)}), Completing())
    means = toy.means.T[:, None]
    each = -0.5 * (x.x["x"] - means).square() - 0.5 * np.log(2 * np.pi)
    prior = torch.log_softmax(toy.logits, 0)[:, None]
    log_p = torch.logsumexp(prior + each.sum(-1), 0) - torch.logsumexp(prior + each[..., OBSERVED].sum(-1), 0)
    assert_close(found["log_p"], log_p, within=1e-10)
    assert_close(found["by_weights"], log_p, within=1e-10)
    assert (found["stderr"] == 0).all()


@torch.no_grad()
@pytest.mark.parametrize("method", ["importance", "refined", "gibbs", "metropolis"])
def test_draws_have_the_moments_of_the_conditional(toy: LinearGaussian, method: str) -> None:
    """All but pseudo-Gibbs, which draws from another distribution where the posterior is not exact."""
    rows = 1000 if method == "importance" else 200
    stored = VIEW.inverse(toy.data(1).x["x"])
    raw = Batch({"x": stored.expand(rows, 4)})
    observed = {"x": OBSERVED.expand(rows, 4)}
    manner = Completing(draws=1, particles=200, method=method, sweeps=20)
    found = joined(completions(setup_of(toy), spec(variable("real", (4,))), raw, observed, manner))
    drawn = VIEW(torch.from_numpy(found.draws[0]))
    d, _ = exact(toy, VIEW(stored)[0])
    assert_close(drawn[:, OBSERVED], VIEW(stored)[:, OBSERVED], within=1e-9)
    if method == "gibbs":
        assert (drawn[:, ~OBSERVED].mean(0) - d.mean).abs().max() < 1
    else:
        assert_mean(drawn[:, ~OBSERVED], d.mean)
        assert_mean((drawn[:, ~OBSERVED] - d.mean).square(), d.variance)


@torch.no_grad()
def test_truth_is_told_where_it_is_known(toy: LinearGaussian) -> None:
    raw = Batch({"x": VIEW.inverse(toy.data(3).x["x"])})
    observed = {"x": OBSERVED.expand(3, 4)}
    about, manner = spec(variable("real", (4,))), Completing(draws=2, particles=20)
    whole = joined(completions(setup_of(toy), about, raw, observed, manner))
    assert whole.draws.shape == (2, 3, 4)
    assert whole.log_p["log_p"].shape == (2, 3)
    assert whole.truth is not None
    missing = replace(raw, mask={"x": torch.tensor([True, False, True, True]).expand(3, 4)})
    assert joined(completions(setup_of(toy), about, missing, observed, manner)).truth is None


@torch.no_grad()
@pytest.mark.parametrize("kind", ["binary", "byte", "unit", "real", "count", "category"])
def test_a_model_of_the_hidden_draws_them_from_its_own_prior(kind: str) -> None:
    torch.manual_seed(0)
    setup = Case("completing-vae", kind, ()).build()
    raw = batch(kind, 3)
    observed = {"x": Masks((8, 8), ["bottom"])(3)}
    found = joined(completions(setup, spec(variable(kind)), raw, observed, Completing(draws=2, particles=50)))
    x = raw.x["x"].numpy()
    assert found.draws.shape == (2, 3, 8, 8)
    assert (found.draws[:, :, :4] == x[:, :4]).all()
    assert (found.draws[0, :, 4:] != x[:, 4:]).any()
    assert (found.mean[:, :4] == x[:, :4]).all()
    assert found.ess.min() > 49
    assert np.isfinite(found.truth["log_p"]).all()


@torch.no_grad()
def test_a_model_of_the_hidden_gives_a_bound_that_rises_with_particles(double: None) -> None:
    torch.manual_seed(0)
    setup = Case("completing-vae", "binary", ()).build()
    part = Part(setup, setup.see(batch("binary", 200)), {"x": Masks((8, 8), ["left"])(200)})
    few, many = (log_conditional(part, Completing(particles=count))["log_p"].mean() for count in (1, 300))
    assert few < many


def test_a_point_says_nothing(toy: LinearGaussian) -> None:
    model = toy.model()
    model.posterior = Point(torch.nn.Linear(4, 2))
    setup = replace(setup_of(toy), model=model)
    with refused("the model encodes to points, which say nothing of what is hidden; train one such as vae", InputError):
        log_conditional(Part(setup, toy.data(2), {"x": OBSERVED.expand(2, 4)}), Completing(particles=5))


def test_hiding_leaves_what_is_missing_untold() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    mask = torch.tensor([[True, False, True, False]])
    seen = Hiding("x", Masks((4,), ["left"]))(Batch({"x": x}, mask={"x": mask}))
    assert seen.c is not None
    assert seen.c.tolist() == [[[0, 0, 3, 0], [0, 0, 1, 0]]]
    assert seen.mask is not None
    assert seen.mask["x"].tolist() == [[True, False, False, False]]
