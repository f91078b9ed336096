"""Files of the user's own, decoded to `Raw` by their ending. Nothing in them is ever unpickled or run."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from lowerbound.data.arrays import read_arrays
from lowerbound.data.folders import holds
from lowerbound.data.lerobot import is_lerobot, read_lerobot
from lowerbound.data.npy import check_header
from lowerbound.data.pictures import read_pictures
from lowerbound.data.raw import Raw, named, shown
from lowerbound.data.shards import is_shards, read_shards
from lowerbound.data.sound.clips import read_sounds
from lowerbound.data.sound.wav import ENDINGS
from lowerbound.data.store import memory
from lowerbound.data.tables import read_csv, read_parquet
from lowerbound.data.texts import read_lines
from lowerbound.errors import InputError

_BROKEN = (
    *(ValueError, EOFError, IndexError, OverflowError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What numpy and zipfile raise over damaged archives."""


def read_path(path: Path, label: str | None = None) -> Raw:
    """Read a file, or a folder of pictures, sounds or shards; `label` names the column or array to condition on.

    Raises:
        InputError: with the file, and where in it, and the remedy.
    """
    place = named(path)
    if path.is_dir():
        return _read_folder(path, label)
    if not path.exists():
        raise InputError(f"there is no file and no named source {place}; give one of either (see: lowerbound data)")
    reader = _READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        known = f"{', '.join(_READERS)} or a folder of png, jpg or wav"
        raise InputError(f"{place} is of no known form; save it as {known}")
    if path.stat().st_size == 0:
        raise InputError(f"{place} is empty; write the data to it again")
    try:
        return replace(reader(path, label), name=shown(path.name))
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error.strerror}); check it, and that you may read it") from None


def _read_folder(folder: Path, label: str | None) -> Raw:
    if is_lerobot(folder):
        return read_lerobot(folder, camera=label)
    if is_shards(folder):
        return read_shards(folder)
    return read_sounds(folder) if holds(folder, ENDINGS) else read_pictures(folder)


def read_npy(path: Path, label: str | None = None) -> Raw:
    """One array of numbers, mapped into memory and not copied."""
    place = named(path)
    with path.open("rb") as stream:
        check_header(place, stream, path.stat().st_size)
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    return read_arrays({"x": values}, place=place)


def read_npz(path: Path, label: str | None = None) -> Raw:
    """Several arrays by name, decoded into memory."""
    place = named(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return read_arrays(_members(place, archive), label, place)
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(f"{place} is damaged or cut short ({shown(error)}); write it again") from None


def _members(place: str, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    needed = sum(member.file_size for member in members)
    if needed > memory():
        raise InputError(
            f"{place} unpacks to {needed / 1e9:,.0f} GB, more than the memory here; save it as .npy, read in place"
        )
    arrays = {}
    for member in members:
        with archive.open(member) as stream:
            check_header(f"{place}, array {shown(member.filename)!r}", stream, member.file_size)
        with archive.open(member) as stream:
            arrays[member.filename.removesuffix(".npy")] = npy.read_array(stream, allow_pickle=False)
    return arrays


def has_named_parts(path: Path) -> bool:
    """Whether what is read has columns or arrays with names, one of which may be taken for labels."""
    return path.suffix.lower() in {".npz", ".csv", ".parquet"} or is_lerobot(path)


_READERS: dict[str, Callable[[Path, str | None], Raw]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".txt": read_lines,
}
