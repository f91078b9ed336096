"""Adam over the rows of a table: a step reads and writes the rows of the batch, however many the table has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lowerbound.core.table import Table

BETAS = (0.9, 0.999)


@final
class RowwiseAdam:
    """Adam for a parameter with a sparse gradient, as if each row were a parameter by itself.

    Every row has moments and a count of steps of its own, so rows outside the batch stand still, and the bias of the
    moments is corrected by the steps that the row has seen. Nothing in a step makes the host wait for the device.

    Example:
        >>> table = Table(1000, 2)
        >>> adam = RowwiseAdam(table, epsilon=1e-8)
        >>> table(torch.tensor([3])).mean.sum().backward()
        >>> gradient = adam.take()
        >>> adam.step(0.5, finite=torch.tensor(True), shrink=torch.tensor(1.0))
        >>> table.rows.weight[2:4].tolist()
        [[0.0, 0.0, 0.0, 0.0], [-0.5, -0.5, 0.0, 0.0]]
    """

    def __init__(self, table: Table, epsilon: float) -> None:
        self.weight, self.pace, self.epsilon = table.rows.weight, table.pace, epsilon
        count = len(self.weight)
        self.first, self.second = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
        self.steps = self.weight.new_zeros(count, 1)
        self.owner = torch.zeros(count, dtype=torch.int64, device=self.weight.device)
        self.index = self.owner[:0]
        self.gradient = self.weight.detach()[:0]

    def take(self) -> Tensor:
        """Take the gradient off the table, and return numbers with its norm.

        A row that was read several times has its gradients added up: into one of its places, the owner, for the norm,
        and from there into all of them, so that all write the same.
        """
        if self.weight.grad is None:
            self.index, self.gradient = self.index[:0], self.gradient[:0]
            return self.gradient
        index, values = self.weight.grad._indices()[0], self.weight.grad._values()
        self.weight.grad = None
        self.owner.index_copy_(0, index, torch.arange(len(index), device=index.device))
        owner = self.owner.index_select(0, index)
        summed = torch.zeros_like(values).index_add_(0, owner, values)
        self.index, self.gradient = index, summed.index_select(0, owner)
        return summed

    @torch.no_grad()
    def step(self, rate: float, finite: Tensor, shrink: Tensor) -> None:
        """Step the rows of the gradient taken, divided by `shrink`; where it was not finite, leave all as it is."""
        counts = finite.to(self.weight.dtype)
        gradient = self.gradient.div_(shrink).masked_fill_(~finite, 0)
        held = (self.weight, self.first, self.second, self.steps)
        row, first, second, steps = (each.index_select(0, self.index) for each in held)
        steps += counts
        first.lerp_(gradient, counts * (1 - BETAS[0]))
        second.lerp_(gradient.square_(), counts * (1 - BETAS[1]))
        row -= self._change(first, second, steps.clamp(min=1), rate).mul_(counts)
        for target, value in zip(held, (row, first, second, steps)):
            target.index_copy_(0, self.index, value)

    def state(self) -> dict[str, Tensor]:
        """Return the moments and the counts of steps."""
        return {"first": self.first, "second": self.second, "steps": self.steps}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        for name, value in self.state().items():
            value.copy_(state[name])

    def _change(self, first: Tensor, second: Tensor, steps: Tensor, rate: float) -> Tensor:
        """rate · m̂ / (√v̂ + ε), with both moments freed of their bias towards the zeros they began as."""
        seen = [-torch.expm1(steps * math.log(beta)) for beta in BETAS]
        size = second.div(seen[1]).sqrt_().add_(self.epsilon)
        return torch.div(first, size, out=size).mul_(rate * self.pace / seen[0])
