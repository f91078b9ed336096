"""A digit told from a piece of clothing of its class and back, and both drawn together, with modalities missing.

    python bench/crossmodal.py                 (ours; what was measured before is kept and tabled with it)
    python bench/crossmodal.py beside          (MVTCAE, and a product of experts trained on joint rows alone)
    python bench/crossmodal.py multivae        (MultiVae's of the same names, where it is installed)
    python bench/crossmodal.py again           (the figures of ours anew, without training)
    python bench/crossmodal.py table           (the table and the picture alone)

MNIST and Fashion-MNIST paired by class (the data set mnist-fashion). Judged by classifiers of either, trained on real
pictures: what is told is coherent if it is of the class of what it was told from, what is drawn if both are of one.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from sklearn.linear_model import LogisticRegression

import lowerbound
from _harness import RESULTS, ROOT, record
from lowerbound import Fitted, plots
from lowerbound.data import store
from lowerbound.data.dataset import Dataset, assemble, load_data, read
from lowerbound.data.presence import hidden
from lowerbound.evaluation.classifier import Classifier, classifier
from lowerbound.evaluation.coherence import coherence
from lowerbound.evaluation.frechet import frechet
from lowerbound.files import write_json
from lowerbound.training.progress import Silent

Array = np.ndarray

DATA = "mnist-fashion"
SIDES = ("digit", "clothing")
SHARES = (0.0, 0.5, 0.2)
"""Of each modality of the training and validation rows that is hidden, each row and modality by itself."""
COMMON: dict[str, Any] = {"net": "mlp", "hidden": [256, 128], "likelihood": "bernoulli"}
TRAINING: dict[str, Any] = {"epochs": 8, "batch_size": 128, "lr": 1e-3, "device": "cpu"}
LATENT = 32
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "PoE": ("multimodal-vae", {"experts": "poe", "objective": "subsampled", "latent": LATENT}),
    "MoE": ("multimodal-vae", {"experts": "moe", "objective": "elbo", "latent": LATENT}),
    "MoPoE": ("multimodal-vae", {"experts": "mopoe", "objective": "elbo", "latent": LATENT}),
    "MMVAE+": ("mmvae-plus", {"latent": LATENT // 2, "own": LATENT // 2}),
    "MVTCAE": ("multimodal-vae", {"experts": "poe", "objective": "mvtcae", "latent": LATENT}),
    "PoE, ELBO alone": ("multimodal-vae", {"experts": "poe", "objective": "elbo", "latent": LATENT}),
}
BESIDE = ("MVTCAE", "PoE, ELBO alone")
"""Measured when asked for."""
PEER_SHARES = (0.0, 0.5)
JOINT = 10_000
"""Pairs drawn together."""
LIKELIHOOD_ROWS, PARTICLES = 500, 500
SHOWN = 12

KEPT = RESULTS / "parts" / "crossmodal.json"
RUNS = store.cache() / "runs" / "crossmodal"
IMAGE = ROOT / "docs" / "images" / "crossmodal.png"

NOTES = (
    "Coherence is the share of a classifier's answers that agree: of clothing told from a digit (and back) with "
    "the digit's label, one z drawn for each of the {test:,} test pairs and E[y|z] judged; of {joint:,} pairs "
    "drawn from the prior with each other. Chance is 0.1. Two judges of each: a convolutional one, right on "
    "{digits:.1%} of real test digits and {clothes:.1%} of clothes, and, by a line, logistic regression on "
    "pixels, right on {line_digits:.1%} and {line_clothes:.1%}. Of what is shared here is only the class, so "
    "E[y|z] is the blurred mean of a class; the first takes such a picture for anything (a blurred mean of 4s for "
    "an 8), while a linear classifier's answer to a mean of pictures is the mean of its answers. The second judge "
    "was added when that was seen. Fréchet: of the pairs drawn, to the test pictures, on the features of those "
    "classifiers; comparable within this table alone. log p: joint, nats a pair of binarised pictures, {rows} "
    "test pairs, {particles} particles a pair, on average too low, by much where k̂ of many pairs is above 0.7; "
    "for MMVAE+ that of the model with its own priors. Hidden is the share of each modality that training and "
    "validation rows lack, drawn by itself: at 50 % a quarter of the rows have both and a quarter neither; the "
    "test pairs are whole. All: perceptrons {hidden} each way, {epochs} epochs of batches of 128, Adam at 0.001 "
    "falling to 0 along a cosine, z of {latent} numbers (MMVAE+: {half} shared, {half} of each's own), dynamic "
    "binarisation, one seed; nothing was searched for. PoE is trained on the ELBO of each modality too (Wu and "
    "Goodman), and by its side on the joint ELBO alone; MVTCAE has α = 0.5. Core-minutes: processor time of the "
    "training, one thread. MultiVae's models have the same networks, steps and form (one draw of each expert, "
    "normal priors that are not learned, no annealing); rows that lack both modalities are left out of their "
    "training, where their losses are NaN.\n\n"
    "![For each of {methods}: clothing told from the digits above, digits told from that clothing, and pairs "
    "drawn together](images/crossmodal.png)"
)


class Judge(Protocol):
    """What says of which class a picture is."""

    def predict(self, x: Array) -> Array:
        """Codes of classes, (N,)."""
        ...


class Model(Protocol):
    """What is measured."""

    def translate(self, x: Mapping[str, Array], given: list[str], to: str) -> Array:
        """One picture told from each, (N, 28, 28), 0 to 255."""
        ...

    def sample(self, n: int) -> Mapping[str, Array]:
        """Pairs drawn together."""
        ...


@final
@dataclass(frozen=True)
class Ours:
    """A trained recipe."""

    fitted: Fitted

    def translate(self, x: Mapping[str, Array], given: list[str], to: str) -> Array:
        found: Array = self.fitted.translate(x, given, to)[:, 0]
        return found

    def sample(self, n: int) -> Mapping[str, Array]:
        found = self.fitted.sample(n)
        assert isinstance(found, Mapping)
        return found


def main() -> None:
    asked = sys.argv[1] if len(sys.argv) > 1 else "ours"
    if asked == "multivae":
        peers()
    elif asked == "again":
        measure_again()
    elif asked != "table":
        for share in SHARES:
            for name in METHODS:
                if (name in BESIDE) == (asked == "beside"):
                    keep(name, share, partial(trained, name, share))
    tabulate()


def measure_again() -> None:
    """Measure the runs that are kept anew, untrained."""
    for name, share in product(METHODS, SHARES):
        if (key := f"{name} {share}") in kept():
            model = Ours(lowerbound.load(folder(name, share), device="cpu"))
            found = {**kept()[key], **measured(model), **likelihood(model)}
            write_json(KEPT, {**kept(), key: found})
            print(key, json.dumps(found), flush=True)


def peers() -> None:
    """MultiVae's models of the same names, in an environment that has it."""
    from _multivae import NAMES, trained_peer

    for share in PEER_SHARES:
        for name in NAMES:
            keep(f"MultiVae's {name}", share, partial(trained_peer, name, SIDES, LATENT, COMMON, TRAINING))


def keep(name: str, share: float, train: Callable[[Dataset], tuple[Model, float]]) -> None:
    """Train and measure, unless that was done before."""
    known = kept()
    if (key := f"{name} {share}") not in known:
        model, seconds = train(data(share))
        minutes = None if math.isnan(seconds) else seconds / 60  # of one that went on the beginning is not known
        found = {"core_minutes": minutes, **measured(model), **likelihood(model)}
        known = {**kept(), key: found}
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        write_json(KEPT, known)
        print(key, json.dumps(found), flush=True)


def kept() -> dict[str, dict[str, Any]]:
    """What was measured, by method and share."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def data(share: float) -> Dataset:
    """The pairs, with this share of each modality hidden in training."""
    if not share:
        return load_data(DATA)
    return assemble(hidden(read(DATA), share), 0, None, missing=True)


def trained(name: str, share: float, rows: Dataset) -> tuple[Model, float]:
    """A model and the processor's seconds that it took; kept, so that it can go on and be drawn again."""
    recipe, arguments = METHODS[name]
    path = folder(name, share)
    if path.exists():
        return Ours(lowerbound.resume(path, rows, progress=Silent())), math.nan
    start = time.process_time()
    fitted = lowerbound.train(recipe, rows, path, progress=Silent(), **COMMON, **arguments, **TRAINING)
    return Ours(fitted), time.process_time() - start


def folder(name: str, share: float) -> Path:
    """Where a run is kept."""
    return RUNS / f"{name.replace(' ', '-').replace(',', '')}-{share}"


def measured(model: Model) -> dict[str, float]:
    """Coherence both ways and together, and how far what is drawn is from real pictures."""
    test, judges = load_data(DATA).split("test"), judging()
    assert test.condition is not None
    x = {side: test.array(side) for side in SIDES}
    found: dict[str, float] = {}
    told = {to: model.translate(x, [given], to) for given, to in (SIDES, SIDES[::-1])}
    drawn = model.sample(JOINT)
    both: dict[str, Mapping[str, Judge]] = {"": judges, " by a line": lines()}
    for name, judging_by in both.items():
        for given, to in (SIDES, SIDES[::-1]):
            found[f"{given} to {to}{name}"] = coherence(judging_by[to].predict(told[to]), test.condition)["share"]
        first, second = (judging_by[side].predict(drawn[side]) for side in SIDES)
        found[f"joint{name}"] = coherence(first, second)["share"]
    for side in SIDES:
        found[f"Fréchet, {side}"] = frechet(judges[side].features(drawn[side]), judges[side].features(x[side]))
    return found


def likelihood(model: Model) -> dict[str, float]:
    """Joint log p of the first test pairs, for ours."""
    if not isinstance(model, Ours):
        return {}
    rows = load_data(DATA).split("test").where(slice(LIKELIHOOD_ROWS))
    found = model.fitted.marginal({side: rows.array(side) for side in SIDES}, PARTICLES)
    return {
        "log_p": float(found["log_p"].mean()),
        "stderr": float(found["log_p"].std() / len(found["log_p"]) ** 0.5),
        "khat_above": float((found["khat"] > 0.7).mean()),
    }


def judging() -> dict[str, Classifier]:
    """The classifier of each side, trained on all real training pictures of its set."""
    return {"digit": classifier("mnist", device="cpu"), "clothing": classifier("fashion-mnist", device="cpu")}


@final
class Line:
    """A classifier whose logits are linear in the pixels: of E[y|z] they are what they are of y ~ p(y|z) in mean.

    A convolutional one takes the blurred mean of many pictures of one class for anything.
    """

    def __init__(self, name: str) -> None:
        rows = load_data(name).split("train")
        self.fit = LogisticRegression(C=0.01, max_iter=60).fit(_unit(rows.array("x")), rows.condition)
        test = load_data(name).split("test")
        self.accuracy = float(self.fit.score(_unit(test.array("x")), test.condition))

    def predict(self, x: Array) -> Array:
        """The code of the likeliest label, (N,)."""
        found: Array = self.fit.predict(_unit(x))
        return found


def _unit(x: Array) -> Array:
    return np.asarray(x, np.float32).reshape(len(x), -1) / 255


@cache
def lines() -> dict[str, Line]:
    """The linear classifier of each side."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 60 steps are near enough to the end of the climb
        return {"digit": Line("mnist"), "clothing": Line("fashion-mnist")}


def tabulate() -> None:
    """The table, and the picture if its runs are there."""
    rows = [row(key, found) for key, found in sorted(kept().items(), key=_place)]
    record("crossmodal", "One modality told from another", "python bench/crossmodal.py", rows, notes())
    if all(folder(name, 0.0).exists() for name in PICTURED):
        plots.write_png(IMAGE, picture())


def _place(entry: tuple[str, Any]) -> tuple[float, int]:
    """By share, and then as the methods are listed, others after them."""
    name, _, share = entry[0].rpartition(" ")
    return float(share), [*METHODS, name].index(name)


def row(key: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    name, _, share = key.rpartition(" ")
    asked = ("digit to clothing", "clothing to digit", "joint")
    shares = {f"{head}{by}": f"{found[head + by]:.3f}" for by in ("", " by a line") for head in asked}
    distances = {head: f"{found[head]:.1f}" for head in ("Fréchet, digit", "Fréchet, clothing")}
    log_p = f"{found['log_p']:.1f} ± {found['stderr']:.1f}".replace("-", "−") if "log_p" in found else None
    start = {"method": name, "hidden": f"{float(share):.0%}"}
    minutes = f"{found['core_minutes']:.1f}" if found["core_minutes"] else None
    doubt = f"{found['khat_above']:.0%}" if "khat_above" in found else None
    return {
        **start,
        **shares,
        **distances,
        "log p ≥": log_p,
        "k̂ > 0.7": doubt,
        "core-minutes": minutes,
    }


def notes() -> str:
    """What the figures are."""
    judges = judging()
    return NOTES.format(
        test=load_data(DATA).spec.splits["test"],
        joint=JOINT,
        digits=judges["digit"].accuracy["test"],
        clothes=judges["clothing"].accuracy["test"],
        line_digits=lines()["digit"].accuracy,
        line_clothes=lines()["clothing"].accuracy,
        methods=", ".join(PICTURED),
        rows=LIKELIHOOD_ROWS,
        particles=PARTICLES,
        hidden="-".join(map(str, COMMON["hidden"])),
        epochs=TRAINING["epochs"],
        latent=LATENT,
        half=LATENT // 2,
    )


PICTURED = ("PoE", "MoE", "MoPoE", "MMVAE+")


def picture() -> Array:
    """Digits, for each method the clothing told from them and the digits told from that; then pairs drawn together."""
    test = load_data(DATA).split("test")
    numbers = [int(np.flatnonzero(test.condition == label % 10)[label // 10]) for label in range(SHOWN)]
    x = test.array("digit")[numbers]
    rows = [x]
    for name in PICTURED:
        model = Ours(lowerbound.load(folder(name, 0.0), device="cpu"))
        there = model.translate({"digit": x}, ["digit"], "clothing")
        back = model.translate({"clothing": there.round()}, ["clothing"], "digit")
        drawn = model.sample(SHOWN)
        rows += [there, back, drawn["digit"], drawn["clothing"]]
    return plots.grid(np.concatenate(rows), 0, 255, SHOWN)


if __name__ == "__main__":
    main()
