"""Shapes with known factors: what is drawn, that it is drawn alike everywhere, and that the factors travel along."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.data import shapes
from lowerbound.data.dataset import load_data
from lowerbound.data.shapes import FULL, SMALL, Grid
from lowerbound.errors import InputError

TINY = Grid(side=16, orientations=4, positions=6)


def picture(grid: Grid, *factors: int) -> np.ndarray:
    x = grid.pictures()
    return x[np.ravel_multi_index(factors, grid.levels)]


def test_every_combination_is_there_once() -> None:
    factors = TINY.factors()
    assert factors.shape == (TINY.count, 5)
    assert len(np.unique(factors, axis=0)) == TINY.count == math.prod((3, 6, 4, 6, 6))
    assert FULL.count == 737_280
    assert TINY.pictures().shape == (TINY.count, 16, 16)


def test_a_position_moves_the_sprite_and_changes_nothing_else() -> None:
    still = picture(TINY, 2, 3, 1, 0, 0)
    assert np.array_equal(picture(TINY, 2, 3, 1, 4, 2), np.roll(still, (2, 4), axis=(0, 1)))
    assert picture(TINY, 2, 5, 1, 5, 5).sum() == picture(TINY, 2, 5, 1, 0, 0).sum()


@pytest.mark.parametrize("grid", [SMALL, FULL], ids=["small", "full"])
def test_sprites_grow_with_scale_and_turn_in_place(grid: Grid) -> None:
    sprites = grid.sprites()
    areas = sprites.sum((-1, -2)).astype(float)
    assert (np.diff(areas.mean(2), axis=1) > 0).all()
    quarter = grid.orientations // 4
    assert np.array_equal(sprites[:, :, quarter], np.rot90(sprites[:, :, 0], axes=(-2, -1)))
    assert np.array_equal(sprites[0, :, quarter], sprites[0, :, 0])
    assert np.array_equal(sprites[1, :, 2 * quarter], sprites[1, :, 0])
    hearts = sprites[2, -1].reshape(grid.orientations, -1)
    assert len(np.unique(hearts, axis=0)) == grid.orientations


def test_areas_are_those_of_the_shapes() -> None:
    """πr²/2 for the ellipse, 2r² for the square; counting pixel centres errs by less than a part in fifty here."""
    sprites = FULL.sprites()
    r = FULL.sprites().shape[-1] / 2
    for shape, area in ((0, 2 * r**2), (1, math.pi * r**2 / 2)):
        assert abs(sprites[shape, -1].sum((-1, -2)).mean() / area - 1) < 0.02


@pytest.mark.parametrize("grid", [SMALL, FULL], ids=["small", "full"])
def test_no_pixel_is_so_near_an_edge_that_rounding_could_turn_it(grid: Grid, monkeypatch: Any) -> None:
    """So the pictures, and their fingerprint, are the same whatever the last digits of a machine's sines."""
    drawn = grid.sprites()
    for share in (1 - 1e-9, 1 + 1e-9):
        monkeypatch.setattr(shapes, "SCALES", tuple(share * scale for scale in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)))
        assert np.array_equal(grid.sprites(), drawn)


def test_the_data_set_carries_its_factors() -> None:
    data = load_data("shapes")
    condition = data.spec.condition
    assert (data.spec.count, data.spec.likelihood) == (92_160, "bernoulli")
    assert condition is not None
    assert (condition.kind, condition.columns, condition.levels) == ("category", shapes.FACTORS, 20)
    assert data.spec.from_json(data.spec.to_json()) == replace(data.spec)
    rows = data.split("test")
    batch = rows.resident("cpu").batch(torch.arange(3))
    assert batch.c is not None
    assert torch.equal(batch.c.reshape(3, 5, 20).argmax(-1), torch.from_numpy(rows.condition[:3]))
    assert data.spec.fingerprint.startswith("db5c688b5a4e78b7")


def test_labels_of_ones_own_may_be_several() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    data = load_data(x, labels={"animal": ["cat", "ant"] * 10, "legs": [4] * 10 + [6] * 10})
    assert data.spec.condition is not None
    assert (data.spec.condition.columns, data.spec.condition_size) == (("animal", "legs"), 4)
    assert data.condition is not None
    assert data.condition[[0, 1, 10]].tolist() == [[1, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize("labels", [{"a": [1] * 20, "b": [1] * 19}, {"a": np.zeros((20, 2), int)}, {}])
def test_labels_that_do_not_go_side_by_side_are_refused(labels: Any) -> None:
    with pytest.raises(InputError, match="several labels must be arrays of one label a row"):
        load_data(np.eye(20), labels=labels)
