"""Sounds in files: WAV as it is, FLAC, Ogg and MP3 by the library that the extra `audio` brings."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import final

import numpy as np

from lowerbound.data.raw import named, shown
from lowerbound.errors import InputError, MissingExtraError
from lowerbound.files import replacing

MOST_BYTES = 1 << 30
"""A greater sound is refused before it is decoded: of floats nine hours at 8 kHz."""

PACKED = frozenset({".flac", ".ogg", ".mp3"})
"""Endings that the extra `audio` reads."""

ENDINGS = frozenset({".wav"}) | PACKED

_STEPS = {"uint8": 128, "int16": 1 << 15, "int32": 1 << 31}
"""Type of stored samples -> how many of its steps make full scale; 24 bits come as the upper ones of 32."""


@final
@dataclass(frozen=True, eq=False)
class Sound:
    """One channel of sound: `samples` (N,) float32, of which full scale is [-1, 1], and `rate` of them a second.

    >>> Sound(np.zeros(4_000, np.float32), 8_000).seconds
    0.5
    """

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    def resampled(self, rate: int) -> Sound:
        """The same at another rate, by a polyphase filter that lets nothing pass that the lesser rate cannot hold.

        >>> Sound(np.zeros(4_410, np.float32), 44_100).resampled(8_000).samples.shape
        (800,)
        """
        if rate == self.rate:
            return self
        from scipy.signal import resample_poly  # slow to import, and most sounds are of the rate that is wanted

        common = gcd(rate, self.rate)
        samples = resample_poly(self.samples.astype(np.float64), rate // common, self.rate // common)
        return Sound(samples.astype(np.float32), rate)


def read_sound(path: Path) -> Sound:
    """A `.wav` file (PCM of 8 to 32 bits, or floats), or with the extra `audio` `.flac`, `.ogg` or `.mp3`.

    Several channels become their mean.

    Raises:
        InputError: with the file, when it is no sound, damaged, empty, silent or greater than `MOST_BYTES`.
        MissingExtraError: for the other endings, where their reader is not installed.
    """
    if not path.is_file():
        raise InputError(f"there is no file {named(path)}; give a sound file")
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{named(path)} is no sound by its ending; save it as {', '.join(sorted(ENDINGS))}")
    read = _read_packed if path.suffix.lower() in PACKED else _read_wav
    return _checked(path, *_opened(path, read))


def write_wav(path: Path, sound: Sound) -> None:
    """Write 16-bit PCM, whole or not at all; what is beyond full scale is made as much softer as it takes.

    Raises:
        InputError: samples that are not finite.
    """
    from scipy.io import wavfile  # slow to import

    peak = float(np.abs(sound.samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise InputError(f"{named(path)} is not written: its samples are not finite; look at how they were made")
    steps = np.round(sound.samples / max(1.0, peak) * ((1 << 15) - 1)).astype(np.int16)
    with replacing(path) as scratch:
        wavfile.write(scratch, sound.rate, steps)


def _opened(path: Path, read: Callable[[Path], tuple[int, np.ndarray]]) -> tuple[int, np.ndarray]:
    """What a reader makes of a file, its complaints in a sentence of ours."""
    try:
        return read(path)
    except OSError as error:
        raise InputError(f"{named(path)} cannot be read ({shown(error.strerror or error)}); check it") from None
    except InputError:
        raise
    except (ValueError, EOFError, RuntimeError, MemoryError, OverflowError, Warning, struct.error, KeyError) as error:
        raise InputError(
            f"{named(path)} is damaged, or no sound of a known form ({shown(error)}); save it again as PCM"
        ) from None


def _read_wav(path: Path) -> tuple[int, np.ndarray]:
    from scipy.io import wavfile  # slow to import

    _refuse_great(path, path.stat().st_size)
    with warnings.catch_warnings():
        warnings.simplefilter("error", wavfile.WavFileWarning)  # of a file that is cut short
        warnings.filterwarnings("ignore", "Chunk", wavfile.WavFileWarning)  # of notes beside the sound
        rate, values = wavfile.read(path)
    return rate, values


def _read_packed(path: Path) -> tuple[int, np.ndarray]:
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError("soundfile", "audio") from None
    about = soundfile.info(path)
    _refuse_great(path, about.frames * about.channels * 4)
    values, rate = soundfile.read(path, dtype="float32")
    return rate, values


def _refuse_great(path: Path, needed: int) -> None:
    if needed > MOST_BYTES:
        raise InputError(f"{named(path)} takes {needed / 1e9:,.1f} GB; cut it into files of less than 1 GiB")


def _checked(path: Path, rate: int, values: np.ndarray) -> Sound:
    samples = _scaled(values) if values.ndim == 1 else _scaled(values).mean(1, dtype=np.float32)
    for complaint, holds in (
        ("holds no samples; replace it or remove it", not len(samples)),
        ("has no rate; save it again", rate < 1),
        ("holds NaN or infinite samples; save it again as PCM", not np.isfinite(samples).all()),
        ("holds nothing but silence; replace it or remove it", not np.ptp(samples) if len(samples) else False),
    ):
        if holds:
            raise InputError(f"{named(path)} {complaint}")
    return Sound(samples, int(rate))


def _scaled(values: np.ndarray) -> np.ndarray:
    """Samples of any type as float32 with full scale [-1, 1].

    >>> _scaled(np.array([0, 128, 192], np.uint8)).tolist(), _scaled(np.array([1 << 14], np.int16)).tolist()
    ([-1.0, 0.0, 0.5], [0.5])
    """
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    steps = _STEPS[values.dtype.name]
    shifted = values.astype(np.float32) - np.float32(128 if values.dtype == np.uint8 else 0)
    return shifted / np.float32(steps)
