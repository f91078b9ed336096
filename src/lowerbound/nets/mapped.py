"""Functions of tensors as networks without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor, nn


@final
class Mapped(nn.Module):
    """A network that does what a function does.

    >>> import torch
    >>> Mapped(torch.exp)(torch.zeros(2))
    tensor([1., 1.])
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given: Tensor) -> Tensor:
        """function(*given)."""
        return self.function(*given)


@final
class Scaled(nn.Module):
    """slope·x + shift.

    >>> import torch
    >>> to_unit = Scaled(0.5, 0.5)
    >>> to_unit(torch.tensor([-1.0, 1.0])), to_unit.inverse(torch.tensor([1.0]))
    (tensor([0., 1.]), tensor([1.]))
    """

    def __init__(self, slope: float, shift: float) -> None:
        super().__init__()
        self.slope, self.shift = slope, shift

    def forward(self, x: Tensor) -> Tensor:
        """slope·x + shift."""
        return self.slope * x + self.shift

    def inverse(self, y: Tensor) -> Tensor:
        """(y − shift) / slope."""
        return (y - self.shift) / self.slope
