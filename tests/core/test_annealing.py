"""Annealing where everything is known: weights whose mean is p(x) itself, forwards, and 1/p(x), backwards."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from test_chain import TwoLayers
from test_ladder import Chain
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from agree import LIMIT, assert_close, assert_mean, refused
from lowerbound.core import (
    Batch,
    Bernoulli,
    Fixed,
    Gaussian,
    Latent,
    Point,
    ais,
    flat,
    log_marginal,
    sandwich,
    simulated,
    standard_normal,
)
from lowerbound.core.annealing import Path, tuned, walked
from lowerbound.core.given import scored
from lowerbound.core.hmc import state, transition
from lowerbound.core.marginal import uninformed
from toys import Affine, Bits, Constant, LinearGaussian, Mixture, TwoLatents

pytestmark = pytest.mark.usefixtures("double")

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=torch.float64)


def gaussian_terms(z: Tensor) -> tuple[Tensor, Tensor]:
    """Two Gaussians whose weighted sum is a third."""
    narrow = MultivariateNormal(torch.tensor([1.0, -1.0]), 0.1 * torch.eye(2), validate_args=False)
    return MultivariateNormal(torch.zeros(2), COVARIANCE, validate_args=False).log_prob(z), narrow.log_prob(z)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.7, 0.3)])
@pytest.mark.parametrize("step", [0.2, 0.45])
def test_a_transition_leaves_its_target_as_it_is(weights: tuple[float, float], step: float) -> None:
    """20 000 exact draws of a Gaussian keep their mean and covariance through five moves, few or most of them taken."""
    first, second = weights
    precision = first * COVARIANCE.inverse() + second * 10 * torch.eye(2)
    mean = precision.inverse() @ (second * 10 * torch.tensor([1.0, -1.0]))
    target = MultivariateNormal(mean, precision_matrix=precision)
    here = state(gaussian_terms, target.sample((20_000, 1)))
    start = here.z
    for _ in range(5):
        here, accepted = transition(gaussian_terms, here, torch.tensor(weights), torch.full((1, 1), step), 3)
    moved = (here.z != start).all(-1).double().mean()
    assert moved > 0.2
    assert 0.05 < accepted.mean() < 0.999
    assert_mean(here.z[:, 0], mean)
    centred = here.z[:, 0] - mean
    assert_mean(centred[:, :, None] * centred[:, None, :], precision.inverse())


def test_what_is_kept_of_a_state_is_what_it_is_there() -> None:
    """Taken or refused, values and slopes are those of where the chain stands."""
    here = state(gaussian_terms, torch.randn(50, 3, 2))
    there, accepted = transition(gaussian_terms, here, torch.tensor([0.5, 0.5]), torch.full((3, 1), 0.6), 4)
    assert 0.2 < accepted.mean() < 0.9
    again = state(gaussian_terms, there.z)
    assert_close(there.values, again.values)
    assert_close(there.slopes, again.slopes)
    assert_close(there.slopes[0], -there.z @ COVARIANCE.inverse(), within=1e-10)


def test_a_trajectory_that_diverges_is_refused() -> None:
    here = state(gaussian_terms, torch.randn(20, 2, 2))
    there, accepted = transition(gaussian_terms, here, torch.tensor([0.5, 0.5]), torch.full((2, 1), 1e200), 5)
    assert (accepted == 0).all()
    assert torch.equal(there.z, here.z)


def repeated(batch: Batch, times: int) -> Batch:
    return batch.map(lambda values: values.repeat(times, *[1] * (values.dim() - 1)))


@pytest.mark.parametrize("begin", [lambda model: model, uninformed], ids=["posterior", "prior"])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_mean_weight_is_p_of_x(steps: int, begin: Callable[[Latent], Latent]) -> None:
    """And of the walk backwards from an exact draw 1/p(x): 4 000 weights of each of 3 data, |z| < 4.5."""
    toy = LinearGaussian(scale=1.0)
    model = toy.model(shrink=0.8, widen=0.3)
    batch, _ = simulated(model, 3)
    path, exact = Path(begin(model), batch), toy.log_p(batch)
    schedule = tuned(path, steps, 8, 2)
    forwards, _ = walked(path, path.draw(4000), schedule, 2)
    assert_mean((forwards - exact).exp(), 1.0)
    posterior = toy.model()
    draws = posterior.infer(batch).sample((4000,))
    backwards, _ = walked(path, draws, schedule.backwards(), 2)
    assert_mean((backwards + exact).exp(), 1.0)


def test_the_sandwich_holds_and_closes() -> None:
    """Of 200 simulated data the mean lies between; with more steps the bounds come together on the exact value."""
    toy = LinearGaussian()
    model = toy.model(shrink=0.5, widen=-1.5)
    batch, z = simulated(model, 200)
    exact, widths = toy.log_p(batch), []
    for steps in (2, 20, 200):
        found = sandwich(model, batch, z, steps=steps, chains=4)
        under, over = exact - found.lower, found.upper - exact
        for slack in (under, over):
            assert slack.mean() > -LIMIT * slack.std() / 200**0.5
        widths.append((found.upper - found.lower).mean())
    assert widths[0] > 1 > 0.5 > widths[1] > widths[2]
    assert widths[2] < 0.1


def test_annealing_mends_a_bad_posterior() -> None:
    toy = LinearGaussian()
    batch, model = toy.data(100), toy.model(shrink=0.5, widen=-3.0)
    sampled = log_marginal(model, batch, 1000).log_p - toy.log_p(batch)
    found = ais(model, batch, steps=100)
    annealed = found.log_p - toy.log_p(batch)
    assert sampled.mean() < -1
    assert abs(annealed.mean()) < 0.1
    assert (annealed / found.stderr).abs().median() < 1.5
    assert ((found.acceptance > 0.5) & (found.acceptance < 0.95)).all()


def test_one_dimension_against_a_grid() -> None:
    """Binary data of a bent z, their integral by brute force."""
    decoder = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 6))
    with torch.no_grad():
        decoder[0].weight.mul_(3)
        decoder[2].weight.mul_(8)
    encoder = nn.Sequential(nn.Linear(6, 2), nn.Unflatten(-1, (1, 2)))
    model = Latent(standard_normal(1), Gaussian(encoder), Bernoulli(decoder))
    batch, _ = simulated(model, 40)
    grid = torch.linspace(-9, 9, 20_001)
    z = grid[:, None, None].expand(-1, 40, 1)
    with torch.no_grad():
        trace = scored(model, batch, z)
        exact = torch.logsumexp(trace.log_px + trace.log_p, 0) + (grid[1] - grid[0]).log()
    found = ais(model, batch, steps=100, chains=32)
    assert ((found.log_p - exact) / found.stderr).abs().max() < LIMIT
    assert found.stderr.mean() < 0.1


@pytest.mark.parametrize("toy", [Chain, TwoLayers], ids=["ladder", "chain"])
def test_all_layers_of_a_hierarchy_are_annealed(toy: type[Chain] | type[TwoLayers]) -> None:
    chain = toy()
    batch = chain.data(50)
    found = ais(chain.model(shrink=0.6, widen=0.8), batch, steps=100)
    z = (found.log_p - chain.log_p(batch)) / found.stderr
    assert abs(z.mean()) < LIMIT / 50**0.5
    assert found.stderr.mean() < 0.1
    assert_close(ais(chain.model(), batch, steps=3).log_p, chain.log_p(batch), within=1e-10)
    made, z = simulated(chain.model(), 20)
    both = sandwich(chain.model(), made, z, steps=3)
    assert_close(both.lower, chain.log_p(made), within=1e-10)
    assert_close(both.upper, chain.log_p(made), within=1e-10)


def affine_posterior() -> Gaussian:
    return Gaussian(nn.Sequential(Affine(torch.full((2, 1), 0.3), torch.zeros(2)), nn.Unflatten(-1, (1, 2))))


def test_several_latents() -> None:
    """x ~ N(u + v, 1/4): log p(x) = log N(x; 0, 2 + 1/4)."""
    batch = Batch({"x": 1.5 * torch.randn(50, 1)})
    found = ais(TwoLatents({name: affine_posterior() for name in "uv"}), batch, steps=100)
    exact = torch.distributions.Normal(0.0, 1.5).log_prob(batch.x["x"]).squeeze(-1)
    assert abs(((found.log_p - exact) / found.stderr).mean()) < LIMIT / 50**0.5
    assert found.stderr.mean() < 0.15


def test_what_was_not_observed_is_integrated_out() -> None:
    toy = LinearGaussian()
    x, mask = toy.data(30).x["x"], torch.tensor([True, False, True, True])
    batch = Batch({"x": torch.where(mask, x, math.nan)}, mask={"x": mask.expand(30, -1)})
    found = ais(toy.model(widen=0.5), batch, steps=50)
    whole = toy.marginal()
    seen = MultivariateNormal(whole.loc[mask], whole.covariance_matrix[mask][:, mask]).log_prob(x[:, mask])
    assert abs(((found.log_p - seen) / found.stderr).mean()) < LIMIT / 30**0.5


def test_data_are_taken_in_groups_and_keep_their_order() -> None:
    toy = LinearGaussian()
    batch = toy.data(11)
    found = ais(toy.model(widen=0.2), batch, steps=30, chains=16, decodes=48)
    assert [field.shape for field in found] == [(11,)] * 6
    assert_close(found.log_p, toy.log_p(batch), within=0.2)
    made, z = simulated(toy.model(), 11)
    assert_close(sandwich(toy.model(), made, z, steps=2, decodes=48).lower, toy.log_p(made), within=1e-10)


def test_one_seed_is_one_answer() -> None:
    toy, found = LinearGaussian(), []
    batch = toy.data(3)
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(ais(toy.model(0.5, 0.5), batch, steps=5).log_p)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_simulated_data_are_those_of_the_model() -> None:
    toy = LinearGaussian()
    batch, z = simulated(toy.model(), 20_000)
    centred = batch.x["x"] - toy.bias
    assert_mean(centred[:, :, None] * centred[:, None, :], toy.marginal().covariance_matrix)
    assert_mean(centred - z @ toy.weight.T, 0.0)


@pytest.mark.parametrize("kind", ["one-hot", "bits", "point", "bounded"])
def test_latents_without_gradients_are_refused(kind: str) -> None:
    bounded = Fixed(
        lambda one: torch.distributions.Independent(torch.distributions.Beta(one, one), 1), one=torch.ones(2)
    )
    decoder = Bernoulli(Constant(torch.zeros(2)))
    model = {
        "one-hot": lambda: Mixture(size=3).exact(),
        "bits": lambda: Bits().model(),
        "point": lambda: Latent(flat(3), Point(nn.Identity()), decoder),
        "bounded": lambda: Latent(bounded, bounded, decoder),
    }[kind]()
    sentence = (
        "annealing moves z along gradients of its densities: it needs latents that are vectors of real numbers, whose "
        "posterior is no point"
    )
    with refused(sentence):
        ais(model, Batch({"x": torch.zeros(2, 3)}), steps=2)
