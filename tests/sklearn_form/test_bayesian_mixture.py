"""The Bayesian mixture beside scikit-learn's: the same fixed points, and what it has besides."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris
from sklearn.mixture import BayesianGaussianMixture as Theirs

from lowerbound.errors import InputError
from lowerbound.sklearn import BayesianGaussianMixture

IRIS = load_iris(return_X_y=True)[0]
CENTRES = np.array([[-8.0, 0.0], [0.0, 8.0], [8.0, 0.0]])
CLOUDS = np.repeat(CENTRES, [120, 80, 40], axis=0) + np.random.default_rng(0).normal(size=(240, 2))
CONVERGED = {"n_components": 3, "tol": 1e-12, "max_iter": 2000, "random_state": 0}
PRIOR = {
    "weight_concentration_prior": 0.3,
    "mean_precision_prior": 0.5,
    "mean_prior": np.array([1.0, -1.0]),
    "degrees_of_freedom_prior": 4.0,
}
SCALES = {"full": np.diag([2.0, 3.0]), "diag": np.array([2.0, 3.0]), "spherical": 2.5}


@pytest.mark.parametrize("given", [False, True], ids=["prior by default", "prior given"])
@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize("weights", ["dirichlet_process", "dirichlet_distribution"])
def test_the_fixed_point_is_scikit_learns(weights: str, kind: str, given: bool) -> None:
    """Of clouds far apart, in the order of their sizes: to a Dirichlet process each order is another fixed point."""
    settings = {**CONVERGED, "covariance_type": kind, "weight_concentration_prior_type": weights}
    settings |= {**PRIOR, "covariance_prior": SCALES[kind]} if given else {}
    settings["reg_covar"] = 0.0
    theirs, ours = largest_first(Theirs, **settings), largest_first(BayesianGaussianMixture, **settings)
    for name in ("weights_", "means_", "covariances_", "precisions_", "mean_precision_", "degrees_of_freedom_"):
        assert np.allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-9), name
    assert np.allclose(ours.predict_proba(CLOUDS), theirs.predict_proba(CLOUDS), atol=1e-6)


def largest_first(mixture: type[Any], **settings: Any) -> Any:
    """The first fit, over seeds, that finds all three clouds and has them in the order of their sizes."""
    fits = (mixture(**{**settings, "random_state": seed}).fit(CLOUDS) for seed in range(60))
    return next(each for each in fits if (np.diff(each.weights_) < -0.1).all() and each.weights_[2] > 0.1)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_log_p_is_that_of_a_density(kind: str) -> None:
    """log Σ_k E π_k N(x | m_k, E Λ_k^-1), and so it integrates to one, where scikit-learn's falls short."""
    mixture = BayesianGaussianMixture(n_components=3, covariance_type=kind, random_state=0).fit(CLOUDS)
    side = np.linspace(-30, 30, 601)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    assert np.exp(mixture.score_samples(grid)).sum() * 0.01 == pytest.approx(1.0, abs=1e-3)
    if kind == "full":
        parts = [multivariate_normal(mixture.means_[k], mixture.covariances_[k]).pdf(CLOUDS) for k in range(3)]
        assert np.allclose(mixture.score_samples(CLOUDS), np.log(mixture.weights_ @ np.stack(parts)), atol=1e-9)


def test_components_that_are_not_needed_fade_out() -> None:
    mixture = BayesianGaussianMixture(n_components=12, max_iter=2000, tol=1e-8, random_state=0, n_init=3).fit(CLOUDS)
    assert mixture.n_used_ == 3
    assert np.sort(mixture.weights_)[-4] < 0.02


def test_weights_gaps_and_streams() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, len(CLOUDS))
    one = {"n_components": 1, "tol": 1e-10, "max_iter": 100}
    weighted = BayesianGaussianMixture(**one, mean_prior=[0, 0], covariance_prior=np.eye(2)).fit(
        CLOUDS, sample_weight=weights
    )
    repeated = BayesianGaussianMixture(**one, mean_prior=[0, 0], covariance_prior=np.eye(2)).fit(
        CLOUDS.repeat(weights, axis=0)
    )
    assert np.allclose(weighted.covariances_, repeated.covariances_, rtol=1e-9)
    gaps = np.where(rng.random(CLOUDS.shape) < 0.2, np.nan, CLOUDS)
    assert np.isfinite(BayesianGaussianMixture(n_components=3, random_state=0).fit(gaps).score_samples(gaps)).all()
    settings = {"n_components": 3, "n_init": 10, "random_state": 0}
    stream, whole = BayesianGaussianMixture(**settings), BayesianGaussianMixture(**settings).fit(CLOUDS)
    for part in np.array_split(rng.permutation(CLOUDS), 6):
        stream.partial_fit(part)
    assert stream.score(CLOUDS) > whole.score(CLOUDS) - 0.2


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_pickled_and_saved_alike(kind: str, tmp_path: Path) -> None:
    mixture = BayesianGaussianMixture(n_components=3, covariance_type=kind, random_state=0).fit(IRIS)
    mixture.save(tmp_path / "mixture")
    for again in (pickle.loads(pickle.dumps(mixture)), BayesianGaussianMixture.load(tmp_path / "mixture")):
        assert np.array_equal(again.predict_proba(IRIS), mixture.predict_proba(IRIS))
        assert np.array_equal(again.score_samples(IRIS), mixture.score_samples(IRIS))
        assert again.mixture_.components.kind is mixture.mixture_.components.kind


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weight_concentration_prior_type": "flat"}, "weight_concentration_prior_type must be one of"),
        ({"weight_concentration_prior": 0.0}, "weight_concentration_prior must be"),
        ({"mean_prior": np.zeros(3)}, r"mean_prior must be of shape \(4,\)"),
        ({"degrees_of_freedom_prior": 2.0}, "degrees of freedom above 3"),
        ({"covariance_type": "diag", "covariance_prior": np.eye(4)}, r"covariance_prior must be of shape \(4,\)"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BayesianGaussianMixture(n_components=2, **settings).fit(IRIS)
    assert issubclass(InputError, ValueError)
