"""Sounds through a model of their spectrograms: cut into clips, encoded, decoded, joined and made sound again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from lowerbound.data.sound.clips import cut, joined
from lowerbound.data.sound.inversion import Inversion
from lowerbound.data.sound.spectrogram import Form
from lowerbound.data.sound.wav import Sound
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.evaluation.paths import Kind, path
from lowerbound.evaluation.rawdata import Array, Values

USUAL = Inversion()
PAUSE = 0.25
"""Seconds of silence between sounds that follow one another."""


class Speaker(Protocol):
    """A trained model, as far as sounds need it; `Fitted` is one."""

    spec: DataSpec

    def encode(self, x: Values) -> Array:
        """E[z|x], (N, D)."""

    def decode(self, z: Array) -> Values:
        """E[x|z]."""

    def sample(self, n: int, seed: int = 0, mean: bool = True) -> Values:
        """New data."""


def form_of(model: Speaker) -> Form:
    """How the spectrograms were made that a model is of.

    Raises:
        InputError: a model that is not of sound, or of more than sound.
    """
    variable, *others = model.spec.variables
    if others:
        raise InputError(f"the model is of more than sound ({others[0].name}); train one on sounds alone")
    return Form.parse(variable.form)


def heard(model: Speaker, sound: Sound) -> Array:
    """A sound of any rate and length as the clips that the model knows, (W, bins, frames)."""
    form = form_of(model)
    return cut(sound.resampled(form.rate), form, model.spec.variables[0].shape[1])


def reconstructed(model: Speaker, sound: Sound) -> Array:
    """The decibels of E[x|z] at each clip's z = E[z|x], side by side, (bins, W·frames)."""
    return joined(_decoded(model, model.encode(heard(model, sound))))


def between(model: Speaker, a: Sound, b: Sound, steps: int, kind: Kind = "spherical") -> Array:
    """The decibels of sounds on a path from one to another, clip by clip in z, (steps, bins, W·frames).

    The shorter one is followed by silence.
    """
    ends = _of_one_length([heard(model, sound) for sound in (a, b)], form_of(model).floor)
    starts, stops = (torch.from_numpy(model.encode(clips)) for clips in ends)
    z = torch.stack([path(start, stop, steps, kind) for start, stop in zip(starts, stops)], dim=1)
    clips = _decoded(model, z.flatten(0, 1).numpy())
    return joined(clips.reshape(steps, len(starts), *clips.shape[1:]))


def sampled(model: Speaker, n: int, seed: int = 0) -> Array:
    """The decibels of n new clips, (n, bins, frames)."""
    form_of(model)
    return _only(model, model.sample(n, seed))


def audible(form: Form, levels: Array, inversion: Inversion = USUAL) -> list[Sound]:
    """The sound of each of several spectrograms in decibels, (S, bins, T)."""
    magnitudes = form.magnitudes(torch.from_numpy(np.asarray(levels, np.float64)))
    return [Sound(x.to(torch.float32).numpy(), form.rate) for x in inversion.sound(form, magnitudes)]


def in_turn(sounds: Sequence[Sound], pause: float = PAUSE) -> Sound:
    """Sounds of one rate, one after another, with so many seconds of silence between.

    >>> tone = Sound(np.ones(8_000, np.float32), 8_000)
    >>> in_turn([tone, tone]).seconds
    2.25
    """
    rate = sounds[0].rate
    silence = np.zeros(round(pause * rate), np.float32)
    parts = [part for sound in sounds for part in (sound.samples, silence)]
    return Sound(np.concatenate(parts[:-1]), rate)


def log_spectral_distance(a: Array, b: Array) -> float:
    """The mean over frames of √(mean over frequencies of (a − b)²), of decibels (..., bins, T).

    Augustine Gray and John Markel, "Distance measures for speech processing", 1976.

    >>> log_spectral_distance(np.zeros((2, 129, 64)), np.full((2, 129, 64), 3.0))
    3.0
    """
    return float(np.sqrt(np.square(a - b).mean(-2)).mean())


def _of_one_length(each: Sequence[Array], silence: float) -> list[Array]:
    longest = max(map(len, each))
    return [np.pad(x, ((0, longest - len(x)), (0, 0), (0, 0)), constant_values=silence) for x in each]


def _decoded(model: Speaker, z: Array) -> Array:
    return _only(model, model.decode(z))


def _only(model: Speaker, values: Values) -> Array:
    """The values of the only variable, no softer than silence."""
    return np.maximum(np.asarray(values), form_of(model).floor)
