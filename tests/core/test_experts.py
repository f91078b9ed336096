"""Experts: products are Bayes' rule where they can be, mixtures are torch's, draws are even, bounds are bounds."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch import distributions as D

from agree import LIMIT, assert_close, assert_mean, z_scores
from lowerbound.core import (
    ELBO,
    IWAE,
    AnalyticELBO,
    Batch,
    EqualMixture,
    Latent,
    MixtureOfProducts,
    log_marginal,
    powerset,
    singles,
    standard_normal,
)
from lowerbound.core.experts import Normals, Opinions
from two_sides import TwoSides, poe, reads

pytestmark = pytest.mark.usefixtures("double")

MIXTURES = {"moe": singles, "mopoe": powerset}


def mixture(toy: TwoSides, form: str, shrink: float = 1.0) -> Latent:
    posterior = MixtureOfProducts(toy.encoders(shrink), MIXTURES[form](2))
    return Latent(standard_normal(toy.latent), posterior, toy.likelihood(), reads)


def some(components: int = 3, data: int = 4, dims: int = 2) -> tuple[Normals, Tensor]:
    parts = Normals(torch.randn(components, data, dims), 0.3 * torch.randn(components, data, dims))
    active = torch.tensor([[True, True, False, True], [True, False, True, True], [True, True, False, False]])
    return parts, active[:components, :data]


def by_torch(parts: Normals, active: Tensor, datum: int) -> D.MixtureSameFamily:
    """The mixture of one datum's active components."""
    chosen = active[:, datum]
    each = D.Independent(D.Normal(parts.loc[chosen, datum], parts.log_scale[chosen, datum].exp()), 1)
    return D.MixtureSameFamily(D.Categorical(torch.ones(int(chosen.sum()))), each)


def test_a_product_is_the_true_posterior_of_a_linear_gaussian_model() -> None:
    """Also of data that lack either variable or both: log w is log p of what was observed, whatever z."""
    toy = TwoSides()
    for b in (toy.data(8), toy.gappy(8)):
        trace = poe(toy).trace(b, 5)
        assert_close(trace.log_w, toy.log_p(b), within=1e-10)
        for objective in (ELBO(), IWAE()):
            assert_close(sum(objective(trace).values()), -toy.log_p(b), within=1e-10)


def test_nothing_observed_leaves_the_prior() -> None:
    toy = TwoSides()
    nothing = toy.gappy(8)[torch.tensor([3, 7])]
    for model in (poe(toy), mixture(toy, "moe"), mixture(toy, "mopoe")):
        q = model.infer(nothing)
        assert_close(q.mean, 0.0)
        assert_close(q.variance, 1.0)


def test_what_is_hidden_is_not_read() -> None:
    """The posterior of x alone is the same whatever y would have said."""
    toy = TwoSides()
    b = toy.data(5)
    mask = {"x": torch.ones(5, 4) > 0, "y": torch.zeros(5, 3) > 0}
    for model in (poe(toy), mixture(toy, "mopoe")):
        found = [model.infer(Batch({"x": b.x["x"], "y": y}, mask=mask)).mean for y in (b.x["y"], b.x["y"] * torch.nan)]
        assert_close(found[0], found[1])


def test_precisions_add() -> None:
    opinions = Opinions(torch.randn(3, 4, 2), torch.randn(3, 4, 2), torch.ones(3, 4) > 0)
    found = opinions.times_prior(opinions.present)
    precision = 1 + opinions.log_precision.exp().sum(0)
    assert_close(found.log_scale, -0.5 * precision.log())
    assert_close(found.loc, (opinions.log_precision.exp() * opinions.loc).sum(0) / precision)


def test_a_certain_expert_overflows_nothing() -> None:
    """A precision of e^800 is beyond any float; in logs it is a number like another."""
    opinions = Opinions(torch.ones(1, 1, 1), torch.full((1, 1, 1), 800.0), torch.ones(1, 1) > 0)
    found = opinions.times_prior(opinions.present)
    assert found.loc.item() == 1.0
    assert found.log_scale.item() == -400.0


def test_the_density_and_moments_are_torchs() -> None:
    parts, active = some()
    ours, z = EqualMixture(parts, active), torch.randn(7, 4, 2)
    for datum in range(4):
        theirs = by_torch(parts, active, datum)
        assert_close(ours.log_prob(z)[:, datum], theirs.log_prob(z[:, datum]))
        assert_close(ours.mean[datum], theirs.mean)
        assert_close(ours.variance[datum], theirs.variance)


@pytest.mark.parametrize("draws", [1, 2, 5, 6, 7])
def test_draws_are_as_even_as_their_number_allows(draws: int) -> None:
    parts, active = some()
    ours = EqualMixture(parts, active)
    for _ in range(20):
        which = ours.strata(draws)
        counts = torch.stack([(which == c).sum(0) for c in range(3)])
        fair = draws / active.sum(0)
        assert (counts[~active] == 0).all()
        assert ((counts - fair).abs()[active] < 1).all()


@pytest.mark.parametrize("draws", [1, 2, 4])
def test_the_mean_over_draws_is_the_mixtures_and_so_is_its_gradient(draws: int) -> None:
    """E z² by any number of draws; 8 entries and 24 slopes at |z| < 4.5 for 3 numbers: by chance once in 1500."""
    parts, active = some()
    leaves = [each.clone().requires_grad_() for each in parts]
    repeats = 4000
    many = [each.unsqueeze(1).expand(-1, repeats, -1, -1).flatten(1, 2) for each in leaves]
    z = EqualMixture(Normals(*many), active.repeat(1, repeats)).rsample((draws,))
    each = z.square().mean(0).unflatten(0, (repeats, 4))
    ours = EqualMixture(parts, active)
    assert_mean(each.detach(), ours.mean.square() + ours.variance)
    (slope,) = torch.autograd.grad(each.sum(), many[0])
    slopes = slope.unflatten(1, (repeats, 4)).transpose(0, 1)
    assert_mean(slopes, 2 * parts.loc * ours.shares)


@pytest.mark.parametrize("form", MIXTURES)
def test_components_are_the_products_of_the_sets_observed(form: str) -> None:
    toy = TwoSides()
    b = toy.gappy(4)
    q = mixture(toy, form).infer(b)
    kinds = {"moe": 3, "mopoe": 4}[form]
    assert q.active.int().T.tolist() == [
        [0, 1, 1, 1][:kinds],
        [0, 1, 0, 0][:kinds],
        [0, 0, 1, 0][:kinds],
        [1, 0, 0, 0][:kinds],
    ]
    alone = poe(toy).infer(b[1:2])
    assert_close(q.parts.loc[1, 1], alone.mean[0])


@pytest.mark.parametrize("form", MIXTURES)
def test_the_mean_weight_is_p_of_what_was_observed(form: str) -> None:
    """Even draws weighed by the mixture's density, of a number that the components do not divide; 4 data at 4.5."""
    toy = TwoSides()
    b, repeats = toy.gappy(4), 20_000
    log_w = mixture(toy, form).trace(repeated(b, repeats), 2).log_w
    w = (log_w.unflatten(1, (repeats, 4)) - toy.log_p(b)).exp().mean(0)
    assert_mean(w, 1.0)


def repeated(b: Batch, repeats: int) -> Batch:
    return b.map(lambda t: t.repeat(repeats, *(1,) * (t.dim() - 1)))


@pytest.mark.parametrize("form", [*MIXTURES, "poe"])
@torch.no_grad()
def test_bounds_rise_to_log_p(form: str) -> None:
    """ELBO ≤ IWAE_K ≤ log p(x), K = 3 and 30; 8 data × 4 comparisons for 3 forms at 4.5: by chance once in 1500."""
    toy = TwoSides()
    model = poe(toy, 0.6) if form == "poe" else mixture(toy, form, 0.6)
    b, repeats = toy.gappy(8), 3000
    exact, many = toy.log_p(b), repeated(b, repeats)
    found = [-ELBO()(model.trace(many, 3))["negative_elbo"].reshape(repeats, 8)]
    found += [-IWAE()(model.trace(many, k))["negative_iwae"].reshape(repeats, 8) for k in (3, 30)]
    for below, above in pairwise(found):
        error = (below.var(0) / repeats + above.var(0) / repeats).sqrt()
        assert (above.mean(0) > below.mean(0) - LIMIT * error - 1e-9).all()
    assert (z_scores(found[-1], exact) < LIMIT).all()
    marginal = log_marginal(model, b, 20_000)
    assert ((marginal.log_p - exact).abs() < LIMIT * marginal.stderr + 1e-9).all()


def test_a_products_rate_has_its_closed_form() -> None:
    toy = TwoSides()
    trace = poe(toy, 0.5).trace(toy.data(4), 2000)
    assert trace.kl is not None
    assert_mean(trace.log_q - trace.log_p, trace.kl["z"].sum(-1))
    both = AnalyticELBO()(trace)
    assert set(both) == {"distortion", "rate"}
