"""A folder of pictures, decoded to one variable `x` of bytes; the names of its subfolders are the labels."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, UnidentifiedImageError

from lowerbound.data.folders import files_in, labels_of
from lowerbound.data.raw import Raw, named, shown
from lowerbound.data.store import allocate
from lowerbound.errors import InputError

ENDINGS = frozenset({".png", ".jpg", ".jpeg"})

MOST_PIXELS = 1 << 24
"""A greater picture is refused before it is decoded: it may be a small file that unpacks to gigabytes."""

_FORMS = ["PNG", "JPEG"]
_PNG = b"\x89PNG\r\n\x1a\n"


def read_pictures(folder: Path) -> Raw:
    """All `.png` and `.jpg` files in a folder, or in its subfolders, in order of name; 8 bits, grey or RGB, one size.

    Raises:
        InputError: naming the first picture that cannot be read, or is unlike the first one.
    """
    paths = files_in(folder, ENDINGS, "picture")
    x = _decode_all(paths)
    return Raw(folder.resolve().name, named(folder), {"x": x}, labels_of(folder, paths))


def read_picture(path: Path) -> np.ndarray:
    """One such file, (H, W) or (H, W, 3) bytes, black 0 and white 255."""
    found: np.ndarray = _decode_all([path])[0]
    return found * np.uint8(255) if _checked_form(path).mode == "1" else found


def _decode_all(paths: list[Path]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        like = _checked_form(paths[0])
        x = allocate((len(paths), *like.shape), np.dtype(np.uint8))
        with ThreadPoolExecutor() as pool:
            for row, values in enumerate(pool.map(lambda path: _decode(path, like, paths[0]), paths)):
                x[row] = values
    return x


@final
@dataclass(frozen=True)
class _Form:
    """What all pictures of a folder must have in common."""

    mode: str
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.height, self.width, 3) if self.mode == "RGB" else (self.height, self.width)

    def __str__(self) -> str:
        return f"{self.width}×{self.height} of mode {self.mode}"


def _checked_form(path: Path) -> _Form:
    """The form of a picture, from its header alone; only 8-bit grey and RGB (or black and white) pass."""
    try:
        with path.open("rb") as stream:
            head = stream.read(26)
        with Image.open(path, formats=_FORMS) as picture:
            form = _Form(picture.mode, *picture.size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{named(path)} has over {MOST_PIXELS:,} pixels; scale it down") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise InputError(f"{named(path)} cannot be read as a picture; replace it or remove it") from None
    if head[:8] == _PNG and head[24] == 16:
        raise InputError(f"{named(path)} has 16 bits a value; convert all pictures to 8 bits")
    if form.mode not in {"1", "L", "RGB"}:
        raise InputError(f"{named(path)} is of mode {form.mode}; convert all pictures to 8-bit grey (L) or RGB")
    if form.width * form.height > MOST_PIXELS:
        raise InputError(f"{named(path)} is {form}, over {MOST_PIXELS:,} pixels; scale it down")
    return form


def _decode(path: Path, like: _Form, first: Path) -> np.ndarray:
    form = _checked_form(path)
    if form != like:
        raise InputError(
            f"{named(path)} is {form}, but {shown(first.name)} is {like}; give all pictures one size and one mode"
        )
    try:
        with Image.open(path, formats=_FORMS) as picture:
            return np.asarray(picture, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(f"{named(path)} is damaged ({shown(error)}); replace it or remove it") from None
