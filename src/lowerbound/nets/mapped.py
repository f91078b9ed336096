"""A function of tensors as a network without weights."""

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
