"""Speech as spectrograms: what a VAE's code keeps of it, seen, inverted to sound, and judged by language.

    python bench/sound.py [PART ...]     (default: every part of which nothing is kept)

A training that was stopped goes on where it was; what is measured is kept in bench/results/parts/, part by part.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import wavfile
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lowerbound
from _harness import PAGE, RESULTS, record
from lowerbound.data.dataset import Dataset
from lowerbound.data.sound.asterisk import recordings
from lowerbound.data.sound.inversion import Inversion
from lowerbound.data.sound.spectrogram import Form, inconsistency
from lowerbound.data.sound.wav import Sound, write_wav
from lowerbound.data.sources import SOURCES
from lowerbound.data.store import cache
from lowerbound.evaluation.sounds import audible, between, log_spectral_distance, reconstructed
from lowerbound.files import write_json
from lowerbound.fitted import Fitted
from lowerbound.plots import write_png

Array = np.ndarray
KEPT, RUNS = RESULTS / "parts", Path.home() / ".cache" / "lowerbound" / "runs" / "sound"
PICTURE = PAGE.parent / "images" / "sound.png"
FORM, INVERSION = Form.usual(8_000), Inversion(100)
SETTINGS: dict[str, Any] = {"net": "conv", "hidden": [16, 32, 64, 256], "latent": 64, "batch_size": 64}
LIKELIHOODS = {"one": "gaussian-learned", "each": "gaussian"}
"""One deviation for all values, or one for each value of each clip."""
MODELS = {"one-0": 40, "one-1": 40, "each-0": 40, "languages-0": 10}
"""Likelihood, or the languages, and seed -> epochs."""


@functools.cache
def data(name: str) -> Dataset:
    return lowerbound.load_data(name)


@functools.cache
def files(name: str) -> Array:
    """The number of the file that each clip is of."""
    groups = SOURCES[name].read().groups
    assert groups is not None
    return groups


def clips(name: str, split: str) -> Array:
    return data(name).arrays["x"][data(name).splits[split]]


def rows(x: Array) -> Array:
    return x.reshape(len(x), -1)


def trained(name: str) -> Fitted:
    """One training, or the rest of one."""
    run, (kind, seed) = RUNS / name, name.split("-")
    if run.exists():
        return lowerbound.resume(run)
    source, likelihood = (
        ("speech", LIKELIHOODS[kind]) if kind in LIKELIHOODS else ("speech-languages", "gaussian-learned")
    )
    return lowerbound.train("vae", source, run, seed=int(seed), epochs=MODELS[name], likelihood=likelihood, **SETTINGS)


@functools.cache
def principal(name: str) -> PCA:
    """Principal components of the training clips, as many as z has dimensions."""
    return PCA(SETTINGS["latent"], svd_solver="randomized", random_state=0).fit(rows(clips(name, "train")))


def projected(name: str, x: Array) -> Array:
    """What principal components keep of clips."""
    fit = principal(name)
    return fit.inverse_transform(fit.transform(rows(x))).reshape(x.shape)


def log_p_of_components(name: str, x: Array) -> float:
    """Mean log p(x) of clips under probabilistic PCA at its maximum likelihood, nats.

    Michael Tipping and Christopher Bishop, "Probabilistic principal component analysis", 1999.
    """
    fit, train = principal(name), rows(clips(name, "train"))
    width, kept = train.shape[1], len(fit.explained_variance_)
    rest = (train.var(0, ddof=1, dtype=np.float64).sum() - fit.explained_variance_.sum()) / (width - kept)
    z = fit.transform(rows(x)).astype(np.float64)
    left = np.square(rows(x) - fit.mean_).sum(1, dtype=np.float64) - np.square(z).sum(1)
    inside = np.square(z) / fit.explained_variance_ + np.log(fit.explained_variance_)
    constant = width * np.log(2 * np.pi) + (width - kept) * np.log(rest)
    return float(-0.5 * (constant + inside.sum(1) + left / rest).mean())


def inverted(levels: Array) -> Array:
    """Decibels of the waveforms that Griffin and Lim's way finds for clips."""
    sounds = np.stack([sound.samples for sound in audible(FORM, levels, INVERSION)])
    found: Array = FORM.levels(FORM.spectrum(torch.from_numpy(sounds)).abs()).numpy()
    return found


def errors(x: Array, made: Array) -> dict[str, float]:
    """Log-spectral distances to the true clips, dB: of a spectrogram, and of the waveform that is made of it."""
    return {"seen": log_spectral_distance(made, x), "heard": log_spectral_distance(inverted(made), x)}


def of_speech(name: str) -> dict[str, Any]:
    """One model of English prompts, and what it keeps of held-out clips."""
    start = time.process_time()
    model, x = trained(name), clips("speech", "test")
    seconds = time.process_time() - start
    log_p, bound = model.log_prob(x, particles=100), model.log_prob(x, particles=1)
    made = np.maximum(model.reconstruct(x), FORM.floor)
    return {
        **errors(x, made),
        "train": log_spectral_distance(model.reconstruct(clips("speech", "train")), clips("speech", "train")),
        "log_p": float(log_p.mean()),
        "log_p_error": float(log_p.std() / len(x) ** 0.5),
        "bound": float(bound.mean()),
        "active": int((model.encode(x).var(0) > 0.01).sum()),
        "epochs": model.run.metrics()[-1]["epoch"] if model.run else None,
        "seconds": round(seconds),
    }


def without_model() -> dict[str, Any]:
    """Principal components, the mean clip, and the true spectrogram itself."""
    x, train = clips("speech", "test"), clips("speech", "train")
    mean = np.broadcast_to(train.mean(0), x.shape)
    kept = np.maximum(projected("speech", x), FORM.floor)
    return {
        "components": {**errors(x, kept), "log_p": log_p_of_components("speech", x)},
        "mean": errors(x, mean),
        "itself": {"steps": _by_steps(x[::4]), **errors(x, x)},
        "clips": {split: len(clips("speech", split)) for split in data("speech").splits},
        "files": {split: len(np.unique(files("speech")[r])) for split, r in data("speech").splits.items()},
    }


def _by_steps(x: Array) -> dict[int, dict[str, float]]:
    """What Griffin and Lim's way reaches from the true magnitudes in so many steps, plain and with momentum."""
    M = FORM.magnitudes(torch.from_numpy(x).double())
    found: dict[int, dict[str, float]] = {}
    for steps in (10, 30, 100):
        ways = {"plain": Inversion(steps, 0.0), "fast": Inversion(steps)}
        each = {name: inconsistency(FORM, way.sound(FORM, M), M) for name, way in ways.items()}
        found[steps] = {name: float(gap.mean()) for name, gap in each.items()}
    return found


def summary(levels: Array) -> Array:
    """What the judge of language sees of a clip: each frequency's mean and deviation over its frames."""
    return np.concatenate([levels.mean(-1), levels.std(-1)], axis=1)


@functools.cache
def judge() -> tuple[Any, dict[str, float]]:
    """Multinomial logistic regression on real training clips; its penalty by real validation clips."""
    told = data("speech-languages")
    x, c = {split: summary(clips(told.spec.name, split)) for split in told.splits}, told.condition
    assert c is not None
    fits = {}
    for strength in (1e-3, 1e-2, 1e-1, 1.0):
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        fits[strength] = fit.fit(x["train"], c[told.splits["train"]])
    scores = {key: fit.score(x["validation"], c[told.splits["validation"]]) for key, fit in fits.items()}
    best = max(scores, key=lambda key: scores[key])
    return fits[best], {"penalty": best, "validation": scores[best]}


def of_languages() -> dict[str, Any]:
    """Whether the language of held-out clips is still heard in what is left of them."""
    start = time.process_time()
    model = trained("languages-0")
    seconds = time.process_time() - start
    told, x = data("speech-languages"), clips("speech-languages", "test")
    assert told.condition is not None
    c = told.condition[told.splits["test"]]
    shown = {"real": x, "VAE": np.maximum(model.reconstruct(x), FORM.floor), "PCA": projected(told.spec.name, x)}
    fit, chosen = judge()
    right = {name: float(fit.score(summary(each), c)) for name, each in shown.items()}
    heard = {name: inverted(each) for name, each in shown.items()}
    return {
        "chosen": chosen,
        "seen": right,
        "heard": {name: float(fit.score(summary(each), c)) for name, each in heard.items()},
        "error": {name: log_spectral_distance(each, x) for name, each in shown.items()},
        "error_heard": {name: log_spectral_distance(each, x) for name, each in heard.items()},
        "commonest": float(np.bincount(c).max() / len(c)),
        "count": len(c),
        "seconds": round(seconds),
    }


def readers() -> dict[str, Any]:
    """Who opens a WAV that was written of a held-out prompt, and what they find."""
    model, sound = lowerbound.load(RUNS / "one-0", device="cpu"), prompt(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        write_wav(path, audible(FORM, reconstructed(model, sound)[None], INVERSION)[0])
        found: dict[str, Any] = {"given": len(sound.samples)}
        with wave.open(str(path)) as stream:
            found["wave"] = [stream.getframerate(), stream.getnframes()]
        rate, values = wavfile.read(path)
        found["scipy"] = [int(rate), len(values)]
        found |= _extra_readers(path)
    return found


def _extra_readers(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        import soundfile
    except ImportError:
        found["soundfile"] = None
    else:
        about = soundfile.info(path)
        found["soundfile"] = [about.samplerate, about.frames]
    sox = shutil.which("sox")
    found["sox"] = subprocess.run([sox, "--i", path], capture_output=True, text=True).stdout if sox else None
    return found


def prompt(number: int) -> Sound:
    """A held-out prompt of about two seconds: the first, the second, … in order of name."""
    held = np.unique(files("speech")[data("speech").splits["test"]])
    each = [*recordings(cache() / "speech", "en")]
    fit = [each[file] for file in held if 1.5 < len(each[file]) / FORM.rate < 2.5]
    return Sound(fit[number], FORM.rate)


def draw() -> None:
    """Two held-out prompts, what the code keeps of them, the same once it is sound, and the way between them."""
    from matplotlib.figure import Figure

    model = lowerbound.load(RUNS / "one-0", device="cpu")
    a, b = prompt(0), prompt(1)
    figure = Figure(figsize=(9.6, 8.4), layout="constrained")
    pages = figure.subplots(5, 2, sharey=True)
    for column, sound in enumerate((a, b)):
        made = reconstructed(model, sound)
        wave_of = audible(FORM, made[None], INVERSION)[0]
        shown = (levels_of(sound), made, levels_of(wave_of))
        for page, levels, title in zip(pages[:, column], shown, ("real, held out", "E[x|z], z = E[z|x]", "its WAV")):
            _show(page, levels, title)
    for page, levels, share in zip(pages[3:].flat, between(model, a, b, 6)[1:5], (0.2, 0.4, 0.6, 0.8)):
        _show(page, levels, f"between the two, {share:g} of the way")
    write_png(PICTURE, figure)


def levels_of(sound: Sound) -> Array:
    x = torch.from_numpy(sound.samples[: len(sound.samples) // FORM.hop * FORM.hop])
    found: Array = FORM.levels(FORM.spectrum(x).abs()).numpy()
    return found


def _show(page: Any, levels: Array, title: str) -> None:
    extent = (0, levels.shape[1] * FORM.hop / FORM.rate, 0, FORM.rate / 2000)
    page.imshow(levels, origin="lower", aspect="auto", cmap="magma", vmin=FORM.floor, vmax=-15, extent=extent)
    page.set_title(title, fontsize=8)
    page.tick_params(labelsize=7)
    page.set_ylabel("kHz", fontsize=7)


def kept(name: str) -> Path:
    return KEPT / f"sound_{name}.json"


def read(name: str) -> Any:
    return json.loads(kept(name).read_text()) if kept(name).exists() else None


PARTS: dict[str, Callable[[], Any]] = {
    "without": without_model,
    **{name: lambda name=name: of_speech(name) for name in MODELS if name.split("-")[0] in LIKELIHOODS},
    "readers": readers,
    "languages": of_languages,
}


WORDS = {"one-0": "one σ", "one-1": "one σ, seed 1", "each-0": "a σ of each value"}


def row(what: str, found: dict[str, Any]) -> dict[str, Any]:
    """A row of the first table."""
    log_p = found.get("log_p")
    return {
        "kept of a clip": what,
        "spectrogram, dB": round(found["seen"], 2),
        "once it is sound, dB": round(found["heard"], 2),
        "log p(x), nats a clip": None if log_p is None else round(log_p),
        "nats a value": None if log_p is None else round(log_p / (FORM.bins * 64), 4),
    }


def table() -> None:
    """Write down all that is kept."""
    without = read("without")
    models = [(name, found) for name in MODELS if (found := read(name))]
    rows = [
        row("its spectrogram itself", without["itself"]),
        *(row(f"VAE, z of {SETTINGS['latent']}, {WORDS[name]}", found) for name, found in models),
        row(f"{SETTINGS['latent']} principal components", without["components"]),
        row("nothing: the mean clip", without["mean"]),
    ]
    record("sound", "Speech as spectrograms, and back to sound", "python bench/sound.py", rows, NOTES)


def table_of_languages() -> None:
    """How often the language is told right, and how far from the true clips they are."""
    found = read("languages")
    titles = {"real": "nothing is lost", "VAE": f"VAE, z of {SETTINGS['latent']}", "PCA": "as many components"}
    rows = [
        {
            "what is left of a clip": titles[name],
            "spectrogram, % right": round(100 * found["seen"][name], 1),
            "its sound, % right": round(100 * found["heard"][name], 1),
            "spectrogram, dB": round(found["error"][name], 2),
            "its sound, dB": round(found["error_heard"][name], 2),
        }
        for name in titles
    ]
    record("sound_languages", "Which language half a second is in", "python bench/sound.py", rows, LANGUAGE_NOTES)


NOTES = ""
LANGUAGE_NOTES = ""


def main() -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or [*(name for name in PARTS if not kept(name).exists()), "picture"]:
        if name == "picture":
            draw()
        else:
            write_json(kept(name), PARTS[name]())
            print(name, kept(name).read_text(), flush=True)
    if kept("without").exists():
        table()
    if kept("languages").exists():
        table_of_languages()


if __name__ == "__main__":
    main()
