"""Where EM starts: which rows begin in which component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import final

import torch
from torch import Tensor

SCORES = 2**22
"""Distances that are held at once, about."""


@final
@dataclass(frozen=True)
class Scaling:
    """Rows as distances between them are to count: standardised, gaps at the mean."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Scaling:
        """What makes the columns of these rows (N, D) have mean 0 and variance 1, as far as they vary."""
        mean = rows.nanmean(0)
        scale = (rows - mean).square().nanmean(0).sqrt()
        return cls(mean, torch.where(scale > 0, scale, 1))

    def __call__(self, rows: Tensor) -> Tensor:
        return ((rows - self.mean) / self.scale).nan_to_num(0.0)


class Start(ABC):
    """A way of finding K first centres, for R mixtures at once."""

    @abstractmethod
    def centres(
        self, rows: Tensor, scaling: Scaling, restarts: int, components: int, generator: torch.Generator
    ) -> Tensor:
        """Centres (R, K, D) among rows (N, D) which have been scaled so, and have no gaps any more."""


@final
@dataclass(frozen=True)
class RandomRows(Start):
    """K rows drawn evenly."""

    def centres(
        self, rows: Tensor, scaling: Scaling, restarts: int, components: int, generator: torch.Generator
    ) -> Tensor:
        even = torch.ones(restarts, len(rows), dtype=torch.float64)
        drawn = torch.multinomial(even, components, replacement=components > len(rows), generator=generator)
        return rows[drawn.to(rows.device)]


@final
@dataclass(frozen=True)
class PlusPlus(Start):
    """k-means++: each next centre is a row drawn in proportion to its squared distance from the nearest so far.

    David Arthur and Sergei Vassilvitskii, "k-means++: the advantages of careful seeding", 2007.
    """

    def centres(
        self, rows: Tensor, scaling: Scaling, restarts: int, components: int, generator: torch.Generator
    ) -> Tensor:
        x = rows.double()
        squares = x.square().sum(-1)
        drawn = torch.randint(len(x), (restarts,), generator=generator).to(x.device)
        nearest, chosen = torch.full((restarts, len(x)), torch.inf).to(x), [drawn]
        for _ in range(1, components):
            distances = squares + squares[drawn, None] - 2 * x[drawn] @ x.mT
            nearest = torch.minimum(nearest, distances.clamp_min_(0))
            drawn = torch.multinomial(nearest.cpu() + 1e-30, 1, generator=generator)[:, 0].to(x.device)
            chosen.append(drawn)
        return rows[torch.stack(chosen, 1)]


@final
@dataclass(frozen=True)
class KMeans(Start):
    """Lloyd's algorithm from the centres of another start."""

    begin: Start = PlusPlus()
    rounds: int = 20

    def centres(
        self, rows: Tensor, scaling: Scaling, restarts: int, components: int, generator: torch.Generator
    ) -> Tensor:
        found = self.begin.centres(rows, scaling, restarts, components, generator)
        parts = rows.split(max(1, SCORES // (restarts * components)))
        for _ in range(self.rounds):
            found = _means(parts, found)
        return found


@final
@dataclass(frozen=True, eq=False)
class Given(Start):
    """Centres that are known: (K, D), the same for each restart, or (R, K, D); measured as the rows are.

    Raises:
        ValueError: they are not as many as the components, or not as wide as the rows.
    """

    means: Tensor

    def centres(
        self, rows: Tensor, scaling: Scaling, restarts: int, components: int, generator: torch.Generator
    ) -> Tensor:
        asked = (restarts, components, rows.shape[1])
        if self.means.shape not in (asked, asked[1:]):
            raise ValueError(f"centres {tuple(self.means.shape)} are not {asked[1:]}, nor {asked} for each restart")
        return scaling(self.means.to(rows)).expand(asked)


def nearest(rows: Tensor, centres: Tensor) -> Tensor:
    """Which centre (R, K, D) is nearest to each row (N, D), as one-hot responsibilities (R, N, K).

    >>> nearest(torch.tensor([[1.0], [9.0]]), torch.tensor([[[0.0], [10.0]]]))
    tensor([[[1., 0.],
             [0., 1.]]])
    """
    scores = torch.baddbmm(-0.5 * centres.square().sum(-1)[..., None], centres, rows.mT.expand(len(centres), -1, -1))
    return torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1).mT


def _means(parts: tuple[Tensor, ...], centres: Tensor) -> Tensor:
    """Each centre's rows' mean; one without rows stays where it is."""
    owned = [nearest(part, centres).mT for part in parts]
    counts = reduce(add, (mine.sum(-1) for mine in owned))[..., None]
    sums = reduce(add, (mine @ part for mine, part in zip(owned, parts)))
    return torch.where(counts > 0, sums / counts.clamp_min(1), centres)
