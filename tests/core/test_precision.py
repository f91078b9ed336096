"""float32 and bfloat16: extremes give numbers, and sums keep float32 at least."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from agree import assert_close
from catalogue import LIKELIHOODS, likelihood, parameters, raw, support
from lowerbound.core import (
    ELBO,
    IWAE,
    STL,
    AnalyticELBO,
    Batch,
    Bernoulli,
    DiscretizedLogistic,
    DReG,
    Enumerate,
    Estimator,
    Fixed,
    Gaussian,
    Latent,
    Objective,
    Pathwise,
    Score,
    log_marginal,
    standard_normal,
    total,
)
from lowerbound.core.distributions import NegativeBinomial
from lowerbound.nets import decoder, encoder
from toys import bits

EXTREMES = [-1e4, -1e3, -15.0, -1e-3, 0.0, 1e-3, 15.0, 1e3, 1e4]


def ends(d: Distribution) -> list[float]:
    """Both ends of the range of a value, and something between."""
    domain = support(d)
    if domain is constraints.real:
        return [-1e4, 0.0, 1e4]
    if domain is constraints.nonnegative_integer:
        return [0.0, 1.0, 1e6]
    if domain is constraints.unit_interval:
        return [0.0, 0.5, 1.0]
    top = 1.0 if domain is constraints.boolean else float(domain.upper_bound)
    return [0.0, min(1.0, top), top]


def corners(per_value: int) -> Tensor:
    """Every combination of two extreme numbers; a thousand random ones of more."""
    if per_value <= 2:
        grid = torch.tensor(list(itertools.product(EXTREMES, repeat=per_value)))
        return grid.squeeze(-1) if per_value == 1 else grid
    return torch.tensor(EXTREMES)[torch.randint(len(EXTREMES), (1000, per_value))]


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_extremes_give_numbers_and_gradients(name: str) -> None:
    """Network outputs of ±1e4 at both ends of the data's range: finite values, finite gradients, in float32."""
    part = likelihood(name)
    h = corners(part.per_value).requires_grad_()
    for x in ends(part(h)):
        value = part(h).log_prob(torch.tensor(x))
        assert value.isfinite().all(), (x, h[~value.isfinite()])
        (slope,) = torch.autograd.grad(value.sum(), h)
        assert slope.isfinite().all(), (x, h[~slope.isfinite()])


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_extremes_give_samples_and_means(name: str) -> None:
    part = likelihood(name)
    h = corners(part.per_value)
    d = part(h)
    samples = d.sample((10,))
    assert samples.isfinite().all()
    assert support(d).check(samples).all()
    if name != "categorical":
        assert d.mean.isfinite().all()
        assert (d.variance >= 0).all()


@pytest.mark.parametrize("name", [name for name in LIKELIHOODS if name != "categorical"])
def test_means_at_extremes_have_gradients(name: str) -> None:
    part = likelihood(name)
    h = corners(part.per_value).requires_grad_()
    (slope,) = torch.autograd.grad(part(h).mean.sum(), h)
    assert slope.isfinite().all()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_float32_is_float64_to_seven_digits(name: str) -> None:
    """At ordinary outputs, of the largest term that is added up: the value itself, or a logit times x."""
    part = likelihood(name)
    h = parameters(part, 2000, spread=5.0)
    x = part(h.clamp(-6, 6)).sample()
    single = part(h).log_prob(x)
    double = part(h.double()).log_prob(x.double())
    largest = 1 + double.abs() + x.abs() * h.abs().reshape(2000, -1).max(1).values
    assert single.dtype == torch.float32
    assert_close((single - double) / largest, 0.0, within=3e-6)


def test_the_negative_binomial_keeps_its_digits_at_any_dispersion() -> None:
    """In float32 within 1e-4 nats of float64, for r from e^−15 to e^15, where two log Γ would lose whole nats."""
    log_mean, log_r = torch.meshgrid(torch.linspace(-5, 4, 10), torch.linspace(-15, 15, 61), indexing="ij")
    for x in (0.0, 1.0, 10.0, 100.0):
        single = NegativeBinomial(log_mean, log_r).log_prob(torch.tensor(x))
        double = NegativeBinomial(log_mean.double(), log_r.double()).log_prob(torch.tensor(x).double())
        assert_close((single - double) / (1 + double.abs()), 0.0, within=1e-4)


def test_sixteen_bit_levels_have_gradients() -> None:
    h = torch.tensor([[0.0, 15.0], [0.5, -15.0], [0.9, 0.0]], requires_grad=True)
    for x in (0.0, 300.0, 65_535.0):
        value = DiscretizedLogistic(nn.Identity(), 65_536)(h[:, None]).log_prob(torch.tensor([x]))
        (slope,) = torch.autograd.grad(value.sum(), h)
        assert value.isfinite().all()
        assert slope.isfinite().all()


def test_the_variance_of_a_sharp_logistic_does_not_cancel() -> None:
    h = torch.tensor([[[0.9, -12.0]], [[0.9, -15.0]], [[-0.3, -9.0]]])
    single, double = (DiscretizedLogistic(nn.Identity())(each).variance for each in (h, h.double()))
    assert_close(single.double(), double, within=1e-3)


@pytest.mark.parametrize(
    ("objective", "estimator"),
    [(ELBO(), Pathwise()), (AnalyticELBO(), Pathwise()), (ELBO(), STL()), (IWAE(), DReG()), (IWAE(), Score())],
)
@pytest.mark.parametrize("log_variance", [-1e3, 1e3])
@pytest.mark.parametrize("mean", [-1e3, 0.0, 1e3])
def test_extreme_posteriors_give_finite_bounds(
    objective: Objective, estimator: Estimator, mean: float, log_variance: float
) -> None:
    h = torch.tensor([[mean, log_variance]] * 2).requires_grad_()
    model = Latent(standard_normal(2), Gaussian(Given(h)), Bernoulli(nn.Linear(2, 3)))
    loss = total(objective(model.trace(Batch({"x": torch.eye(3)}), 4, estimator)))
    loss.backward()
    assert loss.isfinite()
    assert h.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


class Given(nn.Module):
    """These numbers for each of three data."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        return self.values.expand(3, 2, 2)


def test_an_extreme_discrete_posterior_gives_a_finite_bound() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]]).requires_grad_()
    model = Latent(Fixed(bits, logits=torch.zeros(3)), Bernoulli(Just(logits)), Bernoulli(nn.Linear(3, 2)))
    loss = total(ELBO()(model.trace(Batch({"x": torch.eye(2)}), 1, Enumerate())))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


class Just(nn.Module):
    """The same logits for each datum."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), 3)


def picture_model(name: str) -> Latent:
    part = likelihood(name, (28, 28))
    inward = nn.Sequential(encoder("mlp", (28, 28), 20, (64,), "tanh"), nn.Unflatten(-1, (10, 2)))
    outward = decoder("mlp", 10, (28, 28), part.per_value, (64,), "tanh")
    part.net = outward
    return Latent(standard_normal(10), Gaussian(inward), part)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_bfloat16_networks_leave_sums_in_float32(name: str) -> None:
    """Under autocast only the networks are rough: given their outputs, the 784 terms are added in float32."""
    model = picture_model(name)
    b = Batch({"x": model.likelihood["x"](torch.zeros(8, 10)).sample().float()})
    with torch.autocast("cpu", torch.bfloat16):
        trace = model.trace(b, 3)
        h = model.likelihood["x"].net(trace.z)
        assert h.dtype == torch.bfloat16
        assert {t.dtype for t in (trace.z, trace.log_px, trace.log_p, trace.log_q, trace.log_w)} == {torch.float32}
        loss = total(AnalyticELBO()(trace))
        assert loss.dtype == torch.float32
    model.likelihood["x"].net = nn.Identity()
    exact = model.likelihood["x"].double()(h.double()).log_prob(b.x["x"].double())
    assert_close((trace.log_px - exact) / (100 + exact.abs()), 0.0, within=1e-6)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_bfloat16_bounds_are_close_to_float32(name: str) -> None:
    """784 logits of three digits each: within 1 % of log p(x), or 1 nat where that is near zero."""
    model = picture_model(name)
    b = Batch({"x": model.likelihood["x"](torch.zeros(8, 10)).sample().float()})
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(log_marginal(model, b, 16).log_p)
    assert_close((found[1] - found[0]) / (100 + found[0].abs()), 0.0, within=0.01)


def test_bounds_of_large_pictures_are_exact_in_float32() -> None:
    """3 072 float32 terms summed: within 1e-6 of the same sum in float64."""
    part = likelihood("bernoulli", (32, 32, 3))
    h, x = torch.randn(16, 32, 32, 3), raw("binary", 16, 32, 32, 3).float()
    single, double = part(h).log_prob(x), part(h.double()).log_prob(x.double())
    assert_close((single - double) / double, 0.0, within=1e-6)
