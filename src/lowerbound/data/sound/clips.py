"""Clips: sound cut into windows of so many frames, each a picture of decibels, low frequencies first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lowerbound.data.folders import files_in, labels_of
from lowerbound.data.raw import Raw, named, shown
from lowerbound.data.sound.spectrogram import Form
from lowerbound.data.sound.wav import ENDINGS, Sound, read_sound
from lowerbound.errors import InputError

FRAMES = 64
"""Frames of a clip: half a second."""

GATE = 40.0
"""A frame is of sound, not of a pause, if it has no less than this many decibels under the loudest of its file."""


def cut(sound: Sound, form: Form, frames: int = FRAMES) -> np.ndarray:
    """All of a sound as clips one after another, (W, bins, frames) in decibels; the last one ends in silence.

    >>> cut(Sound(np.ones(9_000, np.float32), 8_000), Form.usual(8_000)).shape
    (3, 129, 64)
    """
    length = frames * form.hop
    x = torch.zeros(-(-len(sound.samples) // length) * length)
    x[: len(sound.samples)] = torch.from_numpy(sound.samples)
    levels = form.levels(form.spectrum(x).abs())
    return np.ascontiguousarray(levels.unflatten(-1, (-1, frames)).movedim(1, 0).numpy())


def joined(clips: np.ndarray) -> np.ndarray:
    """Clips (..., W, bins, frames) as one spectrogram, (..., bins, W·frames).

    >>> joined(np.zeros((3, 129, 64))).shape
    (129, 192)
    """
    side_by_side = np.moveaxis(clips, -3, -2)
    return side_by_side.reshape(*side_by_side.shape[:-2], -1)


def spoken(clips: np.ndarray) -> np.ndarray:
    """The clips of a file that are mostly sound: at least half of their frames pass the `GATE`."""
    powers = 10 * np.log10(np.power(10, clips.astype(np.float64) / 10).sum(1))  # (W, frames)
    return clips[(powers >= powers.max() - GATE).mean(1) >= 0.5]


def clips_of(sounds: Sequence[Sound], form: Form, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """The spoken clips of files, (N, bins, frames), and the number of the file that each is of, (N,)."""
    each = [spoken(cut(sound, form, frames)) for sound in sounds]
    return np.concatenate(each), np.repeat(np.arange(len(each)), [len(clips) for clips in each])


def raw_of(
    name: str, place: str, sounds: Sequence[Sound], labels: np.ndarray | None = None, frames: int = FRAMES
) -> Raw:
    """The clips of files as data: those of one file are in one split. labels: one a file."""
    form = Form.usual(sounds[0].rate)
    x, file = clips_of(sounds, form, frames)
    told = None if labels is None else labels[file]
    return Raw(name, place, {"x": x}, told, groups=file, forms={"x": str(form)})


def read_sounds(folder: Path, frames: int = FRAMES) -> Raw:
    """All sound files in a folder, or in its subfolders, whose names then are labels; of one rate.

    Raises:
        InputError: naming the first file that cannot be read, or is of another rate than the first one.
    """
    paths = files_in(folder, ENDINGS, "sound")
    sounds = [read_sound(path) for path in paths]
    for path, sound in zip(paths, sounds):
        if sound.rate != sounds[0].rate:
            raise InputError(
                f"{named(path)} has {sound.rate:,} samples a second, but {shown(paths[0].name)} has "
                f"{sounds[0].rate:,}; bring all of them to one rate"
            )
    return raw_of(folder.resolve().name, named(folder), sounds, labels_of(folder, paths), frames)
