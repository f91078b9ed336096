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
from torch.distributions import Distribution, Independent

from lowerbound.core.batch import Batch, observed, rows
from lowerbound.core.conditionals import Conditional
from lowerbound.core.distributions import LogScaleNormal
from lowerbound.core.estimators import Pathwise, summed
from lowerbound.core.latent import Latent, Trace
from lowerbound.core.objectives import ELBO, AnalyticELBO, total
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
        if not self.steps:
            return q
        draw = SharedDraws(0, q.mean.device)
        return refined(self.model, batch, q, steps=self.steps, lr=self.lr, particles=self.particles, draw=draw).q


@final
@dataclass(frozen=True, eq=False)
class NaturalClimb:
    """A few steps uphill that gradients go back through, to the q they start from and to the model.

    μ ← μ + ρ σ² ∂ELBO/∂μ and log σ ← log σ + ρ/2 ∂ELBO/∂log σ, the gradients over the Fisher information of a
    factorised Gaussian, so that one rate ρ ≤ 1 suits all data and scales; log σ moves by ½ at most. (Gradients through
    Adam's first steps, which all have one size, taught an encoder little.)

    Shun-ichi Amari, "Natural gradient works efficiently in learning", 1998.
    """

    model: Latent
    steps: int
    rate: float
    particles: int = 2

    def __call__(self, batch: Batch, q: Distribution) -> Distribution:
        """q at the end of the steps; the draws are torch's generator's."""
        values = q.mean, q.stddev.log()
        slope = torch.func.grad(lambda *values: self._height(batch, gaussian(*values)), argnums=(0, 1))
        for _ in range(self.steps):
            values = self._moved(*values, *slope(*values))
        return gaussian(*values)

    def _moved(self, loc: Tensor, log_scale: Tensor, up: Tensor, wider: Tensor) -> tuple[Tensor, Tensor]:
        change = (0.5 * self.rate * wider).clamp(-0.5, 0.5)
        return loc + self.rate * (2 * log_scale).exp() * up, log_scale + change

    def _height(self, batch: Batch, q: Distribution) -> Tensor:
        """The evidence lower bound, summed over the data: each is climbed in by itself."""
        z = paired_draws(q, self.particles)
        trace = Trace(z, q, self.model.prior(batch.c), self.model.decode(z, batch.c), batch, Pathwise())
        return -summed(list(AnalyticELBO()(trace).values())).sum()


def gaussian(loc: Tensor, log_scale: Tensor) -> Distribution:
    """N(μ, diag σ²) over vectors."""
    return Independent(LogScaleNormal(loc, log_scale), 1, validate_args=False)


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
    """An encoder's q, improved by a climb: in training a short one that gradients go back through, else a longer one.

    encoder: what it `reads` of a batch -> q. Give a `Latent` reads=`whole`.

    Yoon Kim, Sam Wiseman, Andrew C. Miller, David Sontag and Alexander M. Rush, "Semi-amortized variational
    autoencoders", 2018; Joseph Marino, Yisong Yue and Stephan Mandt, "Iterative amortized inference", 2018.
    """

    def __init__(
        self, encoder: Conditional, learning: NaturalClimb, measuring: Climb, reads: Callable[[Batch], Any] = observed
    ) -> None:
        super().__init__()
        self.encoder, self.learning, self.measuring, self.reads = encoder, learning, measuring, reads

    def forward(self, *given: object) -> Distribution:
        (batch,) = given
        assert isinstance(batch, Batch)
        q: Distribution = self.encoder(*self.reads(batch))
        return self.learning(batch, q) if self.training else self.measuring(batch, q)


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
