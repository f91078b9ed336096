"""Files of the user's own, decoded to `Raw`."""

from __future__ import annotations

from pathlib import Path

from lowerbound.data.raw import Raw, shown
from lowerbound.errors import InputError


def read_path(path: Path, label: str | None) -> Raw:
    """Read a file by its ending, or a folder of pictures."""
    raise InputError(f"{shown(path)}: not yet")
