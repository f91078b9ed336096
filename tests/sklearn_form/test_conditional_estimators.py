"""Estimators whose models are told y."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, KFold

import lowerbound
from lowerbound.sklearn import CVAE
from lowerbound.sklearn.base import row_seed

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]


def cvae(**settings: Any) -> CVAE:
    given = {"latent": 2, "hidden": [16], "epochs": 30, "lr": 0.01, "draws": 20, "random_state": 0, "device": "cpu"}
    return CVAE(**{**given, **settings})


@pytest.fixture(scope="module")
def fitted() -> CVAE:
    return cvae().fit(X, NAMES)


def test_a_class_explains_its_own_rows_best(fitted: CVAE) -> None:
    assert fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    told = np.stack([fitted.score_samples(X[::5], [name] * 30) for name in fitted.classes_], 1)
    assert (fitted.classes_[told.argmax(1)] == NAMES[::5]).mean() > 0.85
    assert fitted.score(X, NAMES) > fitted.score(X)


def test_figures_are_those_of_the_model(fitted: CVAE) -> None:
    found = fitted.score_samples(X[60:62], NAMES[60:62])
    model = fitted.model_.given("versicolor")
    assert found.tolist() == [model.log_prob(row[None], 20, row_seed(row))[0] for row in X[60:62]]


def test_samples_are_of_the_class_asked_for(fitted: CVAE) -> None:
    means = {name: X[name == NAMES].mean(0) for name in fitted.classes_}
    for name in fitted.classes_:
        distances = {other: np.abs(fitted.sample(200, y=name).mean(0) - means[other]).sum() for other in means}
        assert min(distances, key=distances.__getitem__) == name
    each = fitted.sample(3, y=["setosa", "virginica", "setosa"], random_state=1)
    np.testing.assert_allclose(each[0], fitted.sample(3, y="setosa", random_state=1)[0], rtol=1e-5)


def test_vectors_are_told_too() -> None:
    model = cvae(epochs=5).fit(X[:, :2], X[:, 2])  # of one number, and of two
    assert model.score_samples(X[:3, :2], X[:3, 2]).shape == (3,)
    assert model.sample(4, y=1.5).shape == (4, 2)
    model = cvae(epochs=5).fit(X[:, :2], X[:, 2:])
    assert model.sample(2, y=X[:2, 2:]).shape == (2, 2)
    with pytest.raises(lowerbound.InputError, match="told no labels"):
        _ = model.classes_


def test_nothing_is_told_where_no_y_is_given(fitted: CVAE) -> None:
    assert np.array_equal(fitted.transform(X[:64]), fitted.model_.given(None).encode(X[:64]))
    strict = cvae(drop=0.0, epochs=1).fit(X, Y)
    assert strict.n_components_ == 2
    assert strict.sample(2, y=1).shape == (2, 4)
    with pytest.raises(lowerbound.InputError, match="say which, or train with drop"):
        strict.transform(X)


def test_a_class_that_was_never_seen_is_refused(fitted: CVAE) -> None:
    with pytest.raises(lowerbound.InputError, match="no datum is labelled 'sylvestris'"):
        fitted.sample(1, y="sylvestris")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.score_samples(X, NAMES[:3])


def test_a_stream_and_a_warm_start_keep_the_classes_of_the_first_rows() -> None:
    model = cvae(epochs=1).fit(X, NAMES).set_params(warm_start=True)
    assert model.fit(X[:100], NAMES[:100]).classes_.tolist() == ["setosa", "versicolor", "virginica"]
    stream = cvae().partial_fit(X[::2], NAMES[::2])
    assert stream.partial_fit(X[:50], NAMES[:50]).classes_.tolist() == ["setosa", "versicolor", "virginica"]
    with pytest.raises(lowerbound.InputError, match="no datum is labelled"):
        stream.partial_fit(X[:50], ["sylvestris"] * 50)


def test_a_folder_gives_the_same_estimator_back(fitted: CVAE, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    again = CVAE.load(tmp_path / "run").set_params(draws=20)
    assert np.array_equal(again.score_samples(X[:5], NAMES[:5]), fitted.score_samples(X[:5], NAMES[:5]))
    assert np.array_equal(
        lowerbound.load(tmp_path / "run").given("setosa").encode(X[:5]), fitted.model_.given("setosa").encode(X[:5])
    )


def test_a_search_scores_by_log_p_given_y() -> None:
    search = GridSearchCV(cvae(epochs=2, draws=5), {"latent": [1, 2]}, cv=KFold(2, shuffle=True, random_state=0)).fit(
        X[::3], NAMES[::3]
    )
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert isinstance(clone(search.best_estimator_), CVAE)
