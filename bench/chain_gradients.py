"""How noisy the gradients of a chain of latents are, estimator by estimator, on binarised MNIST.

python bench/chain_gradients.py [RUN]        (a run of deep-vae; without one, it is trained for five epochs)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from _harness import call, record
from lowerbound import load_data
from lowerbound.core import IWAE, Batch, Chain, DReG, Estimator, GDReG, Link, Model, Pathwise, Score, total
from lowerbound.run.folder import Run

ESTIMATORS: dict[str, Estimator] = {"pathwise": Pathwise(), "dreg": DReG(), "gdreg": GDReG(), "score": Score()}
PARTICLES, PICTURES, DRAWS = (5, 50), 20, 100

NOTES = (
    f"The importance-weighted bound of the same {PICTURES} training pictures, {DRAWS} gradients each. Variance: of all "
    "parameters of the part, added up. Signal: the norm of the mean gradient over the root of that variance. GDReG "
    "differs from DReG in p(z1), given z2, alone, which is all the prior there is to learn."
)


def parts(model: Model) -> dict[str, nn.Module]:
    """What learns, by name."""
    assert isinstance(model, Chain)
    links = {name: link for name, link in model.links.items() if isinstance(link, Link)}
    q: dict[str, nn.Module] = {f"q({name})": link.posterior for name, link in links.items()}
    p: dict[str, nn.Module] = {f"p({name})": link.prior for name, link in links.items()}
    return {name: part for name, part in {**q, **p, "p(x)": model.likelihood}.items() if list(part.parameters())}


def gradients(model: Model, batch: Batch, estimator: Estimator, particles: int) -> dict[str, Tensor]:
    """Independent gradients by part, (DRAWS, parameters) each."""
    found: dict[str, list[Tensor]] = {name: [] for name in parts(model)}
    for draw in range(DRAWS):
        torch.manual_seed(draw)
        model.zero_grad()
        total(IWAE()(model.trace(batch, particles, estimator))).backward()
        for name, part in parts(model).items():
            found[name].append(torch.cat([p.grad.flatten() for p in part.parameters() if p.grad is not None]))
    return {name: torch.stack(each) for name, each in found.items()}


def row(model: Model, batch: Batch, name: str, particles: int) -> dict[str, Any]:
    """Variance and signal of each part under one estimator."""
    found = gradients(model, batch, ESTIMATORS[name], particles)
    noise = {part: draws.var(0).sum().item() for part, draws in found.items()}
    signal = {part: draws.mean(0).norm().item() / noise[part] ** 0.5 for part, draws in found.items()}
    said = {part: f"{noise[part]:,.4g} ({signal[part]:.2f})" for part in found}
    return {"K": particles, "estimator": name, **{f"{part}: variance (signal)": each for part, each in said.items()}}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch) / "run"
        if not run.exists():
            options = "--batch-size 100 --lr 0.003 --ema 0.999 --epochs 5"
            call("train", "deep-vae", "--data", "mnist", "--out", str(run), *options.split())
        opened = Run.open(run)
        setup = opened.setup()
    torch.manual_seed(0)
    batch = setup.see(load_data("mnist").split("train").resident("cpu").batch(torch.arange(PICTURES)))
    rows = [row(setup.model, batch, name, k) for k in PARTICLES for name in ESTIMATORS]
    trained = f" Trained for {opened.settings.epochs} epochs at batch {opened.settings.batch_size}."
    record(
        "chain_gradients", "Gradients of a two-layer chain", "python bench/chain_gradients.py", rows, NOTES + trained
    )


if __name__ == "__main__":
    main()
