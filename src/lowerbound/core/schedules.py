"""Weights that change with the step. Each is a module, so a step counter on the device costs no host read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn


class Schedule(nn.Module, ABC):
    """A weight as a function of the step; without a step, its final value."""

    @abstractmethod
    def forward(self, step: Tensor | None = None) -> Tensor:
        """The weight, a scalar tensor."""


@final
class Constant(Schedule):
    """The same weight throughout."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value: Tensor
        self.register_buffer("value", torch.tensor(float(value)), persistent=False)

    def forward(self, step: Tensor | None = None) -> Tensor:
        return self.value


@final
class WarmUp(Schedule):
    """From 0 up to `value` over so many steps, then flat.

    Casper Kaae Sønderby et al., "Ladder variational autoencoders", 2016.

    >>> WarmUp(100)(torch.tensor(25)), WarmUp(100)()
    (tensor(0.2500), tensor(1.))
    """

    def __init__(self, steps: int, value: float = 1.0) -> None:
        super().__init__()
        self.value: Tensor
        self.register_buffer("value", torch.tensor(float(value)), persistent=False)
        self.steps = positive(steps)

    def forward(self, step: Tensor | None = None) -> Tensor:
        fraction = 1.0 if step is None else (step / self.steps).clamp(max=1.0)
        return self.value * fraction


@final
class Cyclical(Schedule):
    """Rises from 0 to `value` over the first `rising` share of each period, holds for the rest, and starts again.

    cycles: how many periods there are; then it holds for good. Without a number they never end.

    Hao Fu et al., "Cyclical annealing schedule: a simple approach to mitigating KL vanishing", 2019.

    >>> [float(Cyclical(100)(torch.tensor(s))) for s in (0, 25, 50, 99, 100)]
    [0.0, 0.5, 1.0, 1.0, 0.0]
    >>> float(Cyclical(100, cycles=1)(torch.tensor(100)))
    1.0
    """

    def __init__(self, period: int, value: float = 1.0, rising: float = 0.5, cycles: int | None = None) -> None:
        super().__init__()
        if not 0 < rising <= 1:
            raise ValueError(f"rising is a share of the period, over 0 and at most 1, not {rising}")
        self.value: Tensor
        self.register_buffer("value", torch.tensor(float(value)), persistent=False)
        self.period, self.rising = positive(period), rising
        self.end = math.inf if cycles is None else cycles * period

    def forward(self, step: Tensor | None = None) -> Tensor:
        if step is None:
            return self.value
        rise = ((step % self.period) / (self.period * self.rising)).clamp(max=1.0)
        return self.value * torch.where(step < self.end, rise, 1.0)


NEVER = 1 << 62


@final
class Since(Schedule):
    """Zero until it is told to begin, then in a straight line up to `value` over as many steps as it is told.

    Both are kept with the weights, so that a training that goes on from a checkpoint knows them.

    >>> weight = Since()
    >>> weight(torch.tensor(500))
    tensor(0.)
    >>> weight.begin(500, over=100)
    >>> weight(torch.tensor(525)), weight()
    (tensor(0.2500), tensor(1.))
    """

    began: Tensor
    over: Tensor

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value: Tensor
        self.register_buffer("value", torch.tensor(float(value)), persistent=False)
        self.register_buffer("began", torch.tensor(NEVER))
        self.register_buffer("over", torch.tensor(1))

    def begin(self, step: int, over: int) -> None:
        """Rise from step number `step` on; over no steps at all, stand at the full value from there."""
        self.began.fill_(step if over else step - 1)
        self.over.fill_(max(1, over))

    def forward(self, step: Tensor | None = None) -> Tensor:
        fraction = 1.0 if step is None else ((step - self.began) / self.over).clamp(0.0, 1.0)
        return self.value * fraction


def positive(steps: int) -> int:
    """steps, if it is at least one."""
    if steps < 1:
        raise ValueError(f"a schedule needs at least one step, not {steps}")
    return steps
