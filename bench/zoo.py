"""Every recipe in one table: what it is, when to choose it, a picture and what it came to on MNIST; docs/zoo.md.

    python bench/zoo.py                  (the recipes that have not been measured yet, then the page)
    python bench/zoo.py vae ladder-vae   (these, measured anew)

Each is trained at its defaults for about half a minute: for one epoch, and, if that is quick, for as many as fit.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lowerbound
from _harness import RESULTS, ROOT, commit, machine
from lowerbound import Fitted, plots, recipes
from lowerbound.evaluation.extras import of_meters
from lowerbound.evaluation.metrics import evaluate
from lowerbound.files import write_json, write_text
from lowerbound.recipes import Recipe
from lowerbound.training.progress import Silent

DATA = "mnist"
BUDGET = 30.0
"""Seconds of one core for each recipe's training, unless one epoch takes more."""
PARTICLES = 100
COUNT = 1000
"""Test pictures that are measured."""
ACROSS = 12
"""Pictures in a row of a strip."""

KEPT = RESULTS / "zoo"
IMAGES = ROOT / "docs" / "images" / "zoo"
PAGE = ROOT / "docs" / "zoo.md"

SHOWN = {
    "log_p": ("log p(x) ≥", 1),
    "distortion": ("distortion", 1),
    "reconstruction_mse": ("squared error", 4),
}
"""Figures of an evaluation, their names on the page and their digits."""
INTRODUCTION = f"""# The zoo

Written by `python bench/zoo.py`, which trains each recipe at its defaults on MNIST, for up to {BUDGET:.0f} seconds of
one core or for one epoch where that takes longer, and measures it on the first {COUNT:,} test pictures. So little
training shows what a recipe is like, not how good it can get: for figures of whole trainings see
[results](results.md). In the pictures: data, their reconstructions, samples.

log p(x) is in nats, estimated by {PARTICLES} particles a datum, which is on average too low, not too high; models
without a bound have none. The distortion, −E log p(x|z), is in nats too, and of one likelihood alone. The squared error
is that of a value between 0 and 1, decoded from the code's mean. What a recipe measures besides, such as dead units, is
of those pictures too, so units that they happen not to use count as dead.
"""


def measure(recipe: str) -> dict[str, Any]:
    """Train, evaluate and draw one recipe; what is kept of it."""
    with tempfile.TemporaryDirectory() as folder:
        model, training = trained(recipe, Path(folder))
        draw(model, IMAGES / f"{recipe}.png")
        figures = evaluate(model.setup, model.rows().where(slice(COUNT)), PARTICLES)
    return {"recipe": recipe, **training, "figures": figures, "commit": commit(), "machine": machine()}


def trained(recipe: str, folder: Path) -> tuple[Fitted, dict[str, Any]]:
    """The model of one epoch or, where that left time, of as many as fit; and what it took."""
    data = lowerbound.load_data(DATA)
    first, seconds = timed(lambda: lowerbound.train(recipe, data, folder / "first", epochs=1, progress=Silent()))
    epochs = int(BUDGET / seconds)
    if epochs < 2:
        return first, {"epochs": 1, "seconds": round(seconds)}
    model, seconds = timed(lambda: lowerbound.train(recipe, data, folder / "run", epochs=epochs, progress=Silent()))
    return model, {"epochs": epochs, "seconds": round(seconds)}


def timed(train: Callable[[], Fitted]) -> tuple[Fitted, float]:
    """A training and the processor's seconds it took, which other work on the machine does not stretch."""
    start = time.process_time()
    return train(), time.process_time() - start


def draw(model: Fitted, path: Path) -> None:
    """A strip of data, their reconstructions and samples, small enough for a page of many."""
    x = model.rows().where(slice(ACROSS)).array("x")
    rows = [x, model.reconstruct(x), model.sample(ACROSS)]
    variable = model.spec.variables[0]
    page = plots.grid(np.concatenate(rows), variable.low, variable.high, ACROSS)
    plots.write_png(path, page[::2, ::2])


def render() -> None:
    """Write the page: the words from the recipes, the numbers from what is kept."""
    rows = "\n".join(row(recipes.get(name)) for name in recipes.names())
    write_text(PAGE, f"{INTRODUCTION}\n{HEAD}\n{rows}\n\n{MACHINES.format('; '.join(sorted(machines())))}\n")


HEAD = "| recipe | what it is and when to choose it | picture | figures |\n| --- | --- | --- | --- |"
MACHINES = "Measured on: {}."


def row(recipe: Recipe) -> str:
    """A recipe's line in the table."""
    found = kept(recipe.name)
    length = f" --epochs {found['epochs']}" if found else ""
    command = f"`lowerbound train {recipe.name} --data {DATA}{length} --out runs/{recipe.name}`"
    words = "<br>".join(filter(None, [recipe.summary, recipe.choice, command]))
    picture = f"![{recipe.name}](images/zoo/{recipe.name}.png)" if found else ""
    return f"| `{recipe.name}` | {words.replace('|', '&#124;')} | {picture} | {'<br>'.join(numbers(found))} |"


def numbers(found: dict[str, Any] | None) -> list[str]:
    """What a recipe came to, a line each."""
    if found is None:
        return ["not measured yet"]
    figures = found["figures"]
    shown = [f"{words} {estimate(figures[key], digits)}" for key, (words, digits) in SHOWN.items() if figures.get(key)]
    own = [f"{name} {words}" for name, words in of_meters(figures).items()]
    # Only where a prior sets the scale of codes does the variance of one say whether it is in use.
    active = [f"active {figures['active_units']:,} of {figures['latent']:,}"] if "log_p" in figures else []
    return [*shown, *active, *own, f"epochs {found['epochs']}, in {found['seconds']} s"]


def estimate(found: dict[str, Any], digits: int) -> str:
    """A value and its standard error."""
    return f"{found['value']:.{digits}f} ± {found['stderr']:.{digits}f}".replace("-", "−")


def kept(recipe: str) -> dict[str, Any] | None:
    """What was measured of a recipe, if it was."""
    path = KEPT / f"{recipe}.json"
    return json.loads(path.read_text()) if path.exists() else None


def machines() -> set[str]:
    """Where the figures on the page are from."""
    return {found["machine"] for name in recipes.names() if (found := kept(name))}


def main() -> None:
    for name in sys.argv[1:] or [each for each in recipes.names() if kept(each) is None]:
        write_json(KEPT / f"{name}.json", measure(name))
        render()
        print(name, *numbers(kept(name)), sep="; ", flush=True)
    render()


if __name__ == "__main__":
    main()
