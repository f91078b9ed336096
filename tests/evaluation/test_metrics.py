"""Figures against exact answers: a linear-Gaussian model, whose log p(x), rate and posterior are known."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.core import AnalyticELBO, Gaussian, Pathwise
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.views import Identity, Standardise, View
from lowerbound.evaluation import metrics
from lowerbound.evaluation.metrics import evaluate
from lowerbound.recipes import get
from lowerbound.recipes.registry import Setup
from toys import LinearGaussian, TwoLatents, expected_elbo


def setup_of(model: Any, view: View | None = None) -> Setup:
    return Setup(model, {"x": view or Identity()}, AnalyticELBO(), Pathwise())


@pytest.fixture
def exact(double: None) -> tuple[LinearGaussian, Dataset]:
    toy = LinearGaussian(size=4, latent=2)
    return toy, load_data(toy.data(2000).x["x"].numpy())


def log_p(toy: LinearGaussian, data: Dataset, split: str = "test") -> torch.Tensor:
    return toy.marginal().log_prob(torch.from_numpy(data.split(split).array("x")))


def test_with_the_exact_posterior_every_figure_is_exact(exact: tuple[LinearGaussian, Dataset]) -> None:
    toy, data = exact
    found = evaluate(setup_of(toy.model()), data.split("test"), particles=50)
    truth = log_p(toy, data)
    assert found["log_p"]["value"] == pytest.approx(truth.mean().item(), abs=1e-10)
    assert found["log_p"]["stderr"] == pytest.approx(truth.std().item() / math.sqrt(len(truth)), rel=1e-9)
    assert found["log_p"]["monte_carlo"] < 1e-6
    assert found["ess"]["min"] == pytest.approx(50)
    assert found["khat"]["share_above_0.7"] == 0
    assert found["count"] == 200


def test_every_finite_value_is_in_a_cell_of_the_histogram() -> None:
    values = torch.cat([torch.randn(500), torch.tensor([math.nan, math.inf])])
    found = metrics.histogram(values)
    assert sum(found["counts"]) == 500
    assert (found["low"], found["high"]) == (values[:500].min().item(), values[:500].max().item())
    assert metrics.histogram(values[500:]) is None


def test_with_another_posterior_each_figure_is_within_its_error(exact: tuple[LinearGaussian, Dataset]) -> None:
    toy, data = exact
    model = toy.model(shrink=0.9, widen=0.4)
    found = evaluate(setup_of(model), data.split("test"), particles=500)
    truth, rows = log_p(toy, data), torch.from_numpy(data.split("test").array("x"))
    elbo = torch.stack([expected_elbo(model, x) for x in rows]).mean().item()
    assert abs(found["log_p"]["value"] - truth.mean().item()) < 5 * found["log_p"]["monte_carlo"]
    assert found["elbo"]["value"] == pytest.approx(elbo, abs=0.1)
    assert found["elbo"]["value"] == pytest.approx(-found["rate"]["value"] - found["distortion"]["value"], abs=1e-9)
    assert sum(found["kl_per_dimension"]) == pytest.approx(found["rate"]["value"])


def test_the_figures_of_a_split_do_not_depend_on_the_chunks(
    exact: tuple[LinearGaussian, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy, data = exact
    whole = evaluate(setup_of(toy.model()), data.split("test"), particles=50)
    monkeypatch.setattr(metrics, "ROWS_AT_ONCE", 7)
    parts = evaluate(setup_of(toy.model()), data.split("test"), particles=50)
    for name in ("log_p", "rate", "reconstruction_mse"):
        assert parts[name]["value"] == pytest.approx(whole[name]["value"], rel=1e-12)
    assert parts["kl_per_dimension"] == pytest.approx(whole["kl_per_dimension"], rel=1e-12)


def test_units_are_nats_of_the_data_as_given(exact: tuple[LinearGaussian, Dataset]) -> None:
    toy, data = exact
    view = Standardise([3.0] * 4, [2.0, 5.0, 0.1, 1.0], 4)
    stored = {"x": view.inverse(torch.from_numpy(data.arrays["x"])).numpy()}
    seen = Dataset(data.spec, stored, None, data.splits)
    found = evaluate(setup_of(toy.model(), view), seen.split("test"), particles=50)
    plain = evaluate(setup_of(toy.model()), data.split("test"), particles=50)
    for name, sign in (("log_p", 1), ("elbo", 1), ("distortion", -1)):
        assert found[name]["value"] == pytest.approx(plain[name]["value"] + sign * view.log_volume, abs=1e-9)
    assert found["rate"]["value"] == pytest.approx(plain["rate"]["value"], abs=1e-9)


def test_a_dimension_that_says_nothing_is_not_active(exact: tuple[LinearGaussian, Dataset]) -> None:
    toy, data = exact
    model = toy.model()
    with torch.no_grad():
        model.posterior.net.mean.weight[1] = 0
    found = evaluate(setup_of(model), data.split("test"), particles=5)
    assert (found["active_units"], found["latent"]) == (1, 2)


def test_the_reconstruction_error_is_in_units_of_the_range(exact: tuple[LinearGaussian, Dataset]) -> None:
    toy, data = exact
    model, variable = toy.model(), data.spec.variables[0]
    x = torch.from_numpy(data.split("test").array("x"))
    again = model.likelihood["x"].net(model.posterior.net.mean(x))
    error = ((again - x) / (variable.high - variable.low)).square().mean().item()
    found = evaluate(setup_of(model), data.split("test"), particles=5)
    assert found["reconstruction_mse"]["value"] == pytest.approx(error)


def test_several_latents_are_counted_together(double: None) -> None:
    heads = {name: torch.nn.Linear(1, 2) for name in "uv"}
    parts = {name: Gaussian(torch.nn.Sequential(head, torch.nn.Unflatten(-1, (1, 2)))) for name, head in heads.items()}
    data = load_data(np.random.default_rng(0).normal(size=(100, 1)))
    found = evaluate(setup_of(TwoLatents(parts)), data.split("test"), particles=5)
    assert found["latent"] == len(found["kl_per_dimension"]) == 2


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


def of_recipe(data: Dataset, likelihood: str) -> Setup:
    torch.manual_seed(0)
    return get("vae").build(data.spec, latent=2, hidden=[8], likelihood=likelihood)


def test_the_same_call_gives_the_same_numbers_and_leaves_no_trace(digits: Dataset) -> None:
    setup, rows = of_recipe(digits, "bernoulli"), digits.split("test")
    state = torch.random.get_rng_state()
    first, second = (evaluate(setup, rows, particles=20, seed=3) for _ in range(2))
    assert first == second
    assert torch.equal(state, torch.random.get_rng_state())
    assert evaluate(setup, rows, particles=20, seed=4)["log_p"] != first["log_p"]


def test_random_views_show_the_same_data_whatever_the_particles(digits: Dataset) -> None:
    """With q = p and a likelihood of its own for each pixel, log p(x) is that of the drawn pixels, without noise."""
    setup, rows = of_recipe(digits, "bernoulli"), digits.split("train")
    with torch.no_grad():
        for parameter in setup.model.parameters():
            parameter.zero_()
        next(p for p in setup.model.likelihood.parameters() if p.shape == (64,)).uniform_(-2, 2)
    few, many = evaluate(setup, rows, particles=2), evaluate(setup, rows, particles=40)
    assert few["log_p"]["value"] == pytest.approx(many["log_p"]["value"], abs=1e-4)


def test_bits_are_given_only_for_a_mass_over_the_stored_levels(digits: Dataset) -> None:
    rows = digits.split("test")
    bits = evaluate(of_recipe(digits, "discretized-logistic"), rows, particles=5)
    assert bits["bits_per_dim"]["value"] == pytest.approx(-bits["log_p"]["value"] / 64 / math.log(2))
    for likelihood in ("bernoulli", "gaussian"):
        assert evaluate(of_recipe(digits, likelihood), rows, particles=5)["bits_per_dim"] is None


def test_binary_data_have_bits() -> None:
    data = load_data((np.random.default_rng(0).random((100, 6)) < 0.5).astype(np.uint8))
    assert evaluate(of_recipe(data, "bernoulli"), data.split("test"), particles=5)["bits_per_dim"] is not None


def test_categories_have_no_squared_error() -> None:
    data = load_data(np.random.default_rng(0).integers(0, 4, (100, 6)), kind="category")
    found = evaluate(of_recipe(data, "categorical"), data.split("test"), particles=5)
    assert found["reconstruction_mse"] is None
    assert found["bits_per_dim"]["value"] > 0


def test_the_watch_is_told_of_every_row(digits: Dataset) -> None:
    told: list[tuple[int, int]] = []
    rows = digits.split("train")
    evaluate(of_recipe(digits, "bernoulli"), rows, 1, watch=lambda done, of: told.append((done, of)))
    assert told[-1] == (rows.count, rows.count)
    assert len(told) == math.ceil(rows.count / metrics.ROWS_AT_ONCE)


def test_the_figures_are_json(digits: Dataset) -> None:
    found = evaluate(of_recipe(digits, "bernoulli"), digits.split("test"), particles=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
