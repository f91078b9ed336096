"""The Gaussian mixture beside scikit-learn's: equal from the same start, and what it has besides."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lowerbound.errors import InputError
from lowerbound.sklearn import GaussianMixture
from lowerbound.sklearn.covariances import FORMS
from lowerbound.sklearn.values import Packed, packed, unpacked

IRIS = load_iris(return_X_y=True)[0]
WINE = StandardScaler().fit_transform(load_wine(return_X_y=True)[0])[:, :6]
TYPES = sorted(FORMS.keys() & {"full", "tied", "diag", "spherical"})


def start(kind: str, x: np.ndarray, components: int, seed: int) -> dict[str, Any]:
    """A start that neither of the two would choose by itself."""
    rng = np.random.default_rng(seed)
    matrix = np.linalg.inv(np.cov(x.T) + 0.1 * np.eye(x.shape[1]))
    precisions = {
        "full": np.stack([matrix * (1 + 0.2 * k) for k in range(components)]),
        "tied": matrix,
        "diag": rng.uniform(0.5, 2.0, (components, x.shape[1])),
        "spherical": rng.uniform(0.5, 2.0, components),
    }
    return {
        "weights_init": rng.dirichlet(np.full(components, 5.0)),
        "means_init": x[rng.choice(len(x), components, replace=False)],
        "precisions_init": precisions[kind],
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("x", [IRIS, WINE, 1e4 + 100 * WINE], ids=["iris", "wine", "far from 0"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_from_the_same_start_all_is_scikit_learns(kind: str, x: np.ndarray, seed: int) -> None:
    scale = {"n_components": 3, "covariance_type": kind, "tol": 1e-5, "max_iter": 60}
    begin = start(kind, x, 3, seed)
    theirs, ours = Theirs(**scale, **begin).fit(x), GaussianMixture(**scale, **begin).fit(x)
    assert (ours.n_iter_, ours.converged_, ours.n_reseeded_) == (theirs.n_iter_, theirs.converged_, 0)
    assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, abs=1e-6)
    assert np.allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=0, atol=1e-6)
    assert np.array_equal(ours.predict(x), theirs.predict(x))
    assert np.allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=0, atol=1e-6)
    assert np.allclose(ours.score_samples(x), theirs.score_samples(x), rtol=0, atol=1e-6)
    for name in ("score", "aic", "bic"):
        assert getattr(ours, name)(x) == pytest.approx(getattr(theirs, name)(x), abs=1e-6 * len(x))
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert np.allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(b).max()), name


@pytest.mark.parametrize("kind", TYPES)
def test_samples_are_scikit_learns_in_law(kind: str) -> None:
    """Means and second moments of 20 000 draws of each component, at 4.5 standard errors: fails once in 10 000."""
    begin = start(kind, WINE, 3, 0)
    ours = GaussianMixture(3, covariance_type=kind, random_state=0, **begin).fit(WINE)
    rows, which = ours.sample(60_000)
    assert (np.diff(which) >= 0).all()
    shares = np.bincount(which, minlength=3) / 60_000
    assert (np.abs(shares - ours.weights_) < 4.5 * np.sqrt(ours.weights_ * (1 - ours.weights_) / 60_000)).all()
    for k in range(3):
        covariance = np.broadcast_to(_matrix(kind, ours.covariances_, k), (6, 6))
        drawn = rows[which == k] - ours.means_[k]
        sd = np.sqrt(np.diag(covariance))
        assert (np.abs(drawn.mean(0)) < 4.5 * sd / np.sqrt(len(drawn))).all()
        products = drawn[:, :, None] * drawn[:, None, :]
        spread = np.sqrt((np.outer(sd, sd) ** 2 + covariance**2) / len(drawn))
        assert (np.abs(products.mean(0) - covariance) < 4.5 * spread).all()
    assert np.array_equal(ours.sample(7)[0], ours.sample(7)[0])


def _matrix(kind: str, covariances: np.ndarray, k: int) -> np.ndarray:
    if kind in ("full", "tied"):
        return covariances[k] if kind == "full" else covariances
    return np.diag(np.broadcast_to(covariances[k], 6))


def test_starts_of_its_own_are_as_good_as_scikit_learns() -> None:
    settings = {"n_components": 3, "n_init": 5, "random_state": 0, "tol": 1e-6, "max_iter": 500}
    for kind in TYPES:
        ours, theirs = (each(covariance_type=kind, **settings).fit(IRIS) for each in (GaussianMixture, Theirs))
        assert ours.score(IRIS) > theirs.score(IRIS) - 1e-3


@pytest.mark.parametrize("kind", TYPES)
def test_rows_of_weight_w_are_w_rows(kind: str) -> None:
    weights = np.arange(len(IRIS)) % 4
    begin = start(kind, IRIS, 2, 1)
    weighted = GaussianMixture(2, covariance_type=kind, **begin).fit(IRIS, sample_weight=weights)
    repeated = GaussianMixture(2, covariance_type=kind, **begin).fit(IRIS.repeat(weights, axis=0))
    assert np.allclose(weighted.means_, repeated.means_, rtol=1e-9)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-9)


@pytest.mark.parametrize("kind", TYPES)
def test_a_random_start_is_the_same_for_rows_in_any_order_and_for_weights(kind: str) -> None:
    weights = np.arange(len(IRIS)) % 3
    order = np.random.default_rng(0).permutation(len(IRIS))
    weighted = GaussianMixture(3, covariance_type=kind, random_state=0).fit(IRIS[order], sample_weight=weights[order])
    repeated = GaussianMixture(3, covariance_type=kind, random_state=0).fit(IRIS.repeat(weights, axis=0))
    assert np.allclose(weighted.means_, repeated.means_, rtol=1e-9)
    assert weighted.n_iter_ == repeated.n_iter_


def test_one_factor_analyser_is_scikit_learns() -> None:
    ours = GaussianMixture(1, covariance_type="factor", n_factors=2, tol=1e-10, max_iter=5000, reg_covar=0.0).fit(WINE)
    theirs = FactorAnalysis(2, tol=1e-10, max_iter=5000, svd_method="lapack").fit(WINE)
    assert ours.score(WINE) == pytest.approx(theirs.score(WINE), abs=1e-6)
    assert np.allclose(ours.covariances_[0], theirs.get_covariance(), atol=1e-3)


def test_one_probabilistic_pca_has_the_closed_form() -> None:
    ours = GaussianMixture(1, covariance_type="ppca", n_factors=2, tol=1e-12, max_iter=5000, reg_covar=0.0).fit(WINE)
    values, vectors = np.linalg.eigh(np.cov(WINE.T, bias=True))
    left = values[:-2].mean()
    exact = (vectors[:, -2:] * (values[-2:] - left)) @ vectors[:, -2:].T + left * np.eye(6)
    assert np.allclose(ours.covariances_[0], exact, atol=1e-5)


@pytest.mark.parametrize("kind", ["factor", "ppca"])
def test_few_factors_make_the_covariances_that_score(kind: str) -> None:
    mixture = GaussianMixture(3, covariance_type=kind, n_factors=2, random_state=0, max_iter=500).fit(WINE)
    parts = [
        multivariate_normal(mean, covariance).pdf(WINE)
        for mean, covariance in zip(mixture.means_, mixture.covariances_)
    ]
    assert np.allclose(mixture.score_samples(WINE), np.log(mixture.weights_ @ np.stack(parts)), atol=1e-9)
    assert np.allclose(mixture.precisions_ @ mixture.covariances_, np.eye(6), atol=1e-9)
    again = pickle.loads(pickle.dumps(mixture))
    assert np.array_equal(again.score_samples(WINE), mixture.score_samples(WINE))
    with pytest.raises(InputError, match="n_features = 6; n_factors = 6 must be fewer"):
        GaussianMixture(2, covariance_type=kind, n_factors=6).fit(WINE)


def test_missing_entries_are_summed_over() -> None:
    x = IRIS.copy()
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    mixture = GaussianMixture(3, covariance_type="diag", random_state=0).fit(x)
    component = np.stack([_normal(x, mixture.means_[k], mixture.covariances_[k]) for k in range(3)], 1)
    joint = component + np.log(mixture.weights_)
    assert np.allclose(mixture.score_samples(x), np.logaddexp.reduce(joint, axis=1), atol=1e-9)
    with pytest.raises(InputError, match="column 1 has no value"):
        GaussianMixture().fit(np.column_stack([IRIS[:, 0], np.full(150, np.nan)]))
    with pytest.raises(ValueError, match="infinity"):
        GaussianMixture().fit(np.where(np.isnan(x), np.inf, x))


def _normal(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.nansum(-0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance)), axis=1)


def test_a_stream_ends_near_where_all_rows_at_once_lead() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    x = centres[rng.integers(3, size=20_000)] + rng.normal(size=(20_000, 2))
    whole = GaussianMixture(3, random_state=0, tol=1e-6).fit(x)
    stream = GaussianMixture(3, random_state=0)
    for part in np.split(x, 40):
        stream.partial_fit(part)
    assert stream.n_samples_seen_ == 20_000
    assert stream.score(x) > whole.score(x) - 0.01
    again = pickle.loads(pickle.dumps(stream))
    assert np.array_equal(again.partial_fit(x[:100]).means_, stream.partial_fit(x[:100]).means_)


def test_a_few_new_rows_do_not_outweigh_what_was_fitted() -> None:
    mixture = GaussianMixture(2, random_state=0).fit(IRIS)
    before = mixture.means_
    after = mixture.partial_fit(IRIS[:1] + 100).means_
    moved = np.abs(after - before).max()
    assert 0 < moved < 100 * (2 / 151) ** 0.7


def test_a_warm_start_goes_on_from_the_last_mixture() -> None:
    mixture = GaussianMixture(3, covariance_type="diag", tol=0, max_iter=5, warm_start=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="has not converged after 5 steps"):
        first = mixture.fit(IRIS).lower_bound_
    with pytest.warns(ConvergenceWarning):
        ten = mixture.fit(IRIS).lower_bounds_[-1]
    cold = GaussianMixture(3, covariance_type="diag", tol=0, max_iter=10, random_state=0)
    with pytest.warns(ConvergenceWarning):
        assert ten == pytest.approx(cold.fit(IRIS).lower_bound_, abs=1e-12)
    assert ten > first


def test_pickles_and_copies_are_equal_bit_for_bit_and_hold_no_tensor() -> None:
    mixture = GaussianMixture(3, random_state=0).fit(IRIS)
    assert b"torch" not in pickle.dumps(mixture)
    for again in (pickle.loads(pickle.dumps(mixture)), copy.deepcopy(mixture)):
        assert np.array_equal(again.score_samples(IRIS), mixture.score_samples(IRIS))
        assert np.array_equal(again.sample(5)[0], mixture.sample(5)[0])


def test_saved_and_loaded_again_without_a_pickle(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(IRIS, columns=list("abcd"))
    start_at = {"means_init": IRIS[[0, 60, 120]], "random_state": np.random.RandomState(0)}
    mixture = GaussianMixture(3, covariance_type="diag", **start_at).fit(table)
    mixture.save(tmp_path / "mixture")
    again = GaussianMixture.load(tmp_path / "mixture")
    assert np.array_equal(again.score_samples(table), mixture.score_samples(table))
    assert list(again.feature_names_in_) == list("abcd")
    for name in ("n_iter_", "converged_", "lower_bound_", "n_reseeded_", "n_samples_seen_", "covariance_type"):
        assert getattr(again, name) == getattr(mixture, name)
    assert np.array_equal(again.partial_fit(table).means_, mixture.partial_fit(table).means_)
    assert again.fit(table).means_.shape == (3, 4)
    with pytest.raises(InputError, match="is there already"):
        mixture.save(tmp_path / "mixture")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"lowerbound-estimator"', '"another"', "no mixture of lowerbound's"),
        ('"GaussianMixture"', '"Mixture"', "holds a Mixture and not a GaussianMixture"),
        ('"converged_": true', '"converged_": 3', "converged_ must be true or false"),
        ('"n_iter_"', '"iterations_"', "says exactly this"),
        ('"max_iter"', '"most"', "of this version"),
        ('"kind": "mixture"', '"kind": "popen"', "what was kept is no stepwise"),
        ("{", "", "holds no whole mixture"),
    ],
)
def test_a_folder_that_was_tampered_with_is_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    GaussianMixture(2, random_state=0).fit(IRIS).save(tmp_path / "mixture")
    record = tmp_path / "mixture" / "estimator.json"
    assert old in record.read_text()
    record.write_text(record.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        GaussianMixture.load(tmp_path / "mixture")


def test_what_was_not_packed_is_not_unpacked() -> None:
    kept = packed(GaussianMixture(2, random_state=0).fit(IRIS).kept_.value)
    assert torch.equal(
        unpacked(kept).mixture.weights.mean, GaussianMixture(2, random_state=0).fit(IRIS).mixture_.weights.mean
    )
    for form in (kept.form.replace("stepwise", "popen"), kept.form[:-1], "{}", '{"kind": "mixture", "fields": {}}'):
        with pytest.raises(InputError, match="what was kept is no"):
            unpacked(Packed(form, kept.tensors))
    with pytest.raises(InputError, match="no whole mixture"):
        unpacked(Packed(kept.form, kept.tensors[:-8]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_components": 0}, "n_components must be a whole number of at least 1"),
        ({"n_components": 151}, "fewer than n_components = 151"),
        ({"covariance_type": "round"}, "covariance_type must be one of"),
        ({"init_params": "random"}, "init_params must be one of kmeans"),
        ({"tol": -1.0}, "tol must be a number of at least 0"),
        ({"reg_covar": -1.0}, "reg_covar must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"weights_init": [0.5, 0.4]}, "add up to 1"),
        ({"means_init": np.zeros((2, 3))}, r"means_init must be of shape \(2, 4\), not \(2, 3\)"),
        ({"precisions_init": np.zeros((2, 4, 4))}, "positive definite"),
        ({"covariance_type": "factor", "precisions_init": np.ones((2, 4, 4))}, "says nothing of factors"),
        ({"covariance_type": "diag", "precisions_init": np.zeros((2, 4))}, "must be positive"),
        ({"means_init": np.full((2, 4), np.nan)}, "means_init must be finite"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        GaussianMixture(**{"n_components": 2, **settings}).fit(IRIS)


def test_an_unfitted_mixture_says_so() -> None:
    for call in ("predict", "predict_proba", "score_samples", "score", "aic", "bic"):
        with pytest.raises(NotFittedError):
            getattr(GaussianMixture(), call)(IRIS)
    with pytest.raises(NotFittedError):
        GaussianMixture().sample()
    assert not hasattr(GaussianMixture(), "means_")


def test_in_place_of_scikit_learns_in_a_search() -> None:
    grid = {"gaussianmixture__n_components": np.arange(1, 5), "gaussianmixture__covariance_type": TYPES}
    found = [
        GridSearchCV(make_pipeline(StandardScaler(), each(random_state=0, n_init=3)), grid, cv=3).fit(IRIS)
        for each in (GaussianMixture, Theirs)
    ]
    assert abs(found[0].best_score_ - found[1].best_score_) < 0.5


def test_single_precision_stays_single_and_close() -> None:
    begin = start("full", IRIS, 3, 0)
    narrow, wide = (GaussianMixture(3, max_iter=20, tol=1e-3, **begin).fit(x) for x in (IRIS.astype("f4"), IRIS))
    assert narrow.score_samples(IRIS.astype("f4")).dtype == np.float32
    assert narrow.score(IRIS) == pytest.approx(wide.score(IRIS), rel=1e-3)
