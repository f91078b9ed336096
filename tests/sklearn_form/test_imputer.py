"""The imputer against exact conditionals, and in the place of scikit-learn's own."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from agree import LIMIT
from lowerbound.sklearn import VAE, GaussianMixture, Imputer
from lowerbound.sklearn.rows import Array

NAN = np.nan
SMALL_VAE = {"latent": 2, "hidden": [16], "epochs": 30, "lr": 0.01, "bound": "iwae", "particles": 5, "device": "cpu"}


def correlated(rows: int = 400, share: float = 0.25, seed: int = 0) -> tuple[Array, Array]:
    """Rows of three Gaussian columns in very different units, and the same with gaps."""
    random = np.random.default_rng(seed)
    factor = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.4, 0.5]])
    x = random.normal(size=(rows, 3)) @ factor.T * [1.0, 1e-3, 1e4] + [5.0, 0.0, -1e5]
    return x, np.where(random.random(x.shape) < share, NAN, x)


def exact(row: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
    """Mean and covariance of what a row lacks, given the rest."""
    gone = np.isnan(row)
    gain = covariance[np.ix_(gone, ~gone)] @ np.linalg.inv(covariance[np.ix_(~gone, ~gone)])
    left = covariance[np.ix_(gone, gone)] - gain @ covariance[np.ix_(~gone, gone)]
    return mean[gone] + gain @ (row - mean)[~gone], left


def moments(imputer: Imputer) -> tuple[Array, Array]:
    """Mean and covariance of an imputer's one Gaussian, in the columns' units."""
    scaling, mixture = imputer.completion_.scaling, imputer.estimator_
    return scaling.inverse(mixture.means_[0]), mixture.covariances_[0] * np.outer(scaling.scale, scaling.scale)


def test_one_gaussian_gives_the_exact_conditional_mean() -> None:
    _, gappy = correlated()
    imputer = Imputer(GaussianMixture(), random_state=0).fit(gappy)
    mean, covariance = moments(imputer)
    found = imputer.transform(gappy)
    for row, whole in zip(gappy, found):
        if np.isnan(row).any():
            assert whole[np.isnan(row)] == pytest.approx(exact(row, mean, covariance)[0], rel=1e-9)
    assert np.array_equal(found[~np.isnan(gappy)], gappy[~np.isnan(gappy)])
    assert Imputer(GaussianMixture(), centre="median").fit_transform(gappy) == pytest.approx(found, rel=1e-9)


def test_draws_are_of_the_exact_conditional() -> None:
    _, gappy = correlated()
    imputer = Imputer(GaussianMixture(), random_state=0).fit(gappy)
    row = np.array([5.5, NAN, NAN])
    mean, covariance = exact(row, *moments(imputer))
    drawn = imputer.draw(np.tile(row, (2000, 1)), 2).reshape(-1, 3)
    assert (drawn[:, 0] == 5.5).all()
    z = (drawn[:, 1:].mean(0) - mean) / np.sqrt(np.diag(covariance) / len(drawn))
    assert np.abs(z).max() < LIMIT
    scale = np.sqrt(np.diag(covariance))
    assert np.cov(drawn[:, 1:].T) / np.outer(scale, scale) == pytest.approx(
        covariance / np.outer(scale, scale), abs=0.1
    )


def two_groups() -> Array:
    """Of x = −2 and x = 2 with y = ±5 by x's sign: no straight line tells y of x's gaps."""
    random = np.random.default_rng(0)
    group = random.choice([-1.0, 1.0], 600)
    return np.column_stack([2 * group, 5 * np.abs(group), group * 3]) + 0.1 * random.normal(size=(600, 3))


def test_the_rows_decide_how_many_components_there_are() -> None:
    x = two_groups()
    x[:200][np.random.default_rng(1).random((200, 3)) < 0.2] = NAN
    imputer = Imputer(random_state=0).fit(x)
    assert imputer.estimator_.n_components == 2
    assert imputer.transform([[2.0, NAN, NAN], [NAN, NAN, -3.0]]) == pytest.approx(
        np.array([[2.0, 5.0, 3.0], [-2.0, 5.0, -3.0]]), abs=0.15
    )


@pytest.mark.parametrize("estimator", [None, VAE(**SMALL_VAE)], ids=["mixture", "vae"])
def test_it_is_better_than_the_column_mean(estimator: Any) -> None:
    x, gappy = correlated()
    gone, scale = np.isnan(gappy), x.std(0)
    errors = [
        np.square(((imputer.fit_transform(gappy) - x) / scale)[gone]).mean()
        for imputer in (Imputer(estimator, particles=100, random_state=0), SimpleImputer())
    ]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("estimator", [GaussianMixture(2), VAE(**{**SMALL_VAE, "epochs": 2})], ids=["mixture", "vae"])
def test_the_same_seed_gives_the_same_draws_and_another_others(estimator: Any) -> None:
    _, gappy = correlated(60)
    found = [Imputer(estimator, particles=20, random_state=seed).fit(gappy).draw(gappy, 3) for seed in (0, 0, 1)]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert found[0].shape == (3, 60, 3)
    assert not np.array_equal(found[0][0], found[0][1])
    posterior = Imputer(estimator, particles=20, random_state=0, sample_posterior=True).fit(gappy)
    assert np.isfinite(posterior.transform(gappy)).all()
    again = pickle.loads(pickle.dumps(posterior))
    assert np.array_equal(again.transform(gappy), posterior.transform(gappy))


def framed(x: Array) -> pd.DataFrame:
    return pd.DataFrame(x, columns=["a", "empty", "b"])


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("indicator", [False, True])
@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_columns_come_out_as_scikit_learns_imputer_has_them(keep: bool, indicator: bool) -> None:
    x = framed(np.column_stack([correlated(50)[1][:, 0], np.full(50, NAN), np.arange(50.0)]))
    options = {"keep_empty_features": keep, "add_indicator": indicator}
    ours, theirs = Imputer(GaussianMixture(), **options).fit(x), SimpleImputer(**options).fit(x)
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
    found, expected = ours.transform(x), theirs.transform(x)
    assert found.shape == expected.shape
    fixed = [i for i, name in enumerate(theirs.get_feature_names_out()) if name != "a"]
    assert np.array_equal(found[:, fixed], expected[:, fixed])
    assert (ours.indicator_ is None) == (not indicator)


def test_another_mark_than_nan_may_stand_for_gaps() -> None:
    _, gappy = correlated(60)
    marked = np.where(np.isnan(gappy), -1.0, gappy)
    found = Imputer(GaussianMixture(), missing_values=-1, random_state=0).fit_transform(marked)
    assert np.array_equal(found, Imputer(GaussianMixture(), random_state=0).fit_transform(gappy))


def test_it_serves_in_a_pipeline_under_a_search_and_gives_frames() -> None:
    wine = load_wine(as_frame=True)
    x = wine.data.mask(np.random.default_rng(0).random(wine.data.shape) < 0.2)
    pipeline = make_pipeline(Imputer(GaussianMixture(reg_covar=0.01)), Ridge())
    search = GridSearchCV(
        pipeline, {"imputer__estimator__n_components": [1, 2]}, cv=KFold(2, shuffle=True, random_state=0)
    )
    assert search.fit(x, wine.target).best_score_ > 0.5
    whole = Imputer(GaussianMixture(reg_covar=0.01)).set_output(transform="pandas").fit_transform(x)
    assert list(whole.columns) == list(x.columns)
    assert not whole.isna().any().any()


def test_single_precision_stays() -> None:
    _, gappy = correlated(60)
    single = gappy.astype(np.float32)
    found = Imputer(GaussianMixture(), random_state=0).fit_transform(single)
    assert found.dtype == np.float32
    assert np.array_equal(found[~np.isnan(single)], single[~np.isnan(single)])


def test_an_estimator_that_cannot_fill_gaps_is_refused() -> None:
    with pytest.raises(ValueError, match="estimator"):
        Imputer(Ridge()).fit(correlated(60)[1])


def test_the_networks_refuse_gaps_unasked() -> None:
    with pytest.raises(ValueError, match="contains NaN"):
        VAE(**SMALL_VAE).fit(correlated(60)[1])
    fitted = VAE(**{**SMALL_VAE, "epochs": 1, "missing": True, "draws": 10}).fit(correlated(60)[1])
    assert np.isfinite(fitted.score_samples([[NAN, 0.0, NAN]])).all()
