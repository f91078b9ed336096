"""A moving average of the weights, often better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn


@final
class Average:
    """ā ← d·ā + (1 − d)·w after every step; with d = 0 it keeps nothing and stands for the weights themselves.

    Early on d is (1 + step)/(10 + step) if that is less, so that the average forgets the first weights.
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.

    Example:
        >>> weight = nn.Parameter(torch.zeros(1))
        >>> average = Average([weight], decay=0.5)
        >>> _ = weight.data.fill_(1.0)
        >>> average.follow(step=100)
        >>> with average.applied():
        ...     print(weight.item())
        0.5
        >>> weight.item()
        1.0
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.parameters = list(parameters) if decay else []
        self.values = copies(self.parameters)

    def follow(self, step: int) -> None:
        """Move towards the weights after step number `step`."""
        if self.values:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.values, [parameter.data for parameter in self.parameters], 1 - decay)

    def renew(self) -> None:
        """Begin anew at the weights as they are."""
        assign(self.values, self.parameters)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the weights for a while."""
        own = copies(self.parameters)
        assign(self.parameters, self.values)
        try:
            yield
        finally:
            assign(self.parameters, own)

    def state(self) -> dict[str, Tensor]:
        """Return the average by name."""
        return {str(number): value for number, value in enumerate(self.values)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        assign(self.values, [state[str(number)] for number in range(len(self.values))])


def copies(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return a copy of each tensor, outside of any graph."""
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def assign(targets: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    """Write each value into its target."""
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)
