"""Networks that are told a part of a condition, or forget some of it."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn


@final
class Hearing(nn.Module):
    """A network that is told the numbers of the condition from `start` to `stop`, and nothing of the others.

    The condition is what is given last.

    Example:
        >>> state, words = Hearing(nn.Identity(), 0, 2), Hearing(nn.Identity(), 2, 5)
        >>> c = torch.arange(5.0)
        >>> state(c), words(c)
        (tensor([0., 1.]), tensor([2., 3., 4.]))
    """

    def __init__(self, net: nn.Module, start: int, stop: int) -> None:
        super().__init__()
        self.net, self.start, self.stop = net, start, stop

    def forward(self, *given: Tensor) -> Tensor:
        """What the network gives of all but the last, and of a part of the last."""
        *others, c = given
        told: Tensor = self.net(*others, c[..., self.start : self.stop])
        return told


@final
class Forgetting(nn.Module):
    """A network from which in training a share of the condition's last numbers is withheld, each by chance.

    The condition is what is given last; `last` is how many of its numbers may be forgotten, the others being scaled up
    as in dropout. So a network does not lean on any one of them.

    Example:
        >>> Forgetting(nn.Identity(), last=2, share=0.5).eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def __init__(self, net: nn.Module, last: int, share: float) -> None:
        super().__init__()
        self.net, self.last, self.forget = net, last, nn.Dropout(share)

    def forward(self, *given: Tensor) -> Tensor:
        """What the network gives of all but the last, and of what is remembered of the last."""
        *others, c = given
        kept, risked = c[..., : -self.last], c[..., -self.last :]
        told: Tensor = self.net(*others, torch.cat([kept, self.forget(risked)], -1))
        return told
