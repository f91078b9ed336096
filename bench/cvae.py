"""Digits on demand: CVAEs of MNIST and its labels beside a VAE of the same networks, epochs and seed.

    python bench/cvae.py [PART ...]      (default: all; each is kept, and what is kept is tabled with it)

Parts: vae, cvae, cvae-told (log p of 2,000 test pictures), samples (10,000 of each model), picture. Runs lie in
lowerbound-cvae in the folder for temporary files, and one begun there is gone on with.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
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
from lowerbound.evaluation.quality import labels, quality
from lowerbound.files import write_json
from lowerbound.fitted import Fitted

COMMON: dict[str, Any] = {"net": "conv", "latent": 50, "activation": "silu", "batch_size": 128, "lr": 1e-3}
EPOCHS = 20
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {}),
    "cvae": ("cvae", {"drop": 0.1}),
    "cvae-told": ("cvae", {"drop": 0.0}),
}
ROWS = 2000
PARTICLES, FEW = 1000, 50
NEAR = 8.0
"""Nats behind the best label, by few particles, within which a label is asked again with many."""

KEPT = RESULTS / "parts"
RUNS = Path(tempfile.gettempdir()) / "lowerbound-cvae"
PICTURE = ROOT / "docs" / "images" / "cvae.png"

Array = np.ndarray


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


def shares() -> Array:
    """p(c): how often each label is among the training rows."""
    counts = np.bincount(lowerbound.load_data("mnist").split("train").condition)
    return counts / counts.sum()


def asked(fitted: Fitted, x: Array, particles: int) -> dict[str, Array]:
    """log p of pictures, and whether it is to be believed."""
    found = fitted.marginal(x, particles)
    return {"log_p": found["log_p"], "believed": found["believed"]}


def by_vae() -> dict[str, Array]:
    found = asked(model("vae"), pictures(), PARTICLES)
    return {"log_p": found["log_p"], "log_p_believed": found["believed"]}


def by_cvae(name: str) -> dict[str, Array]:
    """log p(x|c) of the true label and of all labels; with drop, log p(x) with nothing told."""
    fitted, x, codes = model(name), pictures(), rows().condition
    true = asked(fitted.given(codes), x, PARTICLES)
    each = np.stack([asked(fitted.given(label), x, FEW)["log_p"] for label in range(10)], 1)
    each = asked_again(fitted, each, true["log_p"])
    found = {"true": true["log_p"], "true_believed": true["believed"], "each": each}
    if not MODELS[name][1]["drop"]:
        return found
    nothing = asked(fitted.given(None), x, PARTICLES)
    return {**found, "untold": nothing["log_p"], "untold_believed": nothing["believed"]}


def asked_again(fitted: Fitted, each: Array, true: Array) -> Array:
    """The labels that may matter (N, 10) by many particles, the true one's among them, the others as they are."""
    exact, codes = each.copy(), rows().condition
    exact[np.arange(len(true)), codes] = true
    near = (each > each.max(1, keepdims=True) - NEAR) & (np.arange(10) != codes[:, None])
    for label in range(10):
        if near[:, label].any():
            exact[near[:, label], label] = asked(fitted.given(label), pictures()[near[:, label]], PARTICLES)["log_p"]
    return exact


def densities(name: str) -> dict[str, Array]:
    """What a part has found, measured if it has not been."""
    path = RUNS / f"densities-{name}.npz"
    if not path.exists():
        start = time.process_time()
        found = by_vae() if name == "vae" else by_cvae(name)
        np.savez(path, seconds=np.array(time.process_time() - start), **found)
    with np.load(path) as kept:
        return dict(kept)


def line(
    name: str, of: str, values: Array, believed: Array | None, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A row of the table of densities."""
    over = values - densities("vae")["log_p"]
    error = over.std(ddof=1) / math.sqrt(len(over))
    return {
        "model": name,
        "log p": of,
        "nats": f"{values.mean():.2f} ± {values.std(ddof=1) / math.sqrt(len(values)):.2f}",
        "over the VAE's log p(x)": f"{over.mean():+.2f} ± {error:.2f}" if name != "vae" else "",
        "not to be believed %": None if believed is None else round(100 * float(1 - believed.mean()), 1),
        "label by Bayes, right %": "",
        **(more or {}),
    }


def lines(name: str) -> list[dict[str, Any]]:
    """The rows of a model."""
    found = densities(name)
    if name == "vae":
        return [line(name, "log p(x)", found["log_p"], found["log_p_believed"])]
    joint = found["each"] + np.log(shares())
    right = {"label by Bayes, right %": round(100 * float((joint.argmax(1) == rows().condition).mean()), 2)}
    told = [
        line(name, "log p(x|c), the true label", found["true"], found["true_believed"]),
        line(name, "log Σ p(c) p(x|c)", logsumexp(joint, axis=1), None, right),
    ]
    if "untold" not in found:
        return told
    return [*told, line(name, "log p(x), nothing told", found["untold"], found["untold_believed"])]


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
    found, judge = lowerbound.load_data("mnist").split("test"), classifier("mnist")
    return coherence(np.array(judge.names)[judge.predict(found.array("x"))], labels(found))


def draw() -> None:
    """A real digit of each kind on the left, and its z decoded with each of the ten labels."""
    fitted, codes = model("cvae-told" if (RUNS / "cvae-told").exists() else "cvae"), rows().condition
    first = [int(np.flatnonzero(codes == label)[1]) for label in range(10)]
    x = rows().array("x")[first]
    z = fitted.given(np.arange(10)).encode(x)
    told = [fitted.given(label).decode(z) for label in range(10)]
    plots.write_png(PICTURE, plots.grid(listed(np.stack([x, *told], 1)), 0, 255, 11))


DENSITY_NOTES = (
    f"The same {ROWS:,} test pictures for every row, evenly spread, black and white by one draw; importance sampling "
    f"with {PARTICLES:,} particles from the encoder's posterior, so each figure is below the truth in expectation. In "
    f"the sum over labels those more than {NEAR:g} nats behind the best count by {FEW} particles. p(c) is the share of "
    "the training rows; the label by Bayes is the likeliest of p(c) p(x|c). cvae: a tenth of the training pictures is "
    "shown without its label (drop 0.1), so that it also answers when nothing is told; cvae-told: always with it (drop "
    f"0). All: conv, z of 50, silu, batches of 128, Adam at 0.001 falling to 0, {EPOCHS} epochs, seed 0, the epoch of "
    "the best validation bound kept; one seed each. ± are standard errors over pictures, of the differences too."
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
    there = [name for name in MODELS if (RUNS / f"densities-{name}.npz").exists()]
    if "vae" in there:
        found = [row for name in there for row in lines(name)]
        record("cvae", "Digits on demand: log p with and without a label", "python bench/cvae.py", found, DENSITY_NOTES)
    samples()


PARTS: dict[str, Callable[[], object]] = {
    **{name: lambda name=name: densities(name) for name in MODELS},
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
