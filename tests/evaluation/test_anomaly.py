"""Areas under curves against their definitions, and the scores they are areas of."""

import numpy as np
import pytest

from lowerbound.errors import InputError
from lowerbound.evaluation.anomaly import detection, scores


def test_the_area_is_the_chance_that_an_anomaly_scores_higher() -> None:
    random = np.random.default_rng(0)
    strange = random.random(400) < 0.3
    score = np.where(strange, random.normal(1.0, 1.0, 400), random.normal(0.0, 1.0, 400)).round(1)
    pairs = score[strange][:, None] - score[~strange]
    found = detection(score, strange)
    assert found["auroc"] == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def test_the_standard_error_is_that_of_repetitions() -> None:
    random = np.random.default_rng(0)
    strange = np.arange(150) < 50
    found = [detection(random.normal(strange * 1.0, 1.0), strange) for _ in range(150)]
    areas = np.array([each["auroc"] for each in found])
    assert np.mean([each["auroc_stderr"] for each in found]) == pytest.approx(areas.std(), rel=0.2)


def test_precision_is_averaged_over_the_anomalies() -> None:
    found = detection(np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False]))
    assert found["aupr"] == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_scores_rise_with_strangeness_and_diagnostics_are_none() -> None:
    figures = {name: np.array([1.0, 2.0]) for name in ("log_p", "rate", "distortion", "error", "ess", "khat", "stderr")}
    found = scores(figures)
    assert set(found) == {"minus_log_p", "rate", "distortion", "error"}
    assert found["minus_log_p"].tolist() == [-1.0, -2.0]


@pytest.mark.parametrize(
    ("score", "marks", "words"),
    [
        ([1.0, 2.0], [True, True], "both"),
        ([1.0, 2.0], [False, False], "both"),
        ([1.0, np.inf], [True, False], "finite"),
    ],
)
def test_what_has_no_area_is_refused(score: list[float], marks: list[bool], words: str) -> None:
    with pytest.raises(InputError, match=words):
        detection(np.array(score), np.array(marks))
