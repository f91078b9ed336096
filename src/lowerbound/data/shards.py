"""Folders of shards: many files of rows that are one array, read from where they lie and never in memory whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import index
from pathlib import Path
from typing import Any, cast, final

import numpy as np

from lowerbound.data.npy import check_header
from lowerbound.data.raw import Raw, named, shown
from lowerbound.errors import InputError

LONGEST_HEADER = 100 << 20

_TYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_BFLOAT16 = "BF16"


@final
@dataclass(frozen=True, eq=False)
class Shard:
    """One file's rows, mapped into memory. `halves` says that they are bfloat16, of which numpy has but the bits."""

    path: Path
    rows: np.ndarray
    halves: bool = False

    @property
    def form(self) -> str:
        """Shape of a row and type of a value, in words."""
        return f"{self.rows.shape[1:]} of {'bfloat16' if self.halves else self.rows.dtype.name}"

    def read(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Some rows; half precision is widened to float32."""
        rows = self.rows[chosen]
        if self.halves:
            return (rows.astype(np.uint32) << 16).view(np.float32)
        return rows.astype(np.float32) if rows.dtype.kind == "f" and rows.itemsize == 2 else np.asarray(rows)


@final
class Shards:
    """Shards one after another. Of an array it has what reading needs: slices, rows by number, single values.

    >>> shards = Shards([Shard(Path("a"), np.zeros((2, 3))), Shard(Path("b"), np.ones((4, 3)))])
    >>> len(shards), shards.shape, shards[np.array([5, 0])][:, 0].tolist(), shards[1:3].shape, shards.where(3)
    (6, (6, 3), [1.0, 0.0], (2, 3), 'b, row 1 (from 0)')
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._ends = np.cumsum([len(shard.rows) for shard in shards])
        self._starts = self._ends - [len(shard.rows) for shard in shards]
        first = shards[0].read(slice(0, 1))
        self.dtype, self.ndim = first.dtype, first.ndim
        self.shape = (int(self._ends[-1]), *first.shape[1:])
        self.size = int(np.prod(self.shape, dtype=object))
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def mapped(self) -> list[np.ndarray]:
        """The files' values, mapped into memory."""
        return [shard.rows for shard in self._shards]

    def __getitem__(self, chosen: Any) -> Any:
        if isinstance(chosen, slice):
            return self._slice(*chosen.indices(len(self)))
        if isinstance(chosen, tuple):
            row, *rest = chosen
            return self._slice(row, row + 1, 1)[(0, *rest)]
        return self._gather(np.asarray(chosen))

    def where(self, row: int) -> str:
        """The file that holds a row, and the row's number in it."""
        shard = self._shard_of(row)
        return f"{named(self._shards[shard].path)}, row {row - self._starts[shard]} (from 0)"

    def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
        if step != 1:
            return self._gather(np.arange(start, stop, step))
        spans = zip(self._shards, self._starts, self._ends, strict=True)
        found = [s.read(slice(max(start - a, 0), stop - a)) for s, a, b in spans if a < stop and start < b]
        return np.concatenate(found) if found else np.empty((0, *self.shape[1:]), self.dtype)

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        owner = self._shard_of(rows)
        for number in np.unique(owner):
            mine = owner == number
            out[mine] = self._shards[number].read(rows[mine] - self._starts[number])
        return out

    def _shard_of(self, rows: Any) -> Any:
        return np.searchsorted(self._ends, rows, side="right")


def is_shards(folder: Path) -> bool:
    """Whether a folder holds shards."""
    return bool(_files(folder))


def read_shards(folder: Path) -> Raw:
    """All `.npy` and `.safetensors` files of a folder, in the order of their names, as one array.

    Raises:
        InputError: with the file: cut short or damaged, of several tensors, or unlike the first in width or type.
    """
    shards = [_open(path) for path in _files(folder)]
    for one, other in pairwise(shards):
        if one.form != other.form:
            raise InputError(
                f"{named(other.path)} has rows of {other.form}, but {named(one.path)} of {one.form}; "
                f"give every shard the same width and type"
            )
    rows = Shards(shards)
    return Raw(shown(folder.name), named(folder), {"x": cast(np.ndarray, rows)}, where=rows.where)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _OPENERS and path.is_file())


def _open(path: Path) -> Shard:
    try:
        shard = _OPENERS[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(
            f"{named(path)} cannot be read ({error.strerror}); check it, and that you may read it"
        ) from None
    shape = shard.rows.shape
    if len(shape) < 2:
        raise InputError(f"{named(path)} has values of shape {shape}; save a shard as rows, (number, width)")
    if 0 in shape:
        raise InputError(f"{named(path)} is empty (shape {shape}); leave it out")
    return shard


def _open_npy(path: Path) -> Shard:
    with path.open("rb") as stream:
        check_header(named(path), stream, path.stat().st_size)
    return Shard(path, np.load(path, mmap_mode="r", allow_pickle=False))


def _open_safetensors(path: Path) -> Shard:
    """Map the one tensor of a file: eight bytes of length, a header in JSON, then the values."""
    tensors, start = _header(path)
    if len(tensors) != 1:
        names = ", ".join(shown(name) for name in tensors) or "none"
        raise InputError(f"{named(path)} holds {len(tensors)} tensors ({names}); save one a shard")
    (about,) = tensors.values()
    try:
        dtype, shape, first, last = _layout(about)
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{named(path)} has a header that cannot be used, or holds no numbers; write it again"
        ) from None
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if last - first != needed or start + last > path.stat().st_size:
        raise InputError(f"{named(path)} is cut short: its header claims {needed:,} bytes of values; write it again")
    rows = np.memmap(path, dtype, "r", start + first, shape) if needed else np.empty(shape, dtype)
    return Shard(path, rows, about["dtype"] == _BFLOAT16)


def _layout(about: Any) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """Type, shape, and where the values begin and end, of what a header says of one tensor."""
    dtype = np.dtype("<u2") if about["dtype"] == _BFLOAT16 else _TYPES[about["dtype"]]
    shape, (first, last) = tuple(map(index, about["shape"])), map(index, about["data_offsets"])
    if min(first, *shape, 0) < 0:
        raise ValueError
    return dtype, shape, first, last


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What a file says of its tensors, and where their values begin."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(LONGEST_HEADER, path.stat().st_size - 8):
                raise ValueError
            tensors = dict(json.loads(stream.read(length)))
    except (ValueError, TypeError, struct.error, RecursionError):
        raise InputError(f"{named(path)} is no whole safetensors file; write it again") from None
    tensors.pop("__metadata__", None)
    return tensors, 8 + length


_OPENERS: dict[str, Callable[[Path], Shard]] = {".npy": _open_npy, ".safetensors": _open_safetensors}
