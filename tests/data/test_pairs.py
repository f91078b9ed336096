"""Pairs of two sets by class, halves of pictures, and rows of which a variable is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from agree import refused
from lowerbound.data.dataset import assemble, load_data, read
from lowerbound.data.pairs import by_class, halves
from lowerbound.data.presence import hidden
from lowerbound.data.raw import Raw
from lowerbound.data.sources import SOURCES
from lowerbound.errors import InputError

CLASSES = 4


def pictures(count: int, test: int, seed: int) -> Raw:
    """Rows that can be told apart, labelled at random; the last `test` are the official test."""
    labels = np.random.default_rng(seed).integers(0, CLASSES, count)
    x = np.arange(count)[:, None, None].repeat(5, 2) + 1000 * labels[:, None, None]
    return Raw("toy", "toy", {"x": x}, labels, test=test)


def test_pairs_are_of_one_class_and_no_row_comes_twice() -> None:
    first, second = pictures(100, 20, 1), pictures(90, 30, 2)
    found = by_class(first, second, ("a", "b"), "pairs")
    a, b = (found.arrays[name][:, 0, 0] for name in "ab")
    assert (a // 1000 == b // 1000).all()
    assert (a // 1000 == found.labels).all()
    assert len(np.unique(a % 1000)) == len(np.unique(b % 1000)) == len(a)
    training = len(a) - found.test
    assert (a[:training] % 1000 < 80).all()
    assert (a[training:] % 1000 >= 80).all()
    assert (b[:training] % 1000 < 60).all()
    assert (b[training:] % 1000 >= 60).all()


def test_there_are_as_many_pairs_of_a_class_as_the_rarer_set_has() -> None:
    first, second = pictures(100, 20, 1), pictures(90, 30, 2)
    found = by_class(first, second, ("a", "b"), "pairs")
    for part, (one, other) in ((slice(-found.test, None), (80, 60)), (slice(-found.test), (0, 0))):
        rows = (
            first.labels[one:] if one else first.labels[:80],
            second.labels[other:] if other else second.labels[:60],
        )
        counts = [np.bincount(each, minlength=CLASSES) for each in rows]
        assert (np.bincount(found.labels[part], minlength=CLASSES) == np.minimum(*counts)).all()


def test_which_goes_with_which_is_part_of_what_the_data_are() -> None:
    one, other = (by_class(pictures(100, 20, 1), pictures(90, 30, 2), ("a", "b"), "pairs") for _ in range(2))
    assert np.array_equal(one.arrays["b"], other.arrays["b"])
    assert one.arrays["b"][:10, 0, 0].tolist() != sorted(one.arrays["b"][:10, 0, 0].tolist())


def test_halves_lie_side_by_side() -> None:
    raw = pictures(10, 2, 0)
    found = halves(raw, "halves")
    assert np.array_equal(np.concatenate([found.arrays["left"], found.arrays["right"]], 2), raw.arrays["x"])
    assert found.arrays["left"].shape == (10, 1, 2)
    assert (found.test, found.labels is raw.labels) == (2, True)


def test_digits_come_in_halves_without_a_network() -> None:
    data = load_data("digits-halves")
    assert [(v.name, v.shape, v.kind, v.likelihood) for v in data.spec.variables] == [
        ("left", (8, 4), "byte", "bernoulli"),
        ("right", (8, 4), "byte", "bernoulli"),
    ]
    assert SOURCES["digits-halves"].here


def test_a_source_made_of_others_is_here_when_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path))
    assert not SOURCES["mnist-halves"].here
    assert not SOURCES["mnist-fashion"].here


def test_a_share_of_each_variable_is_hidden_outside_the_official_test() -> None:
    """Binomial(4000, 0.3) within 6 deviations, 174: by chance once in 10⁸."""
    count, test = 5000, 1000
    raw = Raw("toy", "toy", {"x": np.ones((count, 2), np.uint8), "y": np.ones((count, 3))}, test=test)
    found = hidden(raw, 0.3)
    gone = {name: np.isnan(x).all(1) for name, x in found.arrays.items()}
    for name, x in found.arrays.items():
        assert (np.isnan(x).any(1) == gone[name]).all()
        assert not gone[name][-test:].any()
        assert abs(gone[name].sum() - 1200) < 174
    assert abs((gone["x"] & gone["y"]).sum() - 360) < 6 * 18.1
    assert dict(found.kinds) == {"x": "binary"}
    again, other = hidden(raw, 0.3), hidden(raw, 0.3, seed=1)
    assert np.array_equal(found.arrays["x"], again.arrays["x"], equal_nan=True)
    assert not np.array_equal(found.arrays["x"], other.arrays["x"], equal_nan=True)


def test_hidden_pictures_stay_bytes_and_come_as_masks() -> None:
    data = assemble(hidden(read("digits-halves"), 0.5), 0, None, missing=True)
    assert [(v.kind, v.likelihood, v.missing) for v in data.spec.variables] == [("byte", "bernoulli", True)] * 2
    batch = data.split("train").resident().batch(torch.arange(200))
    for name in ("left", "right"):
        mask = batch.mask_of(name).flatten(1)
        assert (mask.any(1) == mask.all(1)).all()
        assert 60 < mask.any(1).sum() < 140
        assert (batch.x[name].flatten(1)[~mask] == 0).all()


def test_a_file_may_say_of_which_rows_a_variable_was_observed(tmp_path: Path) -> None:
    there = np.arange(20) % 3 > 0
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "gaps.npz", x=x, x_present=there, y=np.random.default_rng(1).normal(size=(20, 2)))
    with pytest.raises(InputError, match="say that values may be missing"):
        load_data(tmp_path / "gaps.npz")
    data = load_data(tmp_path / "gaps.npz", missing=True)
    assert [(v.name, v.kind, v.missing) for v in data.spec.variables] == [("x", "byte", True), ("y", "real", False)]
    assert np.array_equal(np.isnan(data.arrays["x"]).all((1, 2)), ~there)
    assert np.array_equal(data.arrays["x"][there], x[there])


@pytest.mark.parametrize(
    ("marks", "sentence"),
    [
        (np.ones(19), "mapping: 'x_present' has 19 rows and 'x' 20; give each as many"),
        (np.full(20, 2), "mapping: 'x_present' must be 0 or 1 for each row, whether 'x' was observed of it"),
        (np.ones((20, 1)), "mapping: 'x_present' must be 0 or 1 for each row, whether 'x' was observed of it"),
    ],
)
def test_marks_that_are_none_are_refused(marks: np.ndarray, sentence: str) -> None:
    with refused(sentence, InputError):
        load_data({"x": np.random.default_rng(0).normal(size=(20, 3)), "x_present": marks}, missing=True)


def test_an_array_that_only_sounds_like_a_mark_is_data() -> None:
    data = load_data({"rain_present": np.random.default_rng(0).normal(size=(20, 3))})
    assert [variable.name for variable in data.spec.variables] == ["rain_present"]
