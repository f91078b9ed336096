"""The right half of a digit told from the left, and the left from the right.

    python bench/halves.py

MNIST as two variables (the data set mnist-halves), a mixture of products of experts over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import lowerbound
from _harness import ROOT, record
from crossmodal import COMMON, LATENT, RUNS, SHOWN, TRAINING
from lowerbound import Fitted, plots
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.evaluation.classifier import Classifier, classifier
from lowerbound.evaluation.coherence import coherence
from lowerbound.training.progress import Silent

Array = np.ndarray

HALVES = ("left", "right")
SETTINGS: dict[str, Any] = {"experts": "mopoe", "objective": "elbo", "latent": LATENT, **COMMON}
EPOCHS = 5
NEIGHBOURS = 5000
IMAGE = ROOT / "docs" / "images" / "halves.png"
NOTES = (
    "MNIST cut down the middle, a mixture of products of experts over both halves ({epochs} epochs; otherwise as where "
    "one modality is told from another). A half is given, the other told from it: one z drawn, E[x|z]; a classifier "
    "that is right on {digits:.2%} of whole real digits says whether the two together are still the digit. Beside it "
    "the given half with the mean other half, and with that of the training picture whose given half is nearest of "
    "5,000. Error: of a pixel, mean squared, between 0 and 1. {test:,} test digits, one seed.\n\n"
    "![Digits; three right halves told from the left; three left halves told from the right](images/halves.png)"
)


def main() -> None:
    """Train on halves, tell each from the other, and judge the whole."""
    source = load_data("mnist-halves")
    path = RUNS / "halves"
    if not path.exists():
        settings = {**SETTINGS, **TRAINING, "epochs": EPOCHS}
        lowerbound.train("multimodal-vae", source, path, progress=Silent(), **settings)
    model, judge = lowerbound.load(path, device="cpu"), classifier("mnist", device="cpu")
    rows = [completed(model, judge, source, given, to) for given, to in (HALVES, HALVES[::-1])]
    notes = NOTES.format(epochs=EPOCHS, digits=judge.accuracy["test"], test=source.spec.splits["test"])
    record("halves", "One half told from the other", "python bench/halves.py", rows, notes)
    plots.write_png(IMAGE, strips(model, source))


def completed(model: Fitted, judge: Classifier, source: Dataset, given: str, to: str) -> dict[str, Any]:
    """How the digits are read whose other half was told, and how far it is off; beside two who do without a model."""
    train, test = source.split("train"), source.split("test")
    x, true = test.array(given), test.array(to) / 255
    others = {
        "told": model.translate({given: x}, [given], to)[:, 0] / 255,
        "mean": np.broadcast_to(train.array(to).mean(0) / 255, true.shape),
        "nearest": train.array(to)[nearest(train.array(given)[:NEIGHBOURS], x)] / 255,
    }
    assert test.condition is not None
    found: dict[str, Any] = {"given": given}
    for name, other in others.items():
        whole = np.concatenate([{given: x / 255, to: other}[side] for side in HALVES], 2)
        share = coherence(judge.predict(255 * whole), test.condition)["share"]
        found[f"read right, {name}"] = f"{share:.3f}"
    return {**found, **{f"error, {name}": f"{((other - true) ** 2).mean():.4f}" for name, other in others.items()}}


def nearest(known: Array, x: Array) -> Array:
    """The number of the row of `known` that is nearest each row of x."""
    a, b = (np.ascontiguousarray(each).reshape(len(each), -1).astype(np.float32) for each in (known, x))
    distances = (a**2).sum(1) - 2 * b @ a.T
    found: Array = distances.argmin(1)
    return found


def strips(model: Fitted, source: Dataset) -> Array:
    """Digits; below each three whose right half was told from the left, and three whose left was from the right."""
    test = source.split("test")
    numbers = [int(np.flatnonzero(test.condition == label % 10)[label // 10]) for label in range(SHOWN)]
    x = {side: test.array(side)[numbers] for side in HALVES}
    rows = [np.concatenate([x["left"], x["right"]], 2)]
    for given, to in (HALVES, HALVES[::-1]):
        told = model.translate(x, [given], to, 3)
        rows += [np.concatenate([{given: x[given], to: told[:, i]}[side] for side in HALVES], 2) for i in range(3)]
    return plots.grid(np.concatenate(rows), 0, 255, SHOWN)


if __name__ == "__main__":
    main()
