"""What classifiers read off 16-dimensional codes, against as many principal components and the pixels themselves.

    python bench/features.py                  (what is not in the table yet)
    python bench/features.py ae vae           (these models, measured anew)

What the verb features does after lowerbound train, with the components and the pixels measured once for each data set.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import lowerbound
from _harness import RESULTS, record
from lowerbound.evaluation.probes import Splits, accuracies, labelled, plain, principal
from lowerbound.training.progress import Silent

WIDTH = 16
LABELLED = 10_000
DATA = ("mnist", "fashion-mnist")
COMMON = {"latent": WIDTH, "epochs": 20, "batch_size": 250}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "ae": ("ae", {"likelihood": "mse"}),
    "vae": ("vae", {}),
    "vae of grey values": ("vae", {"likelihood": "gaussian-learned"}),
    "dae": ("dae", {"likelihood": "mse"}),
    "vae of grey values, longer": ("vae", {"likelihood": "gaussian-learned", "epochs": 80}),
    "ae, longer": ("ae", {"likelihood": "mse", "epochs": 80}),
}
KEPT = RESULTS / "features.json"

NOTES = (
    f"Accuracy on the 10,000 test pictures. Each classifier is fitted to {LABELLED:,} labelled training pictures, "
    "whose components PCA's are too; models train on all 55,000 without labels. The penalty of the logistic regression "
    "and the number of neighbours are chosen on 5,000 validation pictures. All models that were tried are in the "
    "table. One seed each; ± is the standard error of a share of 10,000. Training: seconds of one core."
)

Rows = dict[tuple[str, str], dict[str, Any]]


def main() -> None:
    rows: Rows = {key(row): row for row in (json.loads(KEPT.read_text())["rows"] if KEPT.exists() else [])}
    for data in DATA:
        measure(data, sys.argv[1:] or [name for name in MODELS if (data, called(name)) not in rows], rows)


def measure(data: str, models: list[str], rows: Rows) -> None:
    """Put the rows of a data set into the table, one at a time."""
    found = lowerbound.load_data(data)
    x, labels = labelled(found, LABELLED)
    raw = {split: plain(found.spec, values) for split, values in x.items()}
    others = {f"PCA, {WIDTH} components": lambda: principal(raw, WIDTH), "784 pixels": lambda: raw}
    for name, features in others.items():
        if (data, name) not in rows:
            keep(rows, row(data, name, features(), labels))
    for model in models:
        keep(rows, codes(model, data, x, labels))


def called(model: str) -> str:
    """What a model's codes are called in the table."""
    return f"{model}, {WIDTH} dimensions"


def codes(model: str, data: str, x: dict[str, Any], labels: Splits) -> dict[str, Any]:
    """The row of a model's codes."""
    recipe, own = MODELS[model]
    arguments, start = {**COMMON, **own}, time.process_time()
    fitted = lowerbound.train(recipe, data, **arguments, progress=Silent())
    words = ", ".join([recipe, *(f"{name}={value}" for name, value in arguments.items())])
    about = {"training": f"{time.process_time() - start:.0f} s", "recipe and arguments": words}
    z = {split: fitted.encode(values) for split, values in x.items()}
    return row(data, called(model), z, labels) | about


def row(data: str, name: str, features: Splits, labels: Splits) -> dict[str, Any]:
    """A row of the table."""
    found = accuracies(features, labels)
    linear, nearest = (f"{found[probe]['accuracy']:.2%} ± {found[probe]['stderr']:.2%}" for probe in ("linear", "knn"))
    validation = f"{found['linear']['validation_accuracy']:.2%}"
    names = ("data", "features", "logistic regression", "the same on validation", "nearest neighbours")
    return {**dict(zip(names, (data, name, linear, validation, nearest))), "training": "", "recipe and arguments": ""}


def key(row: dict[str, Any]) -> tuple[str, str]:
    """What makes a row of the table another one."""
    return row["data"], row["features"]


def keep(rows: Rows, found: dict[str, Any]) -> None:
    """Put a row into the table and write it."""
    rows[key(found)] = found
    ordered = sorted(rows.values(), key=lambda row: (DATA.index(row["data"]), row["logistic regression"]))
    record("features", "Features: what codes are good for", "python bench/features.py", ordered, NOTES)


if __name__ == "__main__":
    main()
