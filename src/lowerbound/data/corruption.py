"""Corruptions: what a denoising model is shown in place of x, drawn anew at every call, on the values' device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor, nn

from lowerbound.data.spec import Variable
from lowerbound.data.views import View
from lowerbound.errors import InputError

CorruptionName = Literal["masking", "gaussian", "salt-and-pepper", "patches"]


@final
class Masking(nn.Module):
    """Each value is 0 with probability `share`, independently of the others.

    Pascal Vincent et al., "Stacked denoising autoencoders", 2010.

    Example:
        >>> Masking(1.0)(torch.ones(3))
        tensor([0., 0., 0.])
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """x with some of its values zero."""
        return torch.where(torch.rand_like(x) < self.share, 0, x)


@final
class Noise(nn.Module):
    """x + sigma·ε with ε ~ N(0, 1), kept within [low, high]; each a tensor that broadcasts to x.

    Example:
        >>> Noise(*torch.tensor([10.0, 0.0, 1.0]))(torch.full((100,), 0.5)).max()
        tensor(1.)
    """

    sigma: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, sigma: Tensor, low: Tensor, high: Tensor) -> None:
        super().__init__()
        for name, value in (("sigma", sigma), ("low", low), ("high", high)):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x with noise upon it."""
        return (x + self.sigma * torch.randn_like(x)).clamp(self.low, self.high)


@final
class SaltAndPepper(nn.Module):
    """Each value is `low` or `high` with probability `share`, either as often as the other.

    Example:
        >>> SaltAndPepper(1.0, *torch.tensor([0.0, 1.0]))(torch.full((100,), 0.5)).unique()
        tensor([0., 1.])
    """

    low: Tensor
    high: Tensor

    def __init__(self, share: float, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x with some of its values at an end of their range."""
        drawn = torch.rand_like(x)
        return torch.where(drawn < self.share / 2, self.low, torch.where(drawn < self.share, self.high, x))


@final
class MaskedPatches(nn.Module):
    """Of the squares of `side` pixels that a picture falls into, a share is 0, the same number in every picture.

    Values (..., *shape): pictures (H, W) or (H, W, C), or vectors, which fall into stretches; the last may be shorter.
    Kaiming He et al., "Masked autoencoders are scalable vision learners", 2022.

    Example:
        >>> MaskedPatches(0.5, (4, 4), side=2)(torch.ones(4, 4)).sum()
        tensor(8.)
    """

    def __init__(self, share: float, shape: Sequence[int], side: int) -> None:
        super().__init__()
        self.shape, self.side = tuple(shape), side
        self.grid = tuple(math.ceil(size / side) for size in self.shape[:2])
        self.count = round(share * math.prod(self.grid))

    def forward(self, x: Tensor) -> Tensor:
        """x with some squares of it zero."""
        return x.masked_fill(self._pixels(self._squares(x)), 0)

    def _squares(self, x: Tensor) -> Tensor:
        """Which squares to hide, (..., *grid): those of the least of as many random numbers."""
        lead = x.shape[: x.dim() - len(self.shape)]
        drawn = torch.rand(*lead, math.prod(self.grid), device=x.device)
        return (drawn.argsort(-1).argsort(-1) < self.count).reshape(*lead, *self.grid)

    def _pixels(self, squares: Tensor) -> Tensor:
        """Which values those are, the same in all channels."""
        for back, size in enumerate(reversed(self.shape[:2]), start=1):
            squares = squares.repeat_interleave(self.side, -back).narrow(-back, 0, size)
        return squares.reshape(*squares.shape, *(1,) * (len(self.shape) - 2))


def corruption_for(variable: Variable, view: View, name: CorruptionName, amount: float, side: int) -> nn.Module:
    """The corruption of this name for values of `variable` as `view` gives them.

    amount: the share of values, or of squares of `side` pixels, that are lost; for gaussian the noise's standard
    deviation, in units of the data's range, or of the spread of standardised values.

    Raises:
        InputError: a share above one.

    Example:
        >>> from lowerbound.data.views import Identity
        >>> type(corruption_for(Variable("x", "unit", (8, 8), 0, 1), Identity(), "patches", 0.5, 4)).__name__
        'MaskedPatches'
    """
    if name != "gaussian" and amount > 1:
        raise InputError(f"the amount of {name} is a share of the values, at most 1, not {amount:g}")
    low, high = (view.expected(torch.full(variable.shape, float(end))) for end in (variable.low, variable.high))
    unit = torch.ones_like(low) if variable.kind == "real" else high - low
    made: dict[str, nn.Module] = {
        "masking": Masking(amount),
        "gaussian": Noise(amount * unit, low, high),
        "salt-and-pepper": SaltAndPepper(amount, low, high),
        "patches": MaskedPatches(amount, variable.shape, side),
    }
    return made[name]
