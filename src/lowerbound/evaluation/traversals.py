"""What becomes of one code as one dimension after another leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.arguments import Count, conformed
from lowerbound.errors import InputError
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.codes import Spread
from lowerbound.evaluation.making import changed, decoded
from lowerbound.evaluation.paths import axes
from lowerbound.evaluation.rawdata import Array, Values

SHOWN_DIMENSIONS = 10
"""Dimensions that a traversal shows unless told which."""


class Traversal(NamedTuple):
    """What becomes of one code as one dimension after another leaves it.

    x: data, (R, S, ...) of each variable: in row r dimension dims[r] takes its S values, the others stay. dims: (R,).
    values: (R, S), those values.
    """

    x: Values
    dims: tuple[int, ...]
    values: Array


def traversed(
    asking: Asking, spread: Spread, origin: Tensor, dims: Sequence[int] | None, steps: int, reach: float
) -> Traversal:
    """The code `origin` (D,) decoded as dimensions run over centre ± reach · scale, each in `steps` steps."""
    count: int = conformed("steps", steps, Count)
    chosen = _chosen(spread.order[:SHOWN_DIMENSIONS] if dims is None else dims, len(spread.centre))
    offsets = torch.linspace(-reach, reach, count, dtype=spread.centre.dtype)
    values = spread.centre[chosen, None] + offsets * spread.scale[chosen, None]
    found = decoded(asking, axes(origin, chosen, values).flatten(0, 1).numpy())
    x = changed(found, lambda data: data.reshape(-1, count, *data.shape[1:]))
    return Traversal(x, tuple(chosen), values.numpy())


def _chosen(dims: Sequence[int], width: int) -> list[int]:
    for dim in dims:
        if not 0 <= dim < width:
            raise InputError(f"the codes have dimensions 0 to {width - 1}, and no dimension {dim}")
    return [int(dim) for dim in dims]
