"""Masks by name and from files, value by value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agree import assert_mean, refused
from lowerbound.data.maskfiles import mask_for, read_mask
from lowerbound.data.masks import Masks
from lowerbound.errors import InputError

TOP, BOTTOM = np.array([[1, 1], [0, 0]]), np.array([[0, 0], [1, 1]])
LEFT, RIGHT = np.array([[1, 0], [1, 0]]), np.array([[0, 1], [0, 1]])

HALVES = [("bottom", TOP), ("top", BOTTOM), ("left", RIGHT), ("right", LEFT)]
QUADRANTS = [
    ("quadrants-1", np.array([[0, 0], [1, 0]])),
    ("quadrants-2", LEFT),
    ("quadrants-3", np.array([[1, 1], [1, 0]])),
    ("all", np.zeros((2, 2))),
]


@pytest.mark.parametrize(("name", "quarters"), [*HALVES, *QUADRANTS])
@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (4, 6, 3)])
def test_a_name_is_of_these_quarters(name: str, quarters: np.ndarray, shape: tuple[int, ...]) -> None:
    """As Pyro's tutorial cuts them: the second half of an odd side is the longer."""
    found = Masks(shape, [name])(2)
    assert found.shape == (2, *shape)
    down, across = np.arange(shape[0]) >= shape[0] // 2, np.arange(shape[1]) >= shape[1] // 2
    wanted = quarters[down.astype(int)][:, across.astype(int)].astype(bool)
    wanted = wanted if len(shape) == 2 else wanted[..., None].repeat(3, -1)
    assert (found.numpy() == wanted).all()


def test_a_vector_has_two_halves() -> None:
    assert Masks((5,), ["left"])(1).tolist() == [[False, False, True, True, True]]
    assert Masks((5,), ["right"])(1).tolist() == [[True, True, False, False, False]]
    with refused("the mask bottom is of pictures, and the data have shape (5,); use random, left or right", InputError):
        Masks((5,), ["bottom"])


def test_quadrants_are_one_two_or_three_alike_often_and_any() -> None:
    torch.manual_seed(0)
    observed = Masks((2, 2), ["quadrants"])(12_000).flatten(1).double()
    counts = torch.nn.functional.one_hot(observed.sum(1).long() - 1, 3).double()
    assert_mean(counts, torch.full((3,), 1 / 3))
    assert_mean(observed, torch.full((4,), 0.5))


def test_random_hides_its_share_or_one_drawn_for_each_row() -> None:
    torch.manual_seed(0)
    assert_mean(Masks((50,), ["random"], 0.3)(400).double().flatten(), 0.7)
    shares = Masks((200,), ["random"])(4000).double().mean(1)
    assert_mean(shares, 0.5)
    assert_mean((shares - 0.5).square(), 1 / 12 + 1 / 6 / 200)


def test_several_names_take_turns() -> None:
    torch.manual_seed(0)
    found = Masks((2, 2), ["left", "quadrants"])(6000)
    assert Masks((2, 2), ["left"]).chances.shape == (1, 2, 2)
    left = (found == torch.tensor([[False, True], [False, True]])).flatten(1).all(1).double()
    assert_mean(left, 0.5 + 0.5 / 18)
    with refused(
        "masks are drawn by name; give one or more of: bottom, top, left, right, quadrants, quadrants-1, "
        "quadrants-2, quadrants-3, random, all",
        InputError,
    ):
        Masks((2, 2), [])


def test_a_seed_fixes_what_is_drawn_and_leaves_the_generator() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same, other = (mask_for("random", (20,), 5, 0.5, seed) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    assert torch.equal(before, torch.get_rng_state())


def test_masks_from_files(tmp_path: Path) -> None:
    one, each = np.array([[1, 0], [1, 1]], np.uint8), np.random.default_rng(0).random((3, 2, 2)) < 0.5
    np.save(tmp_path / "one.npy", one)
    np.save(tmp_path / "each.npy", each)
    Image.fromarray(one * 255).save(tmp_path / "one.png")
    assert (read_mask(tmp_path / "one.npy", (2, 2), 3) == one.astype(bool)).all()
    assert (read_mask(tmp_path / "each.npy", (2, 2), 3) == each).all()
    assert (read_mask(tmp_path / "one.png", (2, 2), 3) == one.astype(bool)).all()
    assert read_mask(tmp_path / "one.png", (2, 2, 3), 3)[..., 1].sum() == 9
    assert mask_for(str(tmp_path / "one.npy"), (2, 2), 3).shape == (3, 2, 2)


def test_files_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.npy"
    np.save(path, np.full((2, 2), 0.5))
    with refused(f"{path} has other values than 0 (hidden) and 1 (observed); write a mask of those", InputError):
        read_mask(path, (2, 2), 3)
    np.save(path, np.ones((2, 2)))
    with refused(f"{path} hides nothing; set to 0 (black, in a picture) what is to be completed", InputError):
        read_mask(path, (2, 2), 3)
    with pytest.raises(InputError, match="is a mask of shape"):
        read_mask(path, (4,), 3)
    with pytest.raises(InputError, match="there is no mask 'lft' and no such file"):
        mask_for("lft", (4,), 3)
