"""A network whose last dimension is read as a shape."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn


@final
class Shaped(nn.Module):
    """What `net` gives, `(..., n)`, as `(..., *shape)`; it may be given a condition beside its input.

    Example:
        >>> import torch
        >>> Shaped(nn.Linear(4, 6), (3, 2))(torch.zeros(5, 4)).shape
        torch.Size([5, 3, 2])
    """

    def __init__(self, net: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.add_module("0", net)  # the name that weights were saved under when this was an `nn.Sequential`
        self.shape = shape

    def forward(self, *given: Any) -> Tensor:
        """As the network is called."""
        out: Tensor = self.get_submodule("0")(*given)
        return out.unflatten(-1, self.shape)
