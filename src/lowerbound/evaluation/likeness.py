"""One datum, or one condition, from a file: a picture, or the rows of an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lowerbound.data.files import read_path
from lowerbound.data.pictures import ENDINGS, read_picture
from lowerbound.data.raw import named
from lowerbound.data.spec import Variable
from lowerbound.errors import InputError
from lowerbound.evaluation.rawdata import Array


def read_datum(variable: Variable, path: Path) -> Array:
    """What a file holds of a variable, on its own scale: one row or several, (R, *shape).

    A picture's black is the variable's least value and its white the greatest; grey and colour are made what they are
    to be.

    Raises:
        InputError: no such file, or one of another shape.
    """
    pictured = path.suffix.lower() in ENDINGS and len(variable.shape) > 1
    values = in_range(variable, read_picture(path)) if pictured else next(iter(read_path(path).arrays.values()))
    rows = np.array(values[None] if values.shape == variable.shape else values)  # which may lie in a file
    if rows.shape[1:] != variable.shape:
        raise InputError(f"{named(path)} holds {values.shape}, where {variable.shape} is wanted; bring it to that size")
    return rows


def in_range(variable: Variable, picture: Array) -> Array:
    """A picture of bytes, (H, W) or (H, W, 3), in the colours and on the scale of a variable.

    >>> black_and_white = Variable("x", "byte", (1, 2), 0, 16, levels=17)
    >>> in_range(black_and_white, np.array([[0, 255]], np.uint8)).tolist()
    [[0.0, 16.0]]
    """
    values = np.asarray(Image.fromarray(picture).convert("RGB" if variable.shape[-1:] == (3,) else "L"))
    shares = (values[..., None] if variable.shape[2:] == (1,) else values) / 255
    scaled = variable.low + shares * (variable.high - variable.low)
    return scaled if variable.kind in {"unit", "real"} else scaled.round()
