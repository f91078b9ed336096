"""Folders of files of one kind, whose subfolders, if it has any, are named by label."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from lowerbound.data.raw import named, shown
from lowerbound.errors import InputError


def files_in(folder: Path, endings: Collection[str], what: str) -> list[Path]:
    """All files of these endings in a folder, or in its subfolders, in order of name.

    Raises:
        InputError: there is none, or there are some both in it and in subfolders.
    """
    here = sorted(_directly_in(folder, endings))
    below = [path for each in sorted(folder.iterdir()) if each.is_dir() for path in sorted(_directly_in(each, endings))]
    if here and below:
        raise InputError(
            f"{named(folder)} has {what}s both in it and in subfolders ({shown(below[0].parent.name)}); put all of "
            f"them in it, or all of them in subfolders named by label"
        )
    if not here and not below:
        known = " or ".join(sorted(endings, reverse=True))
        raise InputError(f"{named(folder)} has no {what} in it or in its subfolders; put {known} files there")
    return here or below


def labels_of(folder: Path, paths: list[Path]) -> np.ndarray | None:
    """The names of the subfolders that files are in, (N,); None where they lie in the folder itself."""
    return None if paths[0].parent == folder else np.array([path.parent.name for path in paths])


def holds(folder: Path, endings: Collection[str]) -> bool:
    """Whether there is such a file in it or in its subfolders."""
    folders = [folder, *(each for each in folder.iterdir() if each.is_dir())]
    return any(True for each in folders for _ in _directly_in(each, endings))


def _directly_in(folder: Path, endings: Collection[str]) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in endings and not path.name.startswith("."))
