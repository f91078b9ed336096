"""Camera pictures in a column of a parquet file, as LeRobot keeps those of type image: bytes of a PNG or JPEG each."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from lowerbound.data.raw import named, shown
from lowerbound.data.senses import MOST_PIXELS
from lowerbound.errors import InputError

_FORMS = ["PNG", "JPEG"]


def pictures(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """The pictures of a column, (T, H, W, 3) of bytes, all of one size.

    Raises:
        InputError: with the row: no picture, not in RGB, too large, or unlike the first.
    """
    if not pa.types.is_struct(column.type) or "bytes" not in [field.name for field in column.type]:
        raise InputError(
            f"{named(path)}, column {shown(name)!r} holds no pictures but {shown(column.type)}; name one that does"
        )
    cells = column.combine_chunks().field("bytes").to_pylist()
    found = [_decoded(f"{named(path)}, row {row} (from 0), column {name!r}", cell) for row, cell in enumerate(cells)]
    unlike = [row for row, picture in enumerate(found) if picture.shape != found[0].shape]
    if unlike:
        raise InputError(f"{named(path)}, row {unlike[0]} (from 0) has a picture of another size; give all the same")
    return np.stack(found)


def encoded(values: np.ndarray) -> pa.StructArray:
    """Pictures (T, H, W, 3) of bytes as such a column, of PNG."""
    cells = [_png(picture) for picture in values]
    nothing = pa.nulls(len(cells), pa.string())
    return pa.StructArray.from_arrays([pa.array(cells, pa.binary()), nothing], names=["bytes", "path"])


def _png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def _decoded(place: str, cell: object) -> np.ndarray:
    if not isinstance(cell, bytes):
        raise InputError(f"{place} has no picture in it; fetch the file again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(cell), formats=_FORMS) as picture:
                _refuse_size(place, picture.mode, *picture.size)
                return np.asarray(picture, np.uint8)
    except InputError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombWarning, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{place} is no PNG or JPEG, or is damaged ({shown(error)}); fetch the file again") from None


def _refuse_size(place: str, mode: str, width: int, height: int) -> None:
    if mode != "RGB" or width * height * 3 > MOST_PIXELS:
        raise InputError(
            f"{place} is {width}×{height} of mode {mode}; keep RGB pictures of at most {MOST_PIXELS // 3:,} pixels"
        )
