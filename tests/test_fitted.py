"""A trained model's verbs over arrays, and the folder it is kept in."""

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import catalogue
import lowerbound
from lowerbound import Fitted, InputError
from lowerbound.core import AnalyticELBO, Bernoulli, Gaussian, Latent, Pathwise, standard_normal
from lowerbound.data.dataset import Dataset
from lowerbound.data.reading import Reading
from lowerbound.data.views import Binarise, Identity
from lowerbound.recipes.registry import Setup
from lowerbound.training.progress import Silent
from toys import LinearGaussian

SMALL = {"epochs": 2, "latent": 3, "hidden": [16], "batch_size": 256, "progress": Silent()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return lowerbound.train("vae", "digits", tmp_path_factory.mktemp("runs") / "digits", **SMALL)


@pytest.fixture(scope="module")
def x(model: Fitted) -> np.ndarray:
    return model.rows(split="test").array("x")


def test_from_an_array_to_samples_in_five_lines() -> None:
    x = np.random.default_rng(0).normal(size=(200, 5))
    model = lowerbound.train("vae", x, epochs=1, latent=2, hidden=[8], progress=Silent())
    samples = model.sample(16)
    assert samples.shape == (16, 5)
    assert np.isfinite(model.log_prob(samples, particles=10)).all()


def test_a_model_of_your_own_parts(x: np.ndarray) -> None:
    data = lowerbound.load_data("digits")
    encoder = torch.nn.Sequential(torch.nn.Flatten(-2), torch.nn.Linear(64, 4), torch.nn.Unflatten(-1, (2, 2)))
    decoder = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Unflatten(-1, (8, 8)))
    model = Latent(standard_normal(2), Gaussian(encoder), Bernoulli(decoder, event_dims=2))
    own = Fitted(Setup(model, {"x": Binarise(17)}, AnalyticELBO(), Pathwise()), data.spec, data=data)
    assert own.encode(x[:3]).shape == (3, 2)
    assert own.evaluate(particles=2)["count"] == len(x)
    with pytest.raises(InputError, match="no recipe"):
        own.save("anywhere")


def test_samples_are_on_the_scale_of_the_data(model: Fitted) -> None:
    means, draws = model.sample(300), model.sample(300, mean=False)
    assert means.shape == draws.shape == (300, 8, 8)
    assert means.dtype == np.float32
    assert draws.dtype == np.uint8
    assert 0 <= means.min() < means.max() <= 16
    assert set(np.unique(draws)) == {0, 16}


@pytest.mark.parametrize(
    "verb",
    [
        lambda model, x, seed: model.sample(5, seed),
        lambda model, x, seed: model.sample(5, seed, mean=False),
        lambda model, x, seed: model.log_prob(x[:5], particles=5, seed=seed),
    ],
)
def test_chance_follows_from_the_seed_alone(model: Fitted, x: np.ndarray, verb: Callable[..., Any]) -> None:
    state = torch.random.get_rng_state()
    first = verb(model, x, 1)
    torch.manual_seed(99)
    assert np.array_equal(verb(model, x, 1), first)
    assert not np.array_equal(verb(model, x, 2), first)
    torch.random.set_rng_state(state)
    verb(model, x, 1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_code_does_not_depend_on_the_rows_beside_it(model: Fitted, x: np.ndarray) -> None:
    codes = model.encode(x)
    assert codes.shape == (len(x), 3)
    assert np.array_equal(model.encode(x), codes)
    np.testing.assert_allclose(model.encode(x[7:8])[0], codes[7], atol=1e-5)


def test_reconstruction_is_decoding_the_code(model: Fitted, x: np.ndarray) -> None:
    assert np.array_equal(model.reconstruct(x[:9]), model.decode(model.encode(x[:9])))


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_interpolation_goes_from_one_reconstruction_to_the_other(model: Fitted, x: np.ndarray, kind: Any) -> None:
    found = model.interpolate(x[0], x[1], steps=6, kind=kind)
    assert found.shape == (6, 8, 8)
    np.testing.assert_allclose(found[[0, -1]], model.reconstruct(x[:2]), atol=1e-3)


def digits_for(recipe: str) -> Dataset:
    """The digits, and with them what the recipe is told where labels are not enough."""
    data, about = lowerbound.load_data("digits"), catalogue.TOLD.get(recipe)
    if about is None:
        return data
    told = np.random.default_rng(0).normal(size=(data.spec.count, about.width)).astype(np.float32)
    return replace(data, spec=replace(data.spec, condition=about), condition=told)


@pytest.mark.parametrize("recipe", sorted({*lowerbound.recipes.names()} - {*catalogue.ONLY}))
def test_every_verb_serves_every_recipe(recipe: str) -> None:
    data = digits_for(recipe)
    small = {
        name: value for name, value in catalogue.SMALL.items() if name in lowerbound.recipes.get(recipe).parameters
    }
    small |= {"drop": 0.5} if recipe in catalogue.TOLD else {}  # that it serves told nothing too
    own = Fitted(lowerbound.recipes.get(recipe).build(data.spec, **small), data.spec, data=data)
    x, labels = data.arrays["x"][:12], np.arange(12) % 2
    codes = own.encode(x)
    assert codes.ndim == 2
    assert own.decode(codes).shape == own.reconstruct(x).shape == own.sample(12).shape == x.shape
    np.testing.assert_allclose(own.interpolate(x[0], x[1], 5)[[0, -1]], own.reconstruct(x[:2]), atol=1e-3)
    dims = min(codes.shape[1], 10)
    found = own.traverse(x, steps=3)
    assert found.x.shape == (dims, 3, 8, 8)
    assert (len(found.dims), found.values.shape) == (dims, (dims, 3))
    direction = own.attribute(x, labels, 1)
    np.testing.assert_allclose(direction.vector, codes[labels == 1].mean(0) - codes[labels == 0].mean(0), atol=1e-5)
    np.testing.assert_allclose(own.shift(x, direction, 0.0), own.reconstruct(x), atol=1e-4)
    assert all(np.isfinite(score).all() and score.shape == (12,) for score in own.scores(x, particles=3).values())


def test_a_traversal_goes_over_the_range_of_the_codes(model: Fitted, x: np.ndarray) -> None:
    spread = model.spread(x)
    found = model.traverse(x, start=x[3], dims=[2, 0], steps=5, reach=1.5)
    codes = np.tile(model.encode(x[3:4]), (5, 1))
    codes[:, 2] = found.values[0]
    np.testing.assert_allclose(found.x[0], model.decode(codes), atol=1e-4)
    centre, scale = spread.centre[2].item(), spread.scale[2].item()
    np.testing.assert_allclose(found.values[0], np.linspace(centre - 1.5 * scale, centre + 1.5 * scale, 5), rtol=1e-5)
    np.testing.assert_allclose(model.traverse(x).x[0, 4], model.decode(spread.centre[None].numpy())[0], atol=1e-3)
    assert model.traverse(x).dims == tuple(np.argsort(-model.encode(x).var(0)))


def test_features_take_their_labels_from_the_data(model: Fitted) -> None:
    found = model.features(rows=200)
    assert (found["data"], found["rows"], found["codes"]["width"], found["pca"]["width"]) == ("digits", 200, 3, 3)
    assert found["raw"]["linear"]["accuracy"] > 0.8
    with pytest.raises(InputError, match="no labels"):
        model.features(lowerbound.load_data("digits").unconditional())


def test_scores_are_the_figures_of_evaluate_by_the_row(model: Fitted, x: np.ndarray) -> None:
    found, figures = model.scores(x, particles=200), model.evaluate(particles=200)
    assert -found["minus_log_p"].mean() == pytest.approx(figures["log_p"]["value"], abs=1)
    assert found["rate"].mean() == pytest.approx(figures["rate"]["value"], abs=0.2)
    assert found["distortion"].mean() == pytest.approx(figures["distortion"]["value"], abs=1)
    assert found["error"].mean() == pytest.approx(figures["reconstruction_mse"]["value"], rel=0.02)


def test_noise_is_stranger_than_digits(model: Fitted, x: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 17, x.shape).astype(np.uint8)
    found = model.detect(np.concatenate([x, noise]), np.repeat([0, 1], len(x)), particles=20)
    assert found["minus_log_p"]["auroc"] > 0.99
    assert found["distortion"]["auroc"] > 0.99


def test_an_autoencoder_has_no_log_p_and_is_scored_by_its_reconstructions(x: np.ndarray) -> None:
    data = lowerbound.load_data("digits")
    own = Fitted(lowerbound.recipes.get("ae").build(data.spec, latent=2, hidden=[8]), data.spec, data=data)
    with pytest.raises(InputError, match="no bound on log p"):
        own.log_prob(x)
    assert set(own.scores(x)) == {"distortion", "error"}


def test_a_denoising_model_is_asked_about_the_rows_as_they_are(x: np.ndarray) -> None:
    data = lowerbound.load_data("digits")
    setup = lowerbound.recipes.get("dae").build(data.spec, latent=2, hidden=[8], likelihood="mse", corruption="masking")
    own = Fitted(setup, data.spec, data=data)
    errors = np.square((own.reconstruct(x) - x) / 16).mean((1, 2))
    np.testing.assert_allclose(own.scores(x)["error"], errors, rtol=1e-4)


def test_log_prob_is_the_exact_one_where_that_is_known(double: None) -> None:
    toy = LinearGaussian(size=4, latent=2)
    x = toy.data(500).x["x"].numpy()
    data = lowerbound.load_data(x)
    own = Fitted(Setup(toy.model(), {"x": Identity()}, AnalyticELBO(), Pathwise()), data.spec)
    truth = toy.marginal().log_prob(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(own.log_prob(x, particles=5), truth, atol=1e-5)


def test_log_prob_and_evaluate_agree(model: Fitted, x: np.ndarray) -> None:
    found, each = model.evaluate(particles=200), model.log_prob(x, particles=200)
    assert each.shape == (len(x),)
    assert each.mean() == pytest.approx(found["log_p"]["value"], abs=4 * found["log_p"]["stderr"])


def test_evaluate_looks_at_the_split_it_is_asked_for(model: Fitted) -> None:
    counts = {split: model.evaluate(split=split, particles=1)["count"] for split in ("train", "test", "all")}
    assert counts == {"train": 1439, "test": 179, "all": 1797}


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m, x: m.encode(x[0]), "first dimension of 1"),
        (lambda m, x: m.encode(x + 200), "from 0 to 16|from 0 to"),
        (lambda m, x: m.log_prob(np.where(x, np.nan, x)), "NaN"),
        (lambda m, x: m.log_prob(x, particles=0), "particles must be a whole number of at least 1"),
        (lambda m, x: m.sample(0), "at least 1"),
        (lambda m, x: m.sample(2.5), "whole number"),
        (lambda m, x: m.decode(np.zeros((3, 2))), r"codes are \(3,\)"),
        (lambda m, x: m.decode(np.full((3, 3), np.nan)), "finite"),
        (lambda m, x: m.evaluate(split="tset"), "no split 'tset'"),
        (lambda m, x: m.evaluate(np.zeros((20, 3))), "made for data of"),
        (lambda m, x: m.interpolate(x[0], x[1], steps=1), "2 steps"),
        (lambda m, x: m.traverse(x, dims=[3]), "dimensions 0 to 2, and no dimension 3"),
        (lambda m, x: m.traverse(x, dims=[-1]), "no dimension -1"),
        (lambda m, x: m.traverse(x, steps=0), "at least 1"),
        (lambda m, x: m.attribute(x, np.zeros(3), 0), "as many labels"),
        (lambda m, x: m.detect(x, np.zeros(len(x))), "both ordinary and anomalous"),
        (lambda m, x: m.disentanglement(), "several labels"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    model: Fitted, x: np.ndarray, ask: Callable[[Fitted, np.ndarray], Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        ask(model, x)


def test_a_run_opens_again_with_the_same_numbers(model: Fitted, x: np.ndarray, tmp_path: Path) -> None:
    model.save(tmp_path / "copy")
    again = lowerbound.load(tmp_path / "copy")
    assert np.array_equal(again.encode(x), model.encode(x))
    assert again.evaluate(particles=3) == model.evaluate(particles=3)
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="there already"):
        model.save(tmp_path / "copy")


def test_a_run_without_a_folder_lives_as_long_as_its_model(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(100, 3))
    model = lowerbound.train("vae", x, **SMALL)
    folder = model.run.path
    model.save(tmp_path / "kept")
    assert folder.is_dir()
    del model
    gc.collect()
    assert not folder.exists()
    again = lowerbound.load(tmp_path / "kept")
    with pytest.raises(InputError, match="arrays in memory"):
        again.evaluate()
    assert again.evaluate(x, particles=2)["count"] == 10


def test_a_file_is_found_again_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 5, (100, 3)))
    monkeypatch.chdir(tmp_path)
    lowerbound.train("vae", "x.npy", tmp_path / "run", kind="real", **SMALL)
    monkeypatch.chdir("/")
    assert lowerbound.load(tmp_path / "run").evaluate(particles=2)["count"] == 10


def test_changed_data_are_not_taken_for_those_of_the_run(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(100, 3))
    np.save(tmp_path / "x.npy", x)
    lowerbound.train("vae", tmp_path / "x.npy", tmp_path / "run", **SMALL)
    np.save(tmp_path / "x.npy", x + 1)
    with pytest.raises(InputError, match="other data"):
        lowerbound.load(tmp_path / "run").evaluate()


@pytest.mark.parametrize(
    ("name", "words"),
    [("epoch", "did you mean 'epochs'"), ("latents", "did you mean 'latent'"), ("qqq", "choose from: latent")],
)
def test_an_argument_that_neither_knows_is_refused_before_any_work(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        lowerbound.train("vae", "no such data", **{name: 1})


def test_recipes_and_settings_share_no_argument() -> None:
    from dataclasses import fields

    from lowerbound.run.settings import Settings

    settings = {field.name for field in fields(Settings)} | {"recipe", "data", "out", "kind", "progress"}
    for name in lowerbound.recipes.names():
        assert not settings & set(lowerbound.recipes.get(name).parameters)


def test_resume_finishes_what_is_begun(tmp_path: Path) -> None:
    data = lowerbound.load_data("digits")
    arguments = {"latent": 3, "hidden": [16]}
    settings = lowerbound.Settings(epochs=2, batch_size=256)
    lowerbound.Run.create(tmp_path / "run", "vae", arguments, data.spec, settings, Reading("digits"))
    model = lowerbound.resume(tmp_path / "run", progress=Silent())
    assert model.run.record.state == "trained"
    with pytest.raises(InputError, match="no run"):
        lowerbound.resume(tmp_path / "nothing")


def test_every_public_name_is_there() -> None:
    assert all(getattr(lowerbound, name) is not None for name in lowerbound.__all__)
    assert dir(lowerbound) == sorted(lowerbound.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        lowerbound.trian  # noqa: B018
