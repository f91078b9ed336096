"""Rows that memory does not hold: in files mapped or read a piece at a time, or wherever an iterable gets them from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.files import read_path
from lowerbound.data.mapped import release
from lowerbound.data.pieces import CsvPieces, ParquetPieces
from lowerbound.data.shards import Shards
from lowerbound.errors import InputError
from lowerbound.mixtures.blocks import BLOCK_VALUES, Block, Blocks, block_length, recut

PIECE_VALUES = 2**16
"""Values that lie side by side in a file and are read together by a walk in random order."""

WINDOW_VALUES = 2**21
"""Values that are in memory at once while they are mixed."""

GATHERED = 256
"""Rows of a sample that are read before their pages are given back: a page that is touched brings its neighbours."""

Numbers = Sequence[int] | np.ndarray
Where = Callable[[int, int], str]
"""Where a value is, in words, by the numbers of its row and its column."""


def _somewhere(row: int, column: int) -> str:
    return f"row {row} (from 0), column {column}"


@final
@dataclass(frozen=True)
class Inspection:
    """What becomes of values as they are read: floats, refused where EM can do nothing with them.

    where: says where a bad one is. missing: whether NaN may stand for what was not observed. device: where rows go.
    """

    where: Where = _somewhere
    missing: bool = False
    device: torch.device | str = "cpu"

    def rows(self, values: np.ndarray | Tensor, numbers: Numbers) -> Tensor:
        """Values (n, ...) as rows (n, D); `numbers` are what the rows are called in a refusal.

        Whole numbers become the floats that hold them exactly.

        Raises:
            InputError: NaN, unless missing; infinite, or too large to square.
        """
        rows = _floats(values).flatten(1)
        most = torch.finfo(rows.dtype).max ** 0.5 / 1e3
        if len(rows) and not all(
            extreme.abs() <= most for extreme in rows.aminmax()
        ):  # NaN among the rows is NaN among these
            bad = ~(rows.abs() <= most) & ~(rows.isnan() & self.missing)
            self._refuse(rows, bad, numbers)
        return rows.to(self.device)

    def _refuse(self, rows: Tensor, bad: Tensor, numbers: Numbers) -> None:
        if not bad.any():
            return
        row, column = bad.nonzero()[0].tolist()
        value, place = rows[row, column].item(), self.where(int(numbers[row]), column)
        if value != value:
            remedy = "remove the row, fill it in, or take a family that can do without, and say that values are missing"
            raise InputError(f"{place} is NaN or empty; {remedy}")
        if abs(value) == float("inf"):
            raise InputError(f"{place} is infinite; remove the row or give a finite value")
        raise InputError(f"{place} is {value:.4g}, too large to square; rescale the column")


@final
class OnDisk(Blocks):
    """Rows of an array that is read a block at a time: a file mapped into memory, or shards of one.

    Pages of a mapped file are given back once they are read, so that they do not count as memory of this process.

    array: (N, ...), each row of which is flattened. numbers: which rows are meant, rising; by default all. weights:
    (N,), how many rows each row of the array counts for.

    >>> blocks = OnDisk(np.arange(20).reshape(10, 2), numbers=np.array([1, 2, 9]))
    >>> next(iter(blocks)).rows.tolist()
    [[2.0, 3.0], [4.0, 5.0], [18.0, 19.0]]

    Raises:
        InputError: from whatever reads rows: see `Inspection`.
    """

    def __init__(
        self,
        array: np.ndarray | Shards,
        numbers: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        inspection: Inspection = Inspection(),
        values: int = BLOCK_VALUES,
    ) -> None:
        self._array, self._weights, self._inspection = array, weights, inspection
        self._numbers: Numbers = range(len(array)) if numbers is None else numbers
        self._length = block_length(self.width, values)
        if not len(self._numbers):
            raise InputError("there are no rows to fit a mixture to; give some")

    @property
    def width(self) -> int:
        return int(np.prod(self._array.shape[1:]))

    def __iter__(self) -> Iterator[Block]:
        return (self._read(slice(start, start + self._length)) for start in range(0, len(self._numbers), self._length))

    def some(self, count: int, generator: torch.Generator) -> Tensor:
        total = len(self._numbers)
        drawn = np.arange(total) if count >= total else np.sort(_drawn(total, count, generator))
        return torch.cat([self._read(part).rows for part in np.split(drawn, range(GATHERED, len(drawn), GATHERED))])

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[Block]:
        length = block_length(self.width, PIECE_VALUES)
        starts = torch.randperm(-(-len(self._numbers) // length), generator=generator) * length
        pieces = (self._read(slice(start, start + length)) for start in starts.tolist())
        return _mixed(pieces, self.width, size, generator)

    def _read(self, places: slice | np.ndarray) -> Block:
        numbers = self._called(places)
        together = len(numbers) == numbers[-1] - numbers[0] + 1
        chosen = slice(numbers[0], numbers[-1] + 1) if together else np.asarray(numbers)
        rows = self._inspection.rows(np.asarray(self._array[chosen]), numbers)
        release(self._array)
        if self._weights is None:
            return Block.even(rows)
        return Block(rows, torch.from_numpy(np.array(self._weights[chosen])).to(rows))

    def _called(self, places: slice | np.ndarray) -> Numbers:
        """The numbers of rows by their places among those that are meant."""
        if isinstance(self._numbers, np.ndarray):
            return self._numbers[places]
        return self._numbers[places] if isinstance(places, slice) else places


@runtime_checkable
class Pieces(Protocol):
    """Arrays of rows that can also be walked over in random order."""

    def __iter__(self) -> Iterator[Any]:
        """The arrays, in the order of their rows."""
        ...

    def mixed(self, generator: torch.Generator) -> Iterator[Any]:
        """The same arrays in random order."""
        ...


@final
class Passing(Blocks):
    """Rows that come by a piece at a time: from any iterable of arrays that can be walked over more than once.

    pieces: arrays or tensors (n, ...), or pairs of them and of weights (n,); n may differ from piece to piece, and
    should be such that a piece fits into memory many times. If they are `Pieces` too, `shuffled` takes them in random
    order; otherwise rows are mixed with those that come soon before and after them alone.

    >>> blocks = Passing([np.zeros((3, 2)), np.ones((4, 2))], values=10)
    >>> [len(block.rows) for block in blocks]
    [5, 2]

    Raises:
        InputError: an iterator, which is used up by one walk; and from whatever reads rows: no rows at all, rows of
            another width, and what `Inspection` refuses.
    """

    def __init__(
        self,
        pieces: Iterable[Any],
        inspection: Inspection = Inspection(),
        values: int = BLOCK_VALUES,
    ) -> None:
        if iter(pieces) is pieces:
            raise InputError("an iterator is used up by one walk; give a list, or an object that begins anew each time")
        self._pieces, self._inspection = pieces, inspection
        self._width = next(self._blocks(pieces)).rows.shape[1]
        self._length = block_length(self._width, values)

    @property
    def width(self) -> int:
        return self._width

    def __iter__(self) -> Iterator[Block]:
        return recut(self._blocks(self._pieces), self._length)

    def some(self, count: int, generator: torch.Generator) -> Tensor:
        """Each row draws a number; those with the least are the sample, wherever they come and however many do."""
        kept, keys = next(iter(self)).rows[:0], torch.empty(0, dtype=torch.float64)
        for block in self:
            drawn = torch.rand(len(block.rows), generator=generator, dtype=torch.float64)
            keys, least = torch.cat([keys, drawn]).topk(min(count, len(keys) + len(drawn)), largest=False)
            kept = torch.cat([kept, block.rows])[least.to(kept.device)]
        return kept

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[Block]:
        pieces = self._pieces.mixed(generator) if isinstance(self._pieces, Pieces) else self._pieces
        return _mixed(recut(self._blocks(pieces), self._length), self._width, size, generator)

    def _blocks(self, pieces: Iterable[Any]) -> Iterator[Block]:
        done, width = 0, None
        for piece in pieces:
            values, weights = piece if isinstance(piece, tuple) else (piece, None)
            block = self._block(values, weights, done)
            width = width or block.rows.shape[1]
            if block.rows.shape[1] != width:
                raise InputError(
                    f"{self._inspection.where(done, 0)} begins rows of {block.rows.shape[1]} values after rows of "
                    f"{width}; give every row the same width"
                )
            done += len(block.rows)
            yield block
        if not done:
            raise InputError("there are no rows to fit a mixture to; give some")

    def _block(self, piece: Any, weights: Any, done: int) -> Block:
        values = piece if isinstance(piece, Tensor) else as_array(piece, "a piece of the rows")
        rows = self._inspection.rows(values, range(done, done + len(values)))
        return Block.even(rows) if weights is None else Block(rows, torch.as_tensor(weights).to(rows))


@final
class Through(Blocks):
    """The rows of other blocks after a change that keeps their number and width."""

    def __init__(self, blocks: Blocks, change: Callable[[Tensor], Tensor]) -> None:
        self._blocks, self._change = blocks, change

    @property
    def width(self) -> int:
        return self._blocks.width

    def __iter__(self) -> Iterator[Block]:
        return map(self._changed, self._blocks)

    def some(self, count: int, generator: torch.Generator) -> Tensor:
        return self._change(self._blocks.some(count, generator))

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[Block]:
        return map(self._changed, self._blocks.shuffled(size, generator))

    def _changed(self, block: Block) -> Block:
        rows = self._change(block.rows)
        return Block(rows, block.weights.to(rows))


def opened(
    path: str | Path, missing: bool = False, leave_out: str | None = None, device: torch.device | str = "cpu"
) -> Blocks:
    """The rows of a file, or of a folder of shards, which are read as they are needed.

    .npy files and shards are mapped into memory; .parquet and .csv files are decoded a piece at a time, with every walk
    again (so that .npy is by far the quickest). leave_out: a column of a table that is not to be among the values.

    Raises:
        InputError: with the file, and where in it, and the remedy; of values once they are read.
    """
    file = Path(path).expanduser()
    if file.suffix.lower() in _TABLES:
        pieces = _TABLES[file.suffix.lower()](file, leave_out)
        return Passing(pieces, Inspection(pieces.where, missing, device))
    raw = read_path(file)
    if len(raw.arrays) > 1:
        raise InputError(
            f"{raw.place} holds {len(raw.arrays)} arrays ({', '.join(raw.arrays)}); give one of rows alone"
        )
    ((name, array),) = raw.arrays.items()
    return OnDisk(array, inspection=Inspection(lambda row, column: raw.at(name, (row, column)), missing, device))


_TABLES: dict[str, type[ParquetPieces] | type[CsvPieces]] = {".parquet": ParquetPieces, ".csv": CsvPieces}


def _floats(values: np.ndarray | Tensor) -> Tensor:
    """A copy of an array, or a tensor, as floats; one value a row is a column."""
    if not isinstance(values, Tensor):
        return _floats(torch.from_numpy(np.array(values, float_type(values.dtype))))
    narrow = values.dtype in (torch.float16, torch.bfloat16)
    floats = values if values.dtype.is_floating_point and not narrow else values.float() if narrow else values.double()
    return floats if floats.dim() > 1 else floats[:, None]


def float_type(stored: np.dtype) -> np.dtype:
    """The narrower of float32 and float64 that holds values of a type exactly.

    >>> [float_type(np.dtype(name)).name for name in ("uint8", "float16", "int32", "float64")]
    ['float32', 'float32', 'float64', 'float64']
    """
    return np.dtype(np.float32) if np.can_cast(stored, np.float32) else np.dtype(np.float64)


def _mixed(pieces: Iterable[Block], width: int, size: int, generator: torch.Generator) -> Iterator[Block]:
    """The rows of pieces, mixed within windows of many and given out `size` at a time."""
    windows = recut(pieces, max(size, block_length(width, WINDOW_VALUES)))
    return recut((window.shuffled(generator) for window in windows), size)


def _drawn(total: int, count: int, generator: torch.Generator) -> np.ndarray:
    """Different whole numbers below `total`, without a list of all of them where they are few."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return np.random.default_rng(seed).choice(total, count, replace=False, shuffle=False)
