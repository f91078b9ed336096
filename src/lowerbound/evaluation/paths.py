"""Paths from one code to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from lowerbound.errors import InputError

Kind = Literal["linear", "spherical"]
"""The straight line, or the arc on which a standard normal has its mass."""


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1−t)·a + t·b for t (T, 1) and codes (D,) -> (T, D).

    >>> linear(torch.zeros(1), torch.ones(1), torch.tensor([[0.0], [0.5], [1.0]])).flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """
    return (1 - t) * a + t * b


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """sin((1−t)ω)/sin ω · a + sin(tω)/sin ω · b, with ω the angle between the codes; (T, D).

    In many dimensions a standard normal lies close to a sphere, so this path stays where the prior has its mass and
    the straight one does not. Codes (almost) on one line have no plane to turn in: theirs is the straight path.
    Ken Shoemake, "Animating rotation with quaternion curves", 1985; Tom White, "Sampling generative networks", 2016.

    >>> spherical(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([[0.5]]))
    tensor([[0.7071, 0.7071]])
    """
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1)
    if 1 - cosine.abs() < 1e-6 or not (a.any() and b.any()):
        return linear(a, b, t)
    angle = torch.arccos(cosine)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


PATHS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"linear": linear, "spherical": spherical}


def path(a: Tensor, b: Tensor, steps: int, kind: str) -> Tensor:
    """`steps` codes from a to b (D,), both ends included; (steps, D).

    Raises:
        InputError: fewer than two steps, or a kind that is neither "linear" nor "spherical".
    """
    if kind not in PATHS:
        raise InputError(f"there is no interpolation {kind!r}; choose one of: {', '.join(PATHS)}")
    if steps < 2:
        raise InputError(f"a path needs 2 steps or more, its two ends, not {steps}")
    t = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device)[:, None]
    return PATHS[kind](a, b, t)


def axes(start: Tensor, dims: Sequence[int], places: Tensor) -> Tensor:
    """Codes that leave `start` (D,) along one dimension each: in row r, dimension dims[r] takes the values places[r].

    places: (R, S). Returns (R, S, D).

    >>> axes(torch.zeros(2), [1], torch.tensor([[-1.0, 1.0]])).tolist()
    [[[0.0, -1.0], [0.0, 1.0]]]
    """
    codes = start.expand(*places.shape, -1).clone()
    for row, dim in enumerate(dims):
        codes[row, :, dim] = places[row]
    return codes
