"""Masks from files: True, or white, where a value is observed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowerbound.data.files import read_path
from lowerbound.data.pictures import read_picture
from lowerbound.errors import InputError


def read_mask(path: Path, shape: tuple[int, ...], rows: int) -> np.ndarray:
    """A mask (rows, *shape) of a .npy file or a picture, True where observed.

    A .npy file holds 0 and 1, or False and True, for one datum, which is then meant for all, or for each. A picture is
    black where hidden, white where observed, and serves all data of its height and width.

    Raises:
        InputError: a file that is neither, of another shape, with other values, or that hides nothing.
    """
    values = _of_picture(path, shape) if path.suffix.lower() == ".png" else _of_array(path)
    if values.shape not in (shape, (rows, *shape)):
        raise InputError(
            f"{path} is a mask of shape {values.shape}, and the data have rows of shape {shape}; give one of that shape "
            f"for all, or one for each of the {rows:,} rows"
        )
    if not np.isin(values, (0, 1)).all():
        raise InputError(f"{path} has other values than 0 (hidden) and 1 (observed); write a mask of those")
    if values.all():
        raise InputError(f"{path} hides nothing; set to 0 (black, in a picture) what is to be completed")
    return np.broadcast_to(values.astype(bool), (rows, *shape))


def _of_array(path: Path) -> np.ndarray:
    return np.asarray(next(iter(read_path(path).arrays.values())))


def _of_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """One picture, alike in all channels of the data; its greys are 0 and 255."""
    grey = read_picture(path)
    levels = (grey if grey.ndim == 2 else grey[..., 0]) / 255
    return np.broadcast_to(levels[..., None], (*levels.shape, shape[2])) if len(shape) == 3 else levels
