from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE, batches, checked, checked_variable, expected, joined, typical

GREY = Variable("x", "byte", (2, 2), 0, 16, levels=17)
TWO = (GREY, Variable("y", "real", (3,), -1, 1))


def spec(*variables: Variable) -> DataSpec:
    return DataSpec("toy", variables, None, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 2)), "one datum alone needs a first dimension of 1"),
        (np.zeros((3, 2, 3)), r"rows of shape \(2, 3\)"),
        (np.full((3, 2, 2), np.nan), "NaN"),
        (np.full((3, 2, 2), np.inf), "infinite"),
        (np.full((3, 2, 2), 17), "from 0 to 16"),
        (np.full((3, 2, 2), 0.5), "whole number"),
        (np.full((3, 2, 2), "a"), "text"),
        ([[1, 2], [3]], "shape"),
        (np.zeros((0, 2, 2)), "empty"),
    ],
)
def test_rows_the_model_was_not_made_for_are_refused(x: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        checked(spec(GREY), x)


def test_rows_come_in_the_type_in_which_they_are_stored() -> None:
    found = checked_variable(GREY, torch.full((3, 2, 2), 16.0))
    assert found.dtype == np.uint8
    assert (found == 16).all()


def test_several_variables_are_given_by_name() -> None:
    found = checked(spec(*TWO), {"x": np.zeros((4, 2, 2)), "y": np.ones((4, 3))})
    assert {name: array.shape for name, array in found.items()} == {"x": (4, 2, 2), "y": (4, 3)}


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ({"x": np.zeros((4, 2, 2))}, "needs the variable 'y'"),
        (np.zeros((4, 2, 2)), "needs the variable 'y'"),
        ({"x": np.zeros((4, 2, 2)), "y": np.ones((5, 3))}, "number of rows"),
    ],
)
def test_variables_that_do_not_match_are_refused(x: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        checked(spec(*TWO), x)


def test_batches_hold_every_row_once_in_order() -> None:
    x = np.arange(ROWS_AT_ONCE + 5, dtype=np.float32)[:, None]
    found = batches(spec(Variable("x", "real", (1,), 0, 1)), x)
    assert [batch.size for batch in found] == [ROWS_AT_ONCE, 5]
    assert np.array_equal(np.concatenate([batch.x["x"].numpy() for batch in found]), x)


def test_the_expected_level_of_symbols_is_their_mean() -> None:
    levels = Categorical(logits=torch.randn(4, 5))
    assert torch.allclose(expected(Independent(levels, 1)), levels.probs @ torch.arange(5.0))
    assert torch.equal(expected(Independent(Normal(torch.ones(2), 1.0), 1)), torch.ones(2))


def test_a_category_is_shown_by_its_most_probable_code() -> None:
    d = Categorical(torch.tensor([[0.4, 0.0, 0.6]]))
    assert typical(d, Variable("x", "category", (), 0, 2, levels=3)).tolist() == [2]
    assert typical(d, Variable("x", "byte", (), 0, 2, levels=3)).tolist() == pytest.approx([1.2])


def test_one_variable_is_an_array_and_several_are_a_mapping() -> None:
    part = {"x": np.zeros((2, 1))}
    assert np.asarray(joined([part, part])).shape == (4, 1)
    assert set(joined([{**part, "y": np.ones(2)}])) == {"x", "y"}
