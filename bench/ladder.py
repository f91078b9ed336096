"""A ladder's test log-likelihood on dynamically binarised MNIST, from the command a user would type.

    python bench/ladder.py [FOLDER]     (a run already there is gone on with, and measured)

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

from _harness import COMMAND, record, seconds

OPTIONS = (
    "--net conv --hidden 16 32 128 --layers 0 4 --latent 8 --top 32 --batch-size 64 --lr 0.002 --schedule cosine "
    "--lr-warmup 200 --clip 100 --ema 0.999 --anneal 1000 --precision bf16 --epochs 26"
)
PARTICLES = 100

NOTES = (
    "Dynamic binarisation, all 10,000 test pictures; with fewer particles the estimate is lower, never higher, in "
    "expectation. One seed, one thread beside other work: the processor minutes are what the training took of a core, "
    "the minutes what passed. Networks, batch size and rate were chosen by the validation bound of short trials; the "
    "test pictures were looked at once, at the end. Published: Sønderby et al., 2016, five layers of perceptrons, "
    "−81.74; Vahdat and Kautz, 2020, 15 groups of maps, −78.01."
)


def measure(folder: Path) -> dict[str, object]:
    """Train and evaluate; the row of the table."""
    kept = folder / "spent.json"
    if not kept.exists():
        kept.write_text(json.dumps(spent(lambda: train(folder / "run"))))
    training = json.loads(kept.read_text())
    figures: dict[str, object] = {}
    evaluating = spent(lambda: figures.update(call("evaluate", str(folder / "run"), "--particles", str(PARTICLES))))
    value = lambda key: figures[key]["value"]  # type: ignore[index]  # noqa: E731
    return {
        "model": "convolutional ladder",
        "log p(x)": f"{value('log_p'):.2f} ± {figures['log_p']['stderr']:.2f}",  # type: ignore[index]
        "ELBO": round(value("elbo"), 2),
        "rate": round(value("rate"), 2),
        "of the layers": ", ".join(f"{rate:.1f}" for rate in figures["rate_by_layer"].values()),  # type: ignore[attr-defined]
        "k̂ > 0.7": f"{100 * figures['khat']['share_above_0.7']:.1f} %",  # type: ignore[index]
        "training": f"{training['processor']:.0f} processor min in {training['passed']:.0f} min",
        "evaluating": f"{evaluating['processor']:.0f} processor min in {evaluating['passed']:.0f} min",
        "particles": PARTICLES,
        "threads": int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))),
        "options": f"`{OPTIONS}`",
    }


def train(run: Path) -> None:
    """Train, or go on where it stopped."""
    words = ["--resume", str(run)] if run.exists() else ["ladder-vae", "--data", "mnist", "--out", str(run)]
    call("train", *words, *([] if run.exists() else OPTIONS.split()))


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
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        folder.mkdir(parents=True, exist_ok=True)
        row = measure(folder)
    record("ladder", "A ladder on MNIST, test log p(x)", "python bench/ladder.py", [row], NOTES)


if __name__ == "__main__":
    main()
