"""A posterior for each of 5 000 pictures beside an encoder for all of them: what bound each reaches, and when.

    OMP_NUM_THREADS=1 python bench/svi_encoder.py

MNIST at a threshold; recipes svi and vae with the same decoder, 50-200-784; batches of 128, Adam at 1e-3, along a
cosine for each budget by itself. Time is the processor's, on one thread, in steps of training alone. The bound of the
5 000 is that of each model's own posteriors, the table's or the encoder's. 625 other pictures are measured by the
model's own means (svi climbs, the vae encodes) and after one long climb for both, so that what is left is between the
decoders.
"""

from __future__ import annotations

import json
import time
from typing import Any

import matplotlib
import torch

import lowerbound
from _harness import ROOT, record
from lowerbound.core import Batch, Table, Trace, refined, total
from lowerbound.core.objectives import AnalyticELBO
from lowerbound.data.dataset import Dataset
from lowerbound.recipes import Setup, get
from lowerbound.run.settings import Settings
from lowerbound.training.optimiser import Optimiser
from lowerbound.training.rates import learning_rate

PICTURES, BATCH, WIDTH, LATENT = 6_250, 128, 200, 50
BUDGETS = (10, 30, 100, 300)
DRAWS, LONG = 8, 400
TICKS = (2, 5, 10, 20, 50, 100)
PICTURE = ROOT / "docs" / "images" / "svi_encoder.png"


def pictures() -> Dataset:
    """Binary pictures: 5 000 to train on, 625 others."""
    grey = lowerbound.load_data("mnist").split("train").array("x")[:PICTURES]
    return lowerbound.load_data((grey.reshape(len(grey), -1) > 127).astype("uint8"))


def fitted(recipe: str, data: Dataset, epochs: int) -> tuple[Setup, float]:
    """The recipe's setup after so many epochs, and the processor's seconds that they took."""
    torch.manual_seed(0)
    setup = get(recipe).build(data.spec, latent=LATENT, hidden=(WIDTH,))
    rows, settings = data.split("train").resident(), Settings()
    setup.start({"x": rows.batch(torch.arange(rows.count)).x["x"].float().mean(0)})
    tables = [module for module in setup.model.modules() if isinstance(module, Table)]
    optimiser, steps = Optimiser(setup.model.parameters(), settings, tables), epochs * (rows.count // BATCH)
    began = time.process_time()
    for step in range(steps):
        if step % (rows.count // BATCH) == 0:
            order = torch.randperm(rows.count).split(BATCH)
        seen = setup.see(rows.batch(order[step % (rows.count // BATCH)]))
        total(setup.objective(setup.model.trace(seen, 1, setup.estimator))).backward()
        optimiser.step(learning_rate(settings, step, steps))
    return setup, time.process_time() - began


@torch.no_grad()
def bound(setup: Setup, seen: Batch, q: Any) -> float:
    """The mean evidence lower bound of these data under these posteriors, nats."""
    z = q.rsample((DRAWS,))
    trace = Trace(z, q, setup.model.prior(None), setup.model.decode(z), seen, setup.estimator)
    return -float(total(AnalyticELBO()(trace)))


def measured(recipe: str, data: Dataset, epochs: int) -> dict[str, Any]:
    """One model and its figures."""
    setup, seconds = fitted(recipe, data, epochs)
    held, others = (setup.see(whole(data, split)) for split in ("train", "validation"))
    own = bound(setup, held, setup.model.infer(held))
    q = setup.model.eval().infer(others)
    climbed = refined(setup.model, others, q, steps=LONG, lr=0.1).q
    return {
        "posteriors": "table (svi)" if recipe == "svi" else "encoder (vae)",
        "epochs": epochs,
        "seconds of training": round(seconds, 1),
        "bound of the 5 000, nats": round(own, 2),
        "bound of 625 others": round(bound(setup, others, q), 2),
        "of those after a long climb": round(bound(setup, others, climbed), 2),
        "MB of posteriors and their moments": round(megabytes(setup), 1),
    }


def whole(data: Dataset, split: str) -> Batch:
    rows = data.split(split).resident()
    return rows.batch(torch.arange(rows.count))


def megabytes(setup: Setup) -> float:
    """What stands for q: its parameters and Adam's two moments of each."""
    return 3 * sum(p.numel() * p.element_size() for p in setup.model.posterior.parameters()) / 1e6


def draw(found: list[dict[str, Any]]) -> None:
    """Bounds against seconds."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt  # after the choice of a backend

    figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    shown = {
        "the 5 000 trained on": {"own posteriors": "bound of the 5 000, nats"},
        "625 others": {"own posteriors": "bound of 625 others", "after a long climb": "of those after a long climb"},
    }
    for panel, (title, lines) in zip(panels, shown.items()):
        for posteriors, colour in (("table (svi)", "tab:blue"), ("encoder (vae)", "tab:orange")):
            arm = [row for row in found if row["posteriors"] == posteriors]
            for (name, column), style in zip(lines.items(), ("o-", "o:")):
                x, y = ([row[key] for row in arm] for key in ("seconds of training", column))
                panel.plot(x, y, style, color=colour, label=f"{posteriors}, {name}")
        panel.set(title=title, xlabel="processor's seconds of training", xscale="log")
        panel.set_xticks(TICKS, TICKS)
        panel.minorticks_off()
        panel.legend(loc="lower right", fontsize=8)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("evidence lower bound, nats a picture")
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    torch.set_num_threads(1)
    data, found = pictures(), []
    for epochs in BUDGETS:
        for recipe in ("svi", "vae"):
            found.append(measured(recipe, data, epochs))
            print(json.dumps(found[-1]), flush=True)
    draw(found)
    notes = (
        "One seed. Each budget is a training of its own. The vae's posteriors are its encoder's weights; the table "
        "grows with the data, and nothing else of svi's does."
    )
    record("svi_encoder", "A table of posteriors beside an encoder", "python bench/svi_encoder.py", found, notes)


if __name__ == "__main__":
    main()
