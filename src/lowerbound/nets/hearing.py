"""A network that is told a part of a condition."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class Hearing(nn.Module):
    """A network that is told the numbers of the condition from `start` to `stop`, and nothing of the others.

    The condition is what is given last. forget: the share of those numbers that is withheld in training, each by
    chance, so that the network does not lean on any one of them.

    Example:
        >>> import torch
        >>> state, words = Hearing(nn.Identity(), 0, 2), Hearing(nn.Identity(), 2, 5)
        >>> c = torch.arange(5.0)
        >>> state(c), words(c)
        (tensor([0., 1.]), tensor([2., 3., 4.]))
    """

    def __init__(self, net: nn.Module, start: int, stop: int, forget: float = 0.0) -> None:
        super().__init__()
        self.net, self.start, self.stop, self.forget = net, start, stop, nn.Dropout(forget)

    def forward(self, *given: Tensor) -> Tensor:
        """What the network gives of all but the last, and a part of the last."""
        *others, c = given
        told: Tensor = self.net(*others, self.forget(c[..., self.start : self.stop]))
        return told
