"""log p(x) of a trained model with what it takes to judge it: as many particles as wanted, annealing, the sandwich."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import lowerbound
from agree import LIMIT
from lowerbound import Fitted, InputError
from lowerbound.core import AnalyticELBO, Pathwise
from lowerbound.data.dataset import Dataset
from lowerbound.data.views import Identity
from lowerbound.evaluation.annealing import Walk
from lowerbound.recipes.registry import Setup
from lowerbound.training.progress import Silent
from toys import LinearGaussian, TwoLatents

SHORT = Walk(steps=30, chains=8)


class Known:
    """A model whose posterior is somewhat wrong, 100 of its data, and log p(x) of each."""

    def __init__(self, **wrong: Any) -> None:
        self.toy = LinearGaussian()
        self.x = self.toy.data(100).x["x"].numpy()
        self.log_p = self.toy.marginal().log_prob(torch.from_numpy(self.x)).numpy()
        data = lowerbound.load_data(self.x)
        setup = Setup(self.toy.model(**wrong), {"x": Identity()}, AnalyticELBO(), Pathwise())
        self.fitted = Fitted(setup, data.spec, data=data)


@pytest.fixture
def known(double: None) -> Known:
    return Known(shrink=0.8, widen=0.3)


def test_each_row_comes_with_its_diagnostics(known: Known) -> None:
    found = known.fitted.marginal(known.x, particles=500)
    assert list(found) == ["log_p", "stderr", "ess", "khat", "particles", "believed"]
    assert {len(column) for column in found.values()} == {100}
    z = (found["log_p"] - known.log_p) / found["stderr"]
    assert abs(z.mean()) < LIMIT / 100**0.5
    assert (found["particles"] == 500).all()
    assert (found["believed"] == ((found["khat"] <= 0.7) & (found["stderr"] <= 0.1))).all()
    np.testing.assert_array_equal(found["log_p"], known.fitted.log_prob(known.x, particles=500))


def test_auto_spends_where_it_is_wanted(double: None) -> None:
    narrow = Known(widen=-1.5)
    few, auto = (narrow.fitted.marginal(narrow.x, particles=particles) for particles in (200, "auto"))
    assert set(auto["particles"]) <= {200, 800, 3200, 12_800}
    assert (auto["particles"] > 200).any()
    assert np.square(auto["log_p"] - narrow.log_p).mean() < np.square(few["log_p"] - narrow.log_p).mean()
    again = narrow.fitted.marginal(narrow.x, particles="auto")
    np.testing.assert_array_equal(auto["log_p"], again["log_p"])
    figures = narrow.fitted.evaluate(split="all", particles="auto")
    assert 200 < figures["particles"] < 12_800
    assert 0 < figures["doubtful"] < 100
    exact = narrow.fitted.evaluate(split="all", particles=50)
    assert exact["particles"] == 50


def test_an_exact_posterior_leaves_no_doubt(double: None) -> None:
    exact = Known()
    figures = exact.fitted.evaluate(split="all", particles="auto")
    assert (figures["particles"], figures["doubtful"]) == (200, 0)
    assert figures["log_p"]["value"] == pytest.approx(exact.log_p.mean(), abs=1e-9)


def test_annealing_finds_each_rows_log_p(known: Known) -> None:
    found = known.fitted.annealed(known.x, SHORT)
    assert list(found) == ["log_p", "stderr", "ess", "acceptance"]
    z = (found["log_p"] - known.log_p) / found["stderr"]
    assert abs(z.mean()) < LIMIT / 100**0.5
    assert found["stderr"].mean() < 0.1


def test_the_sandwich_holds_the_entropy_between(known: Known) -> None:
    """The mean of log p(x) over the model's own data is minus its entropy, which is known."""
    found = known.fitted.sandwich(80, SHORT)
    entropy = known.toy.marginal().entropy()
    low, high = found["lower"], found["upper"]
    assert low["value"] - LIMIT * low["stderr"] < -entropy < high["value"] + LIMIT * high["stderr"]
    assert found["width"]["value"] == pytest.approx(high["value"] - low["value"], abs=1e-9)
    assert found["width"]["value"] < 0.1
    assert (found["count"], found["steps"], found["chains"], found["units"]) == (80, 30, 8, "nats")
    one, same, other = (known.fitted.sandwich(2, Walk(steps=1), seed) for seed in (0, 0, 1))
    assert one == same != other


def test_annealing_speaks_of_the_data_as_given() -> None:
    """Nats of the stored values, whatever the view that the model sees them through."""
    x = 100 + 20 * np.random.default_rng(0).normal(size=(200, 3))
    model = lowerbound.train("vae", x, epochs=2, latent=1, hidden=[8], likelihood="mse", progress=Silent())
    made = model.sample(300, mean=False)
    sampled, annealed = model.log_prob(made), model.annealed(made[:50], SHORT)["log_p"]
    assert np.median(annealed - sampled[:50]) == pytest.approx(0, abs=0.2)
    lower = model.sandwich(60, SHORT)["lower"]
    assert abs(lower["value"] - sampled.mean()) < LIMIT * math.hypot(lower["stderr"], sampled.std() / 300**0.5)


def untrained(recipe: str, data: Dataset, **arguments: Any) -> Fitted:
    setup = lowerbound.recipes.get(recipe).build(data.spec, **arguments)
    return Fitted(setup, data.spec, data=data)


@pytest.mark.parametrize("recipe", ["ae", "vq-vae"])
def test_what_cannot_be_annealed_is_refused(recipe: str) -> None:
    data = lowerbound.load_data("digits")
    own, words = untrained(recipe, data), "encodes to points|vectors of real numbers"
    with pytest.raises(InputError, match=words):
        own.annealed(data.split("test").array("x")[:3], SHORT)
    with pytest.raises(InputError, match=words + "|a flat prior has no samples"):
        own.sandwich(3, SHORT)


def test_a_model_that_is_not_asked_for_its_z_is_not_sandwiched() -> None:
    data = lowerbound.load_data("digits")
    own = Fitted(Setup(TwoLatents({}), {}, AnalyticELBO(), Pathwise()), data.spec)
    with pytest.raises(InputError, match="cannot say which z it made its data from"):
        own.sandwich(3, SHORT)


@pytest.mark.parametrize("walk", [Walk(steps=0), Walk(chains=0), Walk(leapfrogs=-1)])
def test_a_walk_of_no_length_is_refused(known: Known, walk: Walk) -> None:
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        known.fitted.annealed(known.x, walk)
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        known.fitted.sandwich(2, walk)
    with pytest.raises(InputError, match="count must be a whole number of at least 1"):
        known.fitted.sandwich(0)
