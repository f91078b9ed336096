"""Law 4: what an estimator reports is the bound; the mean of its gradient is the gradient of the bound's mean.

Exact gradients are those of integrals: over a Gaussian z by Gauss–Hermite quadrature, over a discrete one by sums.
`gradients` draws tens of thousands in one pass; each of the ten or twenty parameters is compared at 4.5 standard
errors, so that all of this file would fail by chance once in some 400 seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from agree import LIMIT, assert_close, assert_mean, assert_same_mean, z_scores
from lowerbound.core import (
    ELBO,
    IWAE,
    STL,
    AnalyticELBO,
    Batch,
    Bound,
    DReG,
    Enumerate,
    Estimator,
    Gaussian,
    Homoscedastic,
    Latent,
    LogMeanExp,
    Mean,
    Objective,
    Pathwise,
    Score,
    Trace,
    no_control,
    total,
)
from toys import (
    Affine,
    Bits,
    Constant,
    Head,
    LinearGaussian,
    Mixture,
    Same,
    TwoLatents,
    expected_elbo,
    gradient,
    gradients,
    replicated,
)

pytestmark = pytest.mark.usefixtures("double")

ESTIMATORS = {
    "pathwise": Pathwise(),
    "stl": STL(),
    "dreg": DReG(),
    "score": Score(no_control),
    "leave-one-out": Score(),
}
DRAWS = 40_000


def pairwise(log_w: Tensor, log_mass: Tensor) -> Tensor:
    """E log ½(w_i + w_j) over independent i and j of these masses: IWAE with K = 2, exactly."""
    pairs = torch.logaddexp(log_w[:, None], log_w) - math.log(2)
    return ((log_mass[:, None] + log_mass).exp() * pairs).sum()


def hermite(model: Latent, x: Tensor) -> Tensor:
    """IWAE with K = 2 for a Gaussian z of one dimension, by 80-point quadrature."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(80)
    noise, log_mass = torch.tensor(nodes), torch.tensor(masses / masses.sum()).log()
    b = Batch({"x": x[None]})
    q = model.infer(b)
    z = q.mean + q.stddev * noise[:, None, None]
    log_w = Trace(z, q, model.prior(), model.decode(z), b, Pathwise()).log_w
    return pairwise(log_w.squeeze(1), log_mass)


def summed(model: Latent, x: Tensor) -> Tensor:
    """IWAE with K = 2 for a discrete z."""
    trace = model.trace(Batch({"x": x[None]}), 1, Enumerate())
    return pairwise(trace.log_w.squeeze(1), trace.log_q.squeeze(1))


def enumerated(model: Latent, x: Tensor) -> Tensor:
    """The ELBO of a discrete z."""
    return -total(ELBO()(model.trace(Batch({"x": x[None]}), 1, Enumerate())))


@pytest.mark.parametrize(
    ("name", "objective", "particles"),
    [
        ("pathwise", ELBO(), 1),
        ("stl", ELBO(), 1),
        ("dreg", ELBO(), 2),
        ("score", ELBO(), 1),
        ("score", ELBO(), 3),
        ("leave-one-out", ELBO(), 2),
        ("leave-one-out", ELBO(), 4),
        ("pathwise", AnalyticELBO(), 1),
        ("leave-one-out", AnalyticELBO(), 2),
        ("stl", AnalyticELBO(), 1),
    ],
)
def test_elbo_gradients_on_a_linear_gaussian_model(name: str, objective: Objective, particles: int) -> None:
    toy = LinearGaussian()
    model, x = toy.model(shrink=0.6, widen=0.5), toy.data(1).x["x"][0]
    exact = gradient(-expected_elbo(model, x), model)
    assert exact.abs().max() > 0.1
    assert_mean(gradients(model, objective, ESTIMATORS[name], x, particles, DRAWS), exact)


@pytest.mark.parametrize("name", ["pathwise", "dreg", "score", "leave-one-out"])
def test_iwae_gradients_on_a_linear_gaussian_model(name: str) -> None:
    toy = LinearGaussian(size=3, latent=1)
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    exact = gradient(-hermite(model, x), model)
    assert_mean(gradients(model, IWAE(), ESTIMATORS[name], x, 2, DRAWS), exact)


def test_stl_is_biased_under_iwae_as_it_says() -> None:
    """So the test above can fail: at the same size it finds this bias."""
    toy = LinearGaussian(size=3, latent=1)
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    z = z_scores(gradients(model, IWAE(), STL(), x, 2, DRAWS), gradient(-hermite(model, x), model))
    assert z.abs().max() > 2 * LIMIT


@pytest.mark.parametrize("particles", [3, 8])
def test_dreg_gradients_with_more_particles(particles: int) -> None:
    toy = LinearGaussian()
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    draws = [gradients(model, IWAE(), ESTIMATORS[name], x, particles, DRAWS) for name in ("pathwise", "dreg", "score")]
    assert_same_mean(draws[0], draws[1])
    assert_same_mean(draws[2], draws[1])


@pytest.mark.parametrize(
    ("name", "objective", "particles"),
    [
        ("score", ELBO(), 1),
        ("leave-one-out", ELBO(), 2),
        ("leave-one-out", AnalyticELBO(), 3),
        ("score", IWAE(), 2),
        ("leave-one-out", IWAE(), 2),
    ],
)
@pytest.mark.parametrize("latent", ["one-hot", "bits"])
def test_score_gradients_of_discrete_latents(latent: str, name: str, objective: Objective, particles: int) -> None:
    toy = Mixture() if latent == "one-hot" else Bits()
    b = toy.data(1)
    model = toy.amortised(Constant(torch.randn(3))) if latent == "one-hot" else toy.model(shift=0.8)
    exact = summed if isinstance(objective, IWAE) else enumerated
    draws = gradients(model, objective, ESTIMATORS[name], b.x["x"][0], particles, DRAWS)
    assert_mean(draws, gradient(-exact(model, b.x["x"][0]), model))


def test_control_variates_pay() -> None:
    toy = Mixture()
    model, x = toy.amortised(Constant(torch.randn(3))), toy.data(1).x["x"][0]
    for objective in (ELBO(), IWAE()):
        plain, controlled = (gradients(model, objective, ESTIMATORS[n], x, 4, 4000) for n in ("score", "leave-one-out"))
        posterior = slice(3, 6)  # after the prior's three logits
        assert controlled[:, posterior].var(0).sum() < 0.5 * plain[:, posterior].var(0).sum()


@pytest.mark.parametrize(("estimator", "objective"), [(STL(), ELBO()), (DReG(), ELBO()), (DReG(), IWAE())])
def test_the_encoder_rests_at_the_exact_posterior(estimator: Estimator, objective: Objective) -> None:
    toy = LinearGaussian()
    model, b = toy.model(), toy.data(8)
    total(objective(model.trace(b, 3, estimator))).backward()
    assert max(p.grad.abs().max() for p in model.posterior.parameters()) < 1e-12
    assert all(p.grad.abs().max() > 1e-3 for p in model.likelihood.parameters())


def test_pathwise_does_not_rest_there() -> None:
    toy = LinearGaussian()
    model = toy.model()
    total(ELBO()(model.trace(toy.data(8), 3))).backward()
    assert max(p.grad.abs().max() for p in model.posterior.parameters()) > 1e-2


@pytest.mark.parametrize("bound", [Mean(), LogMeanExp()], ids=["mean", "log-mean-exp"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_value_is_the_bound_exactly(name: str, bound: Bound) -> None:
    """Bit for bit, though the score's carrier is a thousand times larger: it must not leave its rounding behind."""
    toy = LinearGaussian()
    trace = toy.model(shrink=-40.0).trace(toy.data(8), 5, ESTIMATORS[name])
    value = ESTIMATORS[name].surrogate(trace, trace.log_w, bound)
    assert value.requires_grad
    assert torch.equal(value.detach(), bound(trace.log_w, trace.log_measure).detach())


def test_the_enumerated_value_is_the_bound() -> None:
    toy = Bits()
    trace = toy.model(0.3).trace(toy.data(4), 1, Enumerate())
    for bound in (Mean(), LogMeanExp()):
        value = Enumerate().surrogate(trace, trace.log_w, bound)
        assert torch.equal(value, bound(trace.log_w, trace.log_measure))


def test_dreg_for_the_elbo_is_stl() -> None:
    toy = LinearGaussian()
    b, flats = toy.data(8), []
    model = toy.model(0.5, 0.5)
    for estimator in (STL(), DReG()):
        torch.manual_seed(1)
        flats.append(gradient(total(ELBO()(model.trace(b, 4, estimator))), model))
    assert_close(flats[0], flats[1])


def test_dreg_with_two_latents_and_with_a_learned_prior() -> None:
    parts = {name: Gaussian(Same(torch.tensor([0.4, 0.3]))) for name in ("u", "v")}
    two = TwoLatents(parts)
    condition = torch.tensor([0.5, -1.0])
    learned = Latent(
        Gaussian(Head(Affine(torch.randn(1, 2), torch.zeros(1)), torch.zeros(1))),
        Gaussian(Head(Affine(torch.randn(1, 5) / 2, torch.zeros(1)), torch.zeros(1))),
        Homoscedastic(Affine(torch.randn(3, 3), torch.zeros(3)), torch.zeros(())),
    )
    for model, x, c in ((two, torch.tensor([0.7]), None), (learned, torch.randn(3), condition)):
        draws = []
        for estimator in (Pathwise(), DReG(), Score()):
            copies = replicated(model, DRAWS)
            b = Batch({"x": x.expand(DRAWS, -1)}, None if c is None else c.expand(DRAWS, -1))
            (DRAWS * total(IWAE()(copies.trace(b, 4, estimator)))).backward()
            draws.append(torch.cat([p.grad.reshape(DRAWS, -1) for p in copies.parameters()], 1))
        assert_same_mean(draws[0], draws[1])
        assert_same_mean(draws[0], draws[2])


@pytest.mark.parametrize("measure", ["equal", "each its own"])
@pytest.mark.parametrize("bound", [Mean(), LogMeanExp()], ids=["mean", "log-mean-exp"])
def test_bounds_state_their_own_derivatives(bound: Bound, measure: str) -> None:
    """weights: the first derivative; path_weights: the first less the second; both against autograd."""
    log_w = (3 * torch.randn(4, 5)).requires_grad_()
    log_measure = torch.full((4, 1), -math.log(4)) if measure == "equal" else torch.randn(4, 5).log_softmax(0)
    (first,) = torch.autograd.grad(bound(log_w, log_measure).sum(), log_w, create_graph=True)
    second = torch.stack(
        [torch.autograd.grad(first[k].sum(), log_w, retain_graph=True, allow_unused=True)[0][k] for k in range(4)]
        if first.requires_grad
        else [torch.zeros(5)] * 4
    )
    assert_close(bound.weights(log_w, log_measure), first)
    assert_close(bound.path_weights(log_w, log_measure), first - second)
