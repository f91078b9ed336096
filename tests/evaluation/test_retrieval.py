"""Ranks of the right one: by sorting, under ties, and by chance."""

import numpy as np
import pytest

from agree import LIMIT
from lowerbound.errors import InputError
from lowerbound.evaluation.retrieval import retrieval


def test_without_ties_it_is_the_place_in_the_sorted_list() -> None:
    random = np.random.default_rng(0)
    scores, targets = random.normal(size=(30, 50)), random.integers(50, size=30)
    places = [list(np.argsort(-row)).index(target) + 1 for row, target in zip(scores, targets)]
    found = retrieval(scores, targets)
    assert found["recall"] == pytest.approx({k: np.mean(np.array(places) <= k) for k in (1, 5, 10)})
    assert found["median_rank"] == np.median(places)


def test_ties_are_worth_what_a_random_order_of_them_is() -> None:
    random = np.random.default_rng(1)
    scores = random.integers(3, size=(6, 8)).astype(float)
    jitters = random.uniform(0, 0.5, size=(4000, 6, 8))
    drawn = np.array([[retrieval(scores + noise)["recall"][k] for k in (1, 5)] for noise in jitters])
    expected = retrieval(scores)["recall"]
    for column, k in enumerate((1, 5)):
        error = drawn[:, column].std() / len(drawn) ** 0.5
        assert abs(drawn[:, column].mean() - expected[k]) < LIMIT * error


def test_a_model_that_tells_nothing_apart_does_as_well_as_chance() -> None:
    found = retrieval(np.zeros((7, 20)), np.arange(7))
    assert found["recall"] == pytest.approx(found["chance"]["recall"]) == {1: 0.05, 5: 0.25, 10: 0.5}
    assert found["median_rank"] == found["chance"]["median_rank"] == 10.5


def test_the_right_one_first_is_perfect_and_fewer_candidates_than_k_are_no_error() -> None:
    found = retrieval(np.eye(4))
    assert (found["recall"], found["median_rank"]) == ({1: 1.0, 5: 1.0, 10: 1.0}, 1.0)
    assert found["chance"]["recall"][5] == 1.0


@pytest.mark.parametrize(
    ("scores", "targets"),
    [(np.zeros(3), None), (np.full((2, 2), np.nan), None), (np.zeros((3, 2)), None), (np.zeros((2, 2)), np.zeros(3))],
)
def test_what_is_no_task_is_refused(scores: np.ndarray, targets: np.ndarray | None) -> None:
    with pytest.raises(InputError):
        retrieval(scores, targets)
