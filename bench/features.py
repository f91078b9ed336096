"""What classifiers read off 16-dimensional codes, against as many principal components and the pixels themselves.

    python bench/features.py [MODEL ...]      (default: all)

The commands a user would type: lowerbound train, then lowerbound features.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from _harness import RESULTS, call, record, seconds, threads

WIDTH = 16
LABELLED = 10_000
DATA = ("mnist", "fashion-mnist")
COMMON = f"--latent {WIDTH} --batch-size 250 --lr 0.001 --schedule cosine"
MODELS = {
    "ae": f"ae --likelihood mse --epochs 30 {COMMON}",
    "vae": f"vae --epochs 30 {COMMON}",
}
REPRESENTATIONS = {"pca": f"PCA, {WIDTH} components", "raw": "784 pixels"}

NOTES = (
    f"Accuracy on the 10,000 test pictures. Each classifier is fitted to {LABELLED:,} labelled training pictures; the "
    "penalty of the logistic regression and the number of neighbours are chosen on 5,000 validation pictures. One seed "
    "each; ± is the standard error of a share of 10,000."
)


def main() -> None:
    kept = RESULTS / "features.json"
    rows = {key(row): row for row in (json.loads(kept.read_text())["rows"] if kept.exists() else [])}
    for model in sys.argv[1:] or MODELS:
        for data in DATA:
            rows.update({key(row): row for row in measure(model, data)})
            ordered = sorted(rows.values(), key=lambda row: (DATA.index(row["data"]), row["logistic regression"]))
            record("features", "Features: what codes are good for", "python bench/features.py", ordered, NOTES)


def key(row: dict[str, Any]) -> tuple[str, str]:
    """What makes a row of the table another one."""
    return row["data"], row["features"]


def measure(model: str, data: str) -> list[dict[str, Any]]:
    """The rows of a model's codes on some data, and of what they are compared with."""
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        training = seconds(lambda: call("train", *MODELS[model].split(), "--data", data, "--out", run, "--quiet"))
        found = call("features", run, "--count", str(LABELLED))
    others = [row(data, name, found[which]) for which, name in REPRESENTATIONS.items()]
    about = {"training": f"{training / 60:.1f} min", "threads": threads(), "options": f"`{MODELS[model]}`"}
    return [row(data, f"{model}, {WIDTH} dimensions", found["codes"]) | about, *others]


def row(data: str, features: str, found: dict[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    linear, nearest = (f"{found[probe]['accuracy']:.2%} ± {found[probe]['stderr']:.2%}" for probe in ("linear", "knn"))
    validation = f"{found['linear']['validation_accuracy']:.2%}"
    names = ("data", "features", "logistic regression", "the same on validation", "nearest neighbours")
    columns = dict(zip(names, (data, features, linear, validation, nearest)))
    return columns | {"training": "", "threads": "", "options": ""}


if __name__ == "__main__":
    main()
