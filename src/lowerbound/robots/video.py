"""Films of simulated episodes: .mp4, or .gif, .webp and a .png strip where no encoder of films is at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from PIL import Image

from lowerbound.errors import InputError, MissingExtraError
from lowerbound.files import replacing
from lowerbound.robots.simulators import Array, Simulator

Frames = Sequence[Array]
"""Pictures (H, W, 3) of uint8, all of one size."""

STRIP = 8
"""Pictures in a strip, evenly spread over the film."""


@final
class Camera:
    """Films the first worlds of several, side by side, every so many control steps."""

    def __init__(self, worlds: int, every: int) -> None:
        self.worlds, self.every, self.seen = worlds, every, 0
        self.frames: list[Array] = []

    def __call__(self, worlds: Sequence[Simulator]) -> None:
        if self.seen % self.every == 0:
            self.frames.append(tiled([world.render() for world in worlds[: self.worlds]]))
        self.seen += 1


def tiled(pictures: Frames) -> Array:
    """Pictures laid out in as square a page as there can be, with black where there is none.

    >>> tiled([np.ones((2, 3, 3), np.uint8)] * 3).shape
    (4, 6, 3)
    """
    columns = int(np.ceil(np.sqrt(len(pictures))))
    empty = [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    page = [*pictures, *empty]
    return np.concatenate([np.concatenate(page[i : i + columns], 1) for i in range(0, len(page), columns)])


def write_video(path: Path, frames: Frames, fps: int) -> None:
    """Write a film, whole or not at all, in the form that the name's ending says.

    Raises:
        InputError: another ending.
        MissingExtraError: .mp4, and no encoder is installed.
    """
    check_video(path)
    with replacing(path) as scratch:
        WRITERS[path.suffix](scratch, frames, fps)


def check_video(path: Path) -> None:
    """Refuse, before any work, what cannot be written."""
    if path.suffix not in WRITERS:
        raise InputError(f"{path} must end in one of: {', '.join(WRITERS)}")
    if path.suffix == ".mp4":
        _encoder()


def _write_mp4(path: Path, frames: Frames, fps: int) -> None:
    height, width, _ = frames[0].shape
    writer = _encoder().write_frames(str(path), (width, height), fps=fps, macro_block_size=2)
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()


def _write_animation(path: Path, frames: Frames, fps: int) -> None:
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, duration=1000 / fps, loop=0)


def _write_strip(path: Path, frames: Frames, fps: int) -> None:
    chosen = np.linspace(0, len(frames) - 1, min(STRIP, len(frames))).round().astype(int)
    Image.fromarray(np.concatenate([frames[i] for i in chosen], 1)).save(path)


WRITERS: Mapping[str, Callable[[Path, Frames, int], None]] = {
    ".mp4": _write_mp4,
    ".gif": _write_animation,
    ".webp": _write_animation,
    ".png": _write_strip,
}


def _encoder() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError("imageio-ffmpeg", "robot") from error
    return imageio_ffmpeg
