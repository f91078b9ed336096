"""GDReG: the gradient of a learned prior p(z|c), by the way it moves z; of chains see test_chain.

Compared at 4.5 standard errors, parameter by parameter: by chance this file would fail once in some thousand seeds.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution

from agree import assert_close, assert_same_mean, refused
from lowerbound.core import (
    ELBO,
    IWAE,
    MIWAE,
    VR,
    AnalyticELBO,
    Batch,
    DReG,
    Estimator,
    Fixed,
    Gaussian,
    GDReG,
    Homoscedastic,
    Latent,
    Objective,
    Pathwise,
    Score,
    total,
)
from lowerbound.core.gdreg import moved_by
from toys import Affine, Head, LinearGaussian, gradient, replicated

pytestmark = pytest.mark.usefixtures("double")

DRAWS = 20_000


def conditional_model() -> Latent:
    """p(z|c) linear in c, and q no exact posterior."""
    return Latent(
        Gaussian(Head(Affine(torch.randn(1, 2), torch.zeros(1)), torch.zeros(1))),
        Gaussian(Head(Affine(torch.randn(1, 5) / 2, torch.zeros(1)), torch.zeros(1))),
        Homoscedastic(Affine(torch.randn(3, 3), torch.zeros(3)), torch.zeros(())),
    )


def draws_of(model: Latent, objective: Objective, estimator: Estimator, b: Batch, particles: int) -> dict[str, Tensor]:
    """Independent gradients at one datum, (draws, parameters), by part of the model."""
    copies, many = replicated(model, DRAWS), b.map(lambda t: t.expand(DRAWS, -1))
    (DRAWS * total(objective(copies.trace(many, particles, estimator)))).backward()
    flat = lambda part: torch.cat([p.grad.reshape(DRAWS, -1) for p in part.parameters()], 1)  # noqa: E731
    return {name: flat(part) for name, part in copies.named_children()}


@pytest.mark.parametrize("objective", [ELBO(), IWAE(), MIWAE(2), VR(0.5)], ids=lambda each: type(each).__name__)
def test_gradients_share_their_mean_with_the_path_and_with_the_score(objective: Objective) -> None:
    model, b = conditional_model(), Batch({"x": torch.randn(1, 3)}, c=torch.tensor([[0.5, -1.0]]))
    found, path, score = (draws_of(model, objective, each, b, 4) for each in (GDReG(), Pathwise(), Score()))
    for part, values in found.items():
        assert_same_mean(values, path[part])
        assert_same_mean(values, score[part])


def test_the_parts_but_the_prior_learn_as_under_dreg() -> None:
    model, b = conditional_model(), Batch({"x": torch.randn(5, 3)}, c=torch.randn(5, 2))
    found = []
    for estimator in (DReG(), GDReG()):
        torch.manual_seed(0)
        found.append({n: gradient(total(IWAE()(model.trace(b, 4, estimator))), p) for n, p in model.named_children()})
    for part in ("posterior", "likelihood"):
        assert_close(found[0][part], found[1][part])
    assert not torch.allclose(found[0]["prior"], found[1]["prior"])


@pytest.mark.parametrize(("scale", "pays"), [(3.0, True), (0.1, False)])
def test_it_pays_where_the_data_say_little_of_z(scale: float, pays: bool) -> None:
    """Slopes of a likelihood are steep where it says much: there the score by p is the quieter."""
    toy = LinearGaussian(size=8, latent=2, scale=scale)
    plain = toy.model(shrink=0.8, widen=0.5)
    prior = Fixed(normal, loc=nn.Parameter(torch.zeros(2)), log_scale=nn.Parameter(torch.zeros(2)))
    model = Latent(prior, plain.posterior, plain.likelihood["x"])
    b = toy.data(1)
    usual, doubly = (draws_of(model, IWAE(), each, b, 8)["prior"] for each in (DReG(), GDReG()))
    assert_same_mean(usual, doubly)
    ratio = doubly.var(0).mean() / usual.var(0).mean()
    assert ratio < 0.2 if pays else ratio > 5


def normal(loc: Tensor, log_scale: Tensor) -> Distribution:
    return D.Independent(D.Normal(loc, log_scale.exp(), validate_args=False), 1, validate_args=False)


def test_a_prior_with_nothing_to_learn_is_left_alone() -> None:
    toy = LinearGaussian()
    model, b, found = toy.model(0.5, 0.5), toy.data(6), []
    for estimator in (DReG(), GDReG()):
        torch.manual_seed(0)
        found.append(gradient(total(IWAE()(model.trace(b, 4, estimator))), model))
    assert torch.equal(*found)


def test_its_value_is_the_bound() -> None:
    model, b = conditional_model(), Batch({"x": torch.randn(5, 3)}, c=torch.randn(5, 2))
    trace = model.trace(b, 4, GDReG())
    assert torch.equal(IWAE()(trace)["negative_iwae"], -(torch.logsumexp(trace.log_w + trace.log_measure, 0)))
    with torch.no_grad():
        assert model.trace(b, 4, GDReG()).kl is not None


def test_a_rate_by_itself_is_refused() -> None:
    model, b = conditional_model(), Batch({"x": torch.randn(5, 3)}, c=torch.randn(5, 2))
    with refused("GDReG follows the prior through log w alone; use a bound on log w, or the estimator DReG"):
        AnalyticELBO()(model.trace(b, 4, GDReG()))


LOC, SCALE = torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])


@pytest.mark.parametrize("family", [D.Normal, D.Laplace])
def test_what_moves_z_is_what_moves_a_draw(family: type[Distribution]) -> None:
    """A draw of p moved by p again: the gradient of its own reparameterisation."""
    loc, scale = LOC.double().requires_grad_(), SCALE.double().requires_grad_()
    p = family(loc, scale)
    z = p.rsample()
    moved = moved_by(D.Independent(p, 1), z.detach())
    assert_close(moved, z)
    for own, again in zip(*(torch.autograd.grad((v * LOC).sum(), (loc, scale)) for v in (z, moved))):
        assert_close(own, again)


def test_other_priors_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="how the parameters of Gamma move its draws; register it"):
        moved_by(D.Gamma(LOC.exp(), SCALE), SCALE)
