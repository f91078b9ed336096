"""Ladders: a linear-Gaussian chain of two layers whose every quantity is known, and what a layer is charged."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from agree import assert_close, assert_mean, refused
from lowerbound.core import (
    ELBO,
    IWAE,
    STL,
    AnalyticELBO,
    Batch,
    DReG,
    Enumerate,
    Estimator,
    Gaussian,
    Homoscedastic,
    Ladder,
    LayerRate,
    LayerRates,
    Objective,
    Rate,
    Rung,
    Score,
    log_marginal,
    standard_normal,
)

pytestmark = pytest.mark.usefixtures("double")


class Mix(nn.Module):
    """(Σ_i c_i v_i, log σ²) of as many values as there are coefficients, with one σ for all."""

    def __init__(self, coefficients: list[Tensor], log_variance: Tensor) -> None:
        super().__init__()
        self.coefficients = nn.ParameterList(coefficients)
        self.log_variance = nn.Parameter(log_variance.clone())

    def forward(self, *given: Tensor) -> Tensor:
        mean = sum(c * v for c, v in zip(self.coefficients, given, strict=True))
        return torch.stack([mean, self.log_variance.expand_as(mean)], -1)


class Both(nn.Module):
    """The data themselves, at each of two heights."""

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, x


class Last(nn.Module):
    """The state is the z last drawn."""

    def forward(self, h: Tensor | None, z: Tensor) -> Tensor:
        return z


class Scale(nn.Module):
    """factor · h."""

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.factor = nn.Parameter(factor.clone())

    def forward(self, h: Tensor) -> Tensor:
        return self.factor * h


class Chain:
    """u ~ N(0, 1), v | u ~ N(a u, s²), x | v ~ N(b v, t²), in three independent dimensions."""

    a, b = torch.tensor([0.5, 1.0, -1.5]), torch.tensor([1.2, 0.7, 2.0])
    s, t = 0.6, 0.8

    def __init__(self) -> None:
        self.a, self.b = self.a.double(), self.b.double()
        self.noise_of_u = self.b.square() * self.s**2 + self.t**2
        self.variance_of_u = 1 / (1 + (self.a * self.b).square() / self.noise_of_u)
        self.variance_of_v = 1 / (1 / self.s**2 + self.b.square() / self.t**2)

    def data(self, n: int) -> Batch:
        return Batch({"x": self.marginal().sample((n,))})

    def marginal(self) -> torch.distributions.Independent:
        scale = ((self.a * self.b).square() + self.noise_of_u).sqrt()
        return torch.distributions.Independent(torch.distributions.Normal(torch.zeros(3), scale), 1)

    def log_p(self, batch: Batch) -> Tensor:
        return self.marginal().log_prob(batch.x["x"])

    def model(self, shrink: float = 1.0, widen: float = 0.0) -> Ladder:
        """With the exact posteriors; or with what they read of the data shrunk and their log σ² raised."""
        read = shrink * self.a * self.b * self.variance_of_u / self.noise_of_u
        top = Gaussian(Mix([read], self.variance_of_u.log() + widen))
        above, along = self.a * self.variance_of_v / self.s**2, shrink * self.b * self.variance_of_v / self.t**2
        low = Gaussian(Mix([above, along], self.variance_of_v.log() + widen))
        prior = Gaussian(Mix([self.a], torch.full((3,), 2 * math.log(self.s))))
        likelihood = Homoscedastic(Scale(self.b), torch.tensor(math.log(self.t)))
        return Ladder(Both(), {"u": Rung(standard_normal(3), top, Last()), "v": Rung(prior, low, Last())}, likelihood)

    def rates(self, model: Ladder, x: Tensor) -> tuple[Tensor, Tensor]:
        """KL of u, and E_q(u) KL of v, each datum and dimension, (B, 3): every mean is linear and every σ constant."""
        q_u = model.rungs["u"].posterior(None, x)
        mean, variance = q_u.mean, q_u.variance
        kl_u = 0.5 * (mean.square() + variance - variance.log() - 1)
        above, along = model.rungs["v"].posterior.net.coefficients
        gap, slope = (above - self.a) * mean + along * x, above - self.a
        variance_of_v = model.rungs["v"].posterior.net.log_variance.exp()
        square = gap.square() + slope.square() * variance
        kl_v = 0.5 * ((variance_of_v + square) / self.s**2 - (variance_of_v / self.s**2).log() - 1)
        return kl_u, kl_v


@pytest.fixture
def chain() -> Chain:
    return Chain()


def value(objective: Objective, model: Ladder, b: Batch, particles: int) -> Tensor:
    with torch.no_grad():
        return -torch.stack(list(objective(model.trace(b, particles)).values())).sum(0)


def many(objective: Objective, model: Ladder, b: Batch, particles: int, repeats: int) -> Tensor:
    repeated = b.map(lambda t: t.repeat(repeats, 1))
    return value(objective, model, repeated, particles).reshape(repeats, b.size)


def test_the_weights_are_constant_at_the_exact_posterior(chain: Chain) -> None:
    b = chain.data(16)
    exact = chain.log_p(b)
    assert_close(chain.model().trace(b, 7).log_w, exact)
    for objective in (ELBO(), IWAE()):
        assert_close(value(objective, chain.model(), b, 7), exact)
    assert_close(log_marginal(chain.model(), b, 50).log_p, exact)


def test_the_bounds_are_below_log_p_and_importance_sampling_finds_it(chain: Chain) -> None:
    b, model = chain.data(8), chain.model(shrink=0.7, widen=0.4)
    exact = chain.log_p(b)
    elbo, iwae = many(ELBO(), model, b, 1, 20_000), many(IWAE(), model, b, 50, 2000)
    assert (elbo.mean(0) < exact - 0.05).all()
    assert (elbo.mean(0) < iwae.mean(0)).all()
    found = log_marginal(model, b, 20_000)
    assert (abs(found.log_p - exact) < 4.5 * found.stderr + 1e-4).all()
    assert found.stderr.max() < 0.03


def test_the_closed_rates_are_those_of_the_chain(chain: Chain) -> None:
    """The top's exactly, the lower layer's in mean over the particles of the top."""
    b, model = chain.data(5), chain.model(shrink=0.6, widen=0.5)
    kl_u, kl_v = chain.rates(model, b.x["x"])
    repeated = b.map(lambda t: t.repeat(10_000, 1))
    kl = model.trace(repeated, 2).kl
    assert_close(kl["u"].reshape(-1, 5, 3), kl_u, within=1e-12)
    assert_mean(kl["v"].reshape(-1, 5, 3).detach(), kl_v.detach())
    assert_mean(Rate()(model.trace(repeated))["rate"].reshape(-1, 5).detach(), (kl_u + kl_v).sum(-1).detach())


def test_closed_form_and_monte_carlo_agree_in_mean(chain: Chain) -> None:
    b, model = chain.data(5), chain.model(shrink=0.6, widen=0.5)
    difference = many(ELBO(), model, b, 1, 20_000) - many(AnalyticELBO(), model, b, 1, 20_000)
    assert_mean(difference, 0.0)


def test_the_gradient_goes_through_the_layers_above(chain: Chain) -> None:
    """The mean gradient of the rate is the derivative of its closed form, for every parameter of both posteriors."""
    b, model = chain.data(2), chain.model(shrink=0.6, widen=0.5)
    parts = [*model.rungs["u"].posterior.parameters(), *model.rungs["v"].posterior.parameters()]
    exact = torch.autograd.grad(torch.cat(chain.rates(model, b.x["x"])).sum(), parts)
    draws = []
    for _ in range(400):
        rate = Rate()(model.trace(b.map(lambda t: t.repeat(50, 1))))["rate"]
        draws.append(torch.cat(torch.autograd.grad(rate.sum() / 50, parts)))
    assert_mean(torch.stack(draws), torch.cat(exact))


def test_the_deterministic_code_follows_the_means(chain: Chain) -> None:
    b, model = chain.data(4), chain.model()
    q = model.infer(b)
    assert list(q) == ["u", "v"]
    assert all(each.batch_shape == (4,) for each in q.values())
    at_mean = model.rungs["v"].posterior(q["u"].mean, b.x["x"])
    assert_close(q["v"].mean, at_mean.mean)


def test_decoding_reads_every_layer_with_any_leading_shape(chain: Chain) -> None:
    z = {"u": torch.randn(6, 2, 3), "v": torch.randn(6, 2, 3)}
    d = chain.model().decode(z)["x"]
    assert_close(d.mean, chain.b * z["v"])
    assert d.batch_shape == (6, 2)


def test_what_is_generated_has_the_chain_s_moments(chain: Chain) -> None:
    x = chain.model().generate(40_000)["x"].sample()
    assert_mean(x, 0.0)
    assert_mean(x.square(), chain.marginal().variance)


@pytest.mark.parametrize("estimator", [STL(), DReG(), Enumerate()])
def test_estimators_for_independent_latents_are_refused(chain: Chain, estimator: Estimator) -> None:
    name = type(estimator).__name__
    with refused(f"{name} takes latents for independent given the data; trace a ladder with Pathwise or Score"):
        chain.model().trace(chain.data(2), 2, estimator)


def test_the_score_function_draws_the_same_weights(chain: Chain) -> None:
    b = chain.data(4)
    assert_close(chain.model().trace(b, 3, Score()).log_w, chain.log_p(b))


def test_a_layer_below_its_free_bits_costs_just_them(chain: Chain) -> None:
    trace = chain.model(shrink=0.6, widen=0.5).trace(chain.data(64))
    layers = {name: kl.sum(-1) for name, kl in trace.kl.items()}
    low, high = sorted(layers, key=lambda name: layers[name].mean().item())
    between = (layers[low].mean() + layers[high].mean()).item() / 2
    assert_close(LayerRate(between)(trace)["charged_rate"], between + layers[high])


def test_layers_that_are_all_free_learn_nothing(chain: Chain) -> None:
    model = chain.model(shrink=0.6, widen=0.5)
    term = LayerRate(100.0)(model.trace(chain.data(8)))["charged_rate"]
    assert_close(term, 200.0)
    term.sum().backward()
    assert not any(p.grad.any() for p in model.rungs.parameters() if p.grad is not None)


def test_free_bits_of_none_are_the_rate(chain: Chain) -> None:
    trace = chain.model(0.6, 0.5).trace(chain.data(8), 2)
    assert_close(LayerRate(0.0)(trace)["charged_rate"], Rate()(trace)["rate"])


def test_free_bits_are_refused_where_they_have_no_meaning(chain: Chain) -> None:
    with refused("free bits are a number of nats, zero or more, not -1"):
        LayerRate(-1)
    with refused("free bits need posteriors and priors whose KL is known"):
        LayerRate(1.0)(chain.model().trace(chain.data(2), 2, Score()))


def test_what_was_not_observed_is_not_read(chain: Chain) -> None:
    b = chain.data(3)
    mask = torch.tensor([True, False, True])
    hidden = Batch({"x": torch.where(mask, b.x["x"], math.nan)}, mask={"x": mask.expand(3, 3)})
    trace = chain.model().trace(hidden, 2)
    assert trace.log_w.isfinite().all()


def test_the_rate_of_each_layer_is_its_mean_over_all_data(chain: Chain) -> None:
    model, meter = chain.model(0.6, 0.5), LayerRates()
    chunks = [chain.data(n) for n in (3, 5)]
    for b in chunks:
        meter.add(model.trace(b, 500))
    x = torch.cat([b.x["x"] for b in chunks])
    exact = {name: kl.sum(-1).mean().item() for name, kl in zip(("u", "v"), chain.rates(model, x))}
    found = meter.figures()["rate_by_layer"]
    assert found["u"] == pytest.approx(exact["u"], rel=1e-12)
    assert found["v"] == pytest.approx(exact["v"], rel=0.05)
