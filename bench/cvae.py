"""Digits on demand: CVAEs of MNIST and its labels beside a VAE of the same networks, epochs and seed.

    python bench/cvae.py [PART ...]      (default: all; each is kept, and what is kept is tabled with it)

Parts: vae, cvae, cvae-labels, cvae-untold, cvae-normal, cvae-small (log p of 1,000 test pictures), samples (10,000 of
each model), picture. Runs lie in lowerbound-cvae in the folder for temporary files, and one begun there is gone on
with.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

import lowerbound
from _harness import RESULTS, ROOT, record
from lowerbound import plots
from lowerbound.cli.generate import listed
from lowerbound.data.rows import Rows
from lowerbound.evaluation.classifier import classifier
from lowerbound.evaluation.coherence import coherence
from lowerbound.evaluation.probes import evenly
from lowerbound.evaluation.quality import quality
from lowerbound.files import replacing, write_json
from lowerbound.fitted import Fitted

COMMON: dict[str, Any] = {"hidden": [512, 512], "batch_size": 128, "schedule": "cosine"}
EPOCHS = 20
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {"latent": 50}),
    "cvae": ("cvae", {"latent": 50}),
    "cvae-normal": ("cvae", {"latent": 50, "prior": "normal"}),
    "cvae-small": ("cvae", {"latent": 5, "lr": 2e-3}),
}
ROWS = 1000
PARTICLES, FEW = 1000, 25
NEAR = 10.0
"""Nats behind the best label, by few particles, within which a label is asked again with many."""

KEPT = RESULTS / "parts"
RUNS = Path(tempfile.gettempdir()) / "lowerbound-cvae"
PICTURE = ROOT / "docs" / "images" / "cvae.png"

Array = np.ndarray


@cache
def model(name: str) -> Fitted:
    """One training, or the rest of one."""
    recipe, own = MODELS[name]
    if (RUNS / name).exists():
        return lowerbound.resume(RUNS / name)
    return lowerbound.train(recipe, "mnist", RUNS / name, epochs=EPOCHS, **COMMON, **own)


@cache
def rows() -> Rows:
    """The test pictures that log p is measured on, evenly spread."""
    found = lowerbound.load_data("mnist").split("test")
    return found.where(evenly(found.count, ROWS))


@cache
def pictures() -> Array:
    """The same, black and white by one draw, so that every model is asked of the same pictures."""
    x = rows().array("x")
    return np.where(np.random.default_rng(0).random(x.shape) < x / 255, 255, 0).astype(np.uint8)


def codes(of: Rows | None = None) -> Array:
    """The labels of the pictures, or of other rows."""
    found = (of or rows()).condition
    assert found is not None
    return found


def shares() -> Array:
    """p(c): how often each label is among the training rows."""
    counts = np.bincount(codes(lowerbound.load_data("mnist").split("train")))
    return counts / counts.sum()


def asked(fitted: Fitted, x: Array | None = None, particles: int = PARTICLES) -> dict[str, Array]:
    """log p of pictures, and whether it is to be believed."""
    found = fitted.marginal(pictures() if x is None else x, particles)
    return {"log_p": found["log_p"], "believed": found["believed"]}


def true_label(name: str) -> dict[str, Array]:
    return asked(model(name).given(codes()))


def by_label(name: str) -> dict[str, Array]:
    """log p(x|c) of all labels (N, 10): by many particles of the true one and of those that may matter, else by few."""
    fitted, true = model(name), codes()
    each = np.stack([asked(fitted.given(label), particles=FEW)["log_p"] for label in range(10)], 1)
    near = (each > each.max(1, keepdims=True) - NEAR) & (np.arange(10) != true[:, None])
    each[np.arange(len(each)), true] = measured(name)["log_p"]
    for label in range(10):
        if near[:, label].any():
            each[near[:, label], label] = asked(fitted.given(label), pictures()[near[:, label]])["log_p"]
    return {"log_p": each}


MEASURES: dict[str, Callable[[], dict[str, Array]]] = {
    "vae": lambda: asked(model("vae")),
    "cvae": lambda: true_label("cvae"),
    "cvae-labels": lambda: by_label("cvae"),
    "cvae-untold": lambda: asked(model("cvae").given(None)),
    "cvae-normal": lambda: true_label("cvae-normal"),
    "cvae-small": lambda: true_label("cvae-small"),
}
SAID = {
    "vae": ("vae", "log p(x)"),
    "cvae": ("cvae", "log p(x|c), the true label"),
    "cvae-labels": ("cvae", "log Σ p(c) p(x|c)"),
    "cvae-untold": ("cvae", "log p(x), nothing told"),
    "cvae-normal": ("cvae, prior N(0, I)", "log p(x|c), the true label"),
    "cvae-small": ("cvae, z of 5", "log p(x|c), the true label"),
}
"""Of which model each part is, and of what."""


def place(part: str) -> Path:
    return RUNS / f"log_p-{part}.npz"


def measured(part: str) -> dict[str, Array]:
    """What a part has found, measured if it has not been."""
    if not place(part).exists():
        found: dict[str, Any] = MEASURES[part]()
        with replacing(place(part)) as scratch, scratch.open("wb") as stream:
            np.savez(stream, **found)
    with np.load(place(part)) as kept:
        return dict(kept)


def line(part: str) -> dict[str, Any]:
    """A row of the table of densities."""
    found = measured(part)
    log_p, right = found["log_p"], None
    if log_p.ndim == 2:
        joint = log_p + np.log(shares())
        log_p, right = logsumexp(joint, axis=1), 100 * float((joint.argmax(1) == codes()).mean())
    return {
        "model": SAID[part][0],
        "log p": SAID[part][1],
        "nats": mean(log_p),
        "over the VAE's log p(x)": mean(log_p - measured("vae")["log_p"], "+") if part != "vae" else "",
        "not to be believed %": round(100 * float(1 - found["believed"].mean()), 1) if "believed" in found else None,
        "label by Bayes, right %": None if right is None else round(right, 2),
    }


def mean(values: Array, sign: str = "") -> str:
    """The mean over pictures and its standard error."""
    return f"{values.mean():{sign}.2f} ± {values.std(ddof=1) / math.sqrt(len(values)):.2f}"


def judged(name: str) -> dict[str, Any]:
    """The figures of 10,000 samples."""
    path = KEPT / f"cvae_{name}.json"
    if not path.exists():
        write_json(path, quality(model(name), classifier("mnist")))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def sampled(title: str, figures: dict[str, float], asked: dict[str, Any] | None = None) -> dict[str, Any]:
    """A row of the table of samples."""
    worst = min(asked["per_label"], key=asked["per_label"].__getitem__) if asked else None
    return {
        "pictures": title,
        "as asked %": f"{100 * asked['share']:.2f} ± {100 * asked['stderr']:.2f}" if asked else "",
        "least of a label": f"{100 * asked['per_label'][worst]:.1f} ({worst})" if asked and worst else "",
        **{key.replace("frechet_extrapolated", "of endless"): round(value, 3) for key, value in figures.items()},
    }


def real() -> dict[str, Any]:
    """The real test pictures' own row: how often the classifier tells their label."""
    test = lowerbound.load_data("mnist").split("test")
    return coherence(classifier("mnist").predict(test.array("x")), codes(test))


def draw() -> None:
    """A real digit of each kind on the left, and its z decoded with each of the ten labels."""
    fitted = model("cvae")
    x = rows().array("x")[[int(np.flatnonzero(codes() == label)[1]) for label in range(10)]]
    z = fitted.given(np.arange(10)).encode(x)
    told = np.stack([x, *(fitted.given(label).decode(z) for label in range(10))], 1)
    plots.write_png(PICTURE, plots.grid(listed(told), 0, 255, 11))


DENSITY_NOTES = (
    f"The same {ROWS:,} test pictures for every row, evenly spread, black and white by one draw; importance sampling "
    f"with {PARTICLES:,} particles from the encoder's posterior, so each figure is below the truth in expectation. In "
    f"the sum over labels those more than {NEAR:g} nats behind the best count by {FEW} particles. p(c) is the share of "
    "the training rows; the label by Bayes is the likeliest of p(c) p(x|c). The CVAEs learn p(z|c) but for the one "
    "that says otherwise, and a tenth of the training pictures is shown without its label (drop 0.1), so that they "
    "also answer when nothing is told. All: perceptrons of 512 and 512 units, z of 50 but for cvae-small, silu, "
    f"batches of 128, Adam at 0.001 (z of 5: 0.002) falling to 0 by a cosine, {EPOCHS} epochs, seed 0, the epoch of "
    "the best validation bound kept; one seed each. ± are standard errors over pictures, of the differences too. z of "
    "5, its rate and the length were chosen by the share of 2,000 samples taken for what was asked in validation."
)
SAMPLE_NOTES = (
    "10,000 samples each (the mean of p(x|z)) beside the 10,000 test pictures, as 128 features of the classifier of "
    "bench/classifier.py; k = 5 neighbours. The CVAEs are asked for the labels of the test rows. Training pictures: "
    "10,000 real ones, which no model has to better. Least of a label: the label whose samples are least often taken "
    "for it. Distances are of these features and this size, and stand beside no other paper's FID; of endless: "
    "extrapolated to sets of endless size."
)


def samples() -> None:
    there = [name for name in MODELS if (KEPT / f"cvae_{name}.json").exists()]
    if not there:
        return
    first = [sampled("training pictures", judged(there[0])["training_rows"])]
    own = [sampled(name, judged(name)["samples"], judged(name)["coherence"]) for name in there]
    found = real()
    test = {**sampled("test pictures", {}, found)}
    record("cvae_samples", "Digits on demand: samples", "python bench/cvae.py", [*first, *own, test], SAMPLE_NOTES)


def table() -> None:
    """Write down all that is kept."""
    if place("vae").exists():
        found = [line(part) for part in MEASURES if place(part).exists()]
        record("cvae", "Digits on demand: log p with and without a label", "python bench/cvae.py", found, DENSITY_NOTES)
    samples()


PARTS: dict[str, Callable[[], object]] = {
    **{part: partial(measured, part) for part in MEASURES},
    "samples": lambda: [judged(name) for name in MODELS],
    "picture": draw,
}


def main() -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    RUNS.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
        print(part, flush=True)
    table()


if __name__ == "__main__":
    main()
