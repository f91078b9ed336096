"""Tables that memory does not hold: parquet and CSV files, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import torch

from lowerbound.data.raw import named, shown
from lowerbound.errors import InputError

PIECE_BYTES = 1 << 22
"""Bytes of a table, about, that are decoded at once."""


@final
class ParquetPieces:
    """A parquet file's rows, (n, D) at a time; empty cells are NaN.

    leave_out: a column that is not to be among the values, such as one of labels.

    Raises:
        InputError: no parquet file, a damaged one, or a column that holds no numbers.
    """

    def __init__(self, path: str | Path, leave_out: str | None = None) -> None:
        self.path = Path(path)
        with _opened(self.path) as file:
            schema, self._groups = file.schema_arrow, file.num_row_groups
        self.columns = tuple(name for name in schema.names if name != leave_out)
        for name in self.columns:
            _require_numbers(self.path, name, schema.field(name).type)
        narrow = all(np.can_cast(schema.field(name).type.to_pandas_dtype(), np.float32) for name in self.columns)
        self._type = np.dtype(np.float32 if narrow else np.float64)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The rows in their order."""
        return self._read(range(self._groups))

    def mixed(self, generator: torch.Generator) -> Iterator[np.ndarray]:
        """The rows of each row group together, the groups in random order."""
        return self._read(torch.randperm(self._groups, generator=generator).tolist())

    def where(self, row: int, column: int) -> str:
        """Where a value is, in words."""
        return f"{named(self.path)}, row {row} (from 0), column {shown(self.columns[column])!r}"

    def _read(self, groups: range | list[int]) -> Iterator[np.ndarray]:
        rows = max(1, PIECE_BYTES // (8 * len(self.columns)))
        try:
            with _opened(self.path) as file:
                for batch in file.iter_batches(rows, row_groups=list(groups), columns=list(self.columns)):
                    yield _matrix(batch, self._type)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{named(self.path)} is damaged ({_brief(error)}); write it again") from None


@final
class CsvPieces:
    """A CSV file's rows, (n, D) float64 at a time; empty cells are NaN. Its first line names the columns.

    Raises:
        InputError: no CSV file, or a cell that holds no number.
    """

    def __init__(self, path: str | Path, leave_out: str | None = None) -> None:
        self.path = Path(path)
        self.columns = tuple(name for name in self._reader({}, []).schema.names if name != leave_out)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The rows in their order."""
        numbers = dict.fromkeys(self.columns, pa.float64())
        try:
            for batch in self._reader(numbers, list(self.columns)):
                yield _matrix(batch, np.dtype(np.float64))
        except pa.ArrowException as error:
            raise self._refusal(error) from None

    def where(self, row: int, column: int) -> str:
        """Where a value is, in words."""
        return f"{named(self.path)}, row {row} (from 0), column {shown(self.columns[column])!r}"

    def _reader(self, types: dict[str, pa.DataType], columns: list[str]) -> Any:
        try:
            return pa_csv.open_csv(
                self.path,
                read_options=pa_csv.ReadOptions(block_size=PIECE_BYTES, use_threads=False),
                convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=columns),
            )
        except (pa.ArrowException, OSError) as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> InputError:
        return InputError(f"{named(self.path)} is no CSV file of numbers ({_brief(error)}); correct it")


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{named(path)} is no parquet file or is damaged ({_brief(error)}); write it again") from None


def _require_numbers(path: Path, name: str, kind: pa.DataType) -> None:
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{named(path)}, column {shown(name)!r} holds {kind} and no numbers; leave it out")


def _matrix(batch: pa.RecordBatch, kind: np.dtype) -> np.ndarray:
    """Columns side by side, (n, D)."""
    return np.stack([column.to_numpy(zero_copy_only=False).astype(kind) for column in batch.columns], axis=1)


def _brief(error: Exception) -> str:
    return shown(str(error).splitlines()[0] if str(error) else type(error).__name__)
