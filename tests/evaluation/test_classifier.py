"""A classifier that learns, is kept, is read again, and judges on the scale of the data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.data.dataset import load_data
from lowerbound.data.spec import Variable
from lowerbound.errors import InputError
from lowerbound.evaluation.classifier import ABOUT, WEIGHTS, Classifier, classifier, kept_at, taught
from lowerbound.evaluation.schooling import Schooling, scaled, varied

QUICK = Schooling(widths=(16, 32), steps=200, shift=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def judge() -> Classifier:
    return taught(load_data("digits"), QUICK, CPU)


def test_digits_are_learnt_and_the_same_seed_teaches_the_same(judge: Classifier) -> None:
    again = taught(load_data("digits"), QUICK, CPU)
    other = taught(load_data("digits"), replace(QUICK, seed=1), CPU)
    x = load_data("digits").split("test")
    shares = [float((each.predict(x.array("x")) == x.condition).mean()) for each in (judge, again, other)]
    assert shares[0] == judge.accuracy["test"] > 0.85
    assert np.array_equal(judge.features(x.array("x")), again.features(x.array("x")))
    assert not np.array_equal(judge.features(x.array("x")), other.features(x.array("x")))


def test_what_it_says_of_a_picture_does_not_depend_on_those_beside_it(judge: Classifier) -> None:
    x = load_data("digits").split("test").array("x")[:5].astype(np.float32)
    together, alone = judge.probabilities(x), np.concatenate([judge.probabilities(row[None]) for row in x])
    assert np.allclose(together, alone, atol=1e-6)
    assert np.allclose(together.sum(1), 1, atol=1e-6)
    assert np.array_equal(judge.predict(x), together.argmax(1))
    assert judge.features(x).shape == (5, 32)


def test_it_comes_back_from_its_folder_bit_for_bit(judge: Classifier, tmp_path: Path) -> None:
    judge.save(tmp_path)
    again, x = Classifier.load(tmp_path), np.random.default_rng(0).uniform(0, 16, size=(3, 8, 8))
    assert np.array_equal(again.features(x), judge.features(x))
    assert (again.data, again.names, again.accuracy) == ("digits", judge.names, judge.accuracy)


def test_it_is_trained_once_for_each_data_and_schooling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path))
    data, short = load_data("digits"), replace(QUICK, steps=2)
    first = classifier(data, short)
    monkeypatch.setattr("lowerbound.evaluation.classifier.taught", None)  # a second training would fail
    assert np.array_equal(classifier(data, short).features(np.ones((1, 8, 8))), first.features(np.ones((1, 8, 8))))
    assert len({kept_at(data.spec, how) for how in (short, QUICK)}) == 2


@pytest.mark.parametrize("file", [WEIGHTS, ABOUT])
def test_a_damaged_one_is_refused(judge: Classifier, tmp_path: Path, file: str) -> None:
    judge.save(tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="holds no whole classifier"):
        Classifier.load(tmp_path)


def test_only_labelled_pictures_have_one(judge: Classifier) -> None:
    for source, words in (("wine", "whole pictures"), (np.random.default_rng(0).random((40, 8, 8)), "no labels")):
        with pytest.raises(InputError, match=words):
            classifier(source)
    with pytest.raises(InputError, match=r"shape \(N, 8, 8\)"):
        judge.predict(np.zeros((2, 9, 9)))


def test_pictures_in_colour_and_of_odd_sides_are_learnt_from_too() -> None:
    x = np.random.default_rng(0).integers(0, 256, size=(120, 7, 5, 3), dtype=np.uint8)
    data = load_data(x, labels=np.arange(120) % 3)
    assert Schooling.of(data.spec.variables[0]).mirrored
    assert taught(data, replace(QUICK, steps=3, mirrored=True), CPU).probabilities(x).shape == (120, 3)


def test_a_picture_is_moved_whole_and_what_comes_in_is_zero() -> None:
    torch.manual_seed(0)
    x = torch.zeros(200, 5, 5)
    x[:, 2, 2] = 1
    moved = varied(x, 2, mirrored=False)
    assert torch.equal(moved.sum((1, 2)), torch.ones(200))
    assert (moved.sum(0) > 0).all()
    assert torch.equal(varied(x, 0, mirrored=False), x)
    corner = varied(torch.ones(50, 4, 4, 3), 1, mirrored=True)[:, 0, 0, 0]
    assert set(corner.tolist()) == {0.0, 1.0}


def test_half_of_the_photographs_are_mirrored() -> None:
    torch.manual_seed(0)
    x = torch.arange(4.0).repeat(1000, 2, 1)
    turned = (varied(x, 0, mirrored=True) == x.flip(2)).all((1, 2)).double().mean()
    assert abs(turned - 0.5) < 4.5 * 0.5 / 1000**0.5


def test_scaling_is_by_the_range_of_the_data() -> None:
    assert scaled(Variable("x", "real", (2,), -1, 3), torch.tensor([[-1.0, 1.0]])).tolist() == [[0.0, 0.5]]
