"""Chains: a linear-Gaussian one of two layers, whose log p(x) and reverse conditionals are known exactly.

Gradients are compared at 4.5 standard errors, parameter by parameter; all of this file would fail by chance once in
some 400 seeds.
"""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from agree import LIMIT, assert_close, assert_mean, assert_same_mean, refused
from lowerbound.core import (
    ELBO,
    IWAE,
    STL,
    AnalyticELBO,
    Batch,
    Chain,
    DReG,
    Enumerate,
    Estimator,
    Gaussian,
    GDReG,
    Homoscedastic,
    LayerRates,
    Link,
    Objective,
    Pathwise,
    Rate,
    Score,
    ais,
    log_marginal,
    standard_normal,
    total,
)
from lowerbound.core.given import scored
from toys import Affine, Head, gradient, gradients

pytestmark = pytest.mark.usefixtures("double")

DRAWS = 20_000


class TwoLayers:
    """z2 ~ N(0, I), z1 | z2 ~ N(A z2, s²), x | z1 ~ N(B z1, t²), A and B diagonal, so that all factorises."""

    s, t = 0.6, 0.8

    def __init__(self, size: int = 2) -> None:
        self.a, self.b = torch.linspace(0.7, -1.3, size), torch.linspace(1.5, 0.8, size)
        self.variance_of_z1 = self.a.square() + self.s**2

    def data(self, n: int) -> Batch:
        return Batch({"x": self.marginal().sample((n,))})

    def marginal(self) -> torch.distributions.Independent:
        scale = (self.b.square() * self.variance_of_z1 + self.t**2).sqrt()
        return torch.distributions.Independent(torch.distributions.Normal(torch.zeros_like(scale), scale), 1)

    def log_p(self, batch: Batch) -> Tensor:
        return self.marginal().log_prob(batch.x["x"])

    def model(self, shrink: float = 1.0, widen: float = 0.0) -> Chain:
        """With the exact reverse conditionals; or with their means shrunk and their log σ² raised."""
        first = 1 / (1 / self.variance_of_z1 + self.b.square() / self.t**2)
        second = 1 / (1 + self.a.square() / self.s**2)
        up = gaussian(shrink * first * self.b / self.t**2, widen + first.log())
        top = gaussian(shrink * second * self.a / self.s**2, widen + second.log())
        prior = gaussian(self.a, torch.full_like(self.a, 2 * math.log(self.s)))
        likelihood = Homoscedastic(diagonal(self.b), torch.tensor(math.log(self.t)))
        links = {"z1": Link(prior, up), "z2": Link(standard_normal(len(self.a)), top)}
        return Chain(links, likelihood)


def diagonal(slope: Tensor) -> Affine:
    return Affine(slope.diag(), torch.zeros_like(slope))


def gaussian(slope: Tensor, log_variance: Tensor) -> Gaussian:
    return Gaussian(Head(diagonal(slope), log_variance))


def value(objective: Objective, model: Chain, b: Batch, particles: int) -> Tensor:
    with torch.no_grad():
        return -torch.stack(list(objective(model.trace(b, particles)).values())).sum(0)


def test_the_weights_are_constant_at_the_exact_posterior() -> None:
    toy = TwoLayers()
    b = toy.data(16)
    for estimator in (Pathwise(), STL(), DReG(), Score()):
        assert_close(toy.model().trace(b, 7, estimator).log_w, toy.log_p(b))
    assert_close(log_marginal(toy.model(), b, 50).log_p, toy.log_p(b))


def test_the_bounds_are_below_log_p_and_importance_sampling_finds_it() -> None:
    toy = TwoLayers()
    b, model = toy.data(4), toy.model(shrink=0.7, widen=0.4)
    exact = toy.log_p(b)
    repeated = b.map(lambda t: t.repeat(4000, 1))
    elbo, iwae = (value(bound, model, repeated, k).reshape(4000, 4) for bound, k in ((ELBO(), 1), (IWAE(), 20)))
    assert (elbo.mean(0) < iwae.mean(0)).all()
    assert (iwae.mean(0) < exact).all()
    found = log_marginal(model, b, 20_000)
    assert ((found.log_p - exact).abs() < LIMIT * found.stderr).all()


@pytest.mark.parametrize(
    ("estimator", "objective"), [(STL(), ELBO()), (DReG(), ELBO()), (DReG(), IWAE()), (GDReG(), IWAE())]
)
def test_the_encoders_rest_at_the_exact_posterior(estimator: Estimator, objective: Objective) -> None:
    toy = TwoLayers()
    model, b = toy.model(), toy.data(8)
    total(objective(model.trace(b, 3, estimator))).backward()
    for link in model.links.values():
        assert max(p.grad.abs().max() for p in link.posterior.parameters()) < 1e-12
    for learned in (model.links["z1"].prior, model.likelihood):
        assert all(p.grad.abs().max() > 1e-3 for p in learned.parameters())


@pytest.mark.parametrize(
    ("estimator", "objective"),
    [(STL(), ELBO()), (DReG(), ELBO()), (DReG(), IWAE()), (GDReG(), ELBO()), (GDReG(), IWAE())],
)
def test_gradients_share_their_mean_with_the_path_and_with_the_score(
    estimator: Estimator, objective: Objective
) -> None:
    toy = TwoLayers()
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    found = gradients(model, objective, estimator, x, 3, DRAWS)
    assert_same_mean(gradients(model, objective, Pathwise(), x, 3, DRAWS), found)
    assert_same_mean(gradients(model, objective, Score(), x, 3, DRAWS), found)


def test_three_layers_are_as_right_as_two() -> None:
    """What is handed on is undone once for each layer."""
    toy = TwoLayers(size=1)
    two = toy.model(shrink=0.5, widen=0.6)
    middle = Link(gaussian(torch.tensor([0.8]), torch.zeros(1)), two.links["z2"].posterior)
    top = Link(standard_normal(1), gaussian(torch.tensor([0.4]), torch.tensor([-0.2])))
    model = Chain({"z1": two.links["z1"], "z2": middle, "z3": top}, two.likelihood["x"])
    x = toy.data(1).x["x"][0]
    draws = [gradients(model, IWAE(), estimator, x, 4, DRAWS) for estimator in (Pathwise(), Score(), DReG(), GDReG())]
    for usual, doubly in product(draws[:2], draws[2:]):
        assert_same_mean(usual, doubly)


def test_scaling_the_path_twice_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the tests above can fail: where q(z2 | z1) hands on to z1 what was scaled for itself, they find the bias."""
    toy = TwoLayers()
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    right = gradients(model, IWAE(), DReG(), x, 3, DRAWS)
    monkeypatch.setattr(Tensor, "view_as", lambda z, _: z)
    wrong = gradients(model, IWAE(), DReG(), x, 3, DRAWS)
    with pytest.raises(AssertionError):
        assert_same_mean(right, wrong)


def test_dreg_for_the_elbo_is_stl() -> None:
    toy, flats = TwoLayers(), []
    b, model = toy.data(8), toy.model(0.5, 0.5)
    for estimator in (STL(), DReG()):
        torch.manual_seed(1)
        flats.append(gradient(total(ELBO()(model.trace(b, 4, estimator))), model))
    assert_close(flats[0], flats[1])


def test_a_rate_is_of_draws_where_the_prior_reads_what_was_drawn_later() -> None:
    """The mean over z2 of KL(q(z1|x) ‖ p(z1|z2)) is not it; at the exact posterior distortion + rate is −log p(x)."""
    toy = TwoLayers()
    b, model = toy.data(5), toy.model()
    assert model.trace(b).kl is None
    terms = [AnalyticELBO()(model.trace(b)) for _ in range(2)]
    for found in terms:
        assert_close(found["distortion"] + found["rate"], -toy.log_p(b))
    assert (terms[0]["rate"] - terms[1]["rate"]).abs().max() > 1e-3


def test_rates_of_layers_add_up_to_the_rate() -> None:
    toy, meter = TwoLayers(), LayerRates()
    trace = toy.model(0.5, 0.5).trace(toy.data(50), 3)
    meter.add(trace)
    rates = meter.figures()["rate_by_layer"]
    assert list(rates) == ["z1", "z2"]
    assert math.isclose(sum(rates.values()), Rate()(trace)["rate"].mean().item())


def test_generation_is_the_marginal() -> None:
    toy = TwoLayers()
    x = toy.model().generate(DRAWS)["x"].sample()
    assert_mean(x, torch.zeros(2))
    assert_mean(x.square(), toy.marginal().variance)


def test_a_row_is_inferred_alone() -> None:
    toy = TwoLayers()
    b, model = toy.data(6), toy.model(0.9, 0.1)
    q = model.infer(b)
    assert {name: each.batch_shape for name, each in q.items()} == {"z1": (6,), "z2": (6,)}
    assert_close(q["z2"].mean[2:4], model.infer(b[2:4])["z2"].mean)


def test_a_condition_reaches_every_part() -> None:
    """Each conditional reads (what is above or below, c); with rows of c in front of the particles' dimension."""

    def part(inputs: int) -> Gaussian:
        return Gaussian(Head(Affine(torch.randn(2, inputs), torch.zeros(2)), torch.zeros(2)))

    links = {"z1": Link(part(2 + 1), part(3 + 1)), "z2": Link(part(1), part(2 + 1))}
    model = Chain(links, Homoscedastic(Affine(torch.randn(3, 2 + 1), torch.zeros(3)), torch.zeros(())))
    b = Batch({"x": torch.randn(4, 3)}, c=torch.randn(4, 1))
    total(IWAE()(model.trace(b, 5, DReG()))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert model.generate(4, b.c)["x"].batch_shape == (4,)


def test_particles_at_hand_are_scored_and_annealed() -> None:
    """What the trace says of particles that it drew, it says of them again; a walk from a poor q finds log p(x)."""
    toy = TwoLayers()
    b, model = toy.data(4), toy.model(0.6, 0.5)
    trace = model.trace(b, 3)
    assert_close(scored(model, b, {name: z.detach() for name, z in trace.z.items()}).log_w, trace.log_w)
    found = ais(model, b, steps=30, chains=200)
    assert ((found.log_p - toy.log_p(b)).abs() < LIMIT * found.stderr).all()


def test_other_estimators_are_refused() -> None:
    toy = TwoLayers()
    with refused("Enumerate takes one latent; trace a chain with Pathwise, STL, DReG, GDReG or Score"):
        toy.model().trace(toy.data(2), 1, Enumerate())
