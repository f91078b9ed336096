"""The recipes that differ from the plain VAE in their objective: what it is, and when it is the plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agree import assert_close, refused
from catalogue import batch, spec, variable
from lowerbound.core import MMD, AnalyticELBO, Distortion, Rate, TotalCorrelation, Trace, covariance_of_means
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get

pytestmark = pytest.mark.usefixtures("double")

RECIPES = ("beta-vae", "beta-tc-vae", "factor-vae", "dip-vae", "info-vae")
SMALL = {"latent": 3, "hidden": (6,)}


def built(recipe: str, **arguments: Any) -> tuple[Setup, Trace]:
    setup = get(recipe).build(spec(variable("binary")), **SMALL, **arguments)
    return setup, setup.model.trace(setup.see(batch("binary", 5)), 1, setup.estimator)


def terms(recipe: str, **arguments: Any) -> tuple[dict[str, Tensor], Trace]:
    """The terms at eval and the trace, the seed set before each."""
    setup, trace = built(recipe, **arguments)
    torch.manual_seed(1)
    return setup.objective.eval()(trace), trace


@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        ("beta-vae", {"beta": 1.0}),
        ("beta-tc-vae", {"beta": 1.0}),
        ("factor-vae", {}),
        ("dip-vae", {"off_diagonal": 0.0, "diagonal": 0.0}),
        ("info-vae", {"alpha": 0.0, "scale": 1.0}),
    ],
)
def test_without_its_own_weight_or_judge_each_is_the_plain_vae(recipe: str, arguments: dict[str, float]) -> None:
    found, trace = terms(recipe, **arguments)
    assert_close(sum(found.values()), sum(AnalyticELBO()(trace).values()))


def test_beta_weighs_the_rate_and_may_rise() -> None:
    found, trace = terms("beta-vae", beta=3.0)
    assert_close(found["weighted_rate"], 3 * Rate()(trace)["rate"])
    setup, trace = built("beta-vae", beta=3.0, anneal=10)
    assert_close(setup.objective(trace, torch.tensor(5))["weighted_rate"], 1.5 * Rate()(trace)["rate"])


def test_beta_tc_takes_the_size_of_the_training_set() -> None:
    found, trace = terms("beta-tc-vae", beta=6.0)
    rows = spec(variable("binary")).splits["train"]
    assert_close(found["weighted_total_correlation"], 5 * TotalCorrelation(rows)(trace)["total_correlation"])
    assert_close(found["rate"], Rate()(trace)["rate"])


def test_dip_i_is_of_the_means_and_ii_of_the_codes() -> None:
    off = lambda c: c.square().sum() - c.diagonal().square().sum()  # noqa: E731
    found, trace = terms("dip-vae", variant="i", off_diagonal=2.0, diagonal=20.0)
    c = covariance_of_means(trace)
    assert_close(found["weighted_covariance"], 2 * off(c))
    assert_close(found["weighted_variance"], 20 * (c.diagonal() - 1).square().sum())
    found, trace = terms("dip-vae", variant="ii", off_diagonal=2.0, diagonal=20.0)
    c = covariance_of_means(trace) + trace.q.variance.mean(0).diag()
    assert_close(found["weighted_covariance"], 2 * off(c))
    assert_close(found["weighted_variance"], 20 * (c.diagonal() - 1).square().sum())


def test_info_weighs_rate_and_match() -> None:
    found, trace = terms("info-vae", alpha=0.25, scale=10.0)
    torch.manual_seed(1)
    assert_close(found["weighted_mmd"], 9.25 * MMD()(trace)["mmd"])
    assert_close(found["weighted_rate"], 0.75 * Rate()(trace)["rate"])
    assert_close(found["distortion"], Distortion()(trace)["distortion"])


def test_info_refuses_to_part_codes_from_the_prior() -> None:
    with refused("alpha 0.5 and scale 0.1 would reward codes unlike the prior; raise scale", InputError):
        built("info-vae", alpha=0.5, scale=0.1)


def test_gamma_weighs_what_the_discriminator_says() -> None:
    setup, trace = built("factor-vae", gamma=7.0)
    judge = setup.objective.right.discriminator
    found = setup.objective(trace)
    assert_close(found["weighted_total_correlation"], 7 * judge(trace.z).squeeze(-1).mean(0))
    assert_close(found["rate"], Rate()(trace)["rate"])


def test_the_discriminator_trains_and_is_saved_beside_the_model() -> None:
    setup, trace = built("factor-vae", discriminator=(4,))
    sum(term.mean() for term in setup.objective(trace).values()).backward()
    found = dict(setup.objective.named_parameters())
    assert found
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in found.values())
    assert set(found) <= set(setup.objective.state_dict())


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_share_the_model_and_differ_in_the_objective(recipe: str) -> None:
    torch.manual_seed(3)
    plain = get("vae").build(spec(variable("binary")), **SMALL)
    torch.manual_seed(3)
    other = get(recipe).build(spec(variable("binary")), **SMALL)
    shapes = [[tuple(p.shape) for p in setup.model.parameters()] for setup in (plain, other)]
    assert shapes[0] == shapes[1]
    assert other.condition is None
