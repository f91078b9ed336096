"""Leading dimensions: any number of them before the event, none included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from lowerbound.errors import InputError


@final
class Leading(nn.Module):
    """A network that wants exactly one batch dimension, made to take any number of leading dimensions.

    x `(..., *event)` is folded to `(N, *event)` for `net`, and its output `(N, *out)` unfolded to `(..., *out)`.
    A layer such as `nn.Linear` needs no such help; a convolution does.

    Example:
        >>> import torch
        >>> pictures = Leading(torch.nn.Conv2d(3, 8, 3), event=3)
        >>> pictures(torch.zeros(5, 2, 3, 16, 16)).shape
        torch.Size([5, 2, 8, 14, 14])
        >>> pictures(torch.zeros(3, 16, 16)).shape
        torch.Size([8, 14, 14])
    """

    def __init__(self, net: nn.Module, event: int) -> None:
        super().__init__()
        self.net, self.event = net, event

    def forward(self, x: Tensor) -> Tensor:
        """`(..., *event)` to `(..., *out)`."""
        split = x.dim() - self.event
        out = self.net(x.reshape(math.prod(x.shape[:split]), *x.shape[split:]))
        return out.reshape(*x.shape[:split], *out.shape[1:])


def join(x: Tensor, c: Tensor | None) -> Tensor:
    """Concatenate a condition to a vector, `(..., d)` and `(..., n)` to `(..., d + n)`.

    Their leading dimensions broadcast. Without a condition the vector is returned as it is.

    Example:
        >>> import torch
        >>> join(torch.zeros(7, 5, 3), torch.ones(5, 2)).shape
        torch.Size([7, 5, 5])
        >>> join(torch.zeros(3), None).shape
        torch.Size([3])
    """
    if c is None:
        return x
    lead = x.shape[:-1]
    if c.shape[:-1] != lead:
        lead = torch.broadcast_shapes(lead, c.shape[:-1])
    return torch.cat((x.expand(*lead, x.shape[-1]), c.expand(*lead, c.shape[-1])), -1)


def require_event(x: Tensor, shape: Sequence[int]) -> None:
    """Refuse values whose last dimensions are not `shape`."""
    if tuple(x.shape[max(x.dim() - len(shape), 0) :]) != tuple(shape):
        raise InputError(
            f"the network takes values of shape (..., {_listed(shape)}) and was given {tuple(x.shape)}; "
            "reshape the data, or build the network for this shape"
        )


def require_condition(c: Tensor | None, width: int) -> None:
    """Refuse a condition that is missing, not asked for, or not `width` numbers wide."""
    given = 0 if c is None else c.shape[-1]
    if given != width:
        raise InputError(
            f"the network was built for a condition of {width} numbers and was given {given}; "
            "pass a condition of that width, or build the network with another `condition`"
        )


def _listed(shape: Sequence[int]) -> str:
    return ", ".join(str(size) for size in shape)
