"""Rows with gaps under Gaussians of any covariance: log p of what is there, and what is to be expected of the rest.

With P = Σ⁻¹ and δ = x − μ, 0 where x is missing, and C = (P_mm)⁻¹ for the block of P that belongs to the gaps,

    p(x_mis | x_obs) = N(μ_mis − C (Pδ)_mis, C)
    log N(x_obs)     = −½ ((x̂ − μ)ᵀP(x̂ − μ) + log|Σ| + log|P_mm| + |obs| log 2π),  x̂ the row with its expected gaps,

so that what is factored is as large as the gap, not as the row. Roderick Little and Donald Rubin, "Statistical analysis
with missing data", 1987; Zoubin Ghahramani and Michael I. Jordan, "Supervised learning from incomplete data via an EM
approach", 1994.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Explanation
from lowerbound.mixtures.conditional import Conditional
from lowerbound.mixtures.quadratic import complete, pairs

LOG_2PI = math.log(2 * math.pi)
CHUNK_VALUES = 2**18
"""Values, of the blocks P_mm and of rows, that are worked on at once, about: they stay near the processor."""
KEPT_VALUES = 2**25
"""What is worked out for the E-step is kept for the M-step if it is no more values; else it is worked out anew."""


@final
@dataclass(frozen=True, eq=False)
class Normals:
    """loc (R, K, D) and Cholesky factors of covariances (R, K or 1, D, D), one for each component or one for all."""

    loc: Tensor
    factor: Tensor

    @cached_property
    def whitening(self) -> Tensor:
        """L⁻¹."""
        return inverted(self.factor)

    @cached_property
    def precision(self) -> Tensor:
        """Σ⁻¹."""
        return self.whitening.mT @ self.whitening

    @cached_property
    def half_log_det(self) -> Tensor:
        """½ log|Σ|, (R, K or 1)."""
        return self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    @property
    def group(self) -> tuple[int, int]:
        """How the K components fall into those that share a covariance."""
        return self.factor.shape[1], self.loc.shape[1] // self.factor.shape[1]

    def only(self, k: int) -> Normals:
        """Component k of the first mixture."""
        shared = k // self.group[1]
        return Normals(self.loc[:1, k : k + 1], self.factor[:1, shared : shared + 1])


def explained(rows: Tensor, normals: Normals, whole: Callable[[Tensor], Explanation]) -> Explanation:
    """How Gaussians explain rows (N, D) with NaN for what is missing; rows without gaps as `whole` explains them.

    The statistics of rows with gaps are "second" (R, K or 1, pairs), Σ_n r E[x_i x_j] in the order of `pairs`, and
    "first" (R, K, D), Σ_n r E[x].
    """
    if complete(rows):
        return whole(rows)
    parts = Parts(rows, normals, whole)
    return Joined(list(parts) if parts.values < KEPT_VALUES else parts, rows.dtype)


def conditional(rows: Tensor, normals: Normals) -> Conditional:
    """Mean and variance of each entry under each component of the first mixture, given what is observed of its row."""
    normals = Normals(normals.loc[:1], normals.factor[:1])
    mean = rows[:, None].double().repeat(1, normals.loc.shape[1], 1)
    variance = torch.zeros_like(mean)
    for numbers in _alike(rows.isnan().sum(-1), normals):
        gaps = Gaps(rows[numbers], normals)
        mean[numbers], variance[numbers] = gaps.filled[0].movedim(0, 1), gaps.variance[0].movedim(0, 1)
    return Conditional(mean, variance)


def drawn(rows: Tensor, which: Tensor, normals: Normals) -> Tensor:
    """Rows with their gaps filled by a draw of component which[i] of the first mixture, given what is observed."""
    found = rows.to(torch.float64, copy=True)
    for k in which.unique().tolist():
        mine, alone = (which == k).nonzero()[:, 0], normals.only(k)
        for numbers in _alike(rows[mine].isnan().sum(-1), alone):
            found[mine[numbers]] = Gaps(rows[mine[numbers]], alone).draw()
    return found


@final
class Joined(Explanation):
    """Parts of the rows, each explained in its own way; numbers say which rows a part holds.

    parts: a list, if what is worked out of them is to be kept for the M-step, or what works them out each time.
    """

    def __init__(self, parts: Iterable[tuple[Tensor, Explanation]], dtype: torch.dtype) -> None:
        self._parts, self._dtype = parts, dtype

    @cached_property
    def log_prob(self) -> Tensor:
        found = [(numbers, part.log_prob.to(self._dtype)) for numbers, part in self._parts]
        order = torch.cat([numbers for numbers, _ in found]).argsort()
        return torch.cat([log_prob for _, log_prob in found], 1)[:, order]

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        return reduce(_sum, (part.statistics(responsibilities[:, numbers]) for numbers, part in self._parts))


@final
class Parts(Iterable[tuple[Tensor, Explanation]]):
    """Rows (N, D), those without gaps as `whole` explains them, and together those that lack equally many entries."""

    def __init__(self, rows: Tensor, normals: Normals, whole: Callable[[Tensor], Explanation]) -> None:
        self._rows, self._normals, self._whole = rows, normals, whole
        self._lacking = rows.isnan().sum(-1)

    def __iter__(self) -> Iterator[tuple[Tensor, Explanation]]:
        gapless = (self._lacking == 0).nonzero()[:, 0]
        if len(gapless):
            yield gapless, self._whole(self._rows[gapless])
        for numbers in _alike(self._lacking, self._normals):
            yield numbers, Gaps(self._rows[numbers], self._normals)

    @property
    def values(self) -> int:
        """How many values are worked out, about."""
        return int((self._lacking.square().sum() + self._rows.numel()) * math.prod(self._normals.loc.shape[:2]))


@final
class Gaps(Explanation):
    """Rows (n, D) that lack m > 0 entries each, in float64.

    filled: E_k[x | x_obs], (R, K, n, D).
    """

    def __init__(self, rows: Tensor, normals: Normals) -> None:
        loc, self._group, self._gone = normals.loc[:, :, None], normals.group, rows.isnan()
        self._columns = self._gone.nonzero()[:, 1].reshape(len(rows), -1)
        self._patterns, self._pattern = self._columns.unique(dim=0, return_inverse=True)
        block = normals.precision.flatten(2).index_select(-1, self._squared.flatten())
        factor = torch.linalg.cholesky_ex(block.unflatten(-1, self._squared.shape))[0]
        white = inverted(factor)
        self._covariance = white.mT @ white
        self.filled = self._filled(rows.double(), loc, normals.precision)
        square = ((self.filled - loc) @ normals.whitening.mT).square().sum(-1)
        observed = rows.shape[1] - self._columns.shape[1]
        half_log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[:, :, self._pattern]
        constants = half_log_det + normals.half_log_det[..., None] + 0.5 * observed * LOG_2PI
        self._log_prob = (-0.5 * square - constants.repeat_interleave(self._group[1], 1)).mT

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        r, D = responsibilities.mT.double(), self.filled.shape[-1]
        weighted = r[..., None] * self.filled
        second = self._shared(weighted.mT @ self.filled).flatten(2)
        spread = self._per_pattern(self._shared(r))[..., None, None] * self._covariance
        second = second.index_add(-1, self._squared.flatten(), spread.flatten(2)).unflatten(-1, (D, D))
        i, j = pairs(D, second.device)
        return {"second": second[..., i, j], "first": weighted.sum(-2)}

    @property
    def variance(self) -> Tensor:
        """Var_k[x | x_obs] of each entry, (R, K, n, D)."""
        diagonal = self._covariance.diagonal(dim1=-2, dim2=-1)[:, :, self._pattern]
        return self._placed(torch.zeros_like(self.filled), diagonal.repeat_interleave(self._group[1], 1))

    def draw(self) -> Tensor:
        """The rows of the first component, filled by draws, (n, D)."""
        factor = torch.linalg.cholesky(self._covariance)[:, :, self._pattern]
        noise = (factor @ torch.randn(*self._columns.shape, 1).to(factor))[..., 0]
        return self._placed(self.filled, noise)[0, 0]

    @property
    def _squared(self) -> Tensor:
        """Where the block of a pattern's gaps is in a matrix that is laid out flat, (patterns, m, m)."""
        return self._patterns[:, :, None] * self._gone.shape[1] + self._patterns[:, None, :]

    def _filled(self, rows: Tensor, loc: Tensor, precision: Tensor) -> Tensor:
        """Those that share C are columns of one product."""
        slope = torch.where(self._gone, 0, rows - loc) @ precision
        gaps = slope.gather(-1, self._places(slope)).unflatten(1, self._group).movedim(2, -1)
        shift = (self._covariance[:, :, self._pattern] @ gaps).movedim(-1, 2).flatten(1, 2)
        return self._placed(torch.where(self._gone, loc, rows), -shift)

    def _places(self, each: Tensor) -> Tensor:
        return self._columns.expand(*each.shape[:2], -1, -1)

    def _placed(self, each: Tensor, more: Tensor) -> Tensor:
        """(R, K, n, D) with (R, K, n, m) more where the gaps are."""
        return each.scatter_add(-1, self._places(each), more)

    def _shared(self, each: Tensor) -> Tensor:
        """Sums over those that share a covariance."""
        return each.unflatten(1, self._group).sum(2)

    def _per_pattern(self, shares: Tensor) -> Tensor:
        """Sums over the rows of a pattern, (R, K', patterns)."""
        return shares.new_zeros(*shares.shape[:2], len(self._patterns)).index_add(-1, self._pattern, shares)


def inverted(factor: Tensor) -> Tensor:
    """The inverses of lower triangular matrices."""
    return torch.linalg.solve_triangular(factor, torch.eye(factor.shape[-1]).to(factor).expand_as(factor), upper=False)


def _alike(lacking: Tensor, normals: Normals) -> Iterator[Tensor]:
    """The numbers of rows with gaps, together those that lack equally many entries, few enough at once."""
    for m in filter(None, lacking.unique().tolist()):
        of_a_row = math.prod(normals.loc.shape[:2]) * m * m + normals.loc.numel()
        yield from (lacking == m).nonzero()[:, 0].split(max(1, CHUNK_VALUES // of_a_row))


def _sum(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: total + b[name] for name, total in a.items()}
