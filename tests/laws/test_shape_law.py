"""Law 1: shapes over (K, B, event); a datum alone is what it is in a batch; any leading shape."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from agree import assert_close
from catalogue import LIKELIHOODS, Case, cases, likelihood, parameters
from lowerbound.core import Batch, Enumerate, Estimator, Gaussian, Model, OneHot, Pathwise, Score, log_marginal
from lowerbound.core.latent import named
from lowerbound.recipes import Setup

pytestmark = pytest.mark.usefixtures("double")

EVENTS = [(), (3,), (2, 3), (2, 3, 2)]
LEADS = [(), (1,), (4,), (5, 4), (2, 5, 4)]


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_have_the_shapes_of_what_they_are_given(
    name: str, event: tuple[int, ...], lead: tuple[int, ...]
) -> None:
    part = likelihood(name, event)
    d = part(parameters(part, *lead, *event))
    assert (d.batch_shape, d.event_shape) == (lead, event)
    x = d.sample((7,))
    assert x.shape == (7, *lead, *event)
    assert d.log_prob(x).shape == (7, *lead)
    assert d.mean.shape == (*lead, *event)
    assert d.expand((2, *lead)).log_prob(d.sample()).shape == (2, *lead)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_value_alone_is_what_it_is_in_a_batch(name: str) -> None:
    part = likelihood(name, (2, 3))
    h = parameters(part, 5, 4, 2, 3)
    x = part(h).sample()
    together = part(h).log_prob(x)
    for k in range(5):
        for b in range(4):
            assert_close(part(h[k, b]).log_prob(x[k, b]), together[k, b])
    by_entry = part(h).base_dist.log_prob(x)
    assert_close(by_entry.flatten(2).sum(-1), together)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_one_datum_is_scored_by_many_particles(name: str) -> None:
    """x (B, event) against parameters (K, B, event)."""
    part = likelihood(name, (3,))
    h, x = parameters(part, 5, 4, 3), part(parameters(part, 4, 3)).sample()
    assert_close(part(h).log_prob(x), part(h).log_prob(x.expand(5, 4, 3)))


@pytest.mark.parametrize("case", cases("net"))
def test_recipes_trace_particles_by_data(case: Case) -> None:
    setup, b = built(case)
    trace = setup.model.trace(b, 3)
    for z in trace.named_z.values():
        assert z.shape[:2] == (3, 4)
    assert trace.log_w.shape == trace.log_q.shape == trace.log_p.shape == trace.log_px.shape == (3, 4)
    assert trace.log_measure.broadcast_to(3, 4).exp().sum(0).allclose(torch.ones(4))
    assert trace.mean(trace.log_w).shape == (4,)
    assert all(d.batch_shape == (3, 4) and d.event_shape == b.x[name].shape[1:] for name, d in trace.px.items())
    assert all(term.shape == (4,) for term in setup.objective(setup.model.trace(b, 3, setup.estimator)).values())
    assert all(field.shape == (4,) for field in log_marginal(setup.model, b, 30))


@pytest.mark.parametrize("case", cases("net"))
def test_recipes_see_a_datum_alone_as_in_a_batch(case: Case) -> None:
    setup, b = built(case)
    together, z = named(setup.model.infer(b)), draw(setup.model, b, 3)
    scores = scored(setup.model, z, b)
    for i in range(4):
        alone = b[i : i + 1]
        for name, q in named(setup.model.infer(alone)).items():
            assert_close(q.mean, together[name].mean[i : i + 1])
        one = {name: each[:, i : i + 1] for name, each in z.items()}
        assert_close(scored(setup.model, one, alone), scores[:, i : i + 1], within=1e-9)


@pytest.mark.parametrize("case", cases("net"))
def test_recipes_decode_any_leading_shape_and_generate(case: Case) -> None:
    setup, b = built(case)
    z = draw(setup.model, b, 6)
    flat = parameters_of(setup.model, z, b.c)
    deeper = {name: each.reshape(2, 3, *each.shape[1:]) for name, each in z.items()}
    assert_close(parameters_of(setup.model, deeper, b.c).flatten(0, 1), flat, within=1e-9)
    for name, d in setup.model.generate(4, b.c).items():
        assert d.batch_shape == (4,)
        assert d.sample().shape == b.x[name].shape


@pytest.mark.parametrize("estimator", [Pathwise(), Score()], ids=["pathwise", "score"])
@pytest.mark.parametrize("event", EVENTS[1:])
def test_continuous_latents_of_any_shape(event: tuple[int, ...], estimator: Estimator) -> None:
    q = Gaussian(torch.nn.Identity(), len(event))(torch.randn(4, *event, 2))
    z = estimator.draw(q, 3)
    assert z.shape == (3, 4, *event)
    assert estimator.log_q(q, z).shape == (3, 4)


def test_discrete_latents_are_enumerated_in_front() -> None:
    q = OneHot(torch.nn.Identity())(torch.randn(4, 5))
    z = Enumerate().draw(q, 1)
    assert z.shape == (5, 4, 5)
    assert_close(Enumerate().log_q(q, z).exp().sum(0), 1.0)


def built(case: Case) -> tuple[Setup, Batch]:
    setup = case.build()
    return setup, setup.see(case.batch(4))


def draw(model: Model, b: Batch, particles: int) -> dict[str, Tensor]:
    return {name: q.sample((particles,)) for name, q in named(model.infer(b)).items()}


def decoded(model: Model, z: dict[str, Tensor], c: Tensor | None) -> dict[str, Distribution]:
    return model.decode(z["z"] if list(z) == ["z"] else z, c)


def scored(model: Model, z: dict[str, Tensor], b: Batch) -> Tensor:
    return torch.stack([d.log_prob(b.x[name]) for name, d in decoded(model, z, b.c).items()]).sum(0)


def parameters_of(model: Model, z: dict[str, Tensor], c: Tensor | None) -> Tensor:
    """log p of zeros under what is decoded: a number that moves with every parameter."""
    return torch.stack([d.log_prob(torch.zeros(d.event_shape)) for d in decoded(model, z, c).values()]).sum(0)
