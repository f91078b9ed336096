"""Bounds and estimators by name, and which of them are refused together."""

from __future__ import annotations

import math

import pytest
import torch

from agree import refused
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
    BetaELBO,
    Constant,
    DReG,
    Estimator,
    Objective,
    Pathwise,
    Score,
    WarmUp,
    log_uniform,
    renyi,
    thermodynamic,
)
from lowerbound.errors import InputError
from lowerbound.recipes import bounds


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("elbo", 1.0, 0, 0.0), AnalyticELBO),
        (("elbo", 2.0, 0, 0.0), BetaELBO),
        (("elbo", 1.0, 10, 0.0), BetaELBO),
        (("elbo", 1.0, 0, 0.1), BetaELBO),
        (("elbo-mc", 1.0, 0, 0.0), ELBO),
        (("iwae", 1.0, 0, 0.0), IWAE),
        (("miwae", 1.0, 0, 0.0), MIWAE),
        (("ciwae", 1.0, 0, 0.0), CIWAE),
        (("piwae", 1.0, 0, 0.0), PIWAE),
        (("vr", 1.0, 0, 0.0), VR),
        (("vr-max", 1.0, 0, 0.0), VR),
        (("tvo", 1.0, 0, 0.0), TVO),
    ],
)
def test_objectives_by_name(arguments: tuple[str, float, int, float], kind: type[Objective]) -> None:
    assert type(bounds.objective(*arguments)) is kind


def test_beta_and_annealing_reach_the_rate() -> None:
    constant = bounds.objective("elbo", 4.0, 0, 0.0).parts.right
    assert isinstance(constant.weight, Constant)
    assert constant.weight() == 4.0
    annealed = bounds.objective("elbo", 4.0, 8, 0.25).parts.right
    assert isinstance(annealed.weight, WarmUp)
    assert [float(annealed.weight(torch.tensor(s))) for s in (0, 2, 8, 100)] == [0.0, 1.0, 4.0, 4.0]
    assert annealed.objective.free_bits == 0.25


@pytest.mark.parametrize("bound", ["elbo-mc", "iwae", "miwae", "tvo"])
@pytest.mark.parametrize("more", [(2.0, 0, 0.0), (1.0, 5, 0.0), (1.0, 0, 0.5)])
def test_weights_on_a_rate_that_is_not_there_are_refused(bound: str, more: tuple[float, int, float]) -> None:
    sentence = f"beta, anneal and free_bits weigh the rate, which the bound {bound} has not; use bound elbo"
    with refused(sentence, InputError):
        bounds.objective(bound, *more)


@pytest.mark.parametrize(
    ("name", "bound", "kind"),
    [
        ("pathwise", "elbo", Pathwise),
        ("stl", "elbo-mc", STL),
        ("dreg", "elbo-mc", DReG),
        ("dreg", "iwae", DReG),
        ("dreg", "piwae", DReG),
        ("dreg", "tvo", DReG),
        ("pathwise", "vr-max", Pathwise),
        ("score", "elbo", Score),
        ("score", "iwae", Score),
    ],
)
def test_estimators_by_name(name: str, bound: str, kind: type[Estimator]) -> None:
    assert type(bounds.estimator(name, bound, 2)) is kind


@pytest.mark.parametrize(
    ("name", "bound", "particles", "sentence"),
    [
        ("stl", "iwae", 5, "the estimator stl is biased under the bound iwae; use dreg"),
        ("stl", "miwae", 5, "the estimator stl is biased under the bound miwae; use dreg"),
        ("score", "elbo", 1, "the estimator score needs a control variate; use particles of at least 2"),
        (
            "dreg",
            "vr-max",
            4,
            "the estimator dreg needs smooth weights, and the bound vr-max has one particle or another; use pathwise",
        ),
        (
            "pathwise",
            "piwae",
            4,
            "the bound piwae has one gradient for the encoder and one for the decoder; use the estimator dreg",
        ),
    ],
)
def test_estimators_that_would_mislead_are_refused(name: str, bound: str, particles: int, sentence: str) -> None:
    with refused(sentence, InputError):
        bounds.estimator(name, bound, particles)


@pytest.mark.parametrize("name", ["stl", "dreg"])
def test_estimators_without_effect_are_refused(name: str) -> None:
    sentence = (
        f"the estimator {name} changes the gradient of the Monte-Carlo rate, and the bound elbo has its rate in "
        "closed form; use bound elbo-mc"
    )
    with refused(sentence, InputError):
        bounds.estimator(name, "elbo", 1)


def test_a_bounds_own_numbers_reach_it() -> None:
    assert bounds.objective("miwae", groups=4).bound.count == 4
    assert bounds.objective("ciwae", share=0.2).bound.parts[0][0] == 0.2
    assert bounds.objective("vr", alpha=2.0).bound == renyi(2.0)
    assert bounds.objective("vr-max").bound == renyi(-math.inf)
    assert bounds.objective("tvo", intervals=3, first=0.2).bound == thermodynamic(log_uniform(3, 0.2))


def test_numbers_that_are_not_given_are_the_bounds_own() -> None:
    assert bounds.objective("vr", alpha=None, groups=None).bound == VR().bound
    assert bounds.objective("tvo", intervals=3).bound == TVO(3).bound


@pytest.mark.parametrize(
    ("bound", "number", "sentence"),
    [
        ("iwae", "groups", "groups is a number of other bounds than iwae; use bound miwae or piwae"),
        ("elbo", "alpha", "alpha is a number of other bounds than elbo; use bound vr"),
        ("vr-max", "alpha", "alpha is a number of other bounds than vr-max; use bound vr"),
        ("vr", "share", "share is a number of other bounds than vr; use bound ciwae"),
        ("ciwae", "first", "first is a number of other bounds than ciwae; use bound tvo"),
    ],
)
def test_numbers_of_another_bound_are_refused(bound: str, number: str, sentence: str) -> None:
    with refused(sentence, InputError):
        bounds.objective(bound, **{number: 2})


def test_particles_that_cannot_be_grouped_are_refused_before_work_starts() -> None:
    with refused("particles 6 is no multiple of groups 4; use particles 8", InputError):
        bounds.objective("miwae", particles=6, groups=4)
    with refused("particles 1 is no multiple of groups 2; use particles 2", InputError):
        bounds.objective("piwae", particles=1)
    bounds.objective("piwae", particles=8, groups=4)
