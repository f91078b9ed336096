"""A network that is told which values of a datum were observed."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from lowerbound.nets.leading import join


@final
class Observing(nn.Module):
    """An encoder of a datum that has which of its values were observed for a condition.

    So a zero that was observed and one that stands for what was not are told apart.

    Args:
        net: a network from x `(..., *x_shape)` and a condition of as many numbers as x has values, and those of c.
        event: dimensions of a datum.

    Example:
        >>> import torch
        >>> from lowerbound.nets import encoder
        >>> net = Observing(encoder("mlp", (5,), 4, (8,), "tanh", condition=5), event=1)
        >>> x, mask = torch.zeros(3, 5), torch.ones(3, 5)
        >>> net(torch.stack([x, mask], dim=-2)).shape
        torch.Size([3, 4])
    """

    def __init__(self, net: nn.Module, event: int) -> None:
        super().__init__()
        self.net, self.event = net, event

    def forward(self, pair: Tensor, c: Tensor | None = None) -> Tensor:
        """`(..., 2, *x_shape)`, x and its mask of 0 and 1, and perhaps a condition, to what the network gives."""
        x, mask = pair.unbind(-1 - self.event)
        return self.net(x, join(mask.flatten(mask.dim() - self.event), c))
