"""A trained model's verbs under conditions, on one whose every answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import lowerbound
from agree import LIMIT
from lowerbound import Fitted
from lowerbound.core import Pathwise
from lowerbound.core.objectives import AnalyticELBO
from lowerbound.data.conditioning import Told
from lowerbound.data.spec import Variable
from lowerbound.data.views import Identity
from lowerbound.evaluation.annealing import Walk
from lowerbound.evaluation.gap import Effort
from lowerbound.recipes.registry import Setup
from toys import ToldGaussian

pytestmark = pytest.mark.usefixtures("double")

SHORT = Walk(steps=2, chains=2, leapfrogs=1)
NAMES = ("ant", "bee", "cat")
LABELS = Variable("label", "category", (), 0, 2, levels=3, labels=NAMES)


STEP = 3 / 2**0.5
"""How much more a model is shown of a label than 1: that it varies by 1 where all three are as frequent."""


@pytest.fixture
def exact() -> ToldGaussian:
    return ToldGaussian(4)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(60, 4))


@pytest.fixture
def model(exact: ToldGaussian, x: np.ndarray) -> Fitted:
    data = lowerbound.load_data(x, labels=np.array(NAMES * 20))
    setup = Setup(exact.model(), {"x": Identity()}, AnalyticELBO(), Pathwise(), condition=Told(LABELS, drop=0.2))
    return Fitted(setup, data.spec, data=data)


def told(*names: str) -> Tensor:
    """What the model is shown of labels: one-hot, of mean 0 and variance 1, and that they are told."""
    each = (torch.eye(3)[[NAMES.index(name) for name in names]] - 1 / 3) * STEP
    return torch.cat([each, torch.ones(len(names), 1)], 1)


def log_p(exact: ToldGaussian, x: np.ndarray) -> np.ndarray:
    """log p(x|c) under each label, (N, 3)."""
    return exact.marginal(told(*NAMES)).log_prob(torch.from_numpy(x)[:, None]).numpy()


def test_labels_are_told_by_bayes_rule(model: Fitted, exact: ToldGaussian, x: np.ndarray) -> None:
    shares = np.array([0.2, 0.5, 0.3])
    joint = log_p(exact, x) + np.log(shares)
    found = model.classify(x, particles=1, shares=shares)
    np.testing.assert_allclose(found.log_p, np.log(np.exp(joint).sum(1)), atol=1e-10)
    np.testing.assert_allclose(found.probabilities, np.exp(joint - found.log_p[:, None]), atol=1e-10)
    assert found.labels.tolist() == [NAMES[best] for best in joint.argmax(1)]
    with pytest.raises(lowerbound.InputError, match="above 0, one for each, and 1 together"):
        model.classify(x, 1, shares=[0.5, 0.5])


def test_a_split_is_asked_about_under_what_is_given(model: Fitted, exact: ToldGaussian, x: np.ndarray) -> None:
    rows = model.rows(split="train")
    each = log_p(exact, rows.array("x"))
    own = model.evaluate(split="train", particles=2)
    assert own["told"] == "each row's own condition"
    assert own["log_p"]["value"] == pytest.approx(each[np.arange(rows.count), rows.condition].mean())
    bee = model.given("bee").evaluate(split="train", particles=2)
    assert (bee["told"], bee["log_p"]["value"]) == ("one condition", pytest.approx(each[:, 1].mean()))
    shifted = [NAMES[(code + 1) % 3] for code in rows.condition]
    found = model.given(shifted).evaluate(split="train", particles=2)
    assert found["log_p"]["value"] == pytest.approx(each[np.arange(rows.count), (rows.condition + 1) % 3].mean())
    untold = exact.marginal(torch.zeros(1, 4)).log_prob(torch.from_numpy(rows.array("x"))).mean().item()
    nothing = model.given(None).evaluate(split="train", particles=2)
    assert (nothing["told"], nothing["log_p"]["value"]) == ("nothing", pytest.approx(untold))


def test_rows_are_told_what_each_of_them_has(model: Fitted, exact: ToldGaussian) -> None:
    rows = model.rows(split="train").where(slice(7))
    found = model.given(rows).log_prob(rows.array("x"), 1)
    np.testing.assert_allclose(found, log_p(exact, rows.array("x"))[np.arange(7), rows.condition], atol=1e-10)


def test_labels_of_other_data_go_by_their_names(model: Fitted, exact: ToldGaussian, x: np.ndarray) -> None:
    other = lowerbound.load_data(x, labels=np.array(["bee", "cat"] * 30))  # whose codes are 0 and 1
    found = model.evaluate(other, split="train", particles=1)
    rows = other.split("train")
    each = log_p(exact, rows.array("x"))[np.arange(rows.count), rows.condition + 1]
    assert found["log_p"]["value"] == pytest.approx(each.mean())
    with pytest.raises(lowerbound.InputError, match="no datum is labelled 'dog'"):
        model.evaluate(lowerbound.load_data(x, labels=np.array(["bee", "dog"] * 30)), particles=1)
    stranger = model.evaluate(lowerbound.load_data(x, labels=np.array(["dog", "eel"] * 30)), particles=1)
    assert stranger["told"] == "nothing"


def test_one_draw_of_z_under_every_label(model: Fitted, exact: ToldGaussian) -> None:
    found = model.sample_each(5)
    assert found.shape == (3, 5, 4)
    whole = (exact.shift + exact.alone.weight @ exact.lead).numpy()  # z = Bc + noise, and the noise is the same
    np.testing.assert_allclose(found[1] - found[0], np.tile((whole[:, 1] - whole[:, 0]) * STEP, (5, 1)), atol=1e-10)
    np.testing.assert_array_equal(found[2], model.given("cat").sample(5))
    codes = np.random.default_rng(0).normal(size=(6, 2))
    other = model.decode_each(codes)
    np.testing.assert_allclose(
        other[1] - other[0], np.tile((exact.shift[:, 1] - exact.shift[:, 0]).numpy() * STEP, (6, 1))
    )


def test_variations_are_of_the_posterior(model: Fitted, exact: ToldGaussian, x: np.ndarray) -> None:
    """By chance it fails once in 150 000 for each of 16 figures."""
    ant = model.given("ant")
    found = ant.variations(x[:2], 4000)
    assert found.shape == (2, 4000, 4)
    error = (found.mean(1) - ant.reconstruct(x[:2])) / (found.std(1) / 4000**0.5)
    assert np.abs(error).max() < LIMIT
    variance = (exact.alone.weight.square() @ exact.model().posterior.net.log_variance.exp()).detach().numpy()
    assert np.abs(found.var(1) / variance - 1).max() < LIMIT * (2 / 4000) ** 0.5


def test_between_two_labels_the_label_moves_alone(model: Fitted, exact: ToldGaussian, x: np.ndarray) -> None:
    found = model.given(["ant", "bee"]).interpolate(x[0], steps=5)
    z = model.given("ant").encode(x[:1])
    ends = [model.given(name).decode(z)[0] for name in ("ant", "bee")]
    np.testing.assert_allclose(found, np.linspace(*ends, 5), atol=1e-10)
    both = model.given(["ant", "bee"]).interpolate(x[0], x[1], 3, "linear")
    np.testing.assert_allclose(both[2], model.given("bee").reconstruct(x[1:2])[0], atol=1e-10)


def test_a_sandwich_of_what_is_exact_has_no_width(model: Fitted) -> None:
    found = model.given("bee").sandwich(3, SHORT)
    assert abs(found["width"]["value"]) < 1e-9
    each = model.given(["ant", "bee", "cat"]).sandwich(3, SHORT)
    assert abs(each["width"]["value"]) < 1e-9
    with pytest.raises(lowerbound.InputError, match="2 conditions are given for 3 rows"):
        model.given(["ant", "bee"]).sandwich(3, SHORT)


def test_gaps_are_of_log_p_given_c(model: Fitted, exact: ToldGaussian) -> None:
    few = Effort(steps=1, draws=1, particles=2, anneal=0)
    rows = model.rows(split="train")
    each = log_p(exact, rows.array("x"))[:5]
    own = model.gap(split="train", count=5, effort=few)
    assert own["elbo"]["encoder"]["value"] == pytest.approx(each[np.arange(5), rows.condition[:5]].mean())
    cat = model.given("cat").gap(split="train", count=5, effort=few)
    assert cat["elbo"]["encoder"]["value"] == pytest.approx(each[:, 2].mean())
