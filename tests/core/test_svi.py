"""Inference datum by datum, against exact posteriors and against principal components."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import Independent

from agree import assert_close
from catalogue import Case, batch
from lowerbound.core import (
    ELBO,
    SVI,
    AnalyticELBO,
    Batch,
    Homoscedastic,
    Latent,
    NaturalClimb,
    Table,
    kl_per_dimension,
    log_marginal,
    rows,
    standard_normal,
)
from lowerbound.core.distributions import LogScaleNormal
from lowerbound.core.latent import settled
from toys import Affine, LinearGaussian

pytestmark = pytest.mark.usefixtures("double")


def numbered(x: Tensor) -> Batch:
    return Batch({"x": x}, index=torch.arange(len(x)))


def tabled(x: Tensor, likelihood: Homoscedastic, latent: int) -> Latent:
    return Latent(standard_normal(latent), Table(len(x), latent), likelihood, rows)


def bound(model: Latent, data: Batch) -> Tensor:
    with torch.no_grad():
        return -sum(AnalyticELBO()(model.trace(data, 2000)).values())


def test_the_inner_loop_ends_at_the_exact_posterior() -> None:
    """Where the posterior factorises the climb finds all of it, and the bound is log p(x); other rows stand still."""
    toy = LinearGaussian()
    data, exact = numbered(toy.data(20).x["x"]), toy.model()
    model = tabled(data.x["x"], exact.likelihood["x"], toy.latent)
    svi = SVI(model, data, torch.optim.SGD(model.likelihood.parameters(), 0.0), tolerance=1e-4)
    drawn = torch.tensor([3, 17, 5])
    svi.step(drawn)
    found, true = model.infer(data[drawn]), exact.infer(data[drawn])
    assert_close(found.mean, true.mean, within=0.01)
    assert (kl_per_dimension(found, true) < 0.005).all()
    others = [i for i in range(20) if i not in drawn]
    assert (model.posterior.rows.weight[others] == 0).all()
    assert_close(bound(model, data[drawn]), toy.log_p(data[drawn]), within=0.05)


def test_it_climbs_to_the_likelihood_of_principal_components() -> None:
    """θ rises to the maximum that probabilistic PCA has in closed form; Tipping and Bishop, 1999."""
    toy = LinearGaussian(size=5, latent=2)
    x = toy.data(60).x["x"]
    likelihood = Homoscedastic(Affine(torch.randn(5, 2), torch.zeros(5)), nn.Parameter(torch.zeros(())))
    model, data = tabled(x, likelihood, 2), numbered(x)
    weights = torch.optim.Adam(model.likelihood.parameters(), 0.1)
    svi = SVI(model, data, weights, steps=10, tolerance=0.1)
    best = PCA(2).fit(x.numpy()).score(x.numpy())
    bounds = []
    for step in range(80):
        weights.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 80))
        bounds.append(svi.step(torch.randperm(60)[:30]))
    svi.settle(data)
    assert bounds[0] < best - 1
    assert best - 0.05 < bound(model, data).mean() < best + 0.01


def test_one_datum_at_a_time_the_bound_rises() -> None:
    """As the notes draw it: one x^i, its φ^i to the top, one step in θ."""
    toy = LinearGaussian(size=3, latent=1)
    x = toy.data(8).x["x"]
    model, data = tabled(x, toy.model().likelihood["x"], 1), numbered(x)
    with torch.no_grad():
        model.likelihood["x"].net.bias += 3.0
    before = bound(model, data).mean()
    svi = SVI(model, data, torch.optim.SGD(model.likelihood.parameters(), 0.05), steps=20)
    for i in range(16):
        svi.step(torch.tensor([i % 8]))
    assert bound(model, data).mean() > before + 1


def test_what_is_measured_does_not_look_into_the_table() -> None:
    setup = Case("svi", "binary", ()).build()
    seen = setup.see(batch("binary", 4))
    before = setup.model.infer(seen).mean
    with torch.no_grad():
        setup.model.posterior.table.rows.weight.normal_()
    assert torch.equal(setup.model.infer(seen).mean, before)
    unnumbered = Batch(seen.x)
    assert torch.equal(setup.model.infer(unnumbered).mean, before)
    setup.model.train()
    assert_close(setup.model.infer(seen).mean, setup.model.posterior.table.rows.weight[:4, :2])


@pytest.mark.parametrize("recipe", ["svi", "semi-amortised-vae"])
def test_a_longer_climb_ends_higher(recipe: str) -> None:
    bounds = []
    for steps in (1, 30):
        torch.manual_seed(0)
        setup = Case(recipe, "binary", ()).build(steps=steps)
        bounds.append(bound(setup.model, setup.see(batch("binary", 6))))
    assert (bounds[0] < bounds[1]).all()


def test_without_steps_it_is_the_encoders_own() -> None:
    torch.manual_seed(0)
    setup = Case("semi-amortised-vae", "binary", ()).build(steps=0, learning_steps=0)
    seen = setup.see(batch("binary", 4))
    own = setup.model.posterior.encoder(*setup.model.posterior.reads(seen))
    for model in (setup.model, setup.model.train()):
        assert torch.equal(model.infer(seen).mean, own.mean)


def test_in_training_gradients_go_back_through_the_climb() -> None:
    """Of the encoder's bias, against a central difference of the loss on the same noise."""
    setup = Case("semi-amortised-vae", "unit", ()).build(learning_steps=3)
    seen, model = setup.see(batch("unit", 4)), setup.model.train()
    bias = list(model.posterior.encoder.parameters())[-1]

    def loss() -> Tensor:
        torch.manual_seed(1)
        return sum(setup.objective(model.trace(seen, 2, setup.estimator)).values()).sum()

    (slope,) = torch.autograd.grad(loss(), bias)
    with torch.no_grad():
        for i in range(len(bias)):
            values = []
            for sign in (1, -1):
                bias[i] += sign * 1e-5
                values.append(loss())
                bias[i] -= sign * 1e-5
            assert_close((values[0] - values[1]) / 2e-5, slope[i], within=1e-4)


def test_a_natural_step_at_rate_one_lands_on_the_mean_of_a_linear_model() -> None:
    """Where q has the posterior's scale, the curvature is what the step divides by; paired draws add no noise."""
    toy = LinearGaussian()
    model, data = toy.model(), toy.data(5)
    true = model.infer(data)
    start = Independent(LogScaleNormal(true.mean + torch.randn(5, 2), true.stddev.log()), 1)
    assert_close(NaturalClimb(model, 1, 1.0)(data, start).mean, true.mean)


def test_posteriors_are_found_once_for_all_particles() -> None:
    """log p(x) by many passes calls the posterior once a group of data, and a settled model draws as it did."""
    setup = Case("svi", "binary", ()).build()
    seen, calls = setup.see(batch("binary", 4)), []
    setup.model.posterior.register_forward_hook(lambda *given: calls.append(1))
    log_marginal(setup.model, seen, 3000)
    assert len(calls) == 1
    values = []
    for model in (setup.model, settled(setup.model, seen)):
        torch.manual_seed(0)
        values.append(ELBO()(model.trace(seen, 3))["negative_elbo"])
    assert torch.equal(*values)
