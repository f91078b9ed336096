"""Log densities of second degree in a row: a product of matrices in the E-step, another in the M-step."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Explanation

STRIP = 4
"""Entries x_i whose products with all x_j from there on are worked out in one go."""
PIECE = 4096
"""Products that are held of a row at once, about; those of wider rows are worked out a piece at a time."""


@final
class Quadratic(Explanation):
    """log p_k(x) = φ(x)·w_k + c_k, where φ are monomials.

    features: the columns of φ(x), in pieces (n, f) that may be asked for again; coefficients (R, K, F); constants
    (R, K); parts: how the F columns are split into named sums.
    """

    def __init__(
        self, features: Iterable[Tensor], coefficients: Tensor, constants: Tensor, parts: dict[str, int]
    ) -> None:
        self._features, self._parts, self._shape = features, parts, constants.shape
        self._log_prob = self._summed(coefficients.flatten(0, 1), constants.reshape(-1, 1))

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        r = responsibilities.mT.flatten(0, 1)
        totals = torch.cat([r.to(piece) @ piece for piece in self._features], -1).unflatten(0, self._shape).double()
        return dict(zip(self._parts, totals.split(list(self._parts.values()), -1)))

    def _summed(self, coefficients: Tensor, found: Tensor) -> Tensor:
        """Rows run along the last axis in memory: what follows works on K rows of n, not on n rows of K."""
        at = 0
        for piece in self._features:
            part = coefficients[:, at : at + piece.shape[1]].to(piece)
            found, at = torch.addmm(found.to(piece), part, piece.mT), at + piece.shape[1]
        return found.unflatten(0, self._shape).mT


@final
class ByEntry(Explanation):
    """log p_k(x) = Σ_d of a polynomial in x_d, over the entries d that are there.

    rows (n, D), NaN where an entry is missing; origin (D,), what x is measured from; coefficients (R, K, 3 D) of x², x
    and 1. The statistics say of each entry how often it was seen.
    """

    def __init__(self, rows: Tensor, origin: Tensor, coefficients: Tensor) -> None:
        squares, D = Squares(rows, origin), rows.shape[1]
        varying, constants = coefficients[..., : 2 * D], coefficients[..., 2 * D :]
        if squares.whole:
            self._sum = Quadratic(squares, varying, constants.sum(-1), {"second": D, "first": D})
        else:
            none = torch.zeros_like(constants[..., 0])
            self._sum = Quadratic(squares, coefficients, none, {"second": D, "first": D, "seen": D})

    @property
    def log_prob(self) -> Tensor:
        return self._sum.log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        found = self._sum.statistics(responsibilities)
        seen = responsibilities.sum(-2).double()[..., None].expand_as(found["first"])
        return {"seen": seen, **found}


@final
class SharedQuadratic(Explanation):
    """log p_k(x) = x·w_k + c_k − ½|Wᵀx|², the last the same for all components of a mixture.

    x (n, D) without gaps; whitening W (R, D, D); linear w (R, K, D); constants c (R, K).
    """

    def __init__(self, x: Tensor, whitening: Tensor, linear: Tensor, constants: Tensor) -> None:
        self._x = x
        same = -0.5 * (x @ whitening.to(x)).square().sum(-1)
        own = torch.addmm(constants.reshape(-1, 1).to(x), linear.flatten(0, 1).to(x), x.mT)
        self._log_prob = own.unflatten(0, constants.shape).add_(same[:, None]).mT

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        r, (i, j) = responsibilities.mT.to(self._x), pairs(self._x.shape[1], self._x.device)
        second = (self._x * r.sum(-2)[..., None]).mT @ self._x
        return {"second": second[:, None, i, j].double(), "first": (r @ self._x).double()}


@final
class Scratch:
    """Memory that one block of rows after another uses: to ask the system for it anew costs more than to fill it.

    It is lent until the borrower is collected. On other devices than the processor torch does so itself.
    """

    def __init__(self) -> None:
        self._idle: dict[torch.dtype, Tensor] = {}

    def lend(self, borrower: object, like: Tensor, rows: int, columns: int) -> Tensor:
        """An uninitialised (rows, columns) of the same dtype and device."""
        if like.device.type != "cpu":
            return like.new_empty(rows, columns)
        held = self._idle.pop(like.dtype, None)
        if held is None or held.numel() < rows * columns:
            held = like.new_empty(rows * columns)
        weakref.finalize(borrower, self._idle.__setitem__, like.dtype, held).atexit = False
        return held[: rows * columns].view(rows, columns)


SCRATCH = Scratch()


@final
class Squares:
    """x² and x of rows (n, D), measured from an origin (D,); and, if some are NaN, which are not (the others are 0).

    >>> next(iter(Squares(torch.tensor([[5.0, torch.nan]]), torch.tensor([2.0, 2.0]))))
    tensor([[9., 0., 3., 0., 1., 0.]])
    """

    def __init__(self, rows: Tensor, origin: Tensor) -> None:
        n, D = rows.shape
        self.whole = complete(rows)
        self._all = SCRATCH.lend(self, rows, n, 2 * D if self.whole else 3 * D)
        second, first, *seen = self._all.split(D, -1)
        torch.sub(rows, origin.to(rows), out=first)
        if seen:
            seen[0].copy_(rows.isnan().logical_not_())
            first.copy_(torch.where(rows.isnan(), 0, first))
        torch.mul(first, first, out=second)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self._all,))


@final
class Products:
    """The products x_i x_j of rows (n, D) without gaps, measured from an origin (D,), in the order of `pairs`; then x.

    >>> torch.cat(list(Products(torch.tensor([[2.0, 4.0]]), torch.tensor([0.0, 1.0]))), -1)
    tensor([[4., 6., 6., 9., 2., 3.]])
    """

    def __init__(self, rows: Tensor, origin: Tensor) -> None:
        n, self._width = rows.shape
        self._pieces = _pieces(self._width)
        self._room = max(_size(piece, self._width) for piece in self._pieces)
        self._all = SCRATCH.lend(self, rows, self._room + self._width, n)
        self._x = torch.sub(rows.mT, origin.to(rows)[:, None], out=self._all[self._room :])
        self._held = -1

    def __iter__(self) -> Iterator[Tensor]:
        return (self._piece(number).mT for number in range(len(self._pieces)))

    def _piece(self, number: int) -> Tensor:
        """Its products end where x begins, so that the last piece and x are one."""
        at = start = self._room - _size(self._pieces[number], self._width)
        end = None if number == len(self._pieces) - 1 else self._room
        if self._held == number:
            return self._all[start:end]
        for first in self._pieces[number]:
            some, rest = self._x[first : first + STRIP, None], self._x[None, first:]
            to = at + some.shape[0] * rest.shape[1]
            torch.mul(some, rest, out=self._all[at:to].unflatten(0, (some.shape[0], rest.shape[1])))
            at = to
        self._held = number
        return self._all[start:end]


@lru_cache(maxsize=16)
def pairs(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """i and j of all products x_i x_j that are summed: each i ≤ j once, and a few i > j, which are quicker kept.

    >>> [index.tolist() for index in pairs(2, torch.device("cpu"))]
    [[0, 0, 1, 1], [0, 1, 0, 1]]
    """
    i, j = torch.triu_indices(width, width, -STRIP, device=device)
    kept = j >= i // STRIP * STRIP
    return i[kept], j[kept]


def unpacked(packed: Tensor, width: int) -> Tensor:
    """Symmetric matrices (…, D, D) from their entries in the order of `pairs`."""
    i, j = pairs(width, packed.device)
    found = packed.new_empty(*packed.shape[:-1], width, width)
    found[..., i, j] = found[..., j, i] = packed
    return found


def complete(rows: Tensor) -> bool:
    """Whether no entry is missing. A sum is the quickest way to meet a NaN."""
    return not bool(rows.sum().isnan())


def _size(piece: tuple[int, ...], width: int) -> int:
    return sum(min(STRIP, width - first) * (width - first) for first in piece)


@lru_cache(maxsize=16)
def _pieces(width: int) -> tuple[tuple[int, ...], ...]:
    """The first entries of strips, in runs of about PIECE products."""
    pieces: list[list[int]] = [[]]
    for first in range(0, width, STRIP):
        if _size((*pieces[-1], first), width) > PIECE and pieces[-1]:
            pieces.append([])
        pieces[-1].append(first)
    return tuple(map(tuple, pieces))
