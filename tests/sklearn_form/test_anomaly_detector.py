"""The detector: its scores are the estimator's, its labels the share of rows that it is told."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lowerbound.sklearn import VAE, AnomalyDetector, GaussianMixture
from lowerbound.sklearn.rows import Array


def contaminated(strange: int = 20) -> Array:
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(size=(400 - strange, 2)), 8 + 0.5 * random.normal(size=(strange, 2))])


def test_scores_are_the_estimator_s() -> None:
    x = contaminated()
    detector = AnomalyDetector(KernelDensity(bandwidth=0.5), contamination=0.05).fit(x)
    expected = KernelDensity(bandwidth=0.5).fit(x).score_samples(x)
    assert np.array_equal(detector.score_samples(x), expected)
    assert np.allclose(detector.decision_function(x), expected - np.percentile(expected, 5))


def test_as_many_training_rows_are_called_anomalies_as_was_said() -> None:
    x = contaminated()
    for share in (0.01, 0.05, 0.25):
        labels = AnomalyDetector(GaussianMixture(), contamination=share, random_state=0).fit_predict(x)
        assert (labels == -1).mean() == pytest.approx(share, abs=0.003)


@pytest.mark.parametrize(
    "estimator",
    [None, VAE(latent=1, hidden=[16], epochs=40, lr=0.01, draws=20, random_state=0, device="cpu"), GaussianMixture()],
    ids=["chosen", "vae", "gaussian"],
)
def test_what_is_far_from_all_else_is_found(estimator: object) -> None:
    x = contaminated(0)
    strange = np.array([[6.0, -6.0], [-7.0, 7.0], [0.0, 9.0]])
    detector = AnomalyDetector(estimator, contamination=0.02, random_state=0).fit(x)
    assert detector.predict(strange).tolist() == [-1, -1, -1]
    assert detector.predict(np.zeros((2, 2))).tolist() == [1, 1]


def test_the_mixture_of_fitting_size_says_log_p_of_the_rows_as_given() -> None:
    x = load_iris().data
    detector = AnomalyDetector(random_state=0).fit(x)
    scaled = AnomalyDetector(random_state=0).fit(1000 * x)
    shift = x.shape[1] * np.log(1000)
    assert np.allclose(detector.score_samples(x), scaled.score_samples(1000 * x) + shift)
    assert detector.offset_ == pytest.approx(scaled.offset_ + shift)


def test_gaps_are_taken_where_the_estimator_takes_them() -> None:
    x = contaminated()
    x[::7, 0] = np.nan
    assert np.isfinite(AnomalyDetector(GaussianMixture()).fit(x).score_samples(x)).all()
    assert np.isfinite(AnomalyDetector().fit(x).score_samples([[np.nan, 8.0]])).all()
    with pytest.raises(ValueError, match="contains NaN"):
        AnomalyDetector(KernelDensity()).fit(x)


def test_a_pipeline_may_be_the_estimator_and_the_share_is_checked() -> None:
    x = contaminated()
    piped = AnomalyDetector(make_pipeline(StandardScaler(), KernelDensity())).fit(x)
    assert piped.score_samples(x).shape == (400,)
    for share in (0.0, 0.6, -0.1):
        with pytest.raises(ValueError, match="contamination"):
            AnomalyDetector(KernelDensity(), contamination=share).fit(x)
    with pytest.raises(ValueError, match="estimator"):
        AnomalyDetector(StandardScaler()).fit(x)


def test_a_cluster_of_anomalies_does_not_vouch_for_itself() -> None:
    x = contaminated()
    scores = AnomalyDetector(contamination=0.1, random_state=0).fit(x).score_samples(x)
    assert scores[-20:].max() < scores[:-20].min()
