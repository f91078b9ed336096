"""Autoencoders and VAEs as estimators: what scikit-learn's own suite does not ask."""

from __future__ import annotations

import copy
import inspect
import pickle
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from small_estimators import SMALL

import lowerbound
from lowerbound.data.spec import Variable
from lowerbound.recipes import registry
from lowerbound.sklearn import VAE, Autoencoder, KSparseAutoencoder
from lowerbound.sklearn.base import DensityEstimator, RecipeEstimator
from lowerbound.sklearn.conditional import ConditionalDensityEstimator
from lowerbound.sklearn.rows import dataset

X, Y = load_iris(return_X_y=True)
NETWORKS = [each for each in SMALL if isinstance(each, RecipeEstimator)]
BY_NAME = [type(each).__name__ for each in NETWORKS]
HIDDEN_FROM_ESTIMATORS = {
    "vae": {"net", "estimator", "cycles", "lag", "lag_steps", "groups", "share", "alpha", "intervals", "first"},
    "beta-vae": {"net"},
    "cvae": {"net", "estimator"},
    "ae": {"net"},
    "dae": {"net", "patch"},
    "contractive-ae": {"net"},
}
"""Arguments of recipes that rows of numbers have no use for (other networks), or that are for the few."""


def vae(**settings: Any) -> VAE:
    return VAE(**{"latent": 2, "hidden": [8], "epochs": 3, "draws": 20, "random_state": 0, "device": "cpu", **settings})


@pytest.mark.parametrize("estimator", NETWORKS, ids=BY_NAME)
def test_arguments_and_their_defaults_are_the_recipes(estimator: RecipeEstimator) -> None:
    parameters = registry.get(estimator.recipe).parameters
    given = inspect.signature(type(estimator)).parameters
    shown = {name: given[name].default for name in parameters if name in given}
    hidden = HIDDEN_FROM_ESTIMATORS.get(estimator.recipe, set())
    assert shown == {name: each.default for name, each in parameters.items() if name not in hidden}


@pytest.mark.parametrize("estimator", NETWORKS, ids=BY_NAME)
def test_a_pickle_holds_the_model_bit_for_bit_and_no_code_of_ours(estimator: RecipeEstimator) -> None:
    fitted = clone(estimator).set_params(random_state=0).fit(X, Y)
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert np.array_equal(again.transform(X), fitted.transform(X))
        assert np.array_equal(again.sample(5), fitted.sample(5))
        assert again.score(X[:20]) == fitted.score(X[:20])
    state = fitted.trained_.__getstate__()
    assert set(state) == {"files", "moments", "steps"}
    assert all(isinstance(content, bytes) for content in state["files"].values())


def test_log_p_after_unpickling_is_equal_bit_for_bit() -> None:
    fitted = vae().fit(X)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).score_samples(X), fitted.score_samples(X))


def test_a_pickle_whose_weights_were_changed_is_refused() -> None:
    state = vae().fit(X).trained_.__getstate__()
    weights = state["files"]["weights.safetensors"]
    state["files"]["weights.safetensors"] = weights[:-1] + bytes([weights[-1] ^ 1])
    with pytest.raises(lowerbound.InputError, match="SHA-256"):
        object.__new__(type(vae().fit(X).trained_)).__setstate__(state)


def test_the_same_random_state_gives_the_same_codes_and_another_others() -> None:
    first = vae().fit_transform(X)
    assert np.array_equal(vae().fit_transform(X), first)
    assert not np.array_equal(vae(random_state=1).fit_transform(X), first)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    vae().fit(X).sample(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_log_p_is_of_the_data_as_given() -> None:
    """Columns in other units: log p moves by the logarithm of the unit, exactly."""
    fitted, scaled = vae(draws=50).fit(X), vae(draws=50).fit(X * 8)
    there = scaled.model_.log_prob(X * 8, 50, seed=1)
    assert np.allclose(there, fitted.model_.log_prob(X, 50, seed=1) - 4 * np.log(8), atol=1e-4)


def test_score_samples_approaches_log_p_as_draws_grow() -> None:
    fitted = vae(epochs=30).fit(X)
    exact = fitted.model_.log_prob(X[:10], 20_000)
    assert np.abs(fitted.set_params(draws=20_000).score_samples(X[:10]) - exact).max() < 0.1


def test_a_row_is_scored_alike_beside_any_others() -> None:
    fitted = vae().fit(X)
    assert np.array_equal(fitted.score_samples(X)[::-1], fitted.score_samples(X[::-1]))
    assert np.array_equal(fitted.score_samples(X[:7]), fitted.score_samples(X)[:7])


def test_autoencoders_have_no_log_p_and_are_scored_by_their_reconstruction() -> None:
    fitted = Autoencoder(latent=3, hidden=[32], lr=1e-2, components=2, random_state=0, device="cpu").fit(X)
    assert not hasattr(fitted, "score_samples")
    rebuilt = fitted.inverse_transform(fitted.transform(X))
    std = np.array(fitted.trained_.variable.std)
    assert fitted.score(X) == pytest.approx(-np.mean(((rebuilt - X) / std) ** 2), rel=1e-4)
    assert fitted.score(X) > -0.2


def test_k_sparse_codes_are_sparse() -> None:
    codes = KSparseAutoencoder(latent=16, k=3, epochs=2, random_state=0).fit_transform(X)
    assert codes.shape == (150, 16)
    assert (np.count_nonzero(codes, axis=1) <= 3).all()


def test_a_constant_column_is_centred_and_not_scaled() -> None:
    fitted = vae().fit(np.column_stack([X, np.full(len(X), 7.0)]))
    assert fitted.trained_.variable.std[-1] == 1.0
    assert np.isfinite(fitted.transform(np.column_stack([X, np.full(len(X), 7.0)]))).all()


def test_two_rows_are_enough_and_one_is_refused() -> None:
    assert vae().fit(X[:2]).transform(X[:1]).shape == (1, 2)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        vae().fit(X[:1])


def test_all_rows_are_trained_on_where_none_can_be_spared() -> None:
    assert vae().fit(X[:9]).trained_.record.data.splits == {"train": 9, "validation": 0, "test": 0}
    assert vae().fit(X).trained_.record.data.splits == {"train": 135, "validation": 15, "test": 0}


def test_patience_without_validation_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="patience"):
        vae(patience=2).fit(X[:5])


def test_patience_stops_early() -> None:
    fitted = vae(patience=2, epochs=400, lr=0.05).fit(X)
    assert fitted.n_iter_ < 400


def test_kinds_are_declared_or_told_from_the_rows() -> None:
    counts = np.random.default_rng(0).poisson(3.0, (60, 4))
    assert vae().fit(counts).trained_.variable.kind == "real"
    assert vae(kind="auto").fit(counts).trained_.variable.likelihood == "negative-binomial"
    binary = vae(kind="binary").fit((counts > 2).astype(int))
    assert set(np.unique(binary.sample(50))) <= {0, 1}
    with pytest.raises(ValueError, match="kind 'binary' takes 0 or 1"):
        binary.transform(counts)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent": 0}, "argument latent must be a whole number of at least 1"),
        ({"epochs": 0}, "setting epochs"),
        ({"kind": "pictures"}, "there is no kind 'pictures'"),
        ({"likelihood": "poisson"}, "poisson is no likelihood"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a number"),
    ],
)
def test_what_cannot_be_is_refused_at_fit(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(lowerbound.InputError, match=words):
        vae(**settings).fit(X)


def test_numpys_numbers_serve_as_settings() -> None:
    assert vae(latent=np.int64(3), hidden=np.array([4]), lr=np.float32(0.01)).fit(X).transform(X).shape == (150, 3)


def test_unfitted_estimators_say_so() -> None:
    for call in (vae().transform, vae().score_samples, vae().score, vae().inverse_transform, Autoencoder().score):
        with pytest.raises(NotFittedError):
            call(X)
    for ask in (vae().sample, vae().get_feature_names_out):
        with pytest.raises(NotFittedError):
            ask()


def test_codes_decode_to_the_datas_own_scale() -> None:
    fitted = vae(epochs=30, lr=1e-2, beta=0.1).fit(X * 100 + 1000)
    rebuilt = fitted.inverse_transform(fitted.transform(X * 100 + 1000))
    assert np.corrcoef(rebuilt.ravel(), (X * 100 + 1000).ravel())[0, 1] > 0.95


def test_partial_fit_goes_on_where_the_last_call_ended() -> None:
    """Steps and moments add up, also through a pickle; the scale is the first rows'."""
    stream = vae(batch_size=50)
    for part in np.array_split(X, 3):
        stream.partial_fit(part)
    assert stream.n_iter_ == 1
    assert stream.trained_.steps == 3
    assert stream.trained_.variable == vae().partial_fit(X[:50]).trained_.variable
    assert stream.trained_.start.moments["0.step"].item() == 3
    again = pickle.loads(pickle.dumps(stream))
    assert np.array_equal(again.partial_fit(X).transform(X), stream.partial_fit(X).transform(X))


def test_partial_fit_learns_as_much_as_passes_do() -> None:
    settings = {"latent": 2, "hidden": [16], "likelihood": "mse", "lr": 1e-2, "batch_size": 25, "components": 2}
    stream = Autoencoder(**settings, random_state=0).partial_fit(X)
    at_first = stream.score(X)
    for part in np.split(np.tile(np.random.default_rng(0).permutation(len(X)), 12), 36):
        stream.partial_fit(X[part])
    whole = Autoencoder(**settings, random_state=0, epochs=13, validation_fraction=0.0).fit(X)
    assert stream.score(X) > max(at_first / 3, whole.score(X) - 0.05)


def test_a_warm_start_begins_at_the_former_weights() -> None:
    cold, warm = vae(epochs=5, lr=5e-3), vae(epochs=5, lr=5e-3, warm_start=True)
    one = cold.fit(X).score(X)
    assert cold.fit(X).score(X) == one
    warm.fit(X)
    assert warm.fit(X).score(X) > one
    with pytest.raises(lowerbound.InputError, match="warm_start"):
        warm.set_params(latent=3).fit(X)


def test_saved_and_loaded_again_without_a_pickle(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))
    fitted = vae(beta=0.5).fit(table)
    fitted.save(tmp_path / "run")
    again = VAE.load(tmp_path / "run")
    assert np.array_equal(again.transform(table), fitted.transform(table))
    assert np.array_equal(again.set_params(draws=20).score_samples(table), fitted.score_samples(table))
    assert (again.beta, again.latent, again.n_iter_) == (0.5, 2, 3)
    assert list(again.feature_names_in_) == list("abcd")
    assert np.allclose(lowerbound.load(tmp_path / "run").encode(X), fitted.transform(table), rtol=1e-5, atol=1e-6)
    with pytest.raises(lowerbound.InputError, match="holds a vae and not a ae"):
        Autoencoder.load(tmp_path / "run")
    with pytest.raises(lowerbound.InputError, match="is there already"):
        fitted.save(tmp_path / "run")


def test_a_run_trained_by_other_means_becomes_an_estimator(tmp_path: Path) -> None:
    model = lowerbound.train("ae", X, tmp_path / "run", epochs=1, latent=2, hidden=[4], device="cpu")
    assert np.allclose(Autoencoder.load(tmp_path / "run").transform(X), model.encode(X), rtol=1e-5, atol=1e-6)


def test_interrupting_a_fit_interrupts_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A KeyboardInterrupt, which no search over settings takes for a failure of one of them."""
    long = GridSearchCV(vae(epochs=10**6, warm_start=False), {"latent": [1, 2]}, cv=2, error_score=0.0)
    threading.Timer(1.0, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        long.fit(X)


class TestInScikitLearn:
    def test_pipeline(self) -> None:
        model = make_pipeline(StandardScaler(), vae(epochs=30, lr=1e-2, beta=0.1), LogisticRegression()).fit(X, Y)
        assert model.score(X, Y) > 0.7

    def test_grid_search_over_codes(self) -> None:
        found = GridSearchCV(vae(draws=10, epochs=2), {"latent": [1, 2], "kind": ["real"]}, cv=2).fit(X)
        assert found.best_params_["latent"] in (1, 2)
        assert np.isfinite(found.cv_results_["mean_test_score"]).all()
        assert found.best_estimator_.transform(X).shape[1] == found.best_params_["latent"]

    def test_cross_validation(self) -> None:
        assert np.isfinite(cross_val_score(vae(draws=10), X, cv=3)).all()
        assert (cross_val_score(Autoencoder(latent=2, hidden=[8], epochs=2), X, cv=3) < 0).all()

    def test_unions_and_columns(self) -> None:
        both = FeatureUnion([("vae", vae()), ("scaled", StandardScaler())]).fit(X)
        assert both.transform(X).shape == (150, 6)
        parts = ColumnTransformer([("petals", vae(), [2, 3]), ("rest", "passthrough", [0, 1])]).fit(X)
        assert list(parts.get_feature_names_out()) == ["petals__vae0", "petals__vae1", "rest__x0", "rest__x1"]

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_tables_in_and_out(self, library: str) -> None:
        frames = pytest.importorskip(library)
        table = frames.DataFrame({name: X[:, i] for i, name in enumerate("abcd")})
        fitted = vae().set_output(transform=library).fit(table)
        codes = fitted.transform(table)
        assert isinstance(codes, frames.DataFrame)
        assert list(codes.columns) == ["vae0", "vae1"]
        assert list(fitted.feature_names_in_) == list("abcd")
        assert np.array_equal(codes.to_numpy(), vae().fit_transform(X))
        assert fitted.trained_.variable.columns == ("a", "b", "c", "d")

    def test_two_clones_of_one_are_alike(self) -> None:
        one = vae(hidden=[4, 4])
        other = clone(one)
        assert other.get_params() == one.get_params()
        assert np.array_equal(other.fit_transform(X), clone(one).fit_transform(X))


def test_data_of_few_rows_are_described_alike() -> None:
    """What a stream brings later is stored as the first rows were."""
    variable = Variable("X", "count", (2,), 0, 5, likelihood="negative-binomial")
    found = dataset(np.array([[1.0, 2.0]]), variable, np.arange(1), np.arange(0))
    assert found.arrays["X"].dtype == np.int32
    with pytest.raises(lowerbound.InputError, match="a whole number"):
        dataset(np.array([[0.5, 2.0]]), variable, np.arange(1), np.arange(0))


def test_densities_and_others_say_what_they_are() -> None:
    for each in NETWORKS:
        is_density = isinstance(each, DensityEstimator | ConditionalDensityEstimator)
        assert (each.__sklearn_tags__().estimator_type == "density_estimator") == is_density
