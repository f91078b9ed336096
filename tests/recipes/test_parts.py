"""The parts recipes choose by name, and the combinations that are refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from agree import assert_close, refused
from catalogue import FITS, LIKELIHOODS, variable
from lowerbound.core import (
    ELBO,
    IWAE,
    STL,
    AnalyticELBO,
    BetaELBO,
    Constant,
    DReG,
    Estimator,
    Objective,
    Pathwise,
    Score,
    WarmUp,
)
from lowerbound.data.likelihoods import ACCEPTS
from lowerbound.data.spec import KINDS
from lowerbound.errors import InputError
from lowerbound.recipes import bounds, parts

pytestmark = pytest.mark.usefixtures("double")


def test_every_likelihood_has_a_family_and_kinds() -> None:
    assert set(LIKELIHOODS) == set(parts._FAMILIES) == set(ACCEPTS)


@pytest.mark.parametrize(("name", "kind"), FITS)
def test_a_family_asks_for_what_its_likelihood_reads(name: str, kind: str) -> None:
    v = variable(kind, (3,))
    family = parts.family(name)
    part = family.build(nn.Identity(), v)
    per_value = family.per_value(v)
    assert part.per_value == per_value
    d = part(torch.randn(5, 3, per_value) if per_value > 1 else torch.randn(5, 3))
    assert (d.batch_shape, d.event_shape) == ((5,), (3,))


@pytest.mark.parametrize(("name", "count"), [("gaussian-fixed", 0), ("mse", 0), ("gaussian-learned", 1)])
def test_scales_fixed_and_learned(name: str, count: int) -> None:
    part = parts.family(name).build(nn.Identity(), variable("unit", (3, 2)))
    assert sum(p.numel() for p in part.parameters()) == count


def test_a_scale_for_each_dimension() -> None:
    (scale,) = parts.family("gaussian-per-dim").build(nn.Identity(), variable("unit", (3, 2))).parameters()
    assert scale.shape == (3, 2)


def test_mse_is_the_gaussian_of_variance_one_half() -> None:
    x, mean = torch.randn(4, 3), torch.randn(4, 3)
    log_p = parts.family("mse").build(nn.Identity(), variable("unit", (3,)))(mean).log_prob(x)
    assert_close(-log_p, (x - mean).square().sum(-1) + 1.5 * math.log(math.pi), within=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_auto_is_the_choice_of_the_data(kind: str) -> None:
    v = variable(kind)
    assert parts.likelihood_name("auto", v) == v.likelihood
    assert v.kind in ACCEPTS[v.likelihood]


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in LIKELIHOODS for k in KINDS if k not in ACCEPTS[n]])
def test_a_likelihood_that_does_not_fit_is_refused(name: str, kind: str) -> None:
    with pytest.raises(InputError, match=rf"variable 'x' holds .*, of which {name} is no likelihood: (use|load)"):
        parts.likelihood_name(name, variable(kind))


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("elbo", 1.0, 0, 0.0), AnalyticELBO),
        (("elbo", 2.0, 0, 0.0), BetaELBO),
        (("elbo", 1.0, 10, 0.0), BetaELBO),
        (("elbo", 1.0, 0, 0.1), BetaELBO),
        (("elbo-mc", 1.0, 0, 0.0), ELBO),
        (("iwae", 1.0, 0, 0.0), IWAE),
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


@pytest.mark.parametrize("bound", ["elbo-mc", "iwae"])
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
        ("score", "elbo", 1, "the estimator score needs particles of at least 2 for its control variate"),
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
