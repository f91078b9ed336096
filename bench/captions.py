"""A picture told from its caption and a caption from its picture, as two variables over one z.

    python bench/captions.py

Emoji and their English captions as vectors of a sentence encoder (minilm). What is told of a test emoji is compared
with all test emoji's own: the right one should be near the top. Beside it ridge regression from the one to the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

import lowerbound
from _harness import RESULTS, ROOT, record
from crossmodal import RUNS
from lowerbound import Fitted, plots
from lowerbound.data.dataset import Dataset, assemble, load_data, read
from lowerbound.evaluation.retrieval import retrieval
from lowerbound.files import write_json
from lowerbound.training.progress import Silent

Array = np.ndarray

SIDES = ("picture", "caption")
COMMON: dict[str, Any] = {"net": "mlp", "hidden": [256, 128], "likelihood": "gaussian-learned"}
TRAINING: dict[str, Any] = {"epochs": 40, "batch_size": 64, "lr": 1e-3, "device": "cpu"}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "PoE": ("multimodal-vae", {"experts": "poe", "objective": "subsampled", "latent": 32}),
    "MoPoE": ("multimodal-vae", {"experts": "mopoe", "objective": "elbo", "latent": 32}),
    "MMVAE+": ("mmvae-plus", {"latent": 16, "own": 16}),
}
DRAWS = 16
PENALTIES = (1e2, 1e3, 1e4, 1e5)
SHOWN = 16
KEPT = RESULTS / "parts" / "captions.json"
IMAGE = ROOT / "docs" / "images" / "captions.png"
NOTES = (
    "{train:,} rows of {emoji:,} emoji, two English captions each (the name, and the name with tags), none of them in "
    "the test: there {test} emoji by their longer captions. The score of a pair is minus the squared distance of what "
    "was told (the mean of {draws} draws of z) to what is there. Chance: R@1 {chance:.1%}, R@5 {chance5:.1%}. Pixels "
    "and vectors have Gaussians of one learned scale each, networks are perceptrons 256-128, {epochs} epochs at most, "
    "the best by validation; one seed, nothing searched for. Ridge regression: from standardised values, its penalty "
    "of {penalties} chosen by validation.\n\n![Test emoji, and what {methods} tell from their captions]"
    "(images/captions.png)"
)


def main() -> None:
    data = captioned()
    for name in METHODS:
        keep(name, lambda name=name: told_by(name, data))  # type: ignore[misc]
    keep("ridge regression", lambda: ridge(data))
    rows = [row(name, found) for name, found in kept().items()]
    record("captions", "A picture told from its caption and back", "python bench/captions.py", rows, notes(data))
    plots.write_png(IMAGE, picture(data))


def captioned() -> Dataset:
    """English captions as vectors beside their pictures, all rows of one emoji in one split."""
    raw, vectors = read("emoji"), load_data("emoji", text="minilm").condition
    assert vectors is not None
    assert raw.labels is not None
    assert raw.groups is not None
    rows = np.flatnonzero(np.arange(len(vectors)) % 4 < 2)  # of four captions each the first two are English
    arrays = {"picture": raw.arrays["x"][rows], "caption": vectors[rows]}
    labels, groups = raw.labels[rows], raw.groups[rows]
    return assemble(replace(raw, arrays=arrays, captions=None, labels=labels, groups=groups), 0, None)


def keep(name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Measure, unless that was done before."""
    if name not in kept():
        found = measure()
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        write_json(KEPT, {**kept(), name: found})
        print(name, json.dumps(found), flush=True)


def kept() -> dict[str, dict[str, Any]]:
    """What was measured, by method."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def told_by(name: str, data: Dataset) -> dict[str, Any]:
    """Train a recipe and look for what it tells."""
    recipe, arguments = METHODS[name]
    start, path = time.process_time(), RUNS / f"captions-{name}"
    if path.exists():
        model = lowerbound.resume(path, data, progress=Silent())
    else:
        model = lowerbound.train(recipe, data, path, progress=Silent(), **COMMON, **arguments, **TRAINING)
    seconds = time.process_time() - start
    x = tested(data)
    found = {to: model.translate(x, [given], to, DRAWS).mean(1) for given, to in (SIDES, SIDES[::-1])}
    return {**{to: recalled(found[to], x[to]) for to in SIDES}, "core_minutes": seconds / 60}


def ridge(data: Dataset) -> dict[str, Any]:
    """The same by a linear map from the one to the other."""
    start, x = time.process_time(), tested(data)
    found = {to: recalled(_mapped(data, given, to), x[to]) for given, to in (SIDES, SIDES[::-1])}
    return {**found, "core_minutes": (time.process_time() - start) / 60}


def _mapped(data: Dataset, given: str, to: str) -> Array:
    train, validation = (data.split(name) for name in ("train", "validation"))
    mean, std = train.array(given).mean(0), train.array(given).std(0) + 1e-6
    scaled: Callable[[Array], Array] = lambda x: ((x - mean) / std).reshape(len(x), -1)  # noqa: E731
    maps = [Ridge(penalty).fit(scaled(train.array(given)), flat(train.array(to))) for penalty in PENALTIES]
    held, right = scaled(validation.array(given)), flat(validation.array(to))
    best = min(maps, key=lambda each: float(((each.predict(held) - right) ** 2).mean()))
    found: Array = best.predict(scaled(tested(data)[given]))
    return found


def tested(data: Dataset) -> dict[str, Array]:
    """The test emoji, each with its longer caption."""
    test = data.split("test")
    return {side: test.array(side)[test.numbers % 2 == 1] for side in SIDES}


def recalled(told: Array, there: Array) -> dict[str, Any]:
    """How often the right one is among the nearest to what was told."""
    a, b = flat(told), flat(there)
    return retrieval(-((a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)))


def flat(x: Array) -> Array:
    """Rows as vectors, in double precision."""
    return x.reshape(len(x), -1).astype(np.float64)


def row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    line: dict[str, Any] = {"method": name}
    for given, to in (SIDES[::-1], SIDES):
        for k, share in found[to]["recall"].items():
            line[f"{given} to {to}, R@{k}"] = f"{share:.1%}"
        line[f"{given} to {to}, median rank"] = found[to]["median_rank"]
    return {**line, "core-minutes": f"{found['core_minutes']:.1f}"}


def notes(data: Dataset) -> str:
    """What the figures are."""
    count = len(tested(data)["picture"])
    return NOTES.format(
        methods=", ".join(METHODS),
        train=data.spec.splits["train"],
        emoji=data.spec.splits["train"] // 2,
        test=count,
        draws=DRAWS,
        chance=1 / count,
        chance5=5 / count,
        epochs=TRAINING["epochs"],
        penalties=", ".join(f"{penalty:g}" for penalty in PENALTIES),
    )


def picture(data: Dataset) -> Array:
    """Test emoji, and for each method what it tells from their captions."""
    x = tested(data)
    chosen = np.linspace(0, len(x["picture"]) - 1, SHOWN).round().astype(int)
    some = {side: values[chosen] for side, values in x.items()}
    models = [opened(name) for name in METHODS]
    told = [model.translate(some, ["caption"], "picture", DRAWS).mean(1) for model in models]
    return plots.grid(np.concatenate([some["picture"], *told]), 0, 255, SHOWN)


def opened(name: str) -> Fitted:
    """A method's run."""
    return lowerbound.load(RUNS / f"captions-{name}", device="cpu")


if __name__ == "__main__":
    main()
