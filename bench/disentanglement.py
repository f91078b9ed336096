"""Disentanglement on drawings whose factors are known: the plain VAE, and recipes that press its code apart.

    python bench/disentanglement.py [--seeds N] [NAME ...]        (default: 5 seeds of the first three)

Every figure is of the 9,216 test drawings of `shapes`; codes are posterior means.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

import lowerbound
from _harness import RESULTS, record, seconds
from lowerbound.evaluation.disentanglement import disentanglement

LATENT, EPOCHS, PARTICLES = 10, 6, 16
MODELS: dict[str, dict[str, Any]] = {
    "vae": {},
    "beta-vae": {"beta": 4.0},
    "beta-tc-vae": {"beta": 6.0},
    "factor-vae": {"gamma": 35.0},
    "dip-vae": {"variant": "ii", "off_diagonal": 10.0, "diagonal": 10.0},
    "info-vae": {"alpha": 1.0, "scale": 1000.0},
}
FIRST = ("vae", "beta-vae", "beta-tc-vae")
FIGURES = {
    "MIG": 3,
    "DCI disentanglement": 3,
    "DCI completeness": 3,
    "DCI informativeness": 3,
    "SAP": 3,
    "FactorVAE score": 3,
    "ELBO": 2,
    "rate": 2,
    "reconstruction MSE": 4,
}
"""The columns, each with the digits it is worth."""

NOTES = (
    f"Mean ± standard deviation over seeds. The recipes' own networks (perceptrons of 200-200), {LATENT} latent "
    f"dimensions, {EPOCHS} epochs of 73,728 drawings, batch 128, Adam at 0.001 with a cosine schedule, for all alike. "
    "The weights are of the literature, and none was tuned here: β = 4 from Higgins et al., 2017, β = 6 on the total "
    "correlation from Chen et al., 2018, γ = 35 from Kim and Mnih, 2018, and for DIP-VAE-II one of the grid of "
    "Locatello et al., 2019; for InfoVAE they are the recipe's own defaults. Trainings there are many times longer, "
    "with pictures of 64×64, so compare rows, not with the papers. SAP takes every factor as a category, and 0.86 is "
    "its most. ELBO and rate are nats per datum, of the plain bound whatever was trained. {pairs}"
)


def measure(name: str, seed: int, data: lowerbound.Dataset) -> dict[str, float]:
    """Train one model and score it; figures by their names."""
    found: dict[str, Any] = {}
    trained: list[lowerbound.Fitted] = []
    settings = {"latent": LATENT, "epochs": EPOCHS, "seed": seed, "progress": Quiet()}
    spent = seconds(lambda: trained.append(lowerbound.train(name, data, **settings, **MODELS[name])))
    found.update(disentanglement(trained[0]), **trained[0].evaluate(particles=PARTICLES))
    dci = found["dci"]
    values = (found["mig"], *dci.values(), found["sap"], found["factor_vae_score"])
    bounds = (found[key]["value"] for key in ("elbo", "rate", "reconstruction_mse"))
    figures = dict(zip(FIGURES, (*values, *bounds), strict=True)) | {"minutes": spent / 60}
    print(json.dumps({"model": name, "seed": seed, **figures, "information": found["information"]}), flush=True)
    return figures


class Quiet:
    """Says nothing while training."""

    def tick(self, tick: object) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """What must be said."""
        print(sentence, file=sys.stderr)

    def close(self) -> None:
        """Nothing."""


def row(name: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """The row of the table."""
    options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in MODELS[name].items())
    spread = {figure: _spread([run[figure] for run in runs], digits) for figure, digits in FIGURES.items()}
    minutes = statistics.mean(run["minutes"] for run in runs)
    return {"recipe": name, "options": options, "seeds": len(runs), **spread, "training": f"{minutes:.1f} min"}


def pairs(runs: dict[str, list[dict[str, float]]]) -> str:
    """By how much the total correlation's weight beats the rate's and none, seed by seed."""
    leads = [
        f"{figure} over {other} by {_lead(runs['beta-tc-vae'], runs[other], figure)}"
        for figure in ("MIG", "DCI disentanglement", "DCI completeness", "FactorVAE score")
        for other in FIRST[:2]
    ]
    return f"beta-tc-vae, mean and standard error of the difference at like seeds: {'; '.join(leads)}."


def _lead(these: list[dict[str, float]], those: list[dict[str, float]], figure: str) -> str:
    gains = [a[figure] - b[figure] for a, b in zip(these, those, strict=True)]
    stderr = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
    return f"{statistics.mean(gains):.3f} ± {stderr:.3f} (in {sum(gain > 0 for gain in gains)} of {len(gains)} seeds)"


def _spread(values: list[float], digits: int) -> str:
    deviation = f"{statistics.stdev(values):.{digits}f}" if len(values) > 1 else "?"
    return f"{statistics.mean(values):.{digits}f} ± {deviation}"


def main() -> None:
    """Seed by seed over the models, so that the table is fair whenever it is cut short."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=FIRST, metavar="NAME", choices=[*MODELS, FIRST])
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    kept = RESULTS / "disentanglement.json"
    former = json.loads(kept.read_text()) if kept.exists() else {"rows": [], "notes": NOTES.format(pairs="")}
    rows = {each["recipe"]: each for each in former["rows"]}
    data = lowerbound.load_data("shapes")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in asked.names}
    for seed in range(asked.seeds):
        for name in asked.names:
            runs[name].append(measure(name, seed, data))
        rows.update({name: row(name, found) for name, found in runs.items()})
        table = [rows[name] for name in MODELS if name in rows]
        notes = NOTES.format(pairs=pairs(runs)) if {*FIRST} <= {*runs} else former["notes"]
        record("disentanglement", "Disentanglement on shapes", "python bench/disentanglement.py", table, notes)


if __name__ == "__main__":
    main()
