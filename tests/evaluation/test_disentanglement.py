"""Scores of disentanglement against codes whose score is known: each factor by itself, and factors turned together."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

import lowerbound
from lowerbound.errors import InputError
from lowerbound.evaluation import disentanglement as measured
from lowerbound.evaluation.disentanglement import (
    dci,
    dci_of_importance,
    disentanglement,
    factor_vae_score,
    gaps,
    information,
    mig,
    mutual_information,
    nearest_mean_accuracy,
    sap,
    scores,
)

LEVELS = (4, 6, 5)
FACTORS = np.indices(LEVELS).reshape(3, -1).T
TWO = np.indices((8, 8)).reshape(2, -1).T


def perfect() -> np.ndarray:
    """Each factor in a dimension of its own, in another order, scaled, with signs and two dead dimensions."""
    centred = FACTORS - FACTORS.mean(0)
    return np.column_stack([-3 * centred[:, 2], np.zeros(len(FACTORS)), centred[:, 0], 0.1 * centred[:, 1] ** 3 + 5])


def turned() -> np.ndarray:
    """Two factors turned by 45°: each dimension knows as much of one as of the other."""
    centred = TWO - TWO.mean(0)
    return centred @ np.array([[1, 1], [-1, 1]]) / math.sqrt(2)


def test_a_perfect_code_has_perfect_scores() -> None:
    codes = perfect()
    assert mig(codes, FACTORS) == pytest.approx(1, abs=1e-12)
    assert sap(codes, FACTORS) == pytest.approx(np.mean([1 - 1 / count for count in LEVELS]), abs=1e-12)
    assert factor_vae_score(codes, FACTORS) == 1
    copies = np.tile(FACTORS, (20, 1))
    assert dci(np.tile(codes, (20, 1)), copies) == pytest.approx((1, 1, 1), abs=1e-9)


def test_a_turned_code_has_none() -> None:
    """Its two dimensions are alike for either factor, so every gap is zero and every vote is a toss."""
    codes = turned()
    assert mig(codes, TWO) == pytest.approx(0, abs=1e-12)
    assert sap(codes, TWO) == pytest.approx(0, abs=1e-12)
    assert factor_vae_score(codes, TWO) == pytest.approx(0.5, abs=0.08)
    found = dci(np.tile(codes, (20, 1)), np.tile(TWO, (20, 1)))
    assert found.disentanglement < 0.02
    assert found.completeness < 0.02
    assert found.informativeness > 0.99


def test_a_code_split_over_dimensions_is_disentangled_but_not_complete() -> None:
    """A factor of four levels in two bits: each dimension speaks of one factor, but no dimension tells all of it."""
    bits = np.column_stack([FACTORS[:, 0] // 2, FACTORS[:, 0] % 2, FACTORS[:, 1], FACTORS[:, 2]])
    found = dci(np.tile(bits, (20, 1)), np.tile(FACTORS, (20, 1)))
    assert found.disentanglement == pytest.approx(1, abs=1e-9)
    assert found.completeness == pytest.approx((2 + (1 - math.log(2) / math.log(4))) / 3, abs=1e-4)
    assert mig(bits, FACTORS) == pytest.approx(2 / 3, abs=1e-12)


def test_noise_scores_nothing() -> None:
    random = np.random.default_rng(0)
    factors = np.column_stack([random.integers(count, size=4000) for count in LEVELS])
    noise = random.normal(size=(4000, 4))
    assert mig(noise, factors) < 0.01
    assert sap(noise, factors) < 0.03
    assert dci(noise, factors).disentanglement < 0.05
    assert factor_vae_score(noise, factors) == pytest.approx(1 / 3, abs=0.08)


def test_a_collapsed_code_is_at_chance_and_nothing_is_undefined() -> None:
    found = scores(np.zeros((120, 3)), FACTORS, ("a", "b", "c"))
    assert (found["mig"], found["sap"], found["dci"]["disentanglement"]) == (0, 0, 0)
    assert found["factor_vae_score"] == pytest.approx(1 / 3)
    assert "NaN" not in json.dumps(found)


def test_dci_of_tables_that_can_be_reckoned() -> None:
    assert dci_of_importance(np.eye(3)) == pytest.approx((1, 1))
    assert dci_of_importance(np.ones((3, 3))) == pytest.approx((0, 0), abs=1e-12)
    mixed = np.array([[0.75, 0.0], [0.25, 1.0]])
    half = lambda p: 1 + (p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2)  # noqa: E731
    assert dci_of_importance(mixed) == pytest.approx(((0.75 + 1.25 * half(0.2)) / 2, (half(0.25) + 1) / 2))


def test_information_is_scikit_learns() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(5, size=300), random.integers(7, size=300)
    assert information(a, b) == pytest.approx(mutual_info_score(a, b), abs=1e-12)
    assert information(a, a) == pytest.approx(mutual_info_score(a, a), abs=1e-12)
    assert normalized_mutual_info_score(a, a) == pytest.approx(1)
    codes = random.normal(size=(300, 2))
    cells = np.minimum(20 * (codes[:, 1] - codes[:, 1].min()) // np.ptp(codes[:, 1]), 19)
    assert mutual_information(codes, b[:, None])[1, 0] == pytest.approx(mutual_info_score(cells, b), abs=1e-12)


def test_the_gap_of_a_single_dimension_is_to_nothing() -> None:
    assert gaps(np.array([[0.7, 0.2]])).tolist() == [0.7, 0.2]
    assert gaps(np.array([[0.7, 0.2], [0.1, 0.4], [0.5, 0.4]])).tolist() == pytest.approx([0.2, 0.0])


def test_accuracy_counts_every_level_the_same() -> None:
    values, levels = np.array([0.0, 0.0, 0.0, 0.0, 9.0]), np.array([0, 0, 0, 3, 3])
    assert nearest_mean_accuracy(values, levels) == pytest.approx((1 + 0.5) / 2)


def test_scores_follow_the_seed_alone() -> None:
    codes = turned() + np.random.default_rng(2).normal(size=(64, 2))
    assert scores(codes, TWO, ("a", "b"), 3) == scores(codes, TWO, ("a", "b"), 3)
    assert factor_vae_score(codes, TWO, 3) != factor_vae_score(codes, TWO, 4)


def test_of_a_model_and_its_data(monkeypatch: Any) -> None:
    monkeypatch.setattr(measured, "VOTES", 50)
    x = np.random.default_rng(0).integers(2, size=(200, 9))
    labels = {"a": x[:, 0], "b": x[:, 1] + 2 * x[:, 2], "still": np.zeros(200, int)}
    model = lowerbound.train("vae", lowerbound.load_data(x, labels=labels), epochs=1, latent=3, hidden=[4])
    found = disentanglement(model, split="all")
    assert found["count"] == 200
    assert set(found["information"]) == {"a", "b"}
    assert len(found["information"]["b"]) == 3
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(InputError, match=r"has no known factors; give data with several labels a row"):
        disentanglement(model, lowerbound.load_data(x, labels=x[:, 0]))
