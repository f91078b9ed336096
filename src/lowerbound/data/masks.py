"""Masks: which values of a datum are observed, by name, by chance or from a file; the others are to be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from lowerbound.core.batch import Batch
from lowerbound.core.evidence import evidence
from lowerbound.errors import InputError

MaskName = Literal[
    "bottom", "top", "left", "right", "quadrants", "quadrants-1", "quadrants-2", "quadrants-3", "random", "all"
]
"""What is hidden: a half; of four quadrants all but one, two or three; values here and there; or everything."""

Quadrant = tuple[int, int]
"""Down and across, each 0 or 1."""

ALL_FOUR: tuple[Quadrant, ...] = tuple(product((0, 1), (0, 1)))

OBSERVED: Mapping[str, tuple[Quadrant, ...]] = {
    "bottom": ((0, 0), (0, 1)),
    "top": ((1, 0), (1, 1)),
    "left": ((0, 1), (1, 1)),
    "right": ((0, 0), (1, 0)),
    "quadrants-1": ((1, 0),),
    "quadrants-2": ((0, 0), (1, 0)),
    "quadrants-3": ((0, 0), (0, 1), (1, 0)),
    "all": (),
}
"""Which quadrants are observed under the name of what is hidden."""

Weighed = tuple[Tensor, float]
"""With what chance each value is observed, and how often that is so."""


@final
class Masks(nn.Module):
    """Masks drawn row by row, each of these names as often as the others: (rows, *shape), True where observed.

    bottom, top, left, right: that half is hidden. quadrants-1, -2, -3: so many quadrants of a picture are observed: the
    lower left; the left half; all but the lower right. So do Kihyuk Sohn, Honglak Lee and Xinchen Yan, "Learning
    structured output representation using deep conditional generative models", 2015, as Pyro's tutorial reads them.
    quadrants: one, two or three of the four, whichever. random: each value is hidden with probability `share`, which is
    drawn anew for each row where it is None. all: everything is hidden.

    Pictures (H, W) or (H, W, C) are cut alike in all channels; a vector has a left and a right half alone. Drawn from
    torch's global generator.

    Raises:
        InputError: no name, or one that does not fit the shape.

    Example:
        >>> Masks((2, 4), ["quadrants-1"])(1).int()
        tensor([[[0, 0, 0, 0],
                 [1, 1, 0, 0]]], dtype=torch.int32)
    """

    chances: Tensor
    weights: Tensor

    def __init__(self, shape: tuple[int, ...], names: Sequence[str], share: float | None = None) -> None:
        super().__init__()
        if not names:
            raise InputError(f"masks are drawn by name; give one or more of: {', '.join(get_args(MaskName))}")
        chances, weights = zip(*(each for name in names for each in _weighed(name, shape, share)))
        self.register_buffer("chances", torch.stack(chances), persistent=False)
        self.register_buffer("weights", torch.tensor(weights), persistent=False)

    def forward(self, rows: int) -> Tensor:
        """(rows, *shape), True where observed."""
        chance = self.chances[torch.multinomial(self.weights, rows, replacement=True)]
        anew = torch.rand(rows, *(1 for _ in chance.shape[1:]), device=chance.device)
        return torch.rand_like(chance) < torch.where(chance.isnan(), anew, chance)


@final
class Hiding(nn.Module):
    """A batch of one variable with part of it told as the condition, and the rest of it left to be scored.

    What is missing is neither told nor scored.

    Example:
        >>> hiding = Hiding("x", Masks((2,), ["right"]))
        >>> seen = hiding(Batch({"x": torch.tensor([[3.0, 4.0]])}))
        >>> seen.c, seen.mask["x"]
        (tensor([[[3., 0.],
                 [1., 0.]]]), tensor([[False,  True]]))
    """

    def __init__(self, name: str, masks: Masks) -> None:
        super().__init__()
        self.name, self.masks = name, masks

    def forward(self, seen: Batch) -> Batch:
        return told(seen, self.name, self.masks(seen.size))


def told(seen: Batch, name: str, observed: Tensor) -> Batch:
    """The batch whose condition tells of a variable what is marked (B, *event), and whose mask is of the rest."""
    mask = seen.mask_of(name)
    known = observed if mask is None else observed & mask
    hidden = ~observed if mask is None else ~observed & mask
    return replace(seen, c=evidence(seen.x[name], known), mask={name: hidden})


def _weighed(name: str, shape: tuple[int, ...], share: float | None) -> Iterator[Weighed]:
    if name == "random":
        yield torch.full(shape, torch.nan if share is None else 1 - share), 1.0
    elif name == "quadrants":
        for number in (1, 2, 3):
            chosen = list(combinations(ALL_FOUR, number))
            yield from ((_quarters(name, shape, each), 1 / (3 * len(chosen))) for each in chosen)
    else:
        yield _quarters(name, shape, OBSERVED[name]), 1.0


def _quarters(name: str, shape: tuple[int, ...], observed: Sequence[Quadrant]) -> Tensor:
    """1 in these quadrants, 0 elsewhere."""
    if len(shape) not in (2, 3) and name not in ("left", "right", "all"):
        raise InputError(f"the mask {name} is of pictures, and the data have shape {shape}; use random, left or right")
    height, width = (1, *shape)[-2:] if len(shape) == 1 else shape[:2]
    chance = torch.zeros(height, width)
    for down, across in observed:
        chance[_half(height, down), _half(width, across)] = 1
    return (
        chance.reshape(shape)
        if len(shape) == 1
        else chance.reshape(*chance.shape, *(1,) * (len(shape) - 2)).expand(shape)
    )


def _half(size: int, second: int) -> slice:
    return slice(size // 2, size) if second else slice(0, size // 2)
