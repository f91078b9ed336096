"""Directions between groups of codes: where they lead, and that they survive a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowerbound.errors import InputError
from lowerbound.evaluation.attributes import Direction, direction

LABELS = np.array(["calm", "smile", "other"])[np.arange(90) % 3]


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(90, 4)) + 5.0 * (LABELS == "smile")[:, None]


def test_a_whole_strength_leads_from_the_one_mean_to_the_other(codes: np.ndarray) -> None:
    found = direction(codes, LABELS, "smile", "calm")
    start, end = codes[LABELS == "calm"].mean(0), codes[LABELS == "smile"].mean(0)
    np.testing.assert_allclose(found.shifted(start[None], 1.0)[0], end)
    np.testing.assert_allclose(found.shifted(start[None], 0.0)[0], start)
    assert (found.origin, found.target, found.counts) == ("calm", "smile", (30, 30))


def test_without_an_origin_it_leads_from_all_others(codes: np.ndarray) -> None:
    found = direction(codes, LABELS, "smile")
    np.testing.assert_allclose(found.vector, codes[LABELS == "smile"].mean(0) - codes[LABELS != "smile"].mean(0))
    assert (found.origin, found.counts) == ("the rest", (60, 30))


def test_groups_far_apart_are_separated_and_a_group_from_itself_is_not(codes: np.ndarray) -> None:
    found = direction(codes, LABELS, "smile")
    assert found.separation(codes[LABELS != "smile"], codes[LABELS == "smile"]) > 0.999
    assert found.separation(codes, codes) == 0.5


def test_a_direction_survives_a_file(codes: np.ndarray, tmp_path: Path) -> None:
    found = direction(codes, LABELS, "smile")
    found.save(tmp_path / "smile.json")
    assert Direction.load(tmp_path / "smile.json") == found


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"vector": [1]}']
    + [
        json.dumps({"vector": vector, "counts": counts, "origin": "a", "target": "b"})
        for vector, counts in ([[[1.0]], [1, 1]], [["x"], [1, 1]], [[float("nan")], [1, 1]], [[1.0], [1]])
    ],
)
def test_what_is_no_direction_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(InputError, match="holds no direction"):
        Direction.load(tmp_path / "d.json")


@pytest.mark.parametrize(
    ("labels", "target", "origin", "words"),
    [
        (LABELS[:5], "smile", None, "as many labels"),
        (LABELS, "frown", None, "no row is labelled 'frown'; the labels are: calm, other, smile"),
        (LABELS, "smile", "frown", "'frown'"),
        (np.full(90, "smile"), "smile", None, "None|the rest"),
    ],
)
def test_groups_must_be_there(codes: np.ndarray, labels: Any, target: str, origin: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        direction(codes, labels, target, origin)


def test_a_direction_of_another_model_is_refused(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="same model"):
        direction(codes, LABELS, "smile").shifted(codes[:, :2], 1.0)
    with pytest.raises(InputError, match="there is no file"):
        Direction.load(Path("nowhere.json"))
