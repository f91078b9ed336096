"""A first stage on CIFAR-10, and the same flow over its latents and over pixels at equal cost.

    python bench/first_stage.py --out FOLDER stage              train the first stage, write its latents
    python bench/first_stage.py --out FOLDER pixels 8           train the flow over pixels to 8 passes of the data
    python bench/first_stage.py --out FOLDER latents 4          the same over latents
    python bench/first_stage.py --out FOLDER measure            figures, pictures, and the page of results

Each part goes on where it was stopped. Flows are trained in legs of two passes at a constant learning rate, each leg a
run that begins where the one before it ended, so that there is a model for every cost.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

import lowerbound
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.recipes import get
from lowerbound.run.folder import Run
from lowerbound.run.settings import Settings
from lowerbound.training.loop import train
from lowerbound.training.progress import shown_on
from lowerbound.training.start import Start

STAGE = {"hidden": [16, 32, 64], "latent": 4, "blocks": 1, "perceptual": 0.25}
STAGE_SETTINGS = {"epochs": 2, "batch_size": 64, "lr": 0.001, "lr_warmup": 100, "ema": 0.99}
FLOW = {"hidden": [64, 128], "blocks": 1, "steps": 5}
PATCH = {"pixels": 4, "latents": 1}
LEG = {"epochs": 2, "batch_size": 128, "lr": 0.0006, "schedule": "constant", "ema": 0.999, "clip": 1.0}


def stage(folder: Path) -> None:
    """Train the first stage, and write what the flows are trained on: the same 50,000 rows in the same order."""
    run = folder / "stage"
    data = load_data("cifar10")
    model = fitted(run, data)
    rows = [data.split(name).array("x") for name in ("train", "validation")]
    np.save(folder / "pixels.npy", np.concatenate(rows))
    np.save(folder / "latents.npy", np.concatenate([latents(model, each) for each in rows]))


def fitted(run: Path, data: Dataset) -> lowerbound.Fitted:
    """The first stage, trained as far as it is not yet."""
    if not run.exists():
        return timed(run, lambda: lowerbound.train("first-stage", data, run, **STAGE, **STAGE_SETTINGS))
    return lowerbound.load(run) if Run.open(run).finished else timed(run, lambda: lowerbound.resume(run, data))


def timed(run: Path, work: Any) -> Any:
    """Do it, and keep what it cost in seconds of the processor."""
    begun, known = time.process_time(), seconds_of(run)
    found = work()
    cost_file(run).write_text(json.dumps({"processor_seconds": known + time.process_time() - begun}))
    return found


def seconds_of(run: Path) -> float:
    """Seconds of the processor that a run has cost."""
    return float(json.loads(cost_file(run).read_text())["processor_seconds"]) if cost_file(run).exists() else 0.0


def cost_file(run: Path) -> Path:
    return run.parent / f"{run.name}.cost.json"


def latents(model: lowerbound.Fitted, x: np.ndarray) -> np.ndarray:
    """E[z|x] in its own shape, (N, h, w, c)."""
    return model.encode(x).reshape(len(x), 8, 8, -1)


def flow(folder: Path, space: str, legs: int) -> None:
    """Train the flow over one space, leg after leg."""
    data = load_data(folder / f"{space}.npy")
    for number in range(1, legs + 1):
        run = folder / f"{space}-{number}"
        if not ending(run).exists():
            timed(run, partial(leg, run, data, space, number, begun(folder, space, number - 1)))


def leg(run: Path, data: Dataset, space: str, number: int, start: Start | None) -> None:
    """Two passes of the data, from where the one before it ended."""
    settings = Settings(seed=number, lr_warmup=300 if number == 1 else 0, **LEG)
    arguments = get("flow-matching").check({**FLOW, "patch": PATCH[space]})
    made = Run.open(run) if run.exists() else Run.create(run, "flow-matching", arguments, data.spec, settings)
    end = train(made, data, progress=shown_on(sys.stderr), start=start)
    assert end is not None
    tensors = {**{f"w.{k}": v for k, v in end.weights.items()}, **{f"m.{k}": v for k, v in end.moments.items()}}
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, ending(run))


def begun(folder: Path, space: str, number: int) -> Start | None:
    """Where leg `number` ended; None before the first."""
    if number == 0:
        return None
    kept = load_file(ending(folder / f"{space}-{number}"))
    named = {kind: {k[2:]: v for k, v in kept.items() if k.startswith(kind)} for kind in ("w.", "m.")}
    return Start(named["w."], named["m."], steps=0)


def ending(run: Path) -> Path:
    return run.parent / f"{run.name}.end.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("part", choices=["stage", "pixels", "latents", "measure"])
    parser.add_argument("legs", nargs="?", type=int, default=4)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part == "stage":
        stage(given.out)
    elif given.part != "measure":
        flow(given.out, given.part, given.legs)


if __name__ == "__main__":
    main()
