"""Batches: sizes, masks, slices, devices, and what an encoder reads of them."""

from __future__ import annotations

import pytest
import torch

from agree import refused
from lowerbound.core import Batch, observed, rows

NAN = float("nan")


def full() -> Batch:
    x = {"a": torch.tensor([[1.0, NAN], [3.0, 4.0], [5.0, 6.0]]), "b": torch.arange(3)}
    mask = {"a": torch.tensor([[True, False], [True, True], [False, True]])}
    return Batch(x, torch.eye(3), torch.tensor([7, 8, 9]), mask)


def test_size_is_the_number_of_data() -> None:
    assert full().size == 3
    assert Batch({"x": torch.zeros(0, 4)}).size == 0


def test_unobserved_entries_are_filled_with_zeros() -> None:
    assert full().filled("a").tolist() == [[1.0, 0.0], [3.0, 4.0], [0.0, 6.0]]
    assert full().filled("b").tolist() == [0, 1, 2]


def test_a_variable_without_a_mask_was_observed_throughout() -> None:
    assert full().mask_of("b") is None
    assert Batch({"x": torch.zeros(2)}).mask_of("x") is None
    assert full().mask_of("a").sum() == 4


@pytest.mark.parametrize("some", [slice(1, 3), torch.tensor([1, 2]), torch.tensor([False, True, True])])
def test_some_of_the_data_keep_all_that_is_theirs(some: slice | torch.Tensor) -> None:
    part = full()[some]
    assert part.size == 2
    assert part.x["a"].tolist() == [[3.0, 4.0], [5.0, 6.0]]
    assert part.x["b"].tolist() == [1, 2]
    assert part.c.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert part.index.tolist() == [8, 9]
    assert part.mask["a"].tolist() == [[True, True], [False, True]]


def test_what_is_absent_stays_absent() -> None:
    part = Batch({"x": torch.zeros(3, 2)})[:1].to("cpu")
    assert (part.c, part.index, part.mask) == (None, None, None)


def test_moving_takes_everything_along() -> None:
    moved = full().to("meta")
    every = [*moved.x.values(), moved.c, moved.index, *moved.mask.values()]
    assert {t.device.type for t in every} == {"meta"}


def test_map_changes_every_tensor_and_not_the_batch() -> None:
    b = full()
    assert b.map(lambda t: t[:1]).size == 1
    assert b.size == 3


def test_an_encoder_reads_one_variable_or_a_dict() -> None:
    x, c = observed(Batch({"x": torch.ones(2, 3)}))
    assert x.shape == (2, 3)
    assert c is None
    several, c = observed(full())
    assert set(several) == {"a", "b"}
    assert several["a"].isfinite().all()
    assert c.shape == (3, 3)


def test_a_table_reads_row_numbers_or_says_what_is_missing() -> None:
    assert rows(full())[0].tolist() == [7, 8, 9]
    with refused("a posterior per datum needs batch.index, the data's row numbers"):
        rows(Batch({"x": torch.zeros(1)}))
