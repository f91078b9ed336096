"""A mixture over a table whose columns are of all kinds, each with a likelihood of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.compute as pc
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lowerbound.arguments import conformed
from lowerbound.errors import InputError
from lowerbound.files import replacing, write_json
from lowerbound.mixtures import conditional
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.choice import asked, chosen, family_of
from lowerbound.mixtures.columns import Codes, Column, read, written
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.frames import Origin, arrow, given_back, origin, schema_of, schema_text
from lowerbound.mixtures.kept import Parts, apart, checked, together
from lowerbound.mixtures.mixture import Mixture
from lowerbound.randomness import derive, isolated, reseed

FORMAT = 1
KEPT: dict[str, Any] = {
    "format": int,
    "columns": None,
    "why": tuple[str, ...],
    "schema": str,
    "came_as": Origin,
}
"""What table.json holds beside the mixture; columns are read by their own rules."""
MOST_COMPONENTS = 64
UNTIL = Until(1e-4, 200)
SKETCH = Until(1e-3, 100)
"""How far EM goes where only the number of components is looked for."""


@final
@dataclass(frozen=True, eq=False)
class TableMixture:
    """p(row) = Σ_k π_k Π_columns p_k(column): every column its likelihood, all numbers with Gaussian ones a covariance.

    columns: how each is encoded; why: a sentence a column on its likelihood; schema, came_as: what frames are given
    back as; mixture: of the encoded rows. Values that are missing are left out, in fitting as in scoring; that they are
    missing is itself taken to say nothing.

    >>> frame = {"age": [20, 30, None, 44, 61, 38], "smokes": ["no", "no", "yes", "no", "yes", "no"]}
    >>> table = TableMixture.fit(frame, components=1)
    >>> table.sample(2, given={"smokes": "yes"})["smokes"].tolist()
    ['yes', 'yes']
    >>> print(table.why[1])
    smokes: text, 2 different values; bernoulli, because it is text
    """

    columns: tuple[Column, ...]
    why: tuple[str, ...]
    schema: pa.Schema
    came_as: Origin
    mixture: Mixture

    @classmethod
    def fit(
        cls,
        frame: Any,
        components: int | None = None,
        likelihoods: Mapping[str, str] | None = None,
        restarts: int = 4,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> TableMixture:
        """Choose a likelihood for each column (`choice` says how), encode the rows, and fit.

        frame: of pandas, polars or arrow, a dict of columns, or a .csv or .parquet file. components: K; unless told,
        it is doubled until a fifth of the rows, held out, is no longer the likelier for it. likelihoods: by column, for
        those that are not to be chosen.

        Raises:
            InputError: no table, no rows, or a column that cannot be modelled; the sentence names it and the remedy.
        """
        table = arrow(frame)
        _refuse_empty(table, likelihoods or {})
        picked = [_choose(table, name, (likelihoods or {}).get(name), seed) for name in table.column_names]
        columns, why = tuple(each.column for each in picked), tuple(each.why for each in picked)
        rows = torch.cat([each.encode(plain(table[each.name])) for each in columns], -1).to(device)
        family = family_of(tuple(piece for each in columns for piece in each.pieces))
        K = components or _best_count(rows, family, seed)
        mixture = _fitted(rows, family, K, restarts, seed, UNTIL)
        return cls(columns, why, table.schema, origin(frame), mixture)

    def log_prob(self, frame: Any) -> Tensor:
        """log p of each row, of what is there of it; (N,) nats, densities of numbers in their own units, float64."""
        rows = self._encoded(arrow(frame))
        return self.mixture.log_prob(rows)[0] + self._log_volume(rows)

    def responsibilities(self, frame: Any) -> Tensor:
        """p(component | what is there of the row), (N, K)."""
        return self.mixture.shares(self._encoded(arrow(frame))).responsibilities[0]

    def sample(self, count: int, given: Mapping[str, Any] | None = None, seed: int = 0) -> Any:
        """Rows drawn, with nothing missing, in a frame with the types and categories of the one fitted to.

        given: values of some columns; the others are drawn from p(others | given), exactly: a component by its
        responsibility for what is given, then the rest under it. No draw is rejected.

        Raises:
            InputError: given names no column, or a value that is impossible.
        """
        known = self._known(given or {})
        row = self._encoded(known)
        with isolated(row.device):
            reseed(row.device, derive(seed, "sample"))
            which = torch.multinomial(self.mixture.shares(row).responsibilities[0, 0], count, replacement=True)
            drawn = self.mixture.components.draw(row.expand(count, -1), which)
        return given_back(self._with(self._decoded(drawn), known.take([0] * count)), self.came_as)

    def impute(self, frame: Any) -> Any:
        """What is missing filled in by what is expected (of numbers) or likeliest (of codes) given the rest of its row.

        What is expected of logarithms is expected on their scale. The frame is given back with its other values as
        they are. A single guess understates how uncertain it is: see `draws`.
        """
        table = self._conformed(arrow(frame))
        filled = self._decoded(conditional.imputed(self.mixture, self._encoded(table)))
        return given_back(self._with(filled, table), origin(frame))

    def draws(self, frame: Any, count: int, seed: int = 0) -> list[Any]:
        """As many frames in which what is missing is drawn from its distribution given the rest of its row."""
        table = self._conformed(arrow(frame))
        rows = self._encoded(table)
        with isolated(rows.device):
            reseed(rows.device, derive(seed, "draws"))
            found = conditional.drawn(self.mixture, rows, count)
        return [given_back(self._with(self._decoded(one), table), origin(frame)) for one in found]

    def save(self, folder: Path | str) -> None:
        """Keep it in a folder: table.json and table.safetensors, each written whole."""
        form, tensors = apart(self.mixture.pick(torch.tensor([0])))
        content = {
            "format": FORMAT,
            "columns": [written(each) for each in self.columns],
            "why": list(self.why),
            "schema": schema_text(self.schema),
            "came_as": self.came_as,
            "mixture": form,
        }
        with replacing(Path(folder) / "table.safetensors") as scratch:
            save_file({name: value.cpu().contiguous().clone() for name, value in tensors.items()}, scratch)
        write_json(Path(folder) / "table.json", content)

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> TableMixture:
        """What was kept in a folder. Nothing in it is run.

        Raises:
            InputError: it is not whole, or not of this version.
        """
        place = Path(folder) / "table.json"
        content = _json(place)
        try:
            tensors = load_file(Path(folder) / "table.safetensors", device=str(device))
            schema = schema_of(content["schema"])
        except (SafetensorError, pa.ArrowException, OSError, TypeError, ValueError) as error:
            raise InputError(f"{folder} holds no whole table ({type(error).__name__}); fit it again") from None
        columns = tuple(read(f"{place}: columns", each) for each in content["columns"])
        mixture = checked(together(Parts(content["mixture"], tensors), Mixture))
        return _fitting(cls(columns, tuple(content["why"]), schema, content["came_as"], mixture), place)

    @cached_property
    def _places(self) -> list[slice]:
        """Which encoded columns are whose."""
        ends = torch.tensor([len(each.pieces) for each in self.columns]).cumsum(0).tolist()
        return [slice(end - len(each.pieces), end) for end, each in zip(ends, self.columns)]

    def _encoded(self, table: pa.Table) -> Tensor:
        table = self._conformed(table)
        rows = torch.cat([each.encode(plain(table[each.name])) for each in self.columns], -1)
        return rows.to(self.mixture.weights.mean.device)

    def _decoded(self, rows: Tensor) -> pa.Table:
        fields = zip(self.columns, self._places, self.schema)
        return pa.Table.from_arrays(
            [each.decode(rows[:, place], field.type) for each, place, field in fields], schema=self.schema
        )

    def _log_volume(self, rows: Tensor) -> Tensor:
        return sum(
            (each.log_volume(rows[:, place]) for each, place in zip(self.columns, self._places)),
            start=rows.new_zeros(len(rows)),
        )

    def _conformed(self, table: pa.Table) -> pa.Table:
        """The table with the columns, in the order and of the types, that the mixture was fitted to."""
        missing = [name for name in self.schema.names if name not in table.column_names]
        if missing:
            raise InputError(f"the table has no column {missing[0]!r}, which the mixture was fitted to; add it, empty")
        parts = [_cast(table[field.name], field, each) for field, each in zip(self.schema, self.columns)]
        return pa.Table.from_arrays(parts, schema=self.schema)

    def _known(self, given: Mapping[str, Any]) -> pa.Table:
        """A table of one row that holds what is given."""
        strange = [name for name in given if name not in self.schema.names]
        if strange:
            some = ", ".join(self.schema.names[:20])
            raise InputError(f"given: the table has no column {strange[0]!r}; choose among {some}")
        return self._conformed(pa.table({name: [given.get(name)] for name in self.schema.names}))

    def _with(self, filled: pa.Table, known: pa.Table) -> pa.Table:
        """Each value of `known`, and where there is none that of `filled`."""
        parts = [_coalesced(known[each.name], filled[each.name], each) for each in self.columns]
        return pa.Table.from_arrays(parts, schema=self.schema)


def _json(place: Path) -> dict[str, Any]:
    """The content of table.json, its parts of the types they should have."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{place} cannot be read ({type(error).__name__}); fit the table again") from None
    if not isinstance(content, dict) or set(content) != {*KEPT, "mixture"} or content["format"] != FORMAT:
        raise InputError(f"{place} is no table of this version; fit it again")
    for name, hint in KEPT.items():
        content[name] = conformed(f"{place}: {name}", content[name], hint) if hint else content[name]
    return content


def _fitting(table: TableMixture, place: Path) -> TableMixture:
    """The table, refused if columns, schema and mixture do not belong together."""
    width = sum(len(each.pieces) for each in table.columns)
    names = [each.name for each in table.columns]
    rows = table.mixture.components.sample(torch.zeros(1, dtype=torch.long))
    if names != table.schema.names or len(table.why) != len(names) or rows.shape[1] != width:
        raise InputError(f"{place}: columns, schema and mixture do not belong together; fit the table again")
    return table


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of categories as one of their values, and NaN as nothing; any other as it is."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    return column


def _choose(table: pa.Table, name: str, likelihood: str | None, seed: int) -> Any:
    column = table[name]
    categories = column.combine_chunks().dictionary.to_pylist() if pa.types.is_dictionary(column.type) else None
    if likelihood is None:
        return chosen(name, plain(column), categories, seed)
    return asked(name, plain(column), categories, likelihood)


def _fitted(rows: Tensor, family: Any, components: int, restarts: int, seed: int, until: Until) -> Mixture:
    generator = torch.Generator().manual_seed(seed)
    blocks = InMemory(rows)
    return fit(begin(family, blocks, components, restarts, generator=generator), blocks, until).mixture


def _best_count(rows: Tensor, family: Any, seed: int) -> int:
    """1, 2, 4, … components until the next gives a fifth of the rows, held out, no more nats."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).to(rows.device)
    some, rest = rows[order[len(rows) // 5 :]], rows[order[: len(rows) // 5]]
    best, found = 1, -torch.inf
    while best < min(MOST_COMPONENTS, len(some) // 5):
        nats = _fitted(some, family, best, 1, seed, SKETCH).log_prob(rest).mean().item()
        if nats <= found:
            return best // 2
        best, found = 2 * best, nats
    return max(1, best // 2)


def _cast(column: pa.ChunkedArray, field: pa.Field, known: Column) -> pa.ChunkedArray:
    """As the type it had; categories by their values."""
    if column.type == field.type:
        return column
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        values = plain(column).cast(kind)
    except pa.ArrowException:
        raise InputError(f"column {field.name!r} holds {column.type}, but {field.type} is wanted; convert it") from None
    return values if kind == field.type else _as_categories(values, field.type, known)


def _as_categories(values: pa.ChunkedArray, kind: pa.DictionaryType, known: Column) -> pa.ChunkedArray:
    if not isinstance(known, Codes):
        return values.cast(kind)
    return pa.chunked_array([known.decode(known.encode(values), kind)])


def _coalesced(known: pa.ChunkedArray, filled: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    values = pc.coalesce(plain(known), plain(filled))
    return _as_categories(values, filled.type, column) if pa.types.is_dictionary(filled.type) else values


def _refuse_empty(table: pa.Table, likelihoods: Mapping[str, str]) -> None:
    if not table.num_rows or not table.num_columns:
        raise InputError("the table has no rows or no columns; give one row a datum")
    strange = [name for name in likelihoods if name not in table.column_names]
    if strange:
        raise InputError(f"likelihoods: the table has no column {strange[0]!r}; choose among {table.column_names}")
