"""The table of Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016, on binarised MNIST.

    python bench/iwae_table.py CELL [--epochs N] [--from RUN]
    python bench/iwae_table.py                                       (the cells there are)

A cell is LAYERS-BOUND-K: 1-vae-1, 2-dreg-50. It is trained and evaluated by the commands a user would type; --from
takes the figures from a run that such a command left behind. Whatever was measured before of other cells is kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _harness import RESULTS, call, record, seconds, table, threads
from lowerbound.fitting import sorted_arguments
from lowerbound.recipes import get
from lowerbound.run.folder import Run

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
    "with k: the evidence lower bound averaged over k draws. A cell that was not run is blank. Weights are kept by "
    "the bound on validation rows, by which batch size and rate were chosen, too. Products of the evaluation are in "
    "{precision}.\n\n{details}"
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


def names() -> list[str]:
    """All cells; with k = 1 all bounds are one."""
    cells = [Cell(layers, bound, k) for layers in LAYERS for k in SIZES for bound in BOUNDS if k > 1 or bound == "vae"]
    return [str(cell) for cell in cells]


def trained(cell: Cell, run: Path, settings: dict[str, Any]) -> Path:
    """Train the cell; where its run is."""
    call("train", cell.recipe, "--data", "mnist", "--out", str(run), *cell.words(settings))
    return run


def checked(cell: Cell, run: Path) -> Path:
    """The run, refused if it is not one of this cell."""
    found = Run.open(run).record
    wanted, _ = sorted_arguments(get(cell.recipe), cell.arguments)
    if (found.recipe, found.data.name) != (cell.recipe, "mnist") or not wanted.items() <= dict(found.arguments).items():
        raise SystemExit(f"{run} is {found.recipe} with {dict(found.arguments)}, and the cell {cell} is {wanted}")
    return run


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
    """How each cell that was run was trained."""
    ordered = {name: cells[name] for name in names() if name in cells}
    return table(
        [{"cell": name, **{head: rounded(value) for head, value in row.items()}} for name, row in ordered.items()]
    )


def rounded(value: Any) -> Any:
    """Two places; rates of learning as they are."""
    return round(value, 2) if isinstance(value, float) and abs(value) > 0.1 else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", nargs="?", choices=names())
    for name, kind in {"epochs": int, "batch_size": int, "lr": float, "seed": int}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--from", dest="run", type=Path, help="a run that was trained by the same command line")
    given = vars(parser.parse_args())
    if given["cell"] is None:
        print(*names(), sep="\n")
        return
    measure(Cell.of(given.pop("cell")), given.pop("run"), {name: v for name, v in given.items() if v is not None})


def measure(cell: Cell, run: Path | None, given: dict[str, Any]) -> None:
    """Take a cell's figures, keep them, and write the table anew."""
    cells = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        settings = {**SETTINGS, **BUDGETS[cell.k], **given}
        cells[str(cell)] = figures(checked(cell, run) if run else trained(cell, Path(scratch) / "run", settings))
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(cells, indent=1, ensure_ascii=False) + "\n")
    notes = NOTES.format(particles=PARTICLES, precision=PRECISION, details=details(cells))
    record("iwae_table", "Importance-weighted autoencoders on MNIST", f"{COMMAND} CELL", rows(cells), notes)


if __name__ == "__main__":
    main()
