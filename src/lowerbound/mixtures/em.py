"""Expectation and maximisation: from a start to a mixture that no step makes likelier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, final

import torch
from torch import Tensor

from lowerbound.mixtures.blocks import Blocks
from lowerbound.mixtures.components import Components, Family
from lowerbound.mixtures.mixture import Expectation, Mixture, summed
from lowerbound.mixtures.starts import KMeans, Scaling, Start, nearest
from lowerbound.mixtures.weights import Proportions, Weighting

START_ROWS = 20_000
"""Rows among which first centres are looked for."""
SPARE_ROWS = 512
"""Rows among which a lost component finds a new place."""


@final
@dataclass(frozen=True)
class Until:
    """When EM stops: once a step adds less than `tolerance` nats a row to the bound, or after so many steps."""

    tolerance: float = 1e-3
    steps: int = 100


@final
@dataclass(frozen=True, eq=False)
class Fit:
    """What EM found.

    mixture: the likeliest of the restarts. bound: its log-likelihood and penalty at the last E-step, nats a row.
    history: the bounds of every restart, a list a restart. converged, steps: of the likeliest. reseeded: how many lost
    components were seeded anew, over all restarts and steps; at such a step alone may a bound fall.
    """

    mixture: Mixture
    bound: float
    history: list[list[float]]
    converged: bool
    steps: int
    reseeded: int


def begin(
    family: Family,
    blocks: Blocks,
    components: int,
    restarts: int = 1,
    start: Start = KMeans(),  # noqa: B008
    generator: torch.Generator | None = None,
    weights: Weighting = Proportions.even,
) -> Mixture:
    """R mixtures whose components are each fitted to the rows that are nearest to one of the start's centres.

    In double precision, whatever the rows are: how narrow the components are is not known yet.
    """
    generator = generator or torch.Generator().manual_seed(0)
    rows = blocks.some(START_ROWS, generator)
    pooled = _sound(family.pooled(rows, restarts, components))
    scaling = Scaling.of(rows)
    centres = start.centres(scaling(rows), scaling, restarts, components, generator)
    first = Mixture(weights(restarts, components, rows.device), pooled)
    length = first.rows_at_once(rows.device)
    parts = (part for block in blocks for part in zip(block.rows.split(length), block.weights.split(length)))
    found = summed(_assigned(pooled, x.double(), w, nearest(scaling(x), centres)) for x, w in parts)
    return maximisation(first, found, rows[:SPARE_ROWS], generator).mixture


def expectation(mixture: Mixture, blocks: Blocks) -> Expectation:
    """The E-step over all rows."""
    return summed(map(mixture.expect, blocks))


def fit(mixture: Mixture, blocks: Blocks, until: Until = Until()) -> Fit:
    """Climb from each of the R mixtures until the last of them stands still, and keep the likeliest.

    Those that stand still leave, so that the others climb on at less cost. Arthur P. Dempster, Nan M. Laird and Donald
    B. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977.

    Raises:
        ValueError: a component has no density even if it is fitted to all rows (a constant column without a floor).
    """
    generator = torch.Generator().manual_seed(0)
    spare = blocks.some(SPARE_ROWS, generator)
    climbers = _Climbers.at(mixture)
    for step in range(1, until.steps + 1):
        found = expectation(climbers.mixture, blocks)
        higher, lost, _ = maximisation(climbers.mixture, found, spare, generator)
        climbers = climbers.moved(higher, found, lost, until.tolerance, step == until.steps)
        if not climbers.left:
            break
    return climbers.best()


class Maximised(NamedTuple):
    """What the M-step made; which components (R, K) were lost and begin anew; and the sums it was made from."""

    mixture: Mixture
    lost: Tensor
    found: Expectation


def maximisation(mixture: Mixture, found: Expectation, spare: Tensor, generator: torch.Generator) -> Maximised:
    """The M-step, in which lost components begin anew at some of the spare rows.

    A component is lost if it counts for less than half a row, or if its covariance is singular.
    """
    higher = mixture.refit(found)
    lost = (found.counts < mixture.weights.least) | ~higher.components.sound
    if not lost.any():
        return Maximised(higher, lost, found)
    mended = _reseeded(mixture, found, lost, _badly_explained(mixture, spare, generator), spare)
    higher = mixture.refit(mended)
    _sound(higher.components)
    return Maximised(higher, lost, mended)


@final
@dataclass(frozen=True, eq=False)
class _Peak:
    """Where one restart came to stand."""

    bound: float
    mixture: Mixture
    converged: bool
    steps: int


@final
@dataclass(frozen=True, eq=False)
class _Climbers:
    """The restarts on their way. mixture: those that move; left: their numbers; histories: the bounds of all."""

    mixture: Mixture
    left: list[int]
    histories: list[list[float]]
    peaks: list[_Peak]
    reseeded: int

    @classmethod
    def at(cls, mixture: Mixture) -> _Climbers:
        restarts = mixture.shape[0]
        return cls(mixture, list(range(restarts)), [[] for _ in range(restarts)], [], 0)

    def moved(self, higher: Mixture, found: Expectation, lost: Tensor, tolerance: float, last: bool) -> _Climbers:
        """All after one more step; those that stand still, and at the last step all, are taken off."""
        bounds = ((found.log_likelihood + self.mixture.penalty) / found.weight).tolist()
        settled = [
            bool(self.histories[i]) and abs(bound - self.histories[i][-1]) < tolerance and not fell
            for i, bound, fell in zip(self.left, bounds, lost.any(-1).tolist())
        ]
        for i, bound in zip(self.left, bounds):
            self.histories[i].append(bound)
        peaks = [
            _Peak(bound, higher.pick(torch.tensor([place])), still, len(self.histories[i]))
            for place, (i, bound, still) in enumerate(zip(self.left, bounds, settled))
            if still or last
        ]
        moving = [place for place, still in enumerate(settled) if not (still or last)]
        return _Climbers(
            higher.pick(torch.tensor(moving, dtype=torch.long)),
            [self.left[place] for place in moving],
            self.histories,
            self.peaks + peaks,
            self.reseeded + int(lost.sum()),
        )

    def best(self) -> Fit:
        peak = max(self.peaks, key=lambda each: each.bound)
        return Fit(peak.mixture, peak.bound, self.histories, peak.converged, peak.steps, self.reseeded)


def _reseeded(mixture: Mixture, found: Expectation, lost: Tensor, rows: Tensor, spare: Tensor) -> Expectation:
    """The sums with those of lost components replaced: half of one badly explained row, half of all rows."""
    rank = (lost.cumsum(-1) - 1).clamp(0, rows.shape[1] - 1)
    mine = torch.nn.functional.one_hot(rows.gather(-1, rank), len(spare)).mT * lost[:, None]
    alone = _assigned(mixture.components, spare.double(), spare.new_ones(len(spare)), mine.to(spare))
    size = found.weight / lost.shape[1]

    def mended(total: Tensor, one: Tensor) -> Tensor:
        """What components share is what they have together."""
        of_each = total.shape[1] == lost.shape[1]
        gone = lost if of_each else (found.counts * lost).sum(-1, keepdim=True) / found.weight
        new = lost if of_each else lost.sum(-1, keepdim=True)
        everything = total.nansum(1, keepdim=True) / found.weight
        gone, new = (each.double().reshape(*each.shape, *[1] * (total.dim() - 2)) for each in (gone, new))
        return total.nan_to_num() * (1 - gone) + size * (one * new.clamp_max(1) + new * everything) / 2

    statistics = {name: mended(total, alone.statistics[name]) for name, total in found.statistics.items()}
    return replace(found, counts=torch.where(lost, size, found.counts), statistics=statistics)


def _badly_explained(mixture: Mixture, spare: Tensor, generator: torch.Generator) -> Tensor:
    """For each restart the numbers of the half of the spare rows that it explains worst, shuffled; (R, S/2)."""
    worst = mixture.log_prob(spare).argsort(-1)[:, : (len(spare) + 1) // 2]
    return worst[:, torch.randperm(worst.shape[1], generator=generator).to(worst.device)]


def _sound(components: Components) -> Components:
    """The components, refused if one of them has no density."""
    if not components.sound.all():
        raise ValueError("a covariance is singular even over all rows; leave constant columns out, or raise the floor")
    return components


def _assigned(components: Components, rows: Tensor, weights: Tensor, mine: Tensor) -> Expectation:
    """The E-step where the responsibilities (R, N, K) are given."""
    weighted = mine * weights[:, None]
    return Expectation(
        mine.new_zeros(len(mine), dtype=torch.float64),
        weights.sum(dtype=torch.float64),
        weighted.sum(-2, dtype=torch.float64),
        components.explain(rows).statistics(weighted),
    )
