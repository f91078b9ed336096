"""Objectives of several variables are what their formulas say, and bounds only where they say so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from agree import assert_close, refused
from lowerbound.core import (
    ELBO,
    MVTCAE,
    AnalyticELBO,
    Batch,
    Distortion,
    Latent,
    MixtureOfProducts,
    Rate,
    Subsampled,
    WeighedDistortion,
    singles,
    standard_normal,
)
from two_sides import TwoSides, poe, reads

pytestmark = pytest.mark.usefixtures("double")


def total_of(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum(0)


def shown(b: Batch, name: str) -> Batch:
    return Batch(b.x, mask={each: torch.full_like(x, each == name) > 0 for each, x in b.x.items()})


def test_subsampled_bounds_add_up() -> None:
    """With the exact posterior: log p(x, y) + log p(x) + log p(y) of whole data, twice log p(x) where y was missing."""
    toy = TwoSides()
    model, b = poe(toy), toy.data(5)
    found = Subsampled(model, ELBO())(model.trace(b, 2))
    assert set(found) == {"negative_elbo", "each_negative_elbo"}
    assert_close(found["negative_elbo"], -toy.log_p(b), within=1e-10)
    alone = toy.log_p(shown(b, "x")) + toy.log_p(shown(b, "y"))
    assert_close(found["each_negative_elbo"], -alone, within=1e-10)
    gappy = toy.gappy(4)
    missing = Subsampled(model, ELBO())(model.trace(gappy, 2))
    assert_close(missing["each_negative_elbo"][1:], missing["negative_elbo"][1:], within=1e-10)


def test_weights_multiply_each_variables_likelihood_alone() -> None:
    toy = TwoSides()
    trace = poe(toy).trace(toy.data(5), 3)
    weighed = WeighedDistortion({"x": 2.0, "y": 0.5})(trace)["weighted_distortion"]
    by_hand = -(2 * trace.log_lik["x"] + 0.5 * trace.log_lik["y"]).mean(0)
    assert_close(weighed, by_hand)
    assert_close(
        WeighedDistortion({"x": 1.0, "y": 1.0})(trace)["weighted_distortion"], Distortion()(trace)["distortion"]
    )


def test_mvtcae_is_minus_the_elbo_at_alpha_zero() -> None:
    toy = TwoSides()
    trace = poe(toy, 0.5).trace(toy.gappy(8), 3)
    # of data of which nothing was observed there is neither
    assert_close(total_of(MVTCAE(alpha=0.0)(trace)), total_of(AnalyticELBO()(trace)))


def test_mvtcae_is_its_formula() -> None:
    """By torch's divergences between the posterior of all and of each, datum by datum."""
    toy, alpha, beta = TwoSides(), 0.3, 1.5
    model, b = poe(toy, 0.5), toy.data(5)
    trace = model.trace(b, 3)
    found = MVTCAE(alpha, beta)(trace)
    each = [kl_divergence(model.infer(b), model.infer(shown(b, name))) for name in b.x]
    assert_close(found["weighted_conditional_rate"], beta * alpha / 2 * sum(each))
    assert_close(found["weighted_rate"], beta * (1 - alpha) * Rate()(trace)["rate"])
    assert_close(found["weighted_distortion"], (2 - alpha) / 2 * Distortion()(trace)["distortion"])


def test_mvtcae_counts_only_variables_that_were_observed() -> None:
    toy = TwoSides()
    b = toy.gappy(4)
    found = MVTCAE(0.4)(poe(toy, 0.5).trace(b, 3))
    assert_close(found["weighted_conditional_rate"][1:], 0.0)
    assert_close(total_of(found)[3], 0.0)


def test_mvtcae_is_no_bound() -> None:
    toy = TwoSides()
    b = toy.data(64)
    found = -total_of(MVTCAE(1.0)(poe(toy).trace(b, 50)))
    assert (found > toy.log_p(b)).any()


def test_mvtcae_wants_a_product() -> None:
    toy = TwoSides()
    model = Latent(standard_normal(2), MixtureOfProducts(toy.encoders(), singles(2)), toy.likelihood(), reads)
    with refused("the objective MVTCAE compares a product of experts with each; use ProductOfExperts"):
        MVTCAE()(model.trace(toy.data(2), 2))
    with refused("alpha is a number from 0 to 1, not 1.5"):
        MVTCAE(1.5)
