"""Rows with gaps under Gaussians of any covariance: log p of what is there, and what is to be expected of the rest.

With P = Σ⁻¹ and δ = x − μ, 0 where x is missing, and C = (P_mm)⁻¹ for the block of P that belongs to the gaps,

    p(x_mis | x_obs) = N(μ_mis − C (Pδ)_mis, C)
    log N(x_obs)     = −½ (δᵀPδ − (Pδ)_misᵀ C (Pδ)_mis + log|Σ| + log|P_mm| + |obs| log 2π)

so that what is factored is as large as the gap, not as the row. Roderick Little and Donald Rubin, "Statistical analysis
with missing data", 1987; Zoubin Ghahramani and Michael I. Jordan, "Supervised learning from incomplete data via an EM
approach", 1994.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property, reduce
from typing import NamedTuple, final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Explanation
from lowerbound.mixtures.conditional import Conditional
from lowerbound.mixtures.quadratic import complete, pairs

LOG_2PI = math.log(2 * math.pi)
CHUNK_VALUES = 2**18
"""Values of the blocks P_mm that are worked on at once, about: they stay near the processor."""


class Normals(NamedTuple):
    """loc (R, K, D) and, one for each component or one for all, precision (R, K or 1, D, D), ½ log|Σ| (R, K or 1)."""

    loc: Tensor
    precision: Tensor
    half_log_det: Tensor

    @property
    def group(self) -> tuple[int, int]:
        """How the K components fall into those that share a covariance."""
        return self.precision.shape[1], self.loc.shape[1] // self.precision.shape[1]

    def only(self, k: int) -> Normals:
        """Component k of the first mixture."""
        shared = k // self.group[1]
        return Normals(*(each[:1, i : i + 1] for each, i in zip(self, (k, shared, shared))))


def explained(rows: Tensor, normals: Normals, whole: Callable[[Tensor], Explanation]) -> Explanation:
    """How Gaussians explain rows (N, D) with NaN for what is missing; rows without gaps as `whole` explains them.

    The statistics of rows with gaps are "second" (R, K or 1, pairs), Σ_n r E[x_i x_j] in the order of `pairs`, and
    "first" (R, K, D), Σ_n r E[x].
    """
    if complete(rows):
        return whole(rows)
    lacking = rows.isnan().sum(-1)
    gapless = (lacking == 0).nonzero()[:, 0]
    parts: list[tuple[Tensor, Explanation]] = [(gapless, whole(rows[gapless]))]
    return Joined(parts + [(numbers, Gaps(rows[numbers], normals)) for numbers in _alike(lacking, normals)])


def conditional(rows: Tensor, normals: Normals) -> Conditional:
    """Mean and variance of each entry under each component of the first mixture, given what is observed of its row."""
    normals = Normals(*(each[:1] for each in normals))
    mean = rows[:, None].double().repeat(1, normals.loc.shape[1], 1)
    variance = torch.zeros_like(mean)
    for numbers in _alike(rows.isnan().sum(-1), normals):
        gaps = Gaps(rows[numbers], normals)
        mean[numbers], variance[numbers] = gaps.filled[0].movedim(0, 1), gaps.variance[0].movedim(0, 1)
    return Conditional(mean, variance)


def drawn(rows: Tensor, which: Tensor, normals: Normals) -> Tensor:
    """Rows with their gaps filled by a draw of component which[i] of the first mixture, given what is observed."""
    found = rows.double()
    for k in which.unique().tolist():
        mine, alone = (which == k).nonzero()[:, 0], normals.only(k)
        for numbers in _alike(rows[mine].isnan().sum(-1), alone):
            found[mine[numbers]] = Gaps(rows[mine[numbers]], alone).draw()
    return found


@final
class Joined(Explanation):
    """Parts of the rows, each explained in its own way; numbers say which rows a part holds."""

    def __init__(self, parts: list[tuple[Tensor, Explanation]]) -> None:
        self._parts = parts
        order = torch.cat([numbers for numbers, _ in parts]).argsort()
        precision = parts[0][1].log_prob.dtype
        self._log_prob = torch.cat([part.log_prob.to(precision) for _, part in parts], 1)[:, order]

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        return reduce(_sum, (part.statistics(responsibilities[:, numbers]) for numbers, part in self._parts))


@final
class Gaps(Explanation):
    """Rows (n, D) that lack m > 0 entries each, in float64; what is large is worked out anew when it is asked for."""

    def __init__(self, rows: Tensor, normals: Normals) -> None:
        self._rows, self._normals, self._gone = rows.double(), normals, rows.isnan()
        self._columns = self._gone.nonzero()[:, 1].reshape(len(rows), -1)
        self._patterns, self._pattern = self._columns.unique(dim=0, return_inverse=True)

    @cached_property
    def log_prob(self) -> Tensor:
        factor, (delta, slope) = self._factor(), self._slope()
        white = torch.linalg.solve_triangular(factor[:, :, self._pattern], self._grouped(slope), upper=False)
        square = (delta * slope).sum(-1) - self._flat(white.square().sum(-2))
        half_log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[:, :, self._pattern]
        observed = self._rows.shape[1] - self._columns.shape[1]
        constants = half_log_det + self._normals.half_log_det[..., None] + 0.5 * observed * LOG_2PI
        return (-0.5 * square - constants).mT

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        r, D = responsibilities.mT.double(), self._rows.shape[1]
        covariance = torch.cholesky_inverse(self._factor())
        filled = self._filled(covariance)
        weighted = r[..., None] * filled
        second = self._shared(weighted.mT @ filled).flatten(2)
        spread = self._per_pattern(self._shared(r))[..., None, None] * covariance
        places = self._patterns[:, :, None] * D + self._patterns[:, None, :]
        second = second.index_add(-1, places.flatten(), spread.flatten(2)).unflatten(-1, (D, D))
        i, j = pairs(D, second.device)
        return {"second": second[..., i, j], "first": weighted.sum(-2)}

    @property
    def filled(self) -> Tensor:
        """E_k[x | x_obs], (R, K, n, D)."""
        return self._filled(torch.cholesky_inverse(self._factor()))

    @property
    def variance(self) -> Tensor:
        """Var_k[x | x_obs] of each entry, (R, K, n, D)."""
        diagonal = torch.cholesky_inverse(self._factor()).diagonal(dim1=-2, dim2=-1)[:, :, self._pattern]
        return self._placed(torch.zeros_like(self._delta), diagonal.repeat_interleave(self._normals.group[1], 1))

    def draw(self) -> Tensor:
        """The rows of the only component, filled by draws, (n, D)."""
        factor = self._factor()
        noise = torch.randn(*self._columns.shape, 1).to(factor)
        spread = torch.linalg.solve_triangular(factor[0, 0, self._pattern].mT, noise, upper=True)[..., 0]
        mean = self._filled(torch.cholesky_inverse(factor))
        return self._placed(mean, mean.gather(-1, self._places) + spread)[0, 0]

    def _factor(self) -> Tensor:
        """The Cholesky factor of P_mm for each pattern, (R, K', patterns, m, m)."""
        block = self._normals.precision[..., self._patterns[:, :, None], self._patterns[:, None, :]]
        return torch.linalg.cholesky_ex(block)[0]

    @property
    def _delta(self) -> Tensor:
        return torch.where(self._gone, 0, self._rows - self._normals.loc[:, :, None])

    def _slope(self) -> tuple[Tensor, Tensor]:
        """δ and Pδ, (R, K, n, D)."""
        return self._delta, self._delta @ self._normals.precision

    def _filled(self, covariance: Tensor) -> Tensor:
        shift = self._flat(covariance[:, :, self._pattern] @ self._grouped(self._slope()[1]))
        mean = torch.where(self._gone, self._normals.loc[:, :, None], self._rows)
        return self._placed(mean, mean.gather(-1, self._places) - shift)

    @property
    def _places(self) -> Tensor:
        return self._columns.expand(*self._normals.loc.shape[:2], -1, -1)

    def _placed(self, rows: Tensor, gaps: Tensor) -> Tensor:
        return rows.scatter(-1, self._places, gaps)

    def _grouped(self, full: Tensor) -> Tensor:
        """Of (R, K, n, D) the missing entries, a column for each component that shares: (R, K', n, m, K/K')."""
        return full.gather(-1, self._places).unflatten(1, self._normals.group).movedim(2, -1)

    def _flat(self, grouped: Tensor) -> Tensor:
        return grouped.movedim(-1, 2).flatten(1, 2)

    def _shared(self, each: Tensor) -> Tensor:
        return each.unflatten(1, self._normals.group).sum(2)

    def _per_pattern(self, shares: Tensor) -> Tensor:
        """Sums over the rows of a pattern, (R, K', patterns)."""
        return shares.new_zeros(*shares.shape[:2], len(self._patterns)).index_add(-1, self._pattern, shares)


def _alike(lacking: Tensor, normals: Normals) -> Iterator[Tensor]:
    """The numbers of rows with gaps, together those that lack equally many entries, few enough at once."""
    for m in filter(None, lacking.unique().tolist()):
        blocks = math.prod(normals.loc.shape[:2]) * m * m
        yield from (lacking == m).nonzero()[:, 0].split(max(1, CHUNK_VALUES // blocks))


def _sum(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: total + b[name] for name, total in a.items()}
