"""The table of Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016, on binarised MNIST.

    python bench/iwae_table.py CELL [--epochs N] [--after RUN] [--from RUN]
    python bench/iwae_table.py                                            (the cells there are)

A cell is LAYERS-BOUND-K: 1-vae-1, 2-dreg-50. It is trained and evaluated by the commands a user would type; --from
takes the figures from a run that such a command left behind. --after begins at the weights of another cell's run, which
gives no cell of the table but a line below it. Whatever was measured before is kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from _harness import RESULTS, call, record, seconds, table, threads
from lowerbound import load_data
from lowerbound.data.reading import reading_of
from lowerbound.fitting import sorted_arguments
from lowerbound.recipes import get
from lowerbound.run.checkpoint import Checkpoint
from lowerbound.run.folder import Run
from lowerbound.training.loss import Loss
from lowerbound.training.state import State

KEPT = RESULTS / "parts" / "iwae_table.json"
PARTICLES, PRECISION = 5000, "bf16"
COMMAND = "python bench/iwae_table.py"

LAYERS: dict[int, dict[str, Any]] = {
    1: {"recipe": "vae", "latent": 50, "net": "mlp", "hidden": (200, 200)},
    2: {"recipe": "deep-vae", "latents": (100, 50), "net": "mlp", "hidden": (200, 200), "between": (100, 100)},
}
BOUNDS: dict[str, dict[str, Any]] = {
    "vae": {"bound": "elbo-mc", "estimator": "pathwise"},
    "iwae": {"bound": "iwae", "estimator": "pathwise"},
    "dreg": {"bound": "iwae", "estimator": "dreg"},
}
COLUMNS = {"vae": "VAE", "iwae": "IWAE", "dreg": "IWAE, DReG"}
SIZES = (1, 5, 50)
SETTINGS: dict[str, Any] = {"batch_size": 250, "lr": 0.002, "schedule": "cosine", "ema": 0.999}
BUDGETS: dict[int, dict[str, Any]] = {1: {"epochs": 1500}, 5: {"epochs": 500}, 50: {"epochs": 60}}
PUBLISHED = {
    "1-vae-1": "86.76; 86.35",
    "1-vae-5": "86.47",
    "1-iwae-5": "85.54; 85.18",
    "1-vae-50": "86.35",
    "1-iwae-50": "84.78; 84.59",
    "1-dreg-50": "84.32",
    "2-vae-1": "85.33",
    "2-vae-5": "85.01",
    "2-iwae-5": "83.89",
    "2-vae-50": "84.78",
    "2-iwae-50": "82.90; 82.82",
}
"""Burda et al.'s, and after the semicolon the best reproduction; with DReG, that of the reproduction."""

NOTES = (
    "Negative log p(x) in nats of all 10,000 test pictures, dynamically binarised, by importance sampling with "
    "{particles:,} particles; the error is over the pictures. In brackets what is published: the paper's figure, "
    "after the semicolon the best reproduction; it took 3,280 epochs at batch 20, nine million updates. Ours took "
    "what is said below, of one seed and one thread beside other work, where minutes are those that passed. VAE "
    "with k: the evidence lower bound averaged over k draws. A cell that was not run is blank. A line of two cells "
    "began at the weights of the second, and its epochs and minutes are those since. Weights are kept by the bound "
    "on validation rows. Rates and batch sizes come from a few short trials on those rows and from judgement, and were "
    "still improving with the rate; the continued lines were begun after the first cell's figure was known. Where "
    "Pareto k̂ is above 0.7, the estimate is in mean too high. Products of the evaluation are in {precision}."
    "\n\n{details}"
)


@dataclass(frozen=True)
class Cell:
    """One cell: how many layers of z, what is trained, with how many particles."""

    layers: int
    bound: str
    k: int

    @classmethod
    def of(cls, name: str) -> Cell:
        layers, bound, k = name.split("-")
        return cls(int(layers), bound, int(k))

    def __str__(self) -> str:
        return f"{self.layers}-{self.bound}-{self.k}"

    @property
    def recipe(self) -> str:
        return str(LAYERS[self.layers]["recipe"])

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the recipe; the one layer's evidence lower bound has its KL in closed form."""
        closed = {"bound": "elbo"} if (self.layers, self.bound) == (1, "vae") else {}
        sizes = {name: value for name, value in LAYERS[self.layers].items() if name != "recipe"}
        return {**sizes, "activation": "tanh", **BOUNDS[self.bound], **closed, "particles": self.k}

    def words(self, settings: dict[str, Any]) -> list[str]:
        """The options of `lowerbound train`."""
        given = {**self.arguments, **settings}
        pairs = [(f"--{name.replace('_', '-')}", value) for name, value in given.items()]
        return [word for name, value in pairs for word in (name, *_words(value))]


def _words(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, tuple) else [str(value)]


def cell_of(run: Path) -> str:
    """The name of the cell that a run is of."""
    return next(name for name in names() if fits(Cell.of(name), run))


def names() -> list[str]:
    """All cells; with k = 1 all bounds are one."""
    cells = [Cell(layers, bound, k) for layers in LAYERS for k in SIZES for bound in BOUNDS if k > 1 or bound == "vae"]
    return [str(cell) for cell in cells]


def trained(cell: Cell, run: Path, settings: dict[str, Any]) -> Path:
    """Train the cell; where its run is."""
    call("train", cell.recipe, "--data", "mnist", "--out", str(run), *cell.words(settings))
    return run


def continued(cell: Cell, run: Path, settings: dict[str, Any], former: Path) -> Path:
    """Train the cell from the weights of a run of as many layers: they are the first checkpoint, before any step."""
    arguments, chosen = sorted_arguments(get(cell.recipe), {**cell.arguments, **settings})
    begun = Run.create(run, cell.recipe, arguments, load_data("mnist").spec, chosen, reading_of("mnist", None, None))
    loss = Loss(begun.draw())
    loss.setup.model.load_state_dict(Run.open(former).setup().model.state_dict())
    state = State(loss, chosen)
    for parameter in state.optimiser.parameters:
        parameter.grad = torch.zeros_like(parameter)
    state.optimiser.step(0.0)  # so that it has moments to keep
    setting = {"device": "cpu", "threads": threads(), "processes": 1}
    begun.checkpoints.save(Checkpoint(0, state.tensors(), {**state.facts(), "lengths": {}, "setting": setting}))
    call("train", "--resume", str(run))
    return run


def checked(cell: Cell, run: Path) -> Path:
    """The run, refused if it is not one of this cell."""
    if not fits(cell, run):
        raise SystemExit(f"{run} is no run of the cell {cell}, which takes: {cell.recipe} {' '.join(cell.words({}))}")
    return run


def fits(cell: Cell, run: Path) -> bool:
    """Whether a run is one of this cell."""
    found = Run.open(run).record
    wanted = get(cell.recipe).check(cell.arguments) if found.recipe == cell.recipe else {}
    return (found.recipe, found.data.name) == (cell.recipe, "mnist") and wanted == dict(found.arguments)


def figures(run: Path) -> dict[str, Any]:
    """What the run says of itself and what its evaluation finds, as plain values."""
    found: dict[str, Any] = {}
    words = (str(run), "--particles", str(PARTICLES), "--precision", PRECISION)
    evaluating = seconds(lambda: found.update(call("evaluate", *words)))
    record, lines = Run.open(run).record, (run / "timing.jsonl").read_text().splitlines()
    settings, result = record.settings, record.result or {}
    return {
        "NLL": -found["log_p"]["value"],
        "error": found["log_p"]["stderr"],
        "ELBO": found["elbo"]["value"],
        "active units": f"{found['active_units']} of {found['latent']}",
        "k̂ > 0.7": found["khat"]["share_above_0.7"],
        "epochs": settings.epochs,
        "epoch kept": result["epoch_kept"],
        "updates": result["steps"],
        "batch": settings.batch_size,
        "lr": settings.lr,
        "bound on validation": result["validation_objective"],
        "minutes": sum(json.loads(line)["seconds"] for line in lines) / 60,
        "minutes to evaluate": evaluating / 60,
        "threads": threads(),
        "seed": settings.seed,
    }


def shown(cells: dict[str, Any], name: str) -> str | None:
    """A cell of the table: ours, and what was published beside it."""
    ours = f"{cells[name]['NLL']:.2f} ± {cells[name]['error']:.2f}" if name in cells else ""
    theirs = f"[{PUBLISHED[name]}]" if name in PUBLISHED else ""
    return f"{ours} {theirs}".strip() or None


def rows(cells: dict[str, Any]) -> list[dict[str, Any]]:
    """Layers and k by bound."""
    return [
        {
            "layers": layers,
            "k": k,
            **{head: shown(cells, str(Cell(layers, bound, k))) for bound, head in COLUMNS.items()},
        }
        for layers in LAYERS
        for k in SIZES
    ]


def details(cells: dict[str, Any]) -> str:
    """How each cell that was run was trained, and then what was begun at another's weights."""
    order = [key for name in names() for key in cells if key.split()[0] == name]
    lines = [{"cell": key, **{head: rounded(value) for head, value in cells[key].items()}} for key in order]
    return table(sorted(lines, key=lambda line: " after " in line["cell"]))


def rounded(value: Any) -> Any:
    """Two places; rates of learning as they are."""
    return round(value, 2) if isinstance(value, float) and abs(value) > 0.1 else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", nargs="?", choices=names())
    for name, kind in {"epochs": int, "batch_size": int, "lr": float, "seed": int}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--from", dest="run", type=Path, help="a run that was trained by the same command line")
    parser.add_argument("--after", type=Path, help="a run of another cell, at whose weights to begin")
    parser.add_argument("--out", type=Path, help="where to leave the run; by default it is not kept")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    if "cell" not in given:
        print(*names(), sep="\n")
        return
    with tempfile.TemporaryDirectory() as scratch:
        out = given.pop("out", Path(scratch) / "run")
        measure(Cell.of(given.pop("cell")), out, given.pop("run", None), given.pop("after", None), given)


def measure(cell: Cell, out: Path, run: Path | None, after: Path | None, given: dict[str, Any]) -> None:
    """Take a cell's figures, keep them, and write the table anew."""
    settings = {**SETTINGS, **BUDGETS[cell.k], **given}
    key = f"{cell} after {cell_of(after)}" if after else str(cell)
    if run is None:
        run = continued(cell, out, settings, after) if after else trained(cell, out, settings)
    found = figures(checked(cell, run))
    cells = {**(json.loads(KEPT.read_text()) if KEPT.exists() else {}), key: found}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(cells, indent=1, ensure_ascii=False) + "\n")
    show(cells)


def show(cells: dict[str, dict[str, Any]]) -> None:
    """Write the table of these cells."""
    notes = NOTES.format(particles=PARTICLES, precision=PRECISION, details=details(cells))
    record("iwae_table", "Importance-weighted autoencoders on MNIST", f"{COMMAND} CELL", rows(cells), notes)


if __name__ == "__main__":
    main()
