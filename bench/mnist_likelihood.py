"""Test log-likelihood on dynamically binarised MNIST, from the command a user would type.

    python bench/mnist_likelihood.py [NAME ...]        (default: all)

All 10,000 test pictures, 5,000 importance samples each. Published beside it: Burda, Grosse and Salakhutdinov, 2016.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _harness import RESULTS, record, seconds

PARTICLES = 5000
MODELS = {
    "perceptron 784-200-200-z50, tanh (Burda et al.'s one layer)": (
        "--net mlp --hidden 200 200 --latent 50 --activation tanh --epochs 700 --batch-size 250 --lr 0.002 "
        "--schedule cosine"
    ),
    "convolutional, z50": (
        "--net conv --latent 50 --activation silu --epochs 60 --batch-size 250 --lr 0.002 --schedule cosine"
    ),
}


def measure(name: str) -> dict[str, object]:
    """Train and evaluate one model; the row of the table."""
    options = MODELS[name].split()
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        training = seconds(lambda: call("train", "vae", "--data", "mnist", "--out", run, *options))
        figures: dict[str, object] = {}
        evaluating = seconds(lambda: figures.update(call("evaluate", run, "--particles", str(PARTICLES))))
    value = lambda key: figures[key]["value"]  # type: ignore[index]  # noqa: E731
    return {
        "model": name,
        "log p(x)": f"{value('log_p'):.2f} ± {figures['log_p']['stderr']:.2f}",  # type: ignore[index]
        "ELBO": round(value("elbo"), 2),
        "rate": round(value("rate"), 2),
        "active units": f"{figures['active_units']} of {figures['latent']}",
        "k̂ > 0.7": f"{100 * figures['khat']['share_above_0.7']:.1f} %",  # type: ignore[index]
        "training": f"{training / 60:.1f} min",
        "evaluating": f"{evaluating / 60:.1f} min",
        "options": f"`{MODELS[name]}`",
    }


def call(*words: str) -> dict[str, object]:
    """One lowerbound command; its JSON."""
    run = subprocess.run(["lowerbound", *words, "--json"], stdout=subprocess.PIPE, check=True)
    found: dict[str, object] = json.loads(run.stdout)
    return found


def main() -> None:
    kept = RESULTS / "mnist_likelihood.json"
    rows = {row["model"]: row for row in (json.loads(kept.read_text())["rows"] if kept.exists() else [])}
    for name in sys.argv[1:] or MODELS:
        rows.update({found: measure(found) for found in MODELS if found.startswith(name)})
        notes = (
            f"Dynamic binarisation, {PARTICLES:,} particles, all 10,000 test pictures. The paper's VAE, one layer: "
            "−86.76; the best reproductions −86.35."
        )
        record(
            "mnist_likelihood", "MNIST, test log p(x)", "python bench/mnist_likelihood.py", list(rows.values()), notes
        )


if __name__ == "__main__":
    main()
