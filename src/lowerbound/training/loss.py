"""The number that training lowers, as one module: what torch.compile builds and what processes share."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from lowerbound.core import Batch
from lowerbound.recipes.registry import Setup
from lowerbound.run.folder import modules_of


@final
class Loss(nn.Module):
    """A setup's views, model and objective in a row.

    stored values -> values the likelihood speaks of -> trace -> terms of the objective, in nats per datum
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup = setup
        self.parts = modules_of(setup)

    def forward(self, seen: Batch, step: Tensor) -> dict[str, Tensor]:
        """Return the mean over the batch of each term, in nats."""
        return {name: term.mean() for name, term in self.terms(seen, step).items()}

    def terms(self, seen: Batch, step: Tensor | None = None) -> dict[str, Tensor]:
        """Return each datum's terms (B,), in nats; without a step, schedules stand at their end."""
        setup = self.setup
        trace = setup.model.trace(seen, setup.particles, setup.estimator)
        terms: dict[str, Tensor] = setup.objective(trace, step)
        return terms
