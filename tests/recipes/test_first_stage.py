"""The first stage and the flow: what they are made of, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import lowerbound
from agree import assert_close, refused
from catalogue import batch, raw, spec, variable
from lowerbound.core import AnalyticELBO, Batch, Distortion, EvenLaplace, Rate, total
from lowerbound.core.flow_matching import FlowMatched
from lowerbound.core.looks import PatchAdversary
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get
from lowerbound.run.folder import modules_of

SMALL: dict[str, Any] = {"hidden": (4, 8), "latent": 2, "judge": (4,)}


def stage(kind: str = "byte", shape: tuple[int, ...] = (8, 8, 3), **more: Any) -> Setup:
    return get("first-stage").build(spec(variable(kind, shape)), **{**SMALL, **more})


def terms(setup: Setup, kind: str = "byte", shape: tuple[int, ...] = (8, 8, 3)) -> dict[str, torch.Tensor]:
    seen = setup.see(Batch({"x": raw(kind, 5, *shape)}))
    found: dict[str, torch.Tensor] = setup.objective(setup.model.trace(seen, 1, setup.estimator))
    return found


def test_without_its_extras_and_at_full_rate_it_is_a_vae() -> None:
    setup = stage(beta=1.0, perceptual=0.0)
    trace = setup.model.trace(setup.see(Batch({"x": raw("byte", 5, 8, 8, 3)})))
    assert_close(total(setup.objective(trace)), total(AnalyticELBO()(trace)), within=1e-3)
    plain = {**Distortion()(trace), **Rate()(trace)}
    small = stage(beta=0.01, perceptual=0.0).objective(trace)
    assert_close(small["weighted_rate"], 0.01 * plain["rate"], within=1e-5)


def test_its_latent_is_a_grid() -> None:
    q = stage(hidden=(4, 6, 8)).model.infer(Batch({"x": torch.rand(5, 8, 8, 3)}))
    assert (q.batch_shape, q.event_shape) == ((5,), (2, 2, 2))


@pytest.mark.parametrize(
    ("kind", "likelihood"),
    [("byte", "EvenLaplace"), ("unit", "EvenLaplace"), ("real", "EvenLaplace"), ("binary", "Bernoulli")],
)
def test_l1_is_a_likelihood_where_values_are_ordered(kind: str, likelihood: str) -> None:
    (found,) = stage(kind).model.likelihood.values()
    assert type(found).__name__ == likelihood


def test_it_starts_at_the_mean_picture() -> None:
    """The networks see and make [-1, 1]; what comes out is on the scale of the data."""
    setup = stage()
    mean = torch.tensor([0.2, 0.5, 0.9]).expand(8, 8, 3)
    setup.start({"x": mean})
    with torch.no_grad():
        setup.model.likelihood["x"].net[0].body.net[1].decoder.conv_out.weight.zero_()
    assert_close(setup.model.decode(torch.randn(2, 4, 4, 2))["x"].mean, mean.expand(2, -1, -1, -1), within=1e-6)


def test_model_and_judge_learn_in_one_step() -> None:
    setup = stage(adversary=0.5, adversary_warmup=10)
    modules_of(setup).train()
    found = terms(setup)
    assert {"weighted_adversary", "discriminator", "weighted_perceptual", "weighted_rate", "distortion"} == set(found)
    total(found).backward()
    (game,) = (each for each in setup.objective.modules() if isinstance(each, PatchAdversary))
    assert game.discriminator.body[1][0].weight.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in setup.model.parameters())


def test_the_adversary_is_eased_in() -> None:
    game = next(
        m for m in stage(adversary=0.5, adversary_warmup=10).objective.modules() if isinstance(m, PatchAdversary)
    )
    assert [float(game.weight(torch.tensor(step))) for step in (0, 5, 10, 99)] == [0.0, 0.25, 0.5, 0.5]


@pytest.mark.parametrize("features", ["differences", "random"])
def test_a_run_with_everything_trains_and_opens_again(features: str, tmp_path: Any) -> None:
    x = raw("byte", 60, 8, 8, 3).numpy()
    how = {"epochs": 2, "batch_size": 16, "adversary": 0.3, "adversary_warmup": 2, "features": features, **SMALL}
    model = lowerbound.train("first-stage", x, tmp_path / "run", **how)
    again = lowerbound.load(tmp_path / "run", "cpu")
    assert (again.encode(x[:4]) == model.encode(x[:4])).all()
    assert model.sample(3).shape == (3, 8, 8, 3)


def test_codes_of_categories_have_no_looks() -> None:
    found = terms(stage("category", (8, 8)), "category", (8, 8))
    assert set(found) == {"distortion", "weighted_rate"}


@pytest.mark.parametrize("kind", ["binary", "byte", "unit", "real", "count", "category"])
def test_what_a_flow_puts_among_the_reals_it_takes_back(kind: str) -> None:
    """E[x|z] at the middle of q(z|x) is x, and log p(x|z) there is that of a sharp decoder."""
    setup = get("flow-matching").build(spec(variable(kind, (4, 4))), hidden=(4,), blocks=1, steps=2)
    stored = batch(kind, 6, (4, 4))
    seen = setup.see(stored)
    z = setup.model.infer(seen).mean
    assert z.abs().max() < 5
    px = setup.model.decode(z)["x"]
    back = px.base_dist.mode if kind == "category" else px.mean
    if kind != "count":  # of a count z knows the logarithm, which 0 has not
        assert (back - seen.x["x"]).abs().max() < 0.02
    assert isinstance(setup.model.prior, FlowMatched)


def test_a_flow_is_of_whole_rows() -> None:
    holes = spec(replace(variable("real", (4,)), missing=True))
    with refused("flow-matching is of whole rows, and 'x' has missing values; fill them in with impute", InputError):
        get("flow-matching").build(holes)


@pytest.mark.usefixtures("double")
def test_the_density_of_a_flow_is_that_of_its_prior() -> None:
    """q(z|x) and p(x|z) are as narrow as each other, so that the weights of real values are the prior's density."""
    setup = get("flow-matching").build(spec(variable("real", (3,))), hidden=(4,), blocks=1, steps=4)
    trace = setup.model.trace(setup.see(batch("real", 4, (3,))), 5)
    assert_close(trace.log_w, trace.log_p, within=1e-9)


def test_the_price_of_an_error_is_learned_and_exact() -> None:
    """log p under a Laplace of scale b is −|x−μ|/b − log 2b a value."""
    part = EvenLaplace(torch.nn.Identity(), torch.nn.Parameter(torch.tensor(-1.0)), 2)
    x, mean = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    b = part.log_scale.exp()
    assert_close(part(mean).log_prob(x), (-(x - mean).abs() / b - (2 * b).log()).sum((1, 2)), within=1e-5)
    part(mean).log_prob(x).sum().backward()
    assert part.log_scale.grad.abs() > 0
