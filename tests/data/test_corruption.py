"""Corruptions: how much is lost, what stands in its place, and that every kind of data can be corrupted."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from agree import assert_mean, refused
from catalogue import RANGES, raw, variable
from lowerbound.data.corruption import (
    CorruptionName,
    MaskedPatches,
    Masking,
    Noise,
    SaltAndPepper,
    corruption_for,
)
from lowerbound.data.views import view_for
from lowerbound.errors import InputError

ZERO, ONE = torch.tensor(0.0), torch.tensor(1.0)


def test_masking_drops_each_value_as_often() -> None:
    shown = Masking(0.3)(torch.full((20_000, 4), 0.5))
    assert shown.unique().tolist() == [0.0, 0.5]
    assert_mean((shown == 0).double(), 0.3)


def test_salt_and_pepper_are_as_frequent() -> None:
    shown = SaltAndPepper(0.4, ZERO, ONE)(torch.full((20_000, 4), 0.5))
    for value, share in ((0.0, 0.2), (1.0, 0.2), (0.5, 0.6)):
        assert_mean((shown == value).double(), share)


def test_noise_has_its_scale_and_keeps_to_the_range() -> None:
    x = torch.full((20_000, 2), 0.5)
    free = Noise(torch.tensor(0.1), -10 * ONE, 10 * ONE)(x) - x
    assert_mean(free, 0.0)
    assert_mean(free.square(), 0.01)
    kept = Noise(torch.tensor(5.0), ZERO, ONE)(x)
    assert (kept.min(), kept.max()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "side", "squares"), [((8, 8), 4, 4), ((7, 5), 3, 6), ((8, 8, 3), 2, 16), ((10,), 3, 4)]
)
def test_patches_are_whole_squares_and_always_as_many(shape: tuple[int, ...], side: int, squares: int) -> None:
    hidden = MaskedPatches(0.5, shape, side)(torch.ones(50, *shape)) == 0
    for picture in hidden:
        cells = [
            cell for strip in picture.split(side) for cell in (strip.split(side, 1) if strip.dim() > 1 else [strip])
        ]
        assert len(cells) == squares
        assert all(cell.all() or not cell.any() for cell in cells)
        assert sum(bool(cell.all()) for cell in cells) == round(squares / 2)
    assert 0 < hidden.double().mean(0).min() <= hidden.double().mean(0).max() < 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_or_everything_can_be_lost(share: float) -> None:
    x = 1 + torch.rand(3, 8, 8)
    for module in (Masking(share), MaskedPatches(share, (8, 8), 3)):
        assert torch.equal(module(x), x * (1 - share))


def test_every_call_draws_anew_and_a_seed_repeats_it() -> None:
    def shown(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return module(x)

    x = torch.rand(4, 8, 8)
    for name in get_args(CorruptionName):
        v = variable("unit")
        module = corruption_for(v, view_for(v, "mse"), name, 0.5, 4)
        assert not torch.equal(module(x), module(x))
        assert torch.equal(shown(1), shown(1))


@pytest.mark.parametrize("name", get_args(CorruptionName))
@pytest.mark.parametrize("kind", RANGES)
def test_what_is_shown_is_of_the_range_that_the_data_have(kind: str, name: CorruptionName) -> None:
    for shape in ((8, 8), (5,)):
        v = variable(kind, shape)
        view = view_for(v, v.likelihood)
        shown = corruption_for(v, view, name, 0.5, 3)(view(raw(kind, 30, *shape)))
        low, high = (view.expected(torch.full(shape, float(end))) for end in (v.low, v.high))
        assert shown.shape == (30, *shape)
        assert (shown >= torch.minimum(low, ZERO)).all()
        assert (shown <= high).all()


def test_noise_is_in_units_of_the_range_and_of_the_spread() -> None:
    for kind, unit in (("byte", 7.0), ("unit", 1.0), ("real", 1.0)):
        v = variable(kind)
        likelihood = "discretized-logistic" if kind == "byte" else "gaussian"
        module = corruption_for(v, view_for(v, likelihood), "gaussian", 0.3, 4)
        assert module.sigma.unique().tolist() == [pytest.approx(0.3 * unit)]


def test_more_than_everything_cannot_be_lost() -> None:
    v = variable("unit")
    with refused("the amount of masking is a share of the values, at most 1, not 1.5", InputError):
        corruption_for(v, view_for(v, "mse"), "masking", 1.5, 4)
