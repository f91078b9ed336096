"""The header of an array in numpy's format, read with suspicion."""

from __future__ import annotations

from typing import IO

import numpy as np
from numpy.lib import format as npy

from lowerbound.errors import InputError

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def check_header(place: str, stream: IO[bytes], size: int) -> None:
    """Refuse a header that cannot be trusted before anything is allocated by it; the file has `size` bytes."""
    try:
        read = _HEADERS[npy.read_magic(stream)]
        shape, _, dtype = read(stream)
    except Exception:  # numpy evaluates the header as Python literals; what it raises over a bad one is open-ended
        raise InputError(
            f"{place} is no array in numpy's format, or is damaged; write it again with numpy.save"
        ) from None
    if dtype.hasobject:
        raise InputError(f"{place} holds pickled Python objects, which are never opened; save plain numbers instead")
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if min(shape, default=0) < 0 or stream.tell() + needed > size:
        raise InputError(f"{place} is cut short: its header claims {needed:,} bytes of values; write it again")
