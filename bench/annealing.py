"""How far importance sampling can be believed on a trained model, by annealing forwards and backwards.

    python bench/annealing.py [RUN]

RUN: a VAE trained on MNIST; without it one is trained first, some minutes. On data that the model makes, log p(x) is
bounded from both sides, the more narrowly the more densities the walk goes through. On test pictures the lower bound
that annealing gives is set beside importance sampling with more and more particles.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lowerbound
from _harness import call, record
from lowerbound.core import Batch, Latent, Marginal, ais, log_weights, smoothed, summarise
from lowerbound.evaluation.annealing import Walk
from lowerbound.evaluation.statistics import estimate
from lowerbound.fitted import Fitted

COMMAND = "python bench/annealing.py RUN"
MADE, PICTURES, CHAINS, SEED = 100, 100, 16, 0
WALKS = (10, 30, 100, 300)
BEST = 400
PARTICLES = (100, 1_000, 5_000)
TRAINING = ("--latent", "50", "--hidden", "200", "200", "--activation", "tanh", "--epochs", "30")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else trained(Path(folder) / "run")
        model = lowerbound.load(str(run))
        about = f"A VAE of {describe(model)} on MNIST, dynamically binarised; {torch.get_num_threads()} thread beside "
        "other work. "
        sandwiches(model, about)
        pictures(model, about)


def trained(run: Path) -> Path:
    """A modest model, for want of a better one."""
    call("train", "vae", "--data", "mnist", "--out", str(run), *TRAINING)
    return run


def describe(model: Fitted) -> str:
    """What was trained, in words."""
    assert model.run is not None
    about = model.run.record.arguments
    widths, epochs = " and ".join(map(str, about["hidden"])), model.run.settings.epochs
    return f"{about['latent']} latent dimensions (hidden layers of {widths}, {epochs:,} epochs of {about['bound']})"


def sandwiches(model: Fitted, about: str) -> None:
    """Lower and upper bound on the model's own data, by number of densities; the same data in each row."""
    rows = [between(model, steps) for steps in WALKS]
    notes = (
        f"{about}{MADE} data that the model made, {CHAINS} chains each, 2 leapfrogs a density. `width` is the mean of "
        "upper − lower, datum by datum, with its standard error over the data: log p(x) lies between, but for chance."
    )
    record("annealing_sandwich", "Bidirectional Monte Carlo: how sure log p(x) is", COMMAND, rows, notes)


def between(model: Fitted, steps: int) -> dict[str, Any]:
    """One row of the first table."""
    start = time.perf_counter()
    found = model.sandwich(MADE, Walk(steps=steps, chains=CHAINS), SEED)
    return {
        "densities": steps,
        "lower": shown(found["lower"], 2),
        "upper": shown(found["upper"], 2),
        "width, nats": shown(found["width"], 3),
        "moves accepted": f"{found['acceptance']:.0%}",
        "seconds a datum": round((time.perf_counter() - start) / MADE, 2),
    }


def pictures(model: Fitted, about: str) -> None:
    """Importance sampling of test pictures beside annealing."""
    batch = seen(model)
    assert isinstance(model.setup.model, Latent)
    torch.manual_seed(SEED)
    start = time.perf_counter()
    best = ais(model.setup.model, batch, steps=BEST, chains=CHAINS)
    took = (time.perf_counter() - start) / PICTURES
    rows = [
        *(beside(model.setup.model, batch, k, best.log_p) for k in PARTICLES),
        {
            "estimate": f"annealed, {BEST} densities × {CHAINS} chains",
            "mean log p": f"{float(best.log_p.mean()):.2f}",
            "seconds a datum": round(took, 2),
        },
    ]
    notes = (
        f"{about}The first {PICTURES} test pictures. Every estimate is in expectation a lower bound, so what it lacks "
        "of the annealed one it lacks of log p(x) at least; `lacks` is a mean with its standard error over pictures. "
        "`smoothed` is what the same weights lack after Pareto smoothing."
    )
    record("annealing_pictures", "Importance sampling beside annealing", COMMAND, rows, notes)


def seen(model: Fitted) -> Batch:
    """Test pictures as the model sees them, drawn once."""
    rows = model.rows(split="test").where(slice(PICTURES))
    torch.manual_seed(SEED)
    return model.setup.see(next(rows.resident(torch.device("cpu")).batches([torch.arange(PICTURES)])))


def beside(model: Latent, batch: Batch, particles: int, best: Tensor) -> dict[str, Any]:
    """One row of the second table."""
    start = time.perf_counter()
    plain, smooth = zip(*(both(model, batch[at : at + 32], particles) for at in range(0, batch.size, 32)))
    found = Marginal(*(torch.cat(field) for field in zip(*plain)))
    return {
        "estimate": f"importance sampling, {particles:,} particles",
        **against(found.log_p, best),
        "smoothed": f"{float((best - torch.cat(smooth)).mean()):.2f}",
        "k̂ > 0.7": f"{float((found.khat > 0.7).double().mean()):.0%}",
        "median ESS": round(float(found.ess.median()), 1),
        "lacks where k̂ ≤ 0.7": lacking(best - found.log_p, found.khat <= 0.7),
        "seconds a datum": round((time.perf_counter() - start) / PICTURES, 2),
    }


def both(model: Latent, batch: Batch, particles: int) -> tuple[Marginal, Tensor]:
    """The estimate, and its smoothed form from the same weights."""
    log_w = log_weights(model, batch, particles)
    return summarise(log_w), summarise(smoothed(log_w)).log_p


def against(log_p: Tensor, best: Tensor) -> dict[str, str]:
    """Mean, and what it lacks of the best."""
    return {"mean log p": f"{float(log_p.mean()):.2f}", "lacks, nats": shown(estimate(best - log_p), 2)}


def lacking(lack: Tensor, which: Tensor) -> str:
    """What some of the data lack, and how many those are."""
    return f"{float(lack[which].mean()):.2f} ({int(which.sum())} data)" if which.any() else "(none)"


def shown(found: dict[str, Any], digits: int) -> str:
    """A mean with its standard error."""
    return f"{found['value']:.{digits}f} ± {found['stderr']:.{digits}f}"


if __name__ == "__main__":
    main()
