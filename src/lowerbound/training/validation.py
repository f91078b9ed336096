"""The objective on the validation split: the same rows under the same noise each time, its schedules at their end."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import final

import torch
from torch import Tensor

from lowerbound.data.rows import Sampler
from lowerbound.distributed import World
from lowerbound.randomness import derive, reseed
from lowerbound.training.loss import Loss
from lowerbound.training.start import spread

ROWS_PER_TRAINING_ROW = 4
"""No graph is kept here, so four times the rows take less memory than a step of training."""


@final
class Validation:
    """What training maximises, on some rows, under noise that `seed` fixes; the processes share the rows.

    It is minus the objective's total: the evidence lower bound where that is the objective. Of more than `most` rows,
    that many at even distances are looked at.
    """

    def __init__(
        self, rows: Sampler, batch_size: int, seed: int, device: torch.device, world: World, most: int | None = None
    ) -> None:
        self.rows, self.seed, self.device, self.world = rows, seed, device, world
        numbers = spread(rows.count, most or rows.count, device)
        self.batches = numbers.split(ROWS_PER_TRAINING_ROW * batch_size)

    @torch.no_grad()
    def score(self, loss: Loss, context: AbstractContextManager[object]) -> float:
        """Return the mean over the rows, in nats per datum as given, NaN where there are none.

        `context` is the precision training runs in.
        """
        if not self.rows.count:
            return math.nan
        loss.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number in range(self.world.rank, len(self.batches), self.world.size):
            reseed(self.device, derive(self.seed, "validation", number))
            with context:
                sums += self._sums(loss, self.batches[number])
        loss.train()
        scores, count = self.world.sum(sums).tolist()
        return float(scores / count)

    def _sums(self, loss: Loss, index: Tensor) -> Tensor:
        raw = self.rows.batch(index)
        terms = loss.terms(seen := loss.setup.see(raw))
        scores = loss.setup.volumes(seen).sum(dtype=torch.float64)
        scores = scores - torch.stack(list(terms.values())).sum(dtype=torch.float64)
        return torch.stack([scores, torch.full_like(scores, len(index))])
