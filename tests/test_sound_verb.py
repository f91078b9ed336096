"""The verb sound end to end: a folder of WAVs, a run, a WAV in and a WAV out; and its refusals."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowerbound.data.sound.wav import Sound, read_sound, write_wav

Ask = Callable[..., tuple[int, str, str]]
TINY = ["--latent", "2", "--hidden", "8", "--epochs", "1", "--device", "cpu", "--quiet"]


def tone(hertz: float, seconds: float, rate: int = 8_000) -> Sound:
    return Sound(np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * hertz / rate).astype(np.float32) * 0.3, rate)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lowerbound.cli.command import run

    folder = tmp_path_factory.mktemp("sounds")
    for number in range(20):
        write_wav(folder / f"{number}.wav", tone(200 + 50 * number, 0.6))
    path = tmp_path_factory.mktemp("runs") / "run"
    assert run(["train", "vae", "--data", str(folder), "--out", str(path), *TINY]) == 0
    return path


@pytest.fixture
def given(tmp_path: Path) -> Path:
    write_wav(tmp_path / "a.wav", tone(300, 1.3))
    write_wav(tmp_path / "b.wav", tone(500, 0.5, rate=16_000))
    return tmp_path


def test_a_wav_goes_in_and_one_of_its_length_comes_out(trained: Path, given: Path, ask: Ask) -> None:
    code, out, _ = ask("sound", trained, "--in", given / "a.wav", "--out", given / "c.wav", "--json")
    assert code == 0
    assert json.loads(out) == {"rate": 8_000, "seconds": [1.3], "count": 1, "out": str(given / "c.wav")}
    with wave.open(str(given / "c.wav")) as stream:
        assert stream.getframerate() == 8_000
        assert stream.getnframes() == pytest.approx(1.3 * 8_000, abs=64)


def test_a_sound_of_another_rate_is_resampled_and_that_is_said(trained: Path, given: Path, ask: Ask) -> None:
    code, out, _ = ask("sound", trained, "--in", given / "b.wav", "--out", given / "c.wav")
    assert code == 0
    assert "resampled from 16,000" in out
    assert read_sound(given / "c.wav").seconds == pytest.approx(0.5, abs=0.01)


def test_sounds_between_two_one_after_another_or_each_in_a_file(trained: Path, given: Path, ask: Ask) -> None:
    ends = ["--between", given / "a.wav", given / "b.wav", "--steps", "3"]
    assert ask("sound", trained, *ends, "--out", given / "all.wav")[0] == 0
    assert ask("sound", trained, *ends, "--out", given / "each")[0] == 0
    each = [read_sound(given / "each" / f"{number}.wav") for number in range(3)]
    assert [sound.seconds for sound in each] == [1.536] * 3  # three clips of 64 frames of 8 ms
    assert read_sound(given / "all.wav").seconds == pytest.approx(3 * 1.536 + 2 * 0.25)


def test_new_clips_are_drawn_by_seed(trained: Path, tmp_path: Path, ask: Ask) -> None:
    for name, seed in (("a.wav", 1), ("b.wav", 1), ("c.wav", 2)):
        assert ask("sound", trained, "--sample", "2", "--seed", seed, "--out", tmp_path / name)[0] == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.wav", "b.wav", "c.wav"))
    assert a == b
    assert a != c


def test_spectrograms_are_drawn(trained: Path, tmp_path: Path, ask: Ask) -> None:
    assert ask("sound", trained, "--sample", "3", "--out", tmp_path / "a.png")[0] == 0
    assert ask("sample", trained, "--count", "2", "--out", tmp_path / "b.png")[0] == 0
    with Image.open(tmp_path / "a.png") as page:
        assert page.size == (64, 3 * 131 - 2)


def test_refusals_come_in_one_sentence(trained: Path, given: Path, ask: Ask) -> None:
    c, a = given / "c.wav", given / "a.wav"
    for words, more in (
        ("one of them", ["--out", c]),
        ("one of them", ["--in", a, "--sample", "2", "--out", c]),
        ("is there already", ["--in", a, "--out", a]),
        ("must end in", ["--in", a, "--out", given / "c.mp3"]),
        ("there is no file", ["--in", given / "none.wav", "--out", c]),
    ):
        code, _, said = ask("sound", trained, *more)
        assert code == 2
        assert words in said
        assert said.count("\n") == 1
    assert not c.exists()


def test_a_run_of_other_data_is_refused(given: Path, ask: Ask) -> None:
    assert ask("train", "vae", "--data", "digits", "--out", given / "run", *TINY)[0] == 0
    code, _, said = ask("sound", given / "run", "--in", given / "a.wav", "--out", given / "c.wav")
    assert code == 2
    assert "no sound" in said
