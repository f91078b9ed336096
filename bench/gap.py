"""What the encoders of two VAEs on MNIST lose of log p(x), and why: the split of their inference gaps.

    python bench/gap.py [RUN ...] [--count 500]

RUN: a run's folder; without one, that of `make demo` is trained first, which takes a core some minutes. Rows of models
measured before are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from _harness import RESULTS, ROOT, call, record, seconds, threads
from lowerbound.cli.gap import bars
from lowerbound.plots import write_png
from lowerbound.run.folder import Run

DEMO = "train vae --data mnist --hidden 512 512 --epochs 40 --schedule cosine"

PROPOSALS = ("encoder", "local", "full")

NOTES = (
    "The first test pictures, dynamically binarised, one draw; a run a row. Inference gap = approximation gap (what "
    "the best diagonal Gaussian for each datum lacks of log p(x)) + amortisation gap (what the encoder's lacks of "
    "that), after Cremer, Li and Duvenaud, 2018; ± is the standard error of the mean for new pictures. Any covariance: "
    "what of the approximation gap the best Gaussian with correlations closes. NLL: −log p(x) by importance sampling "
    "of {particles} particles, from the encoder's posterior and from each datum's own; beside it the lowest of four "
    "estimates, each in expectation too high, by which the gaps are told, ± its Monte-Carlo error. k̂ > 0.7: the share "
    "of pictures whose importance sampling is not to be believed, from the encoder's posterior, from each datum's own "
    "and from its own of any covariance. Climb: {steps} steps of {draws} draws a datum; rise, what its last quarter "
    "still gained over the one before. The numbers of steps and draws and their rate were settled on a hundred test "
    "pictures of a smaller model, by the bound they reached. A run given by its folder was trained before. Seconds are "
    "by the clock, beside some fifteen other processes on two cores; of its own processor time a picture of the first "
    "model took 0.4 s.\n\n"
    "![What the posteriors of the model measured lack of log p(x)](images/gap.png)"
)


def measure(run: Path, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of a run, and all its figures."""
    figures: dict[str, Any] = {}
    spent = seconds(lambda: figures.update(call("gap", str(run), "--count", str(count))))
    return row(named(run), figures, spent), figures


def row(name: str, figures: dict[str, Any], spent: float) -> dict[str, Any]:
    """The gaps of one run as a row of the table."""
    best = figures["log_p"]
    return {
        "model": name,
        "pictures": figures["count"],
        "ELBO": round(figures["elbo"]["encoder"]["value"], 2),
        "inference gap": shown(figures["inference_gap"]),
        "approximation gap": shown(figures["approximation_gap"]),
        "amortisation gap": shown(figures["amortisation_gap"]),
        "any covariance": shown(figures["full_covariance"]["gain"]),
        "NLL, encoder's": round(figures["nll"]["before"]["value"], 2),
        "NLL, refined": round(figures["nll"]["after"]["value"], 2),
        "NLL, lowest": f"{-best['value']:.2f} ± {best['monte_carlo']:.3f} ({best['by']})",
        "k̂ > 0.7": " → ".join(f"{100 * figures['estimates'][q]['khat_above_0.7']:.0f} %" for q in PROPOSALS),
        "rise": round(figures["rise"]["local"]["value"], 3),
        "seconds": round(spent),
        "threads": threads(),
    }


def shown(found: dict[str, float]) -> str:
    """A mean and its standard error."""
    return f"{found['value']:.2f} ± {found['stderr']:.2f}"


def named(folder: Path) -> str:
    """What the run's model is, in words."""
    facts = Run.open(folder).record
    widths = "-".join(map(str, facts.arguments["hidden"] or ()))
    net = f"perceptron 784-{widths}-z{facts.arguments['latent']}, {facts.arguments['activation']}"
    return f"{net}, {facts.settings.epochs:,} epochs"


def beside(kept: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, after those of other models that were measured before."""
    former = json.loads(kept.read_text())["rows"] if kept.exists() else []
    return [*(each for each in former if each["model"] not in {row["model"] for row in rows}), *rows]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("runs", nargs="*", type=Path)
    asked.add_argument("--count", type=int, default=500)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not given.runs:
            call(*DEMO.split(), "--out", f"{folder}/demo")
        found = [measure(run, given.count) for run in given.runs or [Path(folder) / "demo"]]
    effort = {name: found[0][1][name] for name in ("particles", "steps", "draws")}
    rows = beside(RESULTS / "gap.json", [each for each, _ in found])
    write_png(ROOT / "docs" / "images" / "gap.png", bars(found[0][1]))
    record(
        "gap", "Where encoders fall short of log p(x)", "python bench/gap.py [RUN ...]", rows, NOTES.format(**effort)
    )


if __name__ == "__main__":
    main()
