"""Log densities of second degree in a row: a product of matrices in the E-step, another in the M-step."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import final

import torch
from torch import Tensor

from lowerbound.mixtures.components import Explanation

STRIP = 4
"""Entries x_i whose products with all x_j from there on are worked out in one go."""
PIECE = 4096
"""Products that are held of a row at once, about; those of wider rows are worked out a piece at a time."""
IDLE = 4
"""Tables of monomials that are kept for the next rows."""


class Monomials(ABC):
    """A table of what n rows (n, D) are turned into: memory that the rows of one block after another fill."""

    @abstractmethod
    def __init__(self, count: int, width: int, like: Tensor) -> None:
        """A table for so many rows of so many entries."""

    @abstractmethod
    def fill(self, rows: Tensor, origin: Tensor) -> None:
        """Turn to these rows, which are to be measured from the origin (D,)."""

    @abstractmethod
    def __iter__(self) -> Iterator[Tensor]:
        """The columns, in pieces (n, f); each is good until the next is asked for."""


@final
class Squares(Monomials):
    """x² and x.

    >>> table = Squares(1, 2, torch.zeros(0))
    >>> table.fill(torch.tensor([[5.0, 3.0]]), torch.tensor([2.0, 2.0]))
    >>> list(table)
    [tensor([[9., 1., 3., 1.]])]
    """

    def __init__(self, count: int, width: int, like: Tensor) -> None:
        self._all = like.new_empty(count, 2 * width)
        self._second, self._first = self._all.split(width, -1)

    def fill(self, rows: Tensor, origin: Tensor) -> None:
        torch.sub(rows, origin.to(rows), out=self._first)
        torch.mul(self._first, self._first, out=self._second)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self._all,))


@final
class SquaresSeen(Monomials):
    """x² and x, 0 for NaN, and 1 where an entry is there or 0 where it is missing.

    >>> table = SquaresSeen(1, 2, torch.zeros(0))
    >>> table.fill(torch.tensor([[5.0, torch.nan]]), torch.tensor([2.0, 2.0]))
    >>> list(table)
    [tensor([[9., 0., 3., 0., 1., 0.]])]
    """

    def __init__(self, count: int, width: int, like: Tensor) -> None:
        self._all = like.new_empty(count, 3 * width)
        self._second, self._first, self._seen = self._all.split(width, -1)

    def fill(self, rows: Tensor, origin: Tensor) -> None:
        gone = rows.isnan()
        torch.sub(rows, origin.to(rows), out=self._first).masked_fill_(gone, 0)
        torch.mul(self._first, self._first, out=self._second)
        torch.logical_not(gone, out=self._seen)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self._all,))


@final
class Products(Monomials):
    """The products x_i x_j in the order of `pairs`, then x.

    >>> table = Products(1, 2, torch.zeros(0))
    >>> table.fill(torch.tensor([[2.0, 4.0]]), torch.tensor([0.0, 1.0]))
    >>> list(table)
    [tensor([[4., 6., 6., 9., 2., 3.]])]
    """

    def __init__(self, count: int, width: int, like: Tensor) -> None:
        pieces = _pieces(width)
        room = max(_size(piece, width) for piece in pieces)
        table = like.new_empty(room + width, count)
        self._x, self._held = table[room:], -1
        self._steps = [list(self._products(piece, table, room)) for piece in pieces]
        ends = [None if number == len(pieces) - 1 else room for number in range(len(pieces))]
        self._columns = [table[room - _size(piece, width) : end].mT for piece, end in zip(pieces, ends)]

    def fill(self, rows: Tensor, origin: Tensor) -> None:
        torch.sub(rows.mT, origin.to(rows)[:, None], out=self._x)
        self._held = -1

    def __iter__(self) -> Iterator[Tensor]:
        return (self._piece(number) for number in range(len(self._steps)))

    def _piece(self, number: int) -> Tensor:
        if self._held != number:
            for some, rest, place in self._steps[number]:
                torch.mul(some, rest, out=place)
            self._held = number
        return self._columns[number]

    def _products(self, piece: tuple[int, ...], table: Tensor, room: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Factors and the places of their products, which end where x begins: so the last piece and x are one."""
        at = room - _size(piece, len(self._x))
        for first in piece:
            some, rest = self._x[first : first + STRIP, None], self._x[None, first:]
            size = some.shape[0] * rest.shape[1]
            yield some, rest, table[at : at + size].unflatten(0, (some.shape[0], rest.shape[1]))
            at += size


@final
class Filled:
    """The monomials of some kind of rows (n, D) measured from an origin (D,).

    Their table is kept for the next rows like these, as soon as nobody asks for them any more: to ask the system for
    memory anew with each block of rows costs more than to fill it.

    >>> list(Filled(Squares, torch.tensor([[5.0, 3.0]]), torch.tensor([2.0, 2.0])))
    [tensor([[9., 1., 3., 1.]])]
    """

    def __init__(self, kind: type[Monomials], rows: Tensor, origin: Tensor) -> None:
        (n, D), key = rows.shape, (kind, rows.shape, rows.dtype, rows.device)
        self._table = _idle.pop(key) if key in _idle else kind(n, D, rows)
        self._table.fill(rows, origin)
        weakref.finalize(self, _keep, key, self._table).atexit = False

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._table)


_idle: dict[object, Monomials] = {}


def _keep(key: object, table: Monomials) -> None:
    _idle[key] = table
    for oldest in list(_idle)[:-IDLE]:
        _idle.pop(oldest, None)


@final
class Polynomials:
    """R × K polynomials φ(x)·w + c: coefficients (R, K, F) and constants (R, K), in any precision that is asked for."""

    def __init__(self, coefficients: Tensor, constants: Tensor) -> None:
        self.shape = constants.shape
        self._exact = coefficients.flatten(0, 1), constants.reshape(-1, 1)
        self._in = cache(lambda dtype: tuple(each.to(dtype) for each in self._exact))

    def __call__(self, features: Iterable[Tensor]) -> Tensor:
        """Their values, (R, n, K); rows run along memory, for what comes next works on K rows of n."""
        at, found = 0, None
        for piece in features:
            coefficients, constants = self._in(piece.dtype)
            part = coefficients[:, at : at + piece.shape[1]]
            found, at = torch.addmm(constants if found is None else found, part, piece.mT), at + piece.shape[1]
        assert found is not None, "no features"
        return found.unflatten(0, self.shape).mT


@final
class Quadratic(Explanation):
    """log p_k(x) = φ(x)·w_k + c_k.

    features: the columns of φ(x), in pieces (n, f) that may be asked for again; densities: w and c; parts: how the
    features' sums are called, and how many each are.
    """

    def __init__(self, features: Iterable[Tensor], densities: Polynomials, parts: dict[str, int]) -> None:
        self._features, self._parts = features, parts
        self._log_prob = densities(features)

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        r = responsibilities.to(self._log_prob.dtype).mT.flatten(0, 1)
        totals = [r @ piece for piece in self._features]
        total = torch.cat(totals, -1) if len(totals) > 1 else totals[0]
        named = total.double().unflatten(0, responsibilities.shape[::2]).split(list(self._parts.values()), -1)
        return dict(zip(self._parts, named))


@final
class ByEntry(Explanation):
    """log p_k(x) = Σ_d of a polynomial in x_d, over the entries d that are there.

    rows (n, D), NaN where an entry is missing; whole: those of x² and x, with which constants; gaps: those of x², x and
    1. The statistics say of each entry how often it was seen.
    """

    def __init__(self, rows: Tensor, origin: Tensor, whole: Polynomials, gaps: Polynomials) -> None:
        D = rows.shape[1]
        self._seen = not complete(rows)
        if self._seen:
            self._sum = Quadratic(Filled(SquaresSeen, rows, origin), gaps, {"second": D, "first": D, "seen": D})
        else:
            self._sum = Quadratic(Filled(Squares, rows, origin), whole, {"second": D, "first": D})

    @property
    def log_prob(self) -> Tensor:
        return self._sum.log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        found = self._sum.statistics(responsibilities)
        if self._seen:
            return found
        return {**found, "seen": responsibilities.sum(-2).double()[..., None].expand_as(found["first"])}


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
