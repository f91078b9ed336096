"""Gradients of discrete latents side by side: how noisy they are, and how far each trains a model.

    python bench/discrete.py variances
    python bench/discrete.py curves [MINUTES]     (of processor time, for all together)

The model of the literature: 200 Bernoulli latents, uniform a priori, one linear layer each side, MNIST binarised anew
each time a picture is seen. Each estimator decodes twice a datum and step.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from functools import cache
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn

from _harness import RESULTS, ROOT, record
from lowerbound.core import Baselined, Batch, total
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.files import write_json
from lowerbound.plots import curves, write_png
from lowerbound.randomness import derive, permutation, reseed
from lowerbound.recipes import Setup, get
from lowerbound.run.folder import modules_of

KEPT = RESULTS / "parts" / "discrete_curves.json"
PICTURE = ROOT / "docs" / "images" / "discrete_curves.png"
CPU = torch.device("cpu")
BATCH, PARTICLES, LATENT = 50, 2, 200

NAMES = ("reinforce", "nvil", "relax", "rloo", "disarm", "straight-through", "gumbel-straight-through", "gumbel")
BIASED = NAMES[5:]
RATES = (1e-3, 3e-3)
LEG, SEEN, MINUTES = 1_000, 5_000, 25.0

TRAINED_FOR, FITTED_FOR, REPEATS, REFERENCE = 4_000, 600, 300, 20
FORMS = {"elbo-mc": NAMES[:-1], "elbo": NAMES, "iwae": ("reinforce", "nvil", "vimco", *BIASED[:-1])}


def built(name: str, particles: int = PARTICLES, bound: str | None = None) -> Setup:
    """The model with its first weights, the same each time, and the estimator."""
    reseed(CPU, derive(0, "weights"))
    setup = get("discrete-vae").build(
        mnist().spec,
        latent=LATENT,
        hidden=(),
        estimator=name,
        bound=bound or ("elbo" if name == "gumbel" else "elbo-mc"),
        particles=particles,
    )
    mean = mnist().split("train").resident().batch(torch.arange(10_000)).x["x"].float().mean(0) / 255
    setup.start({"x": mean})
    return setup


@cache
def mnist() -> Dataset:
    """The data, read once."""
    return load_data("mnist")


def batches(setup: Setup) -> Iterator[Batch]:
    """Training rows without end, in the same order for all, binarised as they come; every draw is seeded."""
    rows = mnist().split("train").resident()
    for epoch in count():
        for step, index in enumerate(permutation(rows.count, 0, epoch).split(BATCH)):
            reseed(CPU, derive(0, "step", epoch, step))
            yield setup.see(rows.batch(index))


def training(setup: Setup, learns: nn.Module, rate: float) -> Iterator[None]:
    """Train the parameters of `learns` by Adam, if it has any, a step each time it is asked."""
    parameters = list(learns.parameters())
    adams = [torch.optim.Adam(parameters, rate, fused=True)] if parameters else []
    everything = modules_of(setup)
    for seen in batches(setup):
        total(setup.objective(setup.model.trace(seen, setup.particles, setup.estimator))).backward()
        for adam in adams:
            adam.step()
        everything.zero_grad()
        yield


def advance(run: Iterator[None], steps: int) -> float:
    """So many steps; the milliseconds of the processor that each took."""
    start = time.process_time()
    for _ in islice(run, steps):
        pass
    return (time.process_time() - start) / steps * 1e3


@torch.no_grad()
def bound(setup: Setup, split: str) -> float:
    """The ELBO of the discrete model itself on rows of a split, nats: the same rows and pixels each time."""
    rows = mnist().split(split).resident()
    reseed(CPU, derive(0, "measure"))
    parts = [
        setup.model.trace(setup.see(rows.batch(index)), 1).log_w.mean(0)
        for index in torch.arange(min(SEEN, rows.count)).split(1000)
    ]
    return torch.cat(parts).mean().item()


def race(minutes: float) -> None:
    """Train with every estimator at every rate, in turns of `LEG` steps until the processor's minutes are used."""
    setups = {(name, rate): built(name) for name in NAMES for rate in RATES}
    runs = {(name, rate): training(setup, modules_of(setup), rate) for (name, rate), setup in setups.items()}
    kept = {key: {"name": key[0], "rate": key[1], "train": {}, "validation": {}, "ms": []} for key in setups}
    for steps in count(LEG, LEG):
        for key, setup in setups.items():
            kept[key]["ms"].append(advance(runs[key], LEG))
            for split in ("train", "validation"):
                kept[key][split][steps] = bound(setup, split)
        write_json(KEPT, list(kept.values()))
        if time.process_time() > 60 * minutes:
            return


def best_runs() -> dict[str, dict[str, Any]]:
    """Of each estimator the run, of those that `race` kept, with the best validation bound at its end."""
    kept = json.loads(KEPT.read_text())
    for run in kept:
        for split in ("train", "validation"):
            run[split] = {int(step): value for step, value in run[split].items()}
    return {name: max((run for run in kept if run["name"] == name), key=final) for name in NAMES}


def final(run: dict[str, Any]) -> float:
    """The validation bound at the end."""
    value: float = run["validation"][max(run["validation"])]
    return value


def show_curves() -> None:
    """The table and the picture."""
    runs = best_runs()
    lines = {
        name: {step * BATCH * PARTICLES / 1e6: value for step, value in run["train"].items()}
        for name, run in runs.items()
    }
    write_png(PICTURE, curves(lines, "million decoder evaluations", "ELBO on training rows, nats"))
    record(
        "discrete_curves",
        "200 Bernoulli latents, one linear layer, MNIST: the training bound",
        "python bench/discrete.py curves",
        [row(run) for run in runs.values()],
        notes(runs),
    )


def row(run: dict[str, Any]) -> dict[str, Any]:
    points, last = run["train"], max(run["train"])
    marks = sorted({max(LEG, last * share // 4 // LEG * LEG) for share in (1, 2, 4)})
    return {
        "estimator": run["name"],
        "biased": "yes" if run["name"] in BIASED else "no",
        "rate": run["rate"],
        **{f"after {mark:,} steps": round(points[mark], 2) for mark in marks},
        "validation": round(final(run), 2),
        "processor ms a step": round(statistics.median(run["ms"]), 2),
    }


def notes(runs: dict[str, dict[str, Any]]) -> str:
    steps = max(runs["rloo"]["train"])
    return (
        f"{LATENT} bits, uniform prior, one linear layer each side, dynamic binarisation, batches of {BATCH}, "
        f"{PARTICLES} decoder evaluations a datum and step for every estimator, Adam at a constant rate, for each the "
        f"better by the validation bound of {' and '.join(map(str, RATES))}. ELBO in nats on the first {SEEN:,} "
        "training rows, and on validation rows at the end, with z drawn from the discrete model itself whatever was "
        f"trained on. One seed. {steps:,} steps, where the literature takes 1,000,000 at a rate of 0.0001 and reports "
        "about −116.5 for rloo and disarm: this is the beginning of their curves and not their end, and that biased "
        "ones lead here says nothing of where they stop. One thread beside much other work.\n\n"
        f"![Training bound by estimator](images/{PICTURE.name})"
    )


def variances() -> None:
    """How noisy each gradient of the encoder is on one half-trained model and one batch."""
    model = built("rloo")
    advance(training(model, model.model, 1e-3), TRAINED_FOR)
    weights, seen = model.model.state_dict(), next(batches(model))
    exact, _ = moments(with_weights("disarm", "elbo-mc", weights, REFERENCE), seen)
    rows = [
        {
            "bound": form,
            "estimator": name,
            **noise(*moments(with_weights(name, form, weights), seen), exact, name in BIASED and form != "iwae"),
        }
        for form, names in FORMS.items()
        for name in names
    ]
    for row in rows:
        base = next(r for r in rows if r["bound"] == row["bound"] and r["estimator"] in {"rloo", "vimco"})
        row["relative"] = round(row["variance"] / base["variance"], 3)
    record(
        "discrete_variances",
        "Discrete latents: the variance of the encoder's gradient",
        "python bench/discrete.py variances",
        rows,
        VARIANCE_NOTES,
    )


def with_weights(name: str, form: str, weights: dict[str, Tensor], particles: int = PARTICLES) -> Setup:
    """The trained model under another estimator, which is fitted to it where it learns, and then stands still."""
    setup = built(name, particles, form)
    setup.model.load_state_dict(weights)
    if isinstance(setup.estimator, nn.Module):
        advance(training(setup, setup.estimator, 3e-3), FITTED_FOR)
        setup.estimator.eval()
    if isinstance(setup.estimator, Baselined):
        setup.estimator.normalise = None  # what it divides by would pass for less noise
    return setup


def moments(setup: Setup, seen: Batch) -> tuple[Tensor, Tensor]:
    """Mean and variance of the encoder's gradient over independent draws of z, parameter by parameter."""
    reseed(CPU, derive(0, "draws"))
    parameters = list(setup.model.posterior.parameters())
    first = second = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64)
    for _ in range(REPEATS):
        loss = total(setup.objective(setup.model.trace(seen, setup.particles, setup.estimator)))
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]).double()
        first, second = first + gradient, second + gradient.square()
    mean = first / REPEATS
    return mean, (second / REPEATS - mean.square()) * REPEATS / (REPEATS - 1)


def noise(mean: Tensor, variance: Tensor, exact: Tensor, biased: bool) -> dict[str, Any]:
    """Variance summed over the parameters; ratio of signal to noise; bias relative to the gradient, freed of noise."""
    spread = variance.sum().item()
    signal = (mean.square().sum().item() - spread / REPEATS) / spread
    bias = ((mean - exact).square().sum().item() - spread / REPEATS) / exact.square().sum().item()
    return {
        "variance": float(f"{spread:.4g}"),
        "relative": 1.0,
        "signal / noise": round(max(signal, 0) ** 0.5, 3),
        "bias": round(max(bias, 0) ** 0.5, 2) if biased else None,
    }


VARIANCE_NOTES = (
    f"The model of the next table after {TRAINED_FOR:,} steps with rloo, one batch of {BATCH} pictures, {PARTICLES} "
    f"decoder evaluations a datum for each estimator, {REPEATS} draws. Variance: of each of the encoder's 157,000 "
    "parameters, summed (nats²); relative: to rloo's, or vimco's, under the same bound. signal / noise: ‖E g‖ / √(tr "
    f"Cov g). bias: ‖E g − ∇ELBO‖ / ‖∇ELBO‖, where ∇ELBO is the mean of {REPEATS} draws of disarm with {REFERENCE} "
    "particles and the part that noise explains is taken off; blank where it is nil by construction. What an estimator "
    f"learns (a mean, a baseline, a control) was fitted to the model in {FITTED_FOR} steps; nvil is measured without "
    "the division by its signal's scale. elbo-mc has its KL by Monte Carlo, elbo in closed form."
)


def main() -> None:
    if sys.argv[1:2] == ["variances"]:
        variances()
    else:
        race(float(sys.argv[2]) if len(sys.argv) > 2 else MINUTES)
        show_curves()


if __name__ == "__main__":
    main()
