"""Files mapped into memory: their pages are given back once they have been read."""

from __future__ import annotations

import mmap
from typing import Any


def release(array: Any) -> None:
    """Give back the pages of a mapped file that have been read; whoever reads them again finds them again.

    They would count as memory of this process until others need it. array: a memmap, shards of them (`mapped`), or an
    array in memory, which is left alone, as are copies of pages that were written to and never reach the file.
    """
    for each in getattr(array, "mapped", [array]):
        mapped = getattr(each, "_mmap", None)
        if mapped is not None and each.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
