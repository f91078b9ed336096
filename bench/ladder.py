"""Ladders' test log-likelihood on dynamically binarised MNIST, from the command a user would type.

    python bench/ladder.py [NAME [FOLDER]]     (default: all; a run already in the folder is gone on with)

All 10,000 test pictures.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _harness import COMMAND, RESULTS, record, seconds

COMMON = (
    "--net conv --layers 0 4 --latent 8 --top 32 --batch-size 64 --lr 0.002 --schedule cosine --lr-warmup 200 "
    "--clip 100 --ema 0.999 --anneal 1000 --precision bf16"
)
MODELS = {
    "32 channels": f"{COMMON} --hidden 16 32 128 --epochs 26",
    "64 channels": f"{COMMON} --hidden 32 64 128 --epochs 22",
}
PARTICLES = 100

NOTES = (
    "Dynamic binarisation, all 10,000 test pictures; with fewer particles the estimate is lower, never higher, in "
    "expectation. One seed, one thread beside other work: processor minutes are what was taken of a core, minutes what "
    "passed. Widths, heights, activation and batch size were chosen by the validation bound of short trials; free bits "
    "were not needed and not tried. A ladder of four layers on maps of 7 x 7 and a vector on top; of the "
    "layers: the rate of each, from the top. Published: Sønderby et al., 2016, five layers of perceptrons, −81.74; "
    "Vahdat and Kautz, 2020, −78.01."
)


def measure(name: str, folder: Path) -> dict[str, object]:
    """Train and evaluate one model; the row of the table."""
    training = trained(folder / "run", MODELS[name], folder / "spent.json")
    figures: dict[str, object] = {}
    evaluating = spent(lambda: figures.update(call("evaluate", str(folder / "run"), "--particles", str(PARTICLES))))
    result = json.loads((folder / "run" / "recipe.json").read_text())["result"]
    value = lambda key: figures[key]["value"]  # type: ignore[index]  # noqa: E731
    return {
        "model": name,
        "log p(x)": f"{value('log_p'):.2f} ± {figures['log_p']['stderr']:.2f}",  # type: ignore[index]
        "ELBO": round(value("elbo"), 2),
        "rate": round(value("rate"), 2),
        "of the layers": ", ".join(f"{rate:.1f}" for rate in figures["rate_by_layer"].values()),  # type: ignore[attr-defined]
        "ELBO on validation": round(result["validation_objective"], 2),
        "k̂ > 0.7": f"{100 * figures['khat']['share_above_0.7']:.1f} %",  # type: ignore[index]
        "training": f"{training['processor']:.0f} processor min in {training['passed']:.0f} min",
        "evaluating": f"{evaluating['processor']:.0f} processor min in {evaluating['passed']:.0f} min",
        "particles": PARTICLES,
        "threads": int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))),
        "options": f"`{MODELS[name]}`",
    }


def trained(run: Path, options: str, ledger: Path) -> dict[str, float]:
    """Train, or go on where it stopped; the minutes of all legs, an interrupted one's too, which the ledger keeps."""
    legs = json.loads(ledger.read_text()) if ledger.exists() else []
    new = ["ladder-vae", "--data", "mnist", "--out", str(run), *options.split()]
    words = ["--resume", str(run)] if run.exists() else new
    done: list[subprocess.CompletedProcess[bytes]] = []
    legs.append(spent(lambda: done.append(subprocess.run([str(COMMAND), "train", *words]))))
    ledger.write_text(json.dumps(legs))
    done[0].check_returncode()
    return {minutes: sum(leg[minutes] for leg in legs) for minutes in ("processor", "passed")}


def call(*words: str) -> dict[str, object]:
    """One lowerbound command; its JSON."""
    run = subprocess.run([str(COMMAND), *words, "--json"], stdout=subprocess.PIPE, check=True)
    found: dict[str, object] = json.loads(run.stdout)
    return found


def spent(work: Callable[[], object]) -> dict[str, float]:
    """Minutes of processors that the commands of `work` took, and minutes that passed."""
    before = processor_seconds()
    passed = seconds(work)
    return {"processor": (processor_seconds() - before) / 60, "passed": passed / 60}


def processor_seconds() -> float:
    """Of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    kept = RESULTS / "ladder.json"
    rows = {row["model"]: row for row in (json.loads(kept.read_text())["rows"] if kept.exists() else [])}
    for name in sys.argv[1:2] or MODELS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(sys.argv[2] if len(sys.argv) > 2 else scratch)
            folder.mkdir(parents=True, exist_ok=True)
            rows[name] = measure(name, folder)
        record("ladder", "Ladders on MNIST, test log p(x)", "python bench/ladder.py", list(rows.values()), NOTES)


if __name__ == "__main__":
    main()
