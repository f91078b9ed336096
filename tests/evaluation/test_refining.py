"""log p(x) from a posterior fitted to each datum: exact where the exact posterior is a Gaussian of some covariance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lowerbound
from agree import assert_close
from correlated import Correlated
from lowerbound.core import log_marginal
from lowerbound.errors import InputError
from lowerbound.evaluation.refining import refined_marginal


@pytest.mark.usefixtures("double")
def test_a_correlated_posterior_is_found_and_with_it_log_p() -> None:
    """The climb ends near the exact posterior, so that 200 particles tell what they did not before."""
    toy = Correlated()
    batch = toy.data(5)
    exact, before = toy.marginal().log_prob(batch.x["x"]), log_marginal(toy.model(), batch, 200)
    found = refined_marginal(toy.model(), batch, 200)
    assert (before.khat > 0.7).any()
    assert (before.log_p - exact).abs().max() > 0.1
    assert_close(found.log_p, exact, within=0.01)
    assert found.believed.all()


def test_the_verb_gives_the_columns_of_importance_sampling() -> None:
    model = lowerbound.train("vae", "digits", epochs=1, latent=2, hidden=[8])
    x = lowerbound.load_data("digits").split("test").array("x")[:20]
    plain, found = model.marginal(x, 500), model.refined(x, 500)
    assert found.keys() == plain.keys()
    assert found["ess"].mean() > plain["ess"].mean()
    assert abs(np.mean(found["log_p"] - plain["log_p"])) < 0.5
    assert np.array_equal(found["log_p"], model.refined(x, 500)["log_p"])


@pytest.mark.parametrize(
    ("recipe", "words"),
    [("ladder-vae", "this model has several"), ("discrete-vae", "a posterior is refined where it is Gaussian")],
)
def test_what_cannot_be_refined_is_refused(recipe: str, words: str) -> None:
    model = lowerbound.train(recipe, "digits", epochs=1, latent=2, hidden=[8, 4])
    x = lowerbound.load_data("digits").split("test").array("x")[:3]
    with pytest.raises(InputError, match=words):
        model.refined(x)
    assert torch.is_grad_enabled()
