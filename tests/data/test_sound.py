"""WAV files against scipy's reader and the standard library's; spectrograms by hand; sound out of them again."""

from __future__ import annotations

import io
import tarfile
import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal
from scipy.io import wavfile

from lowerbound.data.dataset import load_data
from lowerbound.data.sound import asterisk, wav
from lowerbound.data.sound.clips import cut, joined, spoken
from lowerbound.data.sound.inversion import Inversion
from lowerbound.data.sound.spectrogram import Form, inconsistency
from lowerbound.data.sound.wav import Sound, read_sound, write_wav
from lowerbound.errors import InputError, MissingExtraError

FORM = Form.usual(8_000)


def sine(hertz: float, seconds: float = 1.024, rate: int = 8_000, loud: float = 0.5) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (loud * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def voiced(seconds: float = 2.048) -> torch.Tensor:
    """A buzz that rises and stops for a while: harmonics, noise and silence."""
    t = np.arange(round(seconds * 8_000)) / 8_000
    buzz = sum(np.sin(2 * np.pi * k * (120 * t + 15 * t**2)) / k for k in range(1, 20))
    noise = np.random.default_rng(0).normal(size=len(t)) * 0.05
    return torch.from_numpy(0.1 * (buzz + noise) * (np.sin(2 * np.pi * 1.1 * t) > -0.6))


STORED = {
    "uint8": lambda x: np.round(x * 127 + 128).astype(np.uint8),
    "int16": lambda x: np.round(x * 32_767).astype(np.int16),
    "int32": lambda x: np.round(x.astype(np.float64) * (2**31 - 1)).astype(np.int32),
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x.astype(np.float64),
}


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_of_every_type_is_read(kind: str, channels: int, tmp_path: Path) -> None:
    x = sine(440)
    stored = STORED[kind](x)
    wavfile.write(tmp_path / "a.wav", 8_000, np.stack([stored] * channels, 1) if channels > 1 else stored)
    found = read_sound(tmp_path / "a.wav")
    assert found.rate == 8_000
    assert found.samples.dtype == np.float32
    np.testing.assert_allclose(found.samples, x, atol=1 / 127 if kind == "uint8" else 1e-4)


def test_wav_of_24_bits_is_read(tmp_path: Path) -> None:
    values = np.array([0, 1 << 22, -(1 << 22), (1 << 23) - 1], np.int32)
    with wave.open(str(tmp_path / "a.wav"), "wb") as stream:
        stream.setparams((1, 3, 8_000, 4, "NONE", ""))
        stream.writeframes(b"".join(int(v).to_bytes(3, "little", signed=True) for v in values))
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav").samples, values / (1 << 23), atol=1e-6)


def test_what_is_written_other_readers_open(tmp_path: Path) -> None:
    x = sine(440)
    write_wav(tmp_path / "a.wav", Sound(x, 8_000))
    rate, values = wavfile.read(tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as stream:
        assert stream.getparams()[:4] == (1, 2, 8_000, len(x))
        assert np.array_equal(np.frombuffer(stream.readframes(len(x)), "<i2"), values)
    assert rate == 8_000
    np.testing.assert_allclose(values / 32_767, x, atol=1e-4)
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav").samples, x, atol=1e-4)


def test_what_is_too_loud_is_made_softer_not_cut(tmp_path: Path) -> None:
    x = sine(440, loud=3.0)
    write_wav(tmp_path / "a.wav", Sound(x, 8_000))
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav").samples, x / np.abs(x).max(), atol=1e-4)


def test_nothing_is_left_behind_of_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not finite"):
        write_wav(tmp_path / "a.wav", Sound(np.array([np.nan], np.float32), 8_000))
    assert not any(tmp_path.iterdir())


def cut_short(path: Path) -> None:
    wavfile.write(path, 8_000, STORED["int16"](sine(440)))
    path.write_bytes(path.read_bytes()[:5_000])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (cut_short, "damaged"),
    "no wav": (lambda path: path.write_bytes(b"RIFFnothing at all"), "damaged"),
    "of no bytes": (lambda path: path.write_bytes(b""), "damaged"),
    "empty": (lambda path: wavfile.write(path, 8_000, np.zeros(0, np.int16)), "no samples"),
    "silent": (lambda path: wavfile.write(path, 8_000, np.zeros(800, np.int16)), "silence"),
    "not finite": (lambda path: wavfile.write(path, 8_000, np.full(800, np.nan, np.float32)), "NaN"),
    "not there": (lambda path: None, "there is no file"),
    "a folder": (lambda path: path.mkdir(), "there is no file"),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_sounds_are_refused_by_name(case: str, tmp_path: Path) -> None:
    make, words = BAD[case]
    make(tmp_path / "a.wav")
    with pytest.raises(InputError, match=words) as refusal:
        read_sound(tmp_path / "a.wav")
    assert "a.wav" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_great_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wavfile.write(tmp_path / "a.wav", 8_000, STORED["int16"](sine(440)))
    monkeypatch.setattr(wav, "MOST_BYTES", 1_000)
    monkeypatch.setattr(wavfile, "read", None)
    with pytest.raises(InputError, match="cut it into files"):
        read_sound(tmp_path / "a.wav")


def test_every_cut_of_a_file_is_read_or_refused(tmp_path: Path) -> None:
    """No cut of a WAV file raises anything but our own refusal."""
    wavfile.write(tmp_path / "a.wav", 8_000, STORED["int16"](sine(440, 0.02)))
    whole = (tmp_path / "a.wav").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "b.wav").write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_sound(tmp_path / "b.wav")


def test_other_endings_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(MissingExtraError, match=r"lowerbound\[audio\]"):
        read_sound(tmp_path / "a.flac")


def test_flac_is_read_where_its_reader_is(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", sine(440), 8_000)
    np.testing.assert_allclose(read_sound(tmp_path / "a.flac").samples, sine(440), atol=1e-4)
    (tmp_path / "b.flac").write_bytes(b"fLaC, but no more")
    with pytest.raises(InputError, match="damaged"):
        read_sound(tmp_path / "b.flac")


def test_resampling_keeps_what_fits_and_drops_what_does_not() -> None:
    mixed = Sound(sine(440, rate=44_100) + sine(6_000, rate=44_100), 44_100)
    found = mixed.resampled(8_000)
    assert found.samples.shape == (8_192,)
    middle = slice(1_000, -1_000)
    np.testing.assert_allclose(found.samples[middle], sine(440)[middle], atol=2e-3)


def test_the_spectrum_is_scipys() -> None:
    x = voiced()
    w = signal.windows.hann(FORM.window, sym=False)
    ours = FORM.spectrum(x).numpy()
    scipys = signal.ShortTimeFFT(w, FORM.hop, 8_000, phase_shift=None, scale_to=None).stft(x.numpy())
    start = (scipys.shape[1] - ours.shape[1]) // 2  # scipy begins before the sound does
    same = [np.abs(scipys[:, k : k + ours.shape[1]] * 2 / w.sum() - ours).max() for k in range(start + 1)]
    assert min(same) < 1e-12


def test_a_sine_of_full_scale_has_no_decibels_and_silence_the_floor() -> None:
    tone = torch.from_numpy(sine(1_000, loud=1.0))
    levels = FORM.levels(FORM.spectrum(tone).abs())
    assert levels[32, 10:-10].numpy() == pytest.approx(0.0, abs=1e-3)  # 1000 Hz is the 32nd of 31.25 each
    assert FORM.levels(torch.zeros(3)).numpy() == pytest.approx(FORM.floor)


def test_levels_and_magnitudes_are_each_others_inverse() -> None:
    M = torch.tensor([0.0, 1e-5, 1e-3, 0.3, 1.0, 7.0], dtype=torch.float64)
    torch.testing.assert_close(FORM.magnitudes(FORM.levels(M)), M, rtol=1e-6, atol=1e-10)


def test_a_sound_comes_back_of_its_own_spectrum() -> None:
    x = voiced()
    torch.testing.assert_close(FORM.wave(FORM.spectrum(x)), x, rtol=0, atol=1e-10)


def test_leading_dimensions_are_one_by_one() -> None:
    x = voiced().reshape(2, 2, -1)
    torch.testing.assert_close(FORM.spectrum(x)[1, 0], FORM.spectrum(x[1, 0]))
    torch.testing.assert_close(FORM.wave(FORM.spectrum(x)), x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("words", ["", "characters", "sound:8000:256", "sound:8000:256:64:x", "sound:8000:255:64:-70"])
def test_forms_of_other_kinds_are_refused(words: str) -> None:
    with pytest.raises(InputError):
        Form.parse(words)


def test_plain_inversion_never_grows_worse() -> None:
    """Griffin and Lim's theorem, to rounding, from phases that do not fit at all, for magnitudes of no sound either."""
    M = FORM.spectrum(voiced()).abs()
    for wanted in (M, M + M.mean() * torch.rand(M.shape, dtype=M.dtype)):
        gaps = [inconsistency(FORM, Inversion(n, momentum=0.0).sound(FORM, wanted), wanted) for n in range(1, 13)]
        assert all(b <= a + 1e-12 for a, b in pairwise(gaps))
        assert gaps[-1] < 0.6 * gaps[0]


def test_momentum_gets_nearer_in_as_many_steps() -> None:
    M = FORM.spectrum(voiced()).abs()
    plain, fast = (float(inconsistency(FORM, Inversion(60, m).sound(FORM, M), M)) for m in (0.0, 0.99))
    assert fast < 0.7 * plain


@pytest.mark.parametrize("hertz", [220.0, 1_000.0, 3_100.0])
def test_a_sine_comes_back_at_its_frequency(hertz: float) -> None:
    """Within an eighth of a bin, 4 Hz: where two stretches of it meet, their phases differ."""
    levels = cut(Sound(sine(hertz, 2.048), 8_000), FORM)
    x = Inversion(50).sound(FORM, FORM.magnitudes(torch.from_numpy(joined(levels)).double())).numpy()
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    assert np.fft.rfftfreq(len(x), 1 / 8_000)[spectrum.argmax()] == pytest.approx(hertz, abs=4)
    assert x.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_the_seed_alone_decides() -> None:
    M = FORM.spectrum(voiced(0.512)).abs()
    a, b, c = (Inversion(5, seed=seed).sound(FORM, M) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.allclose(a, c, atol=1e-3)


def test_clips_joined_are_the_spectrogram_of_the_whole() -> None:
    x = voiced(1.8).float()
    clips = cut(Sound(x.numpy(), 8_000), FORM)
    padded = torch.cat([x, torch.zeros(len(clips) * 64 * FORM.hop - len(x))])
    assert clips.shape == (4, 129, 64)
    np.testing.assert_array_equal(joined(clips), FORM.levels(FORM.spectrum(padded).abs()).numpy())


def test_pauses_are_left_out() -> None:
    x = np.zeros(5 * 4_096, np.float32)
    x[4_096 : 2 * 4_096] = sine(440, 0.512)
    x[3 * 4_096 : 3 * 4_096 + 1_000] = sine(440, 0.125)  # less than half of its clip
    clips = cut(Sound(x, 8_000), FORM)
    assert np.array_equal(spoken(clips), clips[1:2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        for label, low in (("low", 200), ("high", 900)):
            path = tmp_path / label / f"{number}.wav"
            path.parent.mkdir(exist_ok=True)
            write_wav(path, Sound(sine(low + 10 * number, 1.0), 8_000))
    return tmp_path


def test_a_folder_of_sounds_is_data(folder: Path) -> None:
    data = load_data(str(folder))
    (variable,) = data.spec.variables
    assert (variable.kind, variable.shape, variable.form) == ("real", (129, 64), "sound:8000:256:64:-70")
    assert data.spec.condition is not None
    assert data.spec.condition.labels == ("high", "low")
    assert data.arrays["x"].shape == (80, 129, 64)
    assert len(load_data(str(folder / "low")).arrays["x"]) == 40


def test_clips_of_a_file_are_in_one_split(folder: Path) -> None:
    data = load_data(str(folder))
    for rows in data.splits.values():  # two clips of each file, one after the other
        assert np.array_equal(np.unique(rows // 2).repeat(2), rows // 2)


def test_a_folder_of_several_rates_is_refused(folder: Path) -> None:
    write_wav(folder / "low" / "odd.wav", Sound(sine(440, rate=16_000), 16_000))
    with pytest.raises(InputError, match=r"odd\.wav has 16,000 samples a second, but 0\.wav has 8,000"):
        load_data(str(folder))


def test_sounds_are_not_mixed_with_sounds_in_subfolders(folder: Path) -> None:
    write_wav(folder / "odd.wav", Sound(sine(440), 8_000))
    with pytest.raises(InputError, match="sounds both in it and in subfolders"):
        load_data(str(folder))


def test_a_debian_package_becomes_samples(tmp_path: Path) -> None:
    """All prompts but pauses and those of no samples, by name; and what it was made of is gone."""
    prompts = {"digits/1.wav": 900, "b.wav": 500, "silence/1.wav": 800, "none.wav": 0}
    with tarfile.open(tmp_path / "package.tar", "w") as tar:
        for number, (name, length) in enumerate(prompts.items()):
            stream = io.BytesIO()
            wavfile.write(stream, 8_000, np.full(length, number, np.int16))
            member = tarfile.TarInfo(f"./usr/share/asterisk/sounds/it_IT_m_Carlo/{name}")
            member.size = len(stream.getvalue())
            tar.addfile(member, io.BytesIO(stream.getvalue()))
    asterisk.prepare("it")(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.json", "it.pcm"]
    found = [(x[0] * (1 << 15), len(x)) for x in asterisk.recordings(tmp_path, "it")]
    assert found == [(1, 500), (0, 900)]


@pytest.mark.fetch
def test_speech_is_half_seconds_of_many_files() -> None:
    data = load_data("speech")
    assert data.arrays["x"].shape == (2_717, 129, 64)
    assert data.spec.variables[0].form == "sound:8000:256:64:-70"
    assert data.spec.condition is None
