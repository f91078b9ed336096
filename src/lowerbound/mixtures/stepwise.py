"""Stepwise EM: a mixture learns from each mini-batch as it comes, of data without end or too many to walk twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import final

import torch
from torch import Tensor

from lowerbound.mixtures.blocks import Block, Blocks, InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.em import START_ROWS, Until, begin, expectation, fit, maximisation
from lowerbound.mixtures.mixture import Expectation, Mixture
from lowerbound.mixtures.starts import KMeans, Start
from lowerbound.randomness import derive

BATCH = 4096
"""Rows of a mini-batch unless told otherwise."""


@final
@dataclass(frozen=True)
class Pace:
    """How far the t-th mini-batch moves the mean: γ_t = (t + delay)^-power.

    power: over ½ and at most 1; the nearer to ½, the quicker what was learnt at first is forgotten; with 1 (and no
    delay) all mini-batches count alike.

    >>> [round(Pace()(t), 3) for t in (1, 10, 1000)]
    [0.463, 0.176, 0.008]
    """

    power: float = 0.7
    delay: float = 2.0

    def __call__(self, step: int) -> float:
        """γ_t."""
        return float((step + self.delay) ** -self.power)


@final
@dataclass(frozen=True, eq=False)
class Stepwise:
    """A mixture on its way through a stream, and all that its next step depends on: a value, which can be kept.

    mean: the running mean of what E-steps found, a row (so its weight is 1). memory: of how many rows it is the mean,
    as the variance of a mean goes: 1 / Σ w², w being what each row counts for in it. steps, rows: mini-batches and
    weight of rows learnt from. reseeded: lost components that were seeded anew.

    Olivier Cappé and Eric Moulines, "On-line expectation-maximization algorithm for latent data models", 2009; Percy
    Liang and Dan Klein, "Online EM for unsupervised models", 2009.
    """

    mixture: Mixture
    mean: Expectation
    memory: float
    steps: int = 0
    rows: float = 0.0
    reseeded: int = 0

    @classmethod
    def at(cls, mixture: Mixture, first: Blocks) -> Stepwise:
        """Where a stream is met by a mixture that was fitted to `first`: the mean is that of an E-step over them."""
        found = expectation(mixture, first)
        return cls(mixture, found * (1 / found.weight), float(found.weight))

    @property
    def log_likelihood(self) -> Tensor:
        """The running mean of log p(x) of rows before they were learnt from, (R,) nats a row."""
        return self.mean.log_likelihood

    def learn(self, batch: Block, pace: Pace = Pace(), seed: int = 0) -> Stepwise:
        """One step: an E-step on the rows of a mini-batch, then the M-step that the running mean now makes.

        Components that are lost, by what the mean remembers, begin anew at rows of the mini-batch; see
        `em.maximisation`.
        """
        found, share = self.mixture.expect(batch), pace(self.steps + 1)
        weight = float(found.weight)
        mean = self.mean * (1 - share) + found * (share / weight)
        memory = 1 / ((1 - share) ** 2 / self.memory + share**2 / weight)
        generator = torch.Generator().manual_seed(derive(seed, "stepwise", self.steps))
        mixture, lost, mended = maximisation(self.mixture, mean * memory, batch.rows, generator)
        reseeded = self.reseeded + int(lost.sum())
        return Stepwise(mixture, mended * (1 / memory), memory, self.steps + 1, self.rows + weight, reseeded)


def set_out(
    family: Family,
    blocks: Blocks,
    components: int,
    restarts: int = 1,
    start: Start = KMeans(),  # noqa: B008
    until: Until = Until(steps=20),  # noqa: B008
    seed: int = 0,
) -> Stepwise:
    """Where a walk begins: at the likeliest of the mixtures that EM makes of a sample of the rows.

    So restarts compete on the sample, and one goes on.
    """
    generator = torch.Generator().manual_seed(derive(seed, "set out"))
    sample = InMemory(blocks.some(START_ROWS, generator), values=BATCH * blocks.width)
    found = fit(begin(family, sample, components, restarts, start, generator), sample, until)
    return Stepwise.at(found.mixture, sample)


def walk(
    state: Stepwise, blocks: Blocks, size: int = BATCH, passes: int = 1, pace: Pace = Pace(), seed: int = 0
) -> Iterator[Stepwise]:
    """The states after each mini-batch of so many passes over all rows, which are in another order in each.

    A state that was kept on the way goes on from where it was, to the same numbers.

    >>> from lowerbound.mixtures.gaussian import Full
    >>> generator = torch.Generator().manual_seed(0)
    >>> rows = InMemory(torch.cat([torch.randn(500, 1, generator=generator) + at for at in (-5.0, 5.0)]))
    >>> *_, last = walk(set_out(Full(), rows, 2), rows, size=50)
    >>> last.steps, last.mixture.components.loc.round().flatten().sort().values.tolist()
    (20, [-5.0, 5.0])
    """
    orders = (torch.Generator().manual_seed(derive(seed, "walk", number)) for number in range(passes))
    batches = chain.from_iterable(blocks.shuffled(size, order) for order in orders)
    for batch in islice(batches, state.steps, None):
        state = state.learn(batch, pace, seed)
        yield state
