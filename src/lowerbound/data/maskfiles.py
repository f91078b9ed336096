"""Masks as users name them: drawn by name, or from a file; True, or white, where a value is observed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import torch

from lowerbound.arguments import conformed
from lowerbound.data.masks import MaskName, Masks
from lowerbound.data.npy import check_header
from lowerbound.data.pictures import read_picture
from lowerbound.errors import InputError
from lowerbound.randomness import derive, isolated, reseed


def mask_for(named: str, shape: tuple[int, ...], rows: int, share: float = 0.5, seed: int = 0) -> np.ndarray:
    """The masks (rows, *shape) of this name, or of the file of that path; True where observed.

    share: of the mask random, what is hidden. seed: fixes what is drawn.

    Raises:
        InputError: neither a name nor a file, or a mask that does not fit.

    Example:
        >>> mask_for("left", (4,), 2)
        array([[False, False,  True,  True],
               [False, False,  True,  True]])
    """
    if named not in get_args(MaskName):
        if not Path(named).exists():
            names = ", ".join(get_args(MaskName))
            raise InputError(
                f"there is no mask {named!r} and no such file; choose one of {names}, or give a .npy or .png"
            )
        return read_mask(Path(named), shape, rows)
    conformed("share", share, Annotated[float, (0.0, 1.0)])
    with isolated(torch.device("cpu")):
        reseed(torch.device("cpu"), derive(seed, "mask"))
        return Masks(shape, [named], share)(rows).numpy()


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
            f"{path} is a mask of shape {values.shape}, and the data have rows of {shape}; give one of that shape "
            f"for all, or one for each of the {rows:,} rows"
        )
    if not np.isin(values, (0, 1)).all():
        raise InputError(f"{path} has other values than 0 (hidden) and 1 (observed); write a mask of those")
    if values.all():
        raise InputError(f"{path} hides nothing; set to 0 (black, in a picture) what is to be completed")
    return np.broadcast_to(values.astype(bool), (rows, *shape))


def _of_array(path: Path) -> np.ndarray:
    if path.suffix.lower() != ".npy":
        raise InputError(f"{path} is of no form that masks have; save it as .npy (with numpy.save) or .png")
    with path.open("rb") as stream:
        check_header(str(path), stream, path.stat().st_size)
    values: np.ndarray = np.load(path, allow_pickle=False)
    return values


def _of_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """One picture, alike in all channels of the data; its greys are 0 and 255."""
    grey = read_picture(path)
    levels = (grey if grey.ndim == 2 else grey[..., 0]) / 255
    return np.broadcast_to(levels[..., None], (*levels.shape, shape[2])) if len(shape) == 3 else levels
