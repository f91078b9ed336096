"""Sounds through a model that gives back what it is given, so that what is left is cutting, joining and inverting."""

from __future__ import annotations

from typing import final

import numpy as np
import pytest
import torch

from lowerbound.data.dataset import load_data
from lowerbound.data.sound.inversion import Inversion
from lowerbound.data.sound.spectrogram import Form
from lowerbound.data.sound.wav import Sound
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.evaluation import sounds

FORM = Form.usual(8_000)


def spec(*forms: str | None) -> DataSpec:
    variables = tuple(
        Variable(name, "real", (FORM.bins, 16), -70.0, 0.0, mean=(-50.0,), std=(10.0,), form=form)
        for name, form in zip("xy", forms)
    )
    return DataSpec("toy", variables, None, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)


@final
class Mirror:
    """A code is the datum itself."""

    def __init__(self, about: DataSpec) -> None:
        self.spec = about

    def encode(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1)

    def decode(self, z: np.ndarray) -> np.ndarray:
        return z.reshape(-1, *self.spec.variables[0].shape)

    def sample(self, n: int, seed: int = 0, mean: bool = True) -> np.ndarray:
        return np.full((n, *self.spec.variables[0].shape), -90.0)


MIRROR = Mirror(spec(str(FORM)))


def chirp(seconds: float, rate: int = 8_000) -> Sound:
    t = np.arange(round(seconds * rate)) / rate
    return Sound((0.3 * np.sin(2 * np.pi * (300 * t + 200 * t**2))).astype(np.float32), rate)


def levels_of(samples: np.ndarray) -> np.ndarray:
    return FORM.levels(FORM.spectrum(torch.from_numpy(samples).double()).abs()).numpy()


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.7])
def test_a_sound_of_any_length_comes_back(seconds: float) -> None:
    sound = chirp(seconds)
    (back,) = sounds.audible(FORM, sounds.reconstructed(MIRROR, sound)[None], Inversion(200))
    length = len(sound.samples) // FORM.hop * FORM.hop
    assert len(back.samples) >= len(sound.samples)
    apart = sounds.log_spectral_distance(levels_of(back.samples[:length]), levels_of(sound.samples[:length]))
    assert apart < 3.0


def test_another_rate_is_resampled() -> None:
    a, b = (sounds.reconstructed(MIRROR, chirp(1.024, rate)) for rate in (8_000, 16_000))
    assert a.shape == b.shape
    assert sounds.log_spectral_distance(a, b) < 1.0


def test_a_path_between_sounds_begins_and_ends_with_them() -> None:
    a, b = chirp(0.5), chirp(1.1)
    way = sounds.between(MIRROR, a, b, 4, "linear")
    long = sounds.reconstructed(MIRROR, b)
    assert way.shape == (4, *long.shape)
    np.testing.assert_allclose(way[-1], long, atol=1e-4)
    np.testing.assert_allclose(way[0, :, : 4 * 16], sounds.reconstructed(MIRROR, a), atol=1e-4)
    np.testing.assert_allclose(way[0, :, 4 * 16 :], FORM.floor, atol=1e-4)  # the shorter one is followed by silence
    np.testing.assert_allclose(way[1], (2 * way[0] + way[3]) / 3, atol=1e-3)


def test_nothing_is_softer_than_silence() -> None:
    assert sounds.sampled(MIRROR, 3).shape == (3, FORM.bins, 16)
    assert (sounds.sampled(MIRROR, 3) == FORM.floor).all()


def test_the_distance_is_the_mean_over_frames_of_the_root_mean_square_over_frequencies() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 3, 5, 7))
    by_hand = [np.sqrt(np.mean((a[i, :, t] - b[i, :, t]) ** 2)) for i in range(3) for t in range(7)]
    assert sounds.log_spectral_distance(a, b) == pytest.approx(np.mean(by_hand))


def test_models_of_other_data_are_refused() -> None:
    with pytest.raises(InputError, match="no sound"):
        sounds.form_of(Mirror(load_data("digits").spec))
    with pytest.raises(InputError, match="more than sound"):
        sounds.form_of(Mirror(spec(str(FORM), None)))
