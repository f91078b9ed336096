"""Where fetched data are kept, and room for what does not fit in memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from lowerbound.data.survey import chunks
from lowerbound.errors import InputError

DECODED_BYTES = 4 << 30
"""Decoded rows of up to this many bytes are kept in memory; more go to an unnamed file in the cache."""


def cache() -> Path:
    """The folder of fetched data: `LOWERBOUND_DATA`, else `~/.cache/lowerbound`."""
    return Path(os.environ.get("LOWERBOUND_DATA") or Path.home() / ".cache" / "lowerbound").expanduser()


def allocate(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array to decode into; beyond `DECODED_BYTES` it is a file mapped into memory that leaves no name behind."""
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if needed <= DECODED_BYTES:
        return np.empty(shape, dtype)
    cache().mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=cache()) as stream:
            return np.memmap(stream, dtype, "w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"{needed / 1e9:.0f} GB of decoded data do not fit in {cache()} ({error.strerror}); "
            f"set LOWERBOUND_DATA to a folder with room"
        ) from None


def cast(values: np.ndarray, dtype: str) -> np.ndarray:
    """The same values in another type, in memory or, if great, in such a file; one chunk at a time."""
    out = allocate(values.shape, np.dtype(dtype))
    for part in chunks(values):
        out[part] = values[part]
    return out


def memory() -> int:
    """Bytes of memory that this machine has; what it does not tell is taken to be 16 GiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 16 << 30
