"""When a model is shown training rows between two steps, and what follows from it."""

from __future__ import annotations

from typing import final

import torch

from lowerbound.core import Batch
from lowerbound.data.rows import Sampler
from lowerbound.randomness import derive, reseed
from lowerbound.recipes.registry import Setup
from lowerbound.run.folder import modules_of
from lowerbound.training.start import spread


@final
class Meetings:
    """The meetings of a setup, each before a step of its own out of `steps`.

    Like a step, a meeting draws what is random from (seed, its step) alone. A checkpoint of that step was made before
    it, and holds all that it depends on, so a training that goes on from there holds it again, to the same numbers.
    """

    def __init__(self, setup: Setup, rows: Sampler, steps: int, seed: int, device: torch.device) -> None:
        self.setup, self.rows, self.steps, self.seed, self.device = setup, rows, steps, seed, device
        self.due = [(int(share * steps), meet) for share, meet in sorted(setup.meet.items())]

    def hold(self, step: int) -> bool:
        """Hold those that are due before this step, if any; tell whether there were."""
        now = [meet for number, meet in self.due if number == step]
        for meet in now:
            reseed(self.device, derive(self.seed, "meet", step))
            modules = modules_of(self.setup).eval()
            with torch.no_grad():
                meet(self._rows, step, self.steps)
            modules.train()
        return bool(now)

    def over(self, step: int) -> bool:
        """Whether none is left to be held, this step being the next."""
        return all(number < step for number, _ in self.due)

    def _rows(self, count: int) -> Batch:
        return self.setup.steady(self.rows.batch(spread(self.rows.count, count, self.device)))
