"""Imputation against what is known exactly, and the life of a model of rows with gaps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import lowerbound
from agree import LIMIT, assert_mean
from lowerbound.core import ELBO, Batch, Enumerate, Pathwise
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.views import Identity, Standardise
from lowerbound.errors import InputError
from lowerbound.evaluation.imputation import Manner, imputed
from lowerbound.fitted import Fitted
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.conditional import imputed as imputed_by_mixture
from lowerbound.mixtures.conditional import variances
from lowerbound.mixtures.em import begin, fit
from lowerbound.mixtures.gaussian import Full
from lowerbound.mixtures.latent import as_latent
from lowerbound.recipes.registry import Setup
from toys import LinearGaussian

NAN = math.nan


@pytest.fixture
def toy(double: None) -> LinearGaussian:
    return LinearGaussian()


def setup_of(toy: LinearGaussian, view: Standardise) -> Setup:
    """The exact model; its posterior is only that of whole rows, so particles must be weighed."""
    return Setup(toy.model(widen=1.5), {"x": view}, ELBO(), Pathwise())


def conditional(toy: LinearGaussian, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of a row with NaN given the rest, and its covariance, on the entries that are missing."""
    normal, gone = toy.marginal(), x.isnan()
    cov = normal.covariance_matrix
    gain = cov[gone][:, ~gone] @ torch.linalg.inv(cov[~gone][:, ~gone])
    return normal.mean[gone] + gain @ (x - normal.mean)[~gone], cov[gone][:, gone] - gain @ cov[~gone][:, gone]


VIEW = Standardise([1.0, 0.0, 2.0, -3.0], [2.0, 0.5, 1.0, 4.0], 4)


def row_with_gaps(toy: LinearGaussian) -> tuple[Tensor, np.ndarray]:
    """As the model sees it, and as it is stored."""
    seen = toy.data(1).x["x"][0]
    seen[[1, 3]] = NAN
    return seen, VIEW.inverse(seen).numpy()[None]


def test_means_and_draws_are_the_exact_conditional_s(toy: LinearGaussian) -> None:
    seen, stored = row_with_gaps(toy)
    data = load_data(VIEW.inverse(toy.data(50).x["x"]).numpy())
    model = Fitted(setup_of(toy, VIEW), data.spec)
    found = model.impute(stored, Manner(particles=20_000, draws=4000))
    mean, covariance = conditional(toy, seen)
    drawn = VIEW(torch.from_numpy(np.stack(found.draws)))[:, 0, [1, 3]]
    # 4000 draws of about 10 000 effective particles: the particles' own error adds two fifths to the variance.
    z = (drawn.mean(0) - mean) / (covariance.diagonal() / 4000 * 1.4).sqrt()
    assert z.abs().max() < LIMIT
    assert torch.allclose(torch.cov(drawn.T), covariance, rtol=0.15, atol=0.02)
    error = (covariance.diagonal() / found.ess[0]).sqrt()
    assert ((VIEW(torch.from_numpy(found.values))[0, [1, 3]] - mean).abs() < LIMIT * error).all()
    assert np.array_equal(found.values[0, [0, 2]], stored[0, [0, 2]])
    assert all(np.array_equal(each[0, [0, 2]], stored[0, [0, 2]]) for each in found.draws)
    assert 1000 < found.ess[0] < 20_000
    assert found.khat[0] < 0.7


def test_more_particles_bring_the_mean_to_the_truth(toy: LinearGaussian) -> None:
    seen, stored = row_with_gaps(toy)
    raw = Batch({"x": torch.from_numpy(stored).nan_to_num()}, mask={"x": torch.from_numpy(~np.isnan(stored))})
    many = raw.map(lambda t: t.expand(300, *t.shape[1:]))
    spec = load_data(VIEW.inverse(toy.data(50).x["x"]).numpy()).spec
    with torch.no_grad():
        parts = imputed(setup_of(toy, VIEW), spec, many, Manner(particles=2000))
    values = torch.cat([part.values["x"] for part in parts])[:, [1, 3]]
    exact = VIEW.inverse(torch.zeros(4).index_put((torch.tensor([1, 3]),), conditional(toy, seen)[0]))[[1, 3]]
    assert_mean(values, exact)


def test_rows_are_completed_alike_in_groups_of_any_size(toy: LinearGaussian, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stored = row_with_gaps(toy)
    spec = load_data(VIEW.inverse(toy.data(50).x["x"]).numpy()).spec
    model = Fitted(setup_of(toy, VIEW), spec)
    rows = np.repeat(stored, 7, 0)
    monkeypatch.setattr("lowerbound.evaluation.imputation.VALUES_HELD", 4 * 50 * 3)
    found = model.impute(rows, Manner(particles=50, draws=2))
    assert found.values.shape == (7, 4)
    assert [each.shape for each in found.draws] == [(7, 4), (7, 4)]
    assert found.ess.shape == found.khat.shape == (7,)
    again = model.impute(rows, Manner(particles=50, draws=2))
    assert np.array_equal(found.values, again.values)


def test_categories_take_the_most_probable_code_and_medians_are_values_of_their_kind() -> None:
    random = np.random.default_rng(0)
    first = random.integers(0, 2, 2000)
    x = np.column_stack([first, np.where(random.random(2000) < 0.9, first, 1 - first)]).astype(float)
    x[random.random(x.shape) < 0.2] = NAN
    for kind in ("category", "binary"):
        data = load_data(x, kind=kind, missing=True)
        model = lowerbound.train("vae", data, latent=1, hidden=[8], epochs=15, lr=0.01, batch_size=100)
        asked = np.array([[0.0, NAN], [NAN, 1.0]])
        assert model.impute(asked, Manner(centre="median")).values.tolist() == [[0, 0], [1, 1]]
    probabilities = model.impute(asked).values
    assert 0 < probabilities[0, 1] < 0.5 < probabilities[1, 0] < 1


def gappy(rows: int = 300) -> Dataset:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 2)) @ random.normal(size=(2, 5)) + 10.0 + 0.3 * random.normal(size=(rows, 5))
    x[random.random(x.shape) < 0.3] = NAN
    return load_data(x, missing=True)


@pytest.fixture(scope="module")
def miwae() -> tuple[Fitted, Dataset]:
    data = gappy()
    chosen = {"bound": "iwae", "estimator": "dreg", "particles": 4, "likelihood": "gaussian-per-dim"}
    return lowerbound.train("vae", data, latent=2, hidden=[8], epochs=20, lr=0.01, batch_size=60, **chosen), data


def test_what_is_missing_is_never_read(miwae: tuple[Fitted, Dataset]) -> None:
    """log p(x_observed) is that of the observed columns in a model without the others: of none of them it is 0.

    Within the noise of importance sampling: a hundredth of a nat here."""
    model, data = miwae
    x = data.arrays["x"][:4].copy()
    assert model.log_prob(np.full((2, 5), NAN)).tolist() == pytest.approx([0.0, 0.0], abs=0.1)
    px = model.setup.model
    seen = model.setup.see(Batch({"x": torch.from_numpy(np.nan_to_num(x))}, mask={"x": torch.from_numpy(~np.isnan(x))}))
    trace = px.trace(seen, 20_000)
    by_hand = trace.log_p - trace.log_q + (trace.px["x"].base_dist.log_prob(seen.x["x"]) * seen.mask["x"]).sum(-1)
    std = torch.tensor(data.spec.variables[0].std)
    volume = -(std.log() * ~torch.from_numpy(np.isnan(x))).sum(1)
    expected = torch.logsumexp(by_hand, 0) - math.log(20_000) + volume
    assert model.log_prob(x, 20_000) == pytest.approx(expected.detach().numpy(), abs=0.1)


def test_all_figures_are_there_and_of_observed_values(miwae: tuple[Fitted, Dataset]) -> None:
    model, data = miwae
    figures = model.evaluate(data, particles=50)
    log_p = model.log_prob(data.split("test").array("x"), 50)
    assert figures["log_p"]["value"] == pytest.approx(log_p.mean(), abs=0.3)
    assert figures["elbo"]["value"] == pytest.approx(-figures["rate"]["value"] - figures["distortion"]["value"])
    assert 0 < figures["reconstruction_mse"]["value"] < 1
    assert set(model.scores(data.split("test").array("x"))) == {"minus_log_p", "rate", "distortion", "error"}


def test_a_model_of_rows_with_gaps_is_saved_and_opened(miwae: tuple[Fitted, Dataset], tmp_path: Path) -> None:
    model, data = miwae
    model.save(tmp_path / "run")
    x = data.arrays["x"][:9]
    assert np.array_equal(lowerbound.load(tmp_path / "run").log_prob(x, 10), model.log_prob(x, 10))


def test_it_imputes_better_than_the_mean(miwae: tuple[Fitted, Dataset]) -> None:
    model, data = miwae
    random = np.random.default_rng(1)
    x = data.arrays["x"]
    hidden = ~np.isnan(x) & (random.random(x.shape) < 0.2)
    found = model.impute(np.where(hidden, NAN, x), Manner(particles=200)).values
    std = np.array(data.spec.variables[0].std)
    error, plain = (((each - x) / std)[hidden] for each in (found, np.array(data.spec.variables[0].mean)))
    assert (error**2).mean() < 0.5 * (plain**2).mean()


def test_a_model_of_whole_rows_refuses_gaps_but_to_fill_them() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    model = lowerbound.train("vae", x, latent=1, hidden=[4], epochs=1)
    gap = np.array([[0.0, NAN, 1.0]])
    with pytest.raises(InputError, match="has NaN, and the model is of whole rows; fill them in with impute"):
        model.log_prob(gap)
    assert np.isfinite(model.impute(gap, Manner(particles=10)).values).all()


def test_a_point_has_no_particles_to_weigh() -> None:
    model = lowerbound.train("ae", np.random.default_rng(0).normal(size=(60, 3)), latent=1, hidden=[4], epochs=1)
    with pytest.raises(InputError, match="encodes to points"):
        model.impute(np.array([[0.0, NAN, 1.0]]))


def test_a_mixture_s_conditionals_are_exact(double: None) -> None:
    """Given what was observed and the component, entries of a full covariance still tell of each other."""
    x = torch.randn(300, 3) @ torch.randn(3, 3) + 4 * (torch.rand(300, 1) < 0.4)
    family = Full(floor=1e-3)
    mixture = fit(begin(family, InMemory(x), 2), InMemory(x)).mixture
    rows = torch.where(torch.rand(300, 3) < 0.3, NAN, x)
    spec = load_data(x.numpy()).spec
    model = Fitted(Setup(as_latent(mixture), {"x": Identity()}, ELBO(), Enumerate()), spec)
    found = model.impute(rows.numpy(), Manner(draws=1500))
    exact = imputed_by_mixture(mixture, rows)
    assert torch.allclose(torch.from_numpy(found.values), exact, atol=1e-9)
    assert (found.khat == -math.inf).all()
    draws = torch.from_numpy(np.stack(found.draws))
    error = variances(mixture, rows).sqrt() / 1500**0.5
    assert ((draws.mean(0) - exact).abs() <= LIMIT * error + 1e-12).all()
