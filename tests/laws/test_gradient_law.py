"""Law 4: what an estimator reports is the bound; the mean of its gradient is the gradient of the bound's mean.

Exact gradients are those of integrals: over Gaussian particles by Gauss–Hermite quadrature, over discrete ones by sums
over every combination of them. `gradients` draws tens of thousands in one pass; each of the ten or twenty parameters is
compared at 4.5 standard errors: some 1300 comparisons, so that this file would fail by chance once in a hundred seeds.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agree import LIMIT, assert_close, assert_mean, assert_same_mean, refused, z_scores
from exact import expected, grid, support
from lowerbound.core import (
    CIWAE,
    ELBO,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    TVO,
    VR,
    AnalyticELBO,
    Batch,
    DReG,
    Enumerate,
    Estimator,
    Gaussian,
    Groups,
    Homoscedastic,
    Latent,
    LogMeanExp,
    Mean,
    Objective,
    Pathwise,
    Score,
    no_control,
    total,
)
from lowerbound.core.objectives import OfWeights
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
BOUNDS: dict[str, OfWeights] = {
    "elbo": ELBO(),
    "iwae": IWAE(),
    "miwae": MIWAE(2),
    "ciwae": CIWAE(0.3),
    "vr": VR(0.5),
    "vr-beyond": VR(2.0),
    "vr-max": VR(-math.inf),
    "tvo": TVO(3, 0.2),
}
# The largest weight has no second derivative, so DReG refuses it.
SERVED = [(bound, name) for bound in BOUNDS for name in ESTIMATORS if (bound, name) != ("vr-max", "dreg")]
DRAWS = 40_000


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


@pytest.mark.parametrize(("bound", "name"), [each for each in SERVED if each[1] != "stl"])
def test_gradients_of_many_particles_on_a_linear_gaussian_model(bound: str, name: str) -> None:
    """Four particles, against quadrature over all four at 16 nodes each."""
    toy = LinearGaussian(size=3, latent=1)
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    found = gradients(model, BOUNDS[bound], ESTIMATORS[name], x, 4, DRAWS)
    if bound == "vr-max":  # has a kink, which quadrature does not see
        assert_same_mean(found, gradients(model, BOUNDS[bound], ESTIMATORS["score"], x, 4, DRAWS))
    else:
        assert_mean(found, gradient(-expected(BOUNDS[bound].bound, *grid(model, x, 16), 4), model))


def test_quadrature_is_finer_than_the_noise() -> None:
    toy = LinearGaussian(size=3, latent=1)
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    for objective in (IWAE(), MIWAE(3), CIWAE(0.3), VR(0.5), TVO(3, 0.2)):
        coarse, fine = (gradient(expected(objective.bound, *grid(model, x, n), 3), model) for n in (16, 40))
        assert_close(coarse, fine, within=1e-4)


def test_stl_is_biased_under_iwae_as_it_says() -> None:
    """So the test above can fail: at the same size it finds this bias."""
    toy = LinearGaussian(size=3, latent=1)
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    exact = gradient(-expected(LogMeanExp(), *grid(model, x), 2), model)
    z = z_scores(gradients(model, IWAE(), STL(), x, 2, DRAWS), exact)
    assert z.abs().max() > 2 * LIMIT


@pytest.mark.parametrize("particles", [3, 8])
def test_dreg_gradients_with_more_particles(particles: int) -> None:
    toy = LinearGaussian()
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    draws = [gradients(model, IWAE(), ESTIMATORS[name], x, particles, DRAWS) for name in ("pathwise", "dreg", "score")]
    assert_same_mean(draws[0], draws[1])
    assert_same_mean(draws[2], draws[1])


@pytest.mark.parametrize("name", ["score", "leave-one-out"])
@pytest.mark.parametrize("bound", BOUNDS)
def test_score_gradients_of_a_one_hot_latent(bound: str, name: str) -> None:
    """Four particles of three values, against all 81 combinations."""
    toy = Mixture()
    model, x = toy.amortised(Constant(torch.randn(3))), toy.data(1).x["x"][0]
    draws = gradients(model, BOUNDS[bound], ESTIMATORS[name], x, 4, DRAWS)
    assert_mean(draws, gradient(-expected(BOUNDS[bound].bound, *support(model, x), 4), model))


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
def test_score_gradients_of_bits(name: str, objective: Objective, particles: int) -> None:
    toy = Bits()
    model, x = toy.model(shift=0.8), toy.data(1).x["x"][0]
    bound = LogMeanExp() if isinstance(objective, IWAE) else Mean()
    draws = gradients(model, objective, ESTIMATORS[name], x, particles, DRAWS)
    assert_mean(draws, gradient(-expected(bound, *support(model, x), particles), model))


def test_control_variates_pay() -> None:
    toy = Mixture()
    model, x = toy.amortised(Constant(torch.randn(3))), toy.data(1).x["x"][0]
    for objective in (ELBO(), IWAE()):
        plain, controlled = (gradients(model, objective, ESTIMATORS[n], x, 4, 4000) for n in ("score", "leave-one-out"))
        posterior = slice(3, 6)  # after the prior's three logits
        assert controlled[:, posterior].var(0).sum() < 0.5 * plain[:, posterior].var(0).sum()


RESTING = (ELBO(), IWAE(), MIWAE(3), CIWAE(), PIWAE(3), VR(0.5), VR(2.0), TVO())


@pytest.mark.parametrize(("estimator", "objective"), [(STL(), ELBO()), *((DReG(), each) for each in RESTING)])
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


@pytest.mark.parametrize(("bound_name", "name"), SERVED)
def test_the_value_is_the_bound_exactly(bound_name: str, name: str) -> None:
    """Bit for bit, though the score's carrier is a thousand times larger: it must not leave its rounding behind."""
    toy, bound = LinearGaussian(), BOUNDS[bound_name].bound
    trace = toy.model(shrink=-40.0).trace(toy.data(8), 6, ESTIMATORS[name])
    value = ESTIMATORS[name].surrogate(trace, trace.log_w, bound)
    assert value.requires_grad
    assert torch.equal(value.detach(), bound(trace.log_w, trace.log_measure).detach())


def test_the_enumerated_value_is_the_bound() -> None:
    toy = Bits()
    trace = toy.model(0.3).trace(toy.data(4), 1, Enumerate())
    for bound in (each.bound for each in BOUNDS.values()):
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


def test_piwae_teaches_the_decoder_by_iwae_and_the_encoder_by_miwae() -> None:
    """On the same draws; and the value, bit for bit, is that of IWAE."""
    toy = LinearGaussian()
    model, b, found = toy.model(0.5, 0.5), toy.data(8), []
    for objective in (PIWAE(3), IWAE(), MIWAE(3)):
        torch.manual_seed(1)
        loss = total(objective(model.trace(b, 12, DReG())))
        grads = torch.autograd.grad(loss, [*model.likelihood.parameters(), *model.posterior.parameters()])
        decoder = len(list(model.likelihood.parameters()))
        found.append((loss, flat(grads[:decoder]), flat(grads[decoder:])))
    (value, theta, phi), (iwae, theta_of_iwae, phi_of_iwae), (_, theta_of_miwae, phi_of_miwae) = found
    assert value == iwae
    assert_close(theta, theta_of_iwae)
    assert_close(phi, phi_of_miwae)
    assert (theta - theta_of_miwae).abs().max() > 1e-3
    assert (phi - phi_of_iwae).abs().max() > 1e-3


def test_piwae_in_mean() -> None:
    """Its two gradients against the two bounds' exact ones, parameters in the order decoder last."""
    toy = LinearGaussian(size=3, latent=1)
    model, x = toy.model(shrink=0.5, widen=0.6), toy.data(1).x["x"][0]
    bounds = (Groups(2, LogMeanExp()), LogMeanExp())
    phi, theta = (gradient(-expected(bound, *grid(model, x, 16), 4), model) for bound in bounds)
    encoder = sum(p.numel() for p in model.posterior.parameters())
    exact = torch.cat([phi[:encoder], theta[encoder:]])
    assert_mean(gradients(model, PIWAE(2), DReG(), x, 4, DRAWS), exact)


@pytest.mark.parametrize("estimator", [Pathwise(), STL(), Score()])
def test_piwae_is_refused_by_whatever_sees_its_value_alone(estimator: Estimator) -> None:
    toy = LinearGaussian()
    trace = toy.model().trace(toy.data(2), 4, estimator)
    with refused("PIWAE has a gradient for the encoder and another for the decoder; use the estimator DReG"):
        PIWAE()(trace)
    with torch.no_grad():
        assert torch.equal(PIWAE()(trace)["negative_iwae"], IWAE()(trace)["negative_iwae"])


def flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
