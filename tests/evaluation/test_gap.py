"""Gaps on a linear-Gaussian model whose posterior is correlated: every one of them is known exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Distribution

from agree import refused
from correlated import Correlated
from lowerbound.core import (
    AnalyticELBO,
    Batch,
    Conditional,
    Homoscedastic,
    Latent,
    Pathwise,
    Point,
    correlated,
    standard_normal,
)
from lowerbound.data.dataset import load_data
from lowerbound.data.rows import Rows
from lowerbound.data.views import Identity
from lowerbound.errors import InputError
from lowerbound.evaluation.gap import Effort, gap, summary
from lowerbound.recipes.registry import Setup
from toys import TwoLatents

EFFORT = Effort(steps=600, particles=2000, anneal=20, chains=4)


def setup_of(model: Any) -> Setup:
    return Setup(model, {"x": Identity()}, AnalyticELBO(), Pathwise())


def of_toy(count: int = 40) -> tuple[Correlated, Rows, Batch]:
    toy = Correlated()
    rows = load_data(toy.data(1000).x["x"].numpy()).split("test").where(slice(count))
    return toy, rows, Batch({"x": torch.from_numpy(rows.array("x"))})


def test_every_gap_is_the_known_one(double: None) -> None:
    toy, rows, batch = of_toy()
    model = toy.model()
    found = gap(setup_of(model), rows, EFFORT)
    truth = toy.marginal().log_prob(batch.x["x"]).mean().item()
    whole = toy.kl(batch, model.infer(batch)).mean().item()
    assert found["log_p"]["value"] == pytest.approx(truth, abs=1e-3)
    assert found["inference_gap"]["value"] == pytest.approx(whole, rel=0.02)
    assert found["approximation_gap"]["value"] == pytest.approx(toy.gap.item(), abs=0.03)
    assert found["amortisation_gap"]["value"] == pytest.approx(whole - toy.gap.item(), rel=0.02)
    assert found["full_covariance"]["approximation_gap"]["value"] == pytest.approx(0, abs=0.01)
    assert found["full_covariance"]["gain"]["value"] == pytest.approx(toy.gap.item(), abs=0.03)
    assert found["nll"]["after"]["value"] == pytest.approx(-truth, abs=0.2)


def test_the_gaps_of_a_datum_add_up_and_units_are_nats_of_the_data_as_given() -> None:
    names = ("encoder", "local", "full")
    columns = {f"{name} {what}": torch.randn(30).double() for name in names for what in ("elbo", "log_p", "rise")}
    columns |= {f"{name} {what}": torch.rand(30).double() for name in names for what in ("stderr", "khat")}
    columns["full log_p"] += 10
    found, moved = summary(columns), summary(columns, log_volume=-3.0)
    assert found["log_p"]["by"] == "full"
    parts = found["approximation_gap"]["value"] + found["amortisation_gap"]["value"]
    assert parts == pytest.approx(found["inference_gap"]["value"])
    assert found["full_covariance"]["gain"]["value"] == pytest.approx(
        found["elbo"]["full"]["value"] - found["elbo"]["local"]["value"]
    )
    assert found["estimates"]["local"]["khat_above_0.7"] == (columns["local khat"] > 0.7).double().mean()
    for name in ("inference_gap", "approximation_gap", "amortisation_gap", "full_covariance"):
        assert moved[name] == found[name]
    assert moved["log_p"]["value"] == pytest.approx(found["log_p"]["value"] - 3)
    assert moved["nll"]["before"]["value"] == pytest.approx(found["nll"]["before"]["value"] + 3)
    assert moved["elbo"]["full"]["value"] == pytest.approx(found["elbo"]["full"]["value"] - 3)


class Widened(Conditional):
    """The same Gaussian, of a family with correlations."""

    def __init__(self, part: Conditional) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: object) -> Distribution:
        return correlated(self.part(*given))


def test_a_family_with_correlations_has_no_richer_one_and_annealing_can_be_left_out(double: None) -> None:
    toy, rows, _ = of_toy(5)
    model = toy.model()
    model.posterior = Widened(model.posterior)
    found = gap(setup_of(model), rows, Effort(steps=10, particles=50, anneal=0))
    assert found["full_covariance"] is None
    assert set(found["estimates"]) == {"encoder", "local"}


def test_models_without_a_gaussian_posterior_are_refused(double: None) -> None:
    _, rows, _ = of_toy(5)
    point = Latent(standard_normal(2), Point(nn.Linear(4, 2)), Homoscedastic(nn.Linear(2, 4), torch.zeros(())))
    sentence = (
        "a posterior is refined where it is Gaussian, and PointMass is not; gaps are measured of models whose "
        "posterior is Gaussian, such as vae's"
    )
    with refused(sentence, InputError):
        gap(setup_of(point), rows)
    with pytest.raises(InputError, match="one latent"):
        gap(setup_of(TwoLatents({"u": Point(nn.Identity()), "v": Point(nn.Identity())})), rows)
    with pytest.raises(InputError, match="steps must be a whole number of at least 1, not 0"):
        gap(setup_of(point), rows, Effort(steps=0))
