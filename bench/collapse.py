"""Posterior collapse and its remedies: one autoregressive VAE of short glosses, with each and with none of them.

    python bench/collapse.py [CELL ...]     (default: those not measured yet)

Then the table, and docs/images/collapse.png. Each cell is a text-vae whose decoder, gated recurrent units, reads z and
the words before each; all have one budget of steps and keep the weights with the best validation objective. The
language model is that decoder without z. Runs lie in lowerbound-collapse in the folder for temporary files, and one
begun there is gone on with.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

import lowerbound
from _harness import RESULTS, ROOT, record
from lowerbound.core import AnalyticELBO, Autoregressive, Conditional, Latent, Pathwise, standard_normal
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.fingerprint import fingerprint
from lowerbound.data.spec import DataSpec
from lowerbound.data.views import view_for
from lowerbound.evaluation.metrics import evaluate
from lowerbound.files import write_json
from lowerbound.fitted import Fitted
from lowerbound.nets.sequence import Sizes
from lowerbound.nets.sequence_causal import GRUWriter
from lowerbound.plots import write_png
from lowerbound.recipes.registry import Setup, recipe
from lowerbound.recipes.text_vae import log_shares, reads, sequence
from lowerbound.training.progress import Progress, Tick

WORDS, SYMBOLS, RARE, HELD = 10, 4_000, 1, 2_000
"""Glosses of at most so many words, at most one of which is none of so many symbols; validation rows, at most."""

BODY: dict[str, Any] = {"width": 160, "layers": 1, "embedding": 64}
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 64, "lr": 3e-3, "clip": 5.0}
ROWS, PARTICLES = 1_000, 30
"""Test glosses that are measured, and draws of z for each."""

CELLS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "word dropout": {"word_dropout": 0.5},
    "annealing": {"anneal": 800},
    "cyclical": {"anneal": 200, "cycles": 3},
    "free bits": {"free_bits": 0.2},
    "lag": {"lag": 3, "lag_steps": 500},
    "combined": {"word_dropout": 0.5, "anneal": 800, "free_bits": 0.1},
    "parallel decoder": {"decoder": "parallel"},
}
"""What each has that the first has not; chosen beforehand."""

MODEL = "language model"
KEPT = RESULTS / "parts"
RUNS = Path(tempfile.gettempdir()) / "lowerbound-collapse"
PICTURE = ROOT / "docs" / "images" / "collapse.png"


@cache
def data(symbols: int = SYMBOLS, rare: int = RARE) -> Dataset:
    """Short glosses of common words, with fewer symbols than the source has: those commonest in training."""
    whole = load_data("glosses").unconditional()
    about, x = whole.spec.variables[0], whole.arrays["x"]
    kept = commonest(x[whole.splits["train"]], about.levels or 0, symbols)
    codes = renumbered(x[:, : WORDS + 1], kept, about.levels or 0)
    good = (codes == 0).any(1) & ((codes == 1).sum(1) <= rare)
    good[whole.splits["validation"][np.cumsum(good[whole.splits["validation"]]) > HELD]] = False
    arrays, number = {"x": codes[good]}, np.cumsum(good) - 1
    splits = {name: number[rows[good[rows]]] for name, rows in whole.splits.items()}
    labels = tuple((about.labels or ())[code] for code in kept)
    x_about = replace(about, shape=(WORDS + 1,), levels=len(kept), high=len(kept) - 1, labels=labels)
    counts = {name: len(rows) for name, rows in splits.items()}
    print_of = fingerprint(arrays)
    spec = replace(whole.spec, name="short glosses", variables=(x_about,), count=len(arrays["x"]), splits=counts)
    return Dataset(replace(spec, fingerprint=print_of), arrays, None, splits)


def commonest(codes: np.ndarray, levels: int, symbols: int) -> np.ndarray:
    """So many codes that stay, in their order; those of an end and of the unknown among them."""
    counts = np.bincount(codes[~np.isnan(codes)].astype(int), minlength=levels)
    counts[:2] = counts.max() + 1
    return np.sort(np.argsort(-counts, kind="stable")[:symbols])


def renumbered(codes: np.ndarray, kept: np.ndarray, levels: int) -> np.ndarray:
    """The codes by their places among those kept, unknown where they are not."""
    table = np.ones(levels, np.float32)
    table[kept] = np.arange(len(kept))
    return np.where(np.isnan(codes), np.nan, table[np.nan_to_num(codes).astype(int)]).astype(np.float32)


@final
class Deaf(Conditional):
    """A likelihood that is told of z nothing but where its draws are."""

    def __init__(self, part: Conditional) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: object) -> Distribution:
        assert isinstance(given[0], Tensor)
        return self.part(torch.zeros_like(given[0]))


@final
class Unread(Conditional):
    """N(0, 1) for each row, whatever it holds."""

    def forward(self, *given: object) -> Distribution:
        assert isinstance(given[0], Tensor)
        return standard_normal(1).to(given[0].device)().expand((len(given[0]),))


@recipe("language-model")
def language_model(spec: DataSpec, *, width: int = 160, layers: int = 1, embedding: int = 64) -> Setup:
    """The decoder of a text-vae alone.

    Args:
        width: numbers in its state.
        layers: of it.
        embedding: numbers that stand for a symbol.
    """
    x = sequence(spec)
    net = GRUWriter(Sizes(x.levels or 2, x.shape[0], width, layers, embedding), 1)
    part = Deaf(Autoregressive(net, ends=x.missing))
    begin = {0.0: lambda rows, step, steps: net.out.start_at(log_shares(rows(4096), x))}
    model = Latent(standard_normal(1), Unread(), {x.name: part}, reads(x.name))
    return Setup(model, {x.name: view_for(x, "categorical")}, AnalyticELBO(), Pathwise(), meet=begin)


@final
class Told(Progress):
    """Keeps what is said of a training."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tick(self, tick: Tick) -> None:
        pass

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def close(self) -> None:
        pass


def folder(cell: str) -> Path:
    return RUNS / cell.replace(" ", "-")


def trained(cell: str) -> tuple[Fitted, list[str]]:
    """One training, or the rest of one, and what was said of it."""
    told, run = Told(), folder(cell)
    if run.exists():
        return lowerbound.resume(run, data(), progress=told), told.said
    name, own = (
        ("language-model", {}) if cell == MODEL else ("text-vae", {"latent": 32, "decoder": "gru", **CELLS[cell]})
    )
    return lowerbound.train(name, data(), run, progress=told, **BODY, **own, **TRAINING), told.said


def measured(cell: str) -> dict[str, Any]:
    """One cell: trained, and all that is measured of it."""
    start = time.process_time()
    model, said = trained(cell)
    seconds = time.process_time() - start
    rows = data().split("test").where(slice(ROWS))
    assert model.run is not None
    log_p = -model.scores({"x": rows.array("x")}, PARTICLES if cell != MODEL else 1)["minus_log_p"]
    courses = [(line["step"], line["validation"].get("rate")) for line in model.run.metrics()]
    figures = evaluate(model.setup, rows, 2 if cell != MODEL else 1)
    kept = {name: figures[name] for name in ("rate", "distortion", "elbo", "active_units")}
    return {
        "seconds": round(seconds),
        "said": said,
        "course": courses,
        "log_p": [round(float(each), 4) for each in log_p],
        "symbols": int((~np.isnan(rows.array("x"))).sum()),
        "information": figures.get("information"),
        **kept,
    }


def kept(cell: str) -> Path:
    return KEPT / f"collapse_{cell.replace(' ', '_')}.json"


def read(cell: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kept(cell).read_text())
    return found


def there() -> list[str]:
    return [cell for cell in (MODEL, *CELLS) if kept(cell).exists()]


def row(cell: str) -> dict[str, Any]:
    """A line of the table."""
    found = read(cell)
    log_p, base = np.array(found["log_p"]), np.array(read(MODEL)["log_p"])
    against = (log_p - base).mean(), (log_p - base).std() / math.sqrt(len(base))
    per_word = -log_p.sum() / found["symbols"]
    about, alone = found["information"], cell == MODEL
    return {
        "remedy": cell if alone else f"{cell} {settings(cell)}".strip(),
        "KL": None if alone else round(found["rate"]["value"], 2),
        "active units of 32": None if alone else found["active_units"],
        "I(x; z)": None if alone or not about else round(about["mutual_information"]["value"], 2),
        "loss by another's z": None if alone or not about else round(about["shuffled"]["value"], 2),
        "bound": round(found["elbo"]["value"], 2),
        "log p": round(float(log_p.mean()), 2),
        "log p − the language model's": "" if alone else f"{against[0]:+.2f} ± {against[1]:.2f}",
        "nats a word": round(float(per_word), 3),
        "perplexity": round(math.exp(per_word), 1),
        "core-seconds": found["seconds"],
    }


def settings(cell: str) -> str:
    own = ", ".join(f"{name} {value}" for name, value in CELLS[cell].items() if name != "decoder")
    return f"({own})" if own else ""


TITLE = "Collapse: an autoregressive VAE of short glosses with and without remedies"


def notes() -> str:
    """What the table is of."""
    splits, about, x = data().spec.splits, data().spec.variables[0], data().arrays["x"]
    unknown, symbols = (x == 1).sum() / (x > 0).sum(), (~np.isnan(x)).sum() / len(x)
    sizes = ", ".join(f"{name} {value}" for name, value in BODY.items())
    passes, batch, lr = (TRAINING[name] for name in ("epochs", "batch_size", "lr"))
    return f"""Glosses of at most {WORDS} words, at most {RARE} of which is none of the {about.levels:,} commonest
symbols ({unknown:.1%} of the words): {splits["train"]:,} to train on, {symbols:.1f} symbols each, their end among them.
Every cell has the same networks ({sizes}, 32 dimensions of z), {passes} passes in batches of {batch}, Adam
from {lr:g} along a cosine, and one seed; its remedy's settings were chosen beforehand and not tuned. Measured are the
first {ROWS:,} test glosses: log p by importance sampling with {PARTICLES} particles, a lower bound, and beside the
language model's gloss by gloss; nats and perplexity by the symbol, an end among them. I(x; z) of these glosses is at
most {math.log(ROWS):.1f} nats. What is lost by another's z is by how much the distortion rises where a gloss is decoded
from another's. bound is the ELBO, with free bits too. While the encoder learns ahead (lag) the decoder stands still, so
that it has had fewer steps. The training is short: even the collapsed model, to whose decoder z is mere noise, has not
caught up with the decoder that is not shown it."""


def draw() -> None:
    """What z carries under each remedy, and what log p it costs or gains."""
    cells = [cell for cell in CELLS if kept(cell).exists()]
    figure = Figure(figsize=(9, 0.42 * len(cells) + 1.1), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    base = np.array(read(MODEL)["log_p"])
    rates = [read(cell)["rate"]["value"] for cell in cells]
    gains = [np.array(read(cell)["log_p"]) - base for cell in cells]
    places = np.arange(len(cells))[::-1]
    left.barh(places, rates, color="tab:blue", height=0.6)
    for place, rate, cell in zip(places, rates, cells):
        left.text(rate, place, f" {rate:.2f} ({read(cell)['active_units']} units)", va="center", fontsize=8)
    left.set(yticks=places, yticklabels=cells, xlabel="KL(q(z|x) ‖ p(z)), nats a gloss", xlim=(0, 1.35 * max(rates)))
    errors = [1.96 * gain.std() / math.sqrt(len(gain)) for gain in gains]
    right.errorbar([gain.mean() for gain in gains], places, xerr=errors, fmt="o", color="tab:blue", capsize=3)
    right.axvline(0, color="grey", linestyle="--", linewidth=1)
    right.set(xlabel="log p(x) less that of the decoder without z, nats a gloss")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    write_png(PICTURE, figure)


def main() -> None:
    for cell in sys.argv[1:] or [each for each in (MODEL, *CELLS) if not kept(each).exists()]:
        print(cell, flush=True)
        write_json(kept(cell), measured(cell))
    record("collapse", TITLE, "python bench/collapse.py", [row(cell) for cell in there()], notes())
    draw()


if __name__ == "__main__":
    main()
