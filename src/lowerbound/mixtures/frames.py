"""Tables with named columns, from pandas, polars, arrow, a dict or a file, and back to what they came as."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lowerbound.errors import InputError

Origin = Literal["pandas", "polars", "arrow"]
DAY = 86_400_000_000
"""Microseconds."""


def arrow(frame: Any, place: str = "the table") -> pa.Table:
    """Any table as one of arrow's, without a row index.

    Raises:
        InputError: it is no table, a file that cannot be read, or a column mixes what does not go together.

    >>> arrow({"age": [40, None], "sex": ["f", "m"]}).column_names
    ['age', 'sex']
    """
    try:
        return _floated(_unique(_arrow(frame), place))
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{place} cannot be read as columns of one type each ({reason}); "
            f"give a frame of pandas or polars, a dict of columns, or a .csv or .parquet file"
        ) from None


def origin(frame: Any) -> Origin:
    """What a table came as; files and dicts are given back as pandas frames if there is pandas, else as arrow's."""
    root = type(frame).__module__.partition(".")[0]
    if root in ("pandas", "polars"):
        return root  # type: ignore[return-value]  # one of the two
    return "arrow" if root == "pyarrow" or find_spec("pandas") is None else "pandas"


def given_back(table: pa.Table, to: Origin) -> Any:
    """The table as what it came as, with the types and categories that its schema tells of."""
    if to == "pandas":
        return table.to_pandas()
    if to == "polars":
        import polars

        return polars.from_arrow(table)
    return table


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column of numbers, truth values or times as float64, times in days; NaN where nothing is."""
    if pa.types.is_temporal(column.type):
        micros = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return _floats(micros) / DAY
    return _floats(column)


def as_type(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Numbers as a column of this type: times to their unit, whole numbers rounded into their range; NaN is nothing."""
    gone = np.isnan(values)
    if pa.types.is_temporal(kind):
        micros = np.where(gone, 0, np.rint(values * DAY)).astype("int64")
        if pa.types.is_date(kind):
            micros = np.where(gone, 0, np.rint(values)).astype("int64") * DAY
        return pa.array(micros, mask=gone).cast(pa.timestamp("us")).cast(kind, safe=False)
    if pa.types.is_boolean(kind):
        return pa.array(values > 0.5, mask=gone)
    if pa.types.is_integer(kind):
        return pa.array(_whole(np.where(gone, 0, values), kind), kind, mask=gone)
    return pa.array(values, mask=gone).cast(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers or times."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or is_time(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_time(kind: pa.DataType) -> bool:
    """Whether a column of this type holds days or times."""
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def schema_text(schema: pa.Schema) -> str:
    """A schema in hexadecimal, with what pandas and polars keep in it."""
    return schema.serialize().to_pybytes().hex()


def schema_of(text: str) -> pa.Schema:
    """The schema that `schema_text` wrote."""
    return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(text)))


def _arrow(frame: Any) -> pa.Table:
    root = type(frame).__module__.partition(".")[0]
    if root == "pandas":
        return pa.Table.from_pandas(frame, preserve_index=False)
    if root == "polars":
        return frame.to_arrow()
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, str | Path):
        return _file(Path(frame))
    if isinstance(frame, Mapping):
        return pa.table(dict(frame))
    raise TypeError(f"a {type(frame).__name__} is no table")


def _file(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.suffix != ".csv":
        raise InputError(f"{path} is neither a .csv nor a .parquet file; save the table as one of them")
    options = pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=True)
    return pa_csv.read_csv(path, convert_options=options)


def _floated(table: pa.Table) -> pa.Table:
    """Decimal numbers as floats."""
    fields = [pa.field(f.name, pa.float64()) if pa.types.is_decimal(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields, table.schema.metadata))


def _unique(table: pa.Table, place: str) -> pa.Table:
    names = table.column_names
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{place}: column {twice[0]!r} is there twice; give every column a name of its own")
    return table


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return pc.cast(column, pa.float64(), safe=False).to_numpy().astype("float64", copy=False)


def _whole(values: np.ndarray, kind: pa.DataType) -> np.ndarray:
    limits = np.iinfo(kind.to_pandas_dtype())
    # The greatest 64-bit numbers are no floats: one step inside is.
    return np.rint(np.clip(values, limits.min, np.nextafter(float(limits.max), 0))).astype(limits.dtype)
