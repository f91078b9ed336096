"""A training step as `lowerbound train` takes it, by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import lowerbound
from lowerbound.core import total
from lowerbound.recipes import Setup
from lowerbound.run.settings import Settings
from lowerbound.training.acceleration import forward_context, forward_flops, mode, step_context
from lowerbound.training.loss import Loss
from lowerbound.training.optimiser import Optimiser

CPU = torch.device("cpu")


def training_step(setup: Setup, data: lowerbound.Dataset, precision: str, lr: float, batch: int) -> Callable[..., None]:
    """Rows, forward, backward, the gradient's norm and Adam, given row numbers; the precision as it chooses it."""
    rows, settings, loss = data.split("train").resident(CPU), Settings(precision=precision), Loss(setup)
    optimiser, clock = Optimiser(loss.parameters(), settings), torch.zeros((), dtype=torch.int64)
    how = mode(settings, CPU, lambda: forward_flops(setup, setup.see(rows.batch(torch.arange(batch)))))

    def step(index: Tensor) -> None:
        with step_context(how):
            with forward_context(how, CPU):
                terms = loss(setup.see(rows.batch(index)), clock)
            total(terms).backward()
            optimiser.step(lr)

    return step
