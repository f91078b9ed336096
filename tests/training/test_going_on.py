"""A training that begins where another ended, and one that has no rows to validate on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.data.dataset import Dataset
from lowerbound.run.folder import Run
from lowerbound.run.tensors import load_tensors
from lowerbound.training.loop import train


@pytest.fixture
def all_to_train_on(digits: Dataset) -> Dataset:
    rows = np.arange(digits.spec.count)
    splits = {"train": rows, "validation": rows[:0], "test": rows[:0]}
    spec = replace(digits.spec, splits={name: len(each) for name, each in splits.items()})
    return Dataset(spec, digits.arrays, None, splits)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_tensors(run.path / "weights.safetensors")


def test_it_begins_at_the_others_weights(new_run: Callable[..., Run], digits: Dataset) -> None:
    first = new_run("first")
    end = train(first, digits)
    assert end is not None
    again = new_run("again", lr=0.0)
    train(again, digits, start=end)
    assert all(torch.equal(value, end.weights[name]) for name, value in weights(again).items())
    other = new_run("other", lr=0.0)
    train(other, digits)
    assert not all(torch.equal(value, end.weights[name]) for name, value in weights(other).items())


def test_moments_and_steps_go_on(new_run: Callable[..., Run], digits: Dataset) -> None:
    end = train(new_run("first"), digits)
    assert end is not None
    both = train(new_run("second"), digits, start=end)
    fresh = train(new_run("third"), digits, start=replace(end, moments={}))
    assert both is not None
    assert fresh is not None
    assert both.steps == 2 * end.steps
    assert [each.moments["0.step"].item() for each in (end, both, fresh)] == [end.steps, 2 * end.steps, end.steps]
    assert any(not torch.equal(value, fresh.weights[name]) for name, value in both.weights.items())


def test_schedules_of_the_objective_go_on(new_run: Callable[..., Run], digits: Dataset) -> None:
    """A rate that is annealed over the first training counts in full from the second one's first step."""
    annealed: dict[str, Any] = {"anneal": 20}
    end = train(new_run("first", annealed), digits)
    assert end is not None
    late = new_run("late", annealed, epochs=1, lr=0.0)
    train(late, digits, start=replace(end, steps=20))
    full = new_run("full", {"anneal": 0}, epochs=1, lr=0.0)
    train(full, digits, start=end)
    losses = [sum(run.metrics()[0]["train"].values()) for run in (late, full)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_without_rows_to_validate_on_the_last_weights_are_kept(
    tmp_path: Any, new_run: Callable[..., Run], all_to_train_on: Dataset
) -> None:
    asked = new_run("asked")
    run = Run.create(tmp_path / "whole", "vae", asked.record.arguments, all_to_train_on.spec, asked.settings)
    end = train(run, all_to_train_on)
    assert end is not None
    assert all(torch.equal(value, end.weights[name]) for name, value in weights(run).items())
    assert [epoch["validation"]["objective"] for epoch in run.metrics()] == [None, None]
    assert Run.open(run.path).finished
