"""Where EM starts: which rows begin in which component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


class Start(ABC):
    """A way of finding K first centres among rows, for R mixtures at once."""

    @abstractmethod
    def centres(self, rows: Tensor, restarts: int, components: int, generator: torch.Generator) -> Tensor:
        """Centres (R, K, D) among standardised rows (N, D) without gaps."""


@final
@dataclass(frozen=True)
class RandomRows(Start):
    """K rows drawn evenly."""

    def centres(self, rows: Tensor, restarts: int, components: int, generator: torch.Generator) -> Tensor:
        even = torch.ones(restarts, len(rows), dtype=torch.float64)
        return rows[torch.multinomial(even, components, replacement=components > len(rows), generator=generator)]


@final
@dataclass(frozen=True)
class PlusPlus(Start):
    """k-means++: each next centre is a row drawn in proportion to its squared distance from the nearest so far.

    David Arthur and Sergei Vassilvitskii, "k-means++: the advantages of careful seeding", 2007.
    """

    def centres(self, rows: Tensor, restarts: int, components: int, generator: torch.Generator) -> Tensor:
        first = torch.randint(len(rows), (restarts,), generator=generator)
        chosen = [rows[first]]
        nearest = rows.new_full((restarts, len(rows)), torch.inf)
        for _ in range(1, components):
            nearest = torch.minimum(nearest, (rows - chosen[-1][:, None]).square().sum(-1))
            drawn = torch.multinomial(nearest.double() + 1e-30, 1, generator=generator)[:, 0]
            chosen.append(rows[drawn])
        return torch.stack(chosen, 1)


@final
@dataclass(frozen=True)
class KMeans(Start):
    """Lloyd's algorithm from the centres of another start."""

    begin: Start = PlusPlus()
    rounds: int = 20

    def centres(self, rows: Tensor, restarts: int, components: int, generator: torch.Generator) -> Tensor:
        found = self.begin.centres(rows, restarts, components, generator)
        for _ in range(self.rounds):
            found = _means(rows, found, nearest(rows, found))
        return found


def nearest(rows: Tensor, centres: Tensor) -> Tensor:
    """Which centre (R, K, D) is nearest to each row (N, D), as one-hot responsibilities (R, N, K)."""
    scores = rows @ centres.mT - 0.5 * centres.square().sum(-1)[:, None]
    return torch.nn.functional.one_hot(scores.argmax(-1), centres.shape[1]).to(rows.dtype)


def _means(rows: Tensor, centres: Tensor, mine: Tensor) -> Tensor:
    """Each centre's rows' mean; one without rows stays where it is."""
    counts = mine.sum(1)[..., None]
    return torch.where(counts > 0, mine.mT @ rows / counts.clamp_min(1), centres)
