"""Columns of a table as a mixture sees them: encoded as numbers, of each of which some family speaks; and back.

A column may take several encoded ones, or none. What is missing is NaN there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, final, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from lowerbound.arguments import conformed
from lowerbound.errors import InputError
from lowerbound.mixtures.frames import as_type, numbers

Values: TypeAlias = tuple[str, ...] | tuple[bool, ...] | tuple[int, ...] | tuple[float, ...]
PieceKind: TypeAlias = Literal["codes", "poisson", "negative-binomial", "gaussian", "student"]


class Piece(NamedTuple):
    """What one encoded column is: codes have levels, densities a least variance."""

    kind: PieceKind
    levels: int = 0
    floor: float = 0.0


class Column(ABC):
    """One column of a table and its likelihood."""

    name: str

    @property
    @abstractmethod
    def likelihood(self) -> str:
        """Its name."""

    @property
    @abstractmethod
    def pieces(self) -> tuple[Piece, ...]:
        """What its encoded columns are."""

    @abstractmethod
    def encode(self, column: pa.ChunkedArray) -> Tensor:
        """(N, pieces), float64 with NaN for what is missing.

        Raises:
            InputError: a value that is impossible under this likelihood.
        """

    @abstractmethod
    def decode(self, rows: Tensor, kind: pa.DataType) -> pa.Array:
        """A column of the table again, of this type."""

    @abstractmethod
    def log_volume(self, rows: Tensor) -> Tensor:
        """log|dz/dx| of encoded rows, (N,), to be added to the density of z for that of x; 0 for probabilities."""


@final
@dataclass(frozen=True)
class Codes(Column):
    """One of so many values.

    categories: all values that the column's type names, met or not, where it names any.
    """

    name: str
    values: Values
    categories: Values | None = None

    @property
    def likelihood(self) -> str:
        return "constant" if len(self.values) == 1 else "bernoulli" if len(self.values) == 2 else "categorical"

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (Piece("codes", levels=len(self.values)),)

    def encode(self, column: pa.ChunkedArray) -> Tensor:
        codes = pc.index_in(column, value_set=pa.array(self.values, column.type))
        unknown = pc.and_(pc.is_valid(column), pc.is_null(codes))
        if pc.any(unknown).as_py():
            value = column.filter(unknown)[0].as_py()
            raise InputError(
                f"column {self.name!r} holds {value!r}, which no row had that the mixture was fitted to; correct it, "
                f"or leave it empty"
            )
        return torch.from_numpy(codes.cast(pa.float64()).to_numpy().copy())[:, None]

    def decode(self, rows: Tensor, kind: pa.DataType) -> pa.Array:
        x = rows[:, 0].cpu().numpy()
        codes = pa.array(np.nan_to_num(x), pa.int64(), mask=np.isnan(x), safe=False)
        if not pa.types.is_dictionary(kind):
            return pa.array(self.values).take(codes).cast(kind)
        known = list(self.categories or self.values)
        places = pa.array([known.index(value) for value in self.values], kind.index_type).take(codes)
        return pa.DictionaryArray.from_arrays(places, pa.array(known, kind.value_type), ordered=kind.ordered)

    def log_volume(self, rows: Tensor) -> Tensor:
        return rows.new_zeros(len(rows))


@final
@dataclass(frozen=True)
class Counts(Column):
    """Whole numbers from zero up."""

    name: str
    family: Literal["poisson", "negative-binomial"]

    @property
    def likelihood(self) -> str:
        return self.family

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (Piece(self.family),)

    def encode(self, column: pa.ChunkedArray) -> Tensor:
        return _encoded(self, column, lambda x: (x >= 0) & (x == np.floor(x)), "counts 0, 1, 2, …")[:, None]

    def decode(self, rows: Tensor, kind: pa.DataType) -> pa.Array:
        return as_type(rows[:, 0].cpu().numpy(), kind)

    def log_volume(self, rows: Tensor) -> Tensor:
        return rows.new_zeros(len(rows))


@final
@dataclass(frozen=True)
class Number(Column):
    """Numbers or times, z = (x − loc)/scale, or (log x − loc)/scale.

    floor: the least variance of z, that of rounding x as it comes rounded.
    """

    name: str
    family: Literal["gaussian", "student"]
    log: bool
    loc: float
    scale: float
    floor: float

    @property
    def likelihood(self) -> str:
        return {"gaussian": "log-normal", "student": "log-student"}[self.family] if self.log else self.family

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (Piece(self.family, floor=self.floor),)

    def encode(self, column: pa.ChunkedArray) -> Tensor:
        if self.log:
            return (_encoded(self, column, lambda x: x > 0, "positive numbers").log() - self.loc)[:, None] / self.scale
        return (_encoded(self, column, np.isfinite, "finite numbers") - self.loc)[:, None] / self.scale

    def decode(self, rows: Tensor, kind: pa.DataType) -> pa.Array:
        x = rows[:, 0] * self.scale + self.loc
        return as_type((x.exp() if self.log else x).cpu().numpy(), kind)

    def log_volume(self, rows: Tensor) -> Tensor:
        z = rows[:, 0]
        steep = -np.log(self.scale) - (z * self.scale + self.loc if self.log else 0 * z)
        return steep.nan_to_num(0.0)


@final
@dataclass(frozen=True)
class Spiked(Column):
    """One value that many rows have, and numbers beside it.

    Encoded as whether the row has another value, and that value, which is missing where it has not.
    """

    name: str
    value: float
    rest: Number

    @property
    def likelihood(self) -> str:
        return f"spiked-{self.rest.likelihood}"

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (Piece("codes", levels=2), *self.rest.pieces)

    def encode(self, column: pa.ChunkedArray) -> Tensor:
        x = numbers(column)
        other = pa.chunked_array([pa.array(x, mask=np.isnan(x) | (x == self.value))])
        beside = torch.from_numpy(np.where(np.isnan(x), np.nan, x != self.value))
        return torch.cat([beside[:, None], self.rest.encode(other)], -1)

    def decode(self, rows: Tensor, kind: pa.DataType) -> pa.Array:
        beside = rows[:, 0].cpu().numpy() > 0.5
        value = as_type(np.full(len(rows), self.value), kind)
        return pc.if_else(pa.array(beside), self.rest.decode(rows[:, 1:], kind), value)

    def log_volume(self, rows: Tensor) -> Tensor:
        return self.rest.log_volume(rows[:, 1:])


@final
@dataclass(frozen=True)
class Empty(Column):
    """A column of which nothing was ever seen."""

    name: str

    @property
    def likelihood(self) -> str:
        return "empty"

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return ()

    def encode(self, column: pa.ChunkedArray) -> Tensor:
        if column.null_count < len(column):
            raise InputError(f"column {self.name!r} was empty in all rows that were fitted to; leave it empty")
        return torch.zeros(len(column), 0, dtype=torch.float64)

    def decode(self, rows: Tensor, kind: pa.DataType) -> pa.Array:
        return pa.nulls(len(rows), kind)

    def log_volume(self, rows: Tensor) -> Tensor:
        return rows.new_zeros(len(rows))


FORMS: dict[str, type[Any]] = {each.__name__: each for each in (Codes, Counts, Number, Spiked, Empty)}


def written(column: Column) -> dict[str, Any]:
    """A column as JSON holds it.

    >>> written(Counts("visits", "poisson"))
    {'form': 'Counts', 'name': 'visits', 'family': 'poisson'}
    """
    rest = {"rest": written(column.rest)} if isinstance(column, Spiked) else {}
    return {"form": type(column).__name__, **asdict(column), **rest}  # type: ignore[call-overload]


def read(place: str, content: Any) -> Column:
    """The column that `written` wrote, its types checked.

    >>> read("table.json", written(Codes("sex", ("f", "m"))))
    Codes(name='sex', values=('f', 'm'), categories=None)
    """
    form = FORMS.get(str(content.get("form"))) if isinstance(content, dict) else None
    hints = get_type_hints(form) if form else {}
    if form is None or set(content) != {"form", *hints}:
        raise InputError(f"{place} describes a column that this version does not know; fit the table again")
    given = {name: _member(f"{place}: {name}", content[name], hint) for name, hint in hints.items()}
    column: Column = form(**given)
    return column


def _member(place: str, value: Any, hint: Any) -> Any:
    return read(place, value) if hint is Number else conformed(place, value, hint)


def _encoded(column: Codes | Counts | Number, values: pa.ChunkedArray, possible: Any, what: str) -> Tensor:
    """A column of numbers, refused if one is impossible."""
    x = numbers(values)
    wrong = ~np.isnan(x) & ~possible(np.nan_to_num(x, posinf=np.inf, neginf=-np.inf))
    if wrong.any():
        raise InputError(
            f"column {column.name!r} holds {x[wrong][0]:g}, but its likelihood, {column.likelihood}, is of {what}; "
            f"correct it, or choose another by likelihoods={{{column.name!r}: …}}"
        )
    return torch.from_numpy(x.copy())
