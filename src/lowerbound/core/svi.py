"""Inference datum by datum: a posterior for each, found by climbing its own evidence lower bound.

`SVI` is the algorithm as it is taught: draw x^i, climb in φ^i to the top, take one step in θ, repeat. `PerDatum` is its
practical form, in which a step of training moves the rows of a batch and the weights at once. `SemiAmortised` lets an
encoder say where the climb starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.batch import Batch, observed, rows
from lowerbound.core.conditionals import Conditional
from lowerbound.core.latent import Latent
from lowerbound.core.objectives import ELBO, total
from lowerbound.core.refinement import SharedDraws, paired_draws, refined
from lowerbound.core.table import Table


@final
@dataclass(frozen=True, eq=False)
class Climb:
    """How a batch's posteriors are improved under a model that stands still; see `refined`.

    It holds the model without owning it: what it climbs in belongs to the model that uses it.
    """

    model: Latent
    steps: int
    lr: float
    particles: int = 2

    def __call__(self, batch: Batch, q: Distribution) -> Distribution:
        """q at the end of the climb; each datum's depends on that datum alone, and on no seed."""
        draws = SharedDraws(0, q.mean.device)
        return self._climbed(batch, q, draw=draws)

    def through(self, batch: Batch, q: Distribution) -> Distribution:
        """The same with noise of torch's generator, and gradients back through the climb to q and to the model."""
        return self._climbed(batch, q, draw=paired_draws, through=True)

    def _climbed(self, batch: Batch, q: Distribution, **how: Any) -> Distribution:
        if not self.steps:
            return q
        return refined(self.model, batch, q, steps=self.steps, lr=self.lr, particles=self.particles, **how).q


@final
class PerDatum(Conditional):
    """In training the rows of a table, read by the batch's row numbers; else what a climb from the table's start finds.

    So data that have no row are inferred like those that have one, and what is measured never depends on what was
    trained on. Give a `Latent` reads=`whole`.
    """

    def __init__(self, table: Table, climb: Climb) -> None:
        super().__init__()
        self.table, self.climb = table, climb

    def forward(self, *given: object) -> Distribution:
        (batch,) = given
        assert isinstance(batch, Batch)
        if self.training:
            q: Distribution = self.table(*rows(batch))
            return q
        return self.climb(batch, self.table.start(batch.size))


@final
class SemiAmortised(Conditional):
    """An encoder's q, improved by a climb: in training by one that gradients pass through, else by one of its own.

    encoder: what it `reads` of a batch -> q. Give a `Latent` reads=`whole`.

    Yoon Kim, Sam Wiseman, Andrew C. Miller, David Sontag and Alexander M. Rush, "Semi-amortized variational
    autoencoders", 2018; Joseph Marino, Yisong Yue and Stephan Mandt, "Iterative amortized inference", 2018.
    """

    def __init__(
        self, encoder: Conditional, learning: Climb, measuring: Climb, reads: Callable[[Batch], Any] = observed
    ) -> None:
        super().__init__()
        self.encoder, self.learning, self.measuring, self.reads = encoder, learning, measuring, reads

    def forward(self, *given: object) -> Distribution:
        (batch,) = given
        assert isinstance(batch, Batch)
        q: Distribution = self.encoder(*self.reads(batch))
        return self.learning.through(batch, q) if self.training else self.measuring(batch, q)


def whole(batch: Batch) -> tuple[Batch]:
    """What a posterior reads that climbs: all of the batch."""
    return (batch,)


@final
class SVI:
    """Stochastic variational inference, step by step: draw x^i; climb in φ^i until it rises no more; one step in θ.

    model: a `Latent` whose posterior is a `Table`. data: all of it, row i of the table for datum i. weights: an
    optimiser of the other parameters. The climb goes on, `steps` at a time, until the evidence lower bound of the last
    quarter of them is, averaged over the data drawn, less than `tolerance` nats above that of the quarter before, or
    `rounds` are spent.

    >>> from torch import nn
    >>> from lowerbound.core import Bernoulli, standard_normal
    >>> model = Latent(standard_normal(2), Table(6, 2), Bernoulli(nn.Linear(2, 4)), rows)
    >>> data = Batch({"x": torch.ones(6, 4)}, index=torch.arange(6))
    >>> svi = SVI(model, data, torch.optim.SGD(model.likelihood.parameters(), 0.1))
    >>> bounds = [float(svi.step(torch.tensor([i]))) for i in (3, 1, 4)]

    Matthew D. Hoffman, David M. Blei, Chong Wang and John Paisley, "Stochastic variational inference", 2013.
    """

    def __init__(
        self,
        model: Latent,
        data: Batch,
        weights: torch.optim.Optimizer,
        *,
        tolerance: float = 0.01,
        steps: int = 100,
        rounds: int = 20,
        lr: float = 0.1,
    ) -> None:
        assert isinstance(model.posterior, Table)
        self.model, self.table, self.data, self.weights = model, model.posterior, data, weights
        self.tolerance, self.steps, self.rounds, self.lr = tolerance, steps, rounds, lr

    def step(self, drawn: Tensor) -> Tensor:
        """Settle the posteriors of the data drawn, step once in θ; return their evidence lower bound before it."""
        batch = self.data[drawn]
        self.settle(batch)
        self.weights.zero_grad()
        loss = total(ELBO()(self.model.trace(batch, 4)))
        loss.backward()
        self.table.zero_grad()
        self.weights.step()
        return -loss.detach()

    def settle(self, batch: Batch) -> None:
        """Climb in φ of this batch until it rises no more, and note it in the table."""
        q = self.table(*rows(batch))
        for _ in range(self.rounds):
            q, rise = refined(self.model, batch, q, steps=self.steps, lr=self.lr)
            if rise.mean() < self.tolerance:
                break
        self.table.note(*rows(batch), q)
