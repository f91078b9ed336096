"""Tables in CSV and parquet files, decoded to one variable `x` with named columns."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lowerbound.data.raw import Raw, named, shown
from lowerbound.data.store import memory
from lowerbound.errors import InputError, UnlabelledError

_NUMERIC = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
"""What columns hold that are numbers, or nothing at all."""


def read_csv(path: Path, label: str | None = None) -> Raw:
    """A CSV file with commas; the first line names the columns unless all of it is numbers other than 0, 1, 2, ….

    Empty cells and the usual spellings of a missing value (NA, NaN, null) become NaN.
    """
    has_header = _has_header(path)
    try:
        table = pa_csv.read_csv(path, read_options=pa_csv.ReadOptions(autogenerate_column_names=not has_header))
    except pa.ArrowInvalid as error:
        raise InputError(_csv_complaint(path, has_header, error)) from None
    return _raw(path, table, label)


def read_parquet(path: Path, label: str | None = None) -> Raw:
    """A parquet file of numeric columns; nulls become NaN."""
    try:
        with pq.ParquetFile(path) as file:
            _refuse_huge(path, file.metadata)
            table = file.read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{named(path)} is no parquet file or is damaged ({_brief(error)}); write it again") from None
    return _raw(path, table, label)


def _raw(path: Path, table: pa.Table, label: str | None) -> Raw:
    place = named(path)
    names = _names(place, table)
    _refuse_names(place, names, label)
    if table.num_rows == 0:
        raise InputError(f"{place} has no rows below its header; give one row a datum")
    columns = tuple(name for name in names if name != label)
    if not columns:
        raise InputError(f"{place} has no column to model beside the labels; give at least one")
    x = np.stack([_numbers(place, name, table[name]) for name in columns], axis=1)
    labels = None if label is None else _labels(place, label, table[label])
    return Raw(path.name, place, {"x": x}, labels, columns)


def _names(place: str, table: pa.Table) -> list[str]:
    try:
        return list(table.column_names)
    except UnicodeDecodeError:
        raise InputError(f"{place} has column names that are not UTF-8; write it again in UTF-8") from None


def _numbers(place: str, name: str, column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type
    if not any(is_kind(kind) for is_kind in _NUMERIC):
        return np.array([_number(place, name, row, cell.as_py()) for row, cell in enumerate(_cells(column))])
    values: np.ndarray = (column.cast(pa.float64()) if column.null_count else column).to_numpy()
    return values


def _cells(column: pa.ChunkedArray) -> Iterator[pa.Scalar]:
    return (cell for chunk in column.iterchunks() for cell in chunk)


def _number(place: str, name: str, row: int, cell: Any) -> float:
    try:
        return math.nan if cell is None else float(cell)
    except (ValueError, TypeError):
        raise InputError(
            f"{place}, row {row} (from 0), column {shown(name)!r} holds {shown(cell)!r}, which is no number; "
            f"correct it, leave the column out, or take it for labels"
        ) from None


def _labels(place: str, name: str, column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_null(column.type) or column.null_count:
        _refuse_empty(place, name, column)
    values: np.ndarray = column.to_numpy()
    return values


def _refuse_names(place: str, names: list[str], label: str | None) -> None:
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise InputError(f"{place}: column {shown(min(twice))!r} is there twice; give every column a name of its own")
    if "" in names:
        raise InputError(f"{place}: column {names.index('')} (from 0) has no name; name it, or leave it out")
    odd = [name for name in names if not name.isprintable() or len(name) > 200]
    if odd:
        raise InputError(f"{place}: column '{shown(odd[0])}' has control characters or over 200 letters; rename it")
    if label is not None and label not in names:
        some = ", ".join(map(shown, names[:20]))
        raise UnlabelledError(f"{place} has no column {shown(label)!r} for labels; choose one of: {some}")


def _refuse_empty(place: str, name: str, column: pa.ChunkedArray) -> None:
    row = pc.index(pc.is_null(column), True).as_py()
    raise InputError(
        f"{place}, row {row} (from 0), column {shown(name)!r} is empty or NaN; fill it in or remove the row"
    )


def _refuse_huge(path: Path, about: Any) -> None:
    needed = about.num_rows * about.num_columns * 8
    if needed > memory():
        raise InputError(
            f"{named(path)} unpacks to {needed / 1e9:,.0f} GB, more than the memory here; save it as .npy instead"
        )


def _has_header(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        try:
            first = next(csv.reader(stream), [])
        except csv.Error:
            return True
    counted = first == [str(number) for number in range(len(first))]  # what pandas calls columns without a name
    return counted or not all(map(_is_number, first))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _csv_complaint(path: Path, has_header: bool, error: pa.ArrowInvalid) -> str:
    """Find the row that is at fault: the fast reader, on many threads, does not count rows."""
    with path.open(encoding="utf-8", errors="replace", newline="") as stream, contextlib.suppress(csv.Error):
        rows = filter(None, csv.reader(stream))
        first = next(rows)
        for row, cells in enumerate(rows, 0 if has_header else 1):
            if len(cells) != len(first):
                return (
                    f"{named(path)}, row {row} (from 0) has {len(cells)} cells, but the first line has {len(first)}; "
                    f"give every row the same number"
                )
    return f"{named(path)} is no CSV file in UTF-8 ({_brief(error)}); write it again with commas between the cells"


def _brief(error: Exception) -> str:
    return shown(str(error).splitlines()[0] if str(error) else type(error).__name__)
