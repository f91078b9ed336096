"""Verbs that measure: evaluate, log-prob."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from lowerbound.cli.condition import Condition
from lowerbound.cli.output import Output
from lowerbound.cli.progress import watcher
from lowerbound.cli.selection import Which, arrays
from lowerbound.cli.verb import Answer, Common, Flat, OfRun
from lowerbound.cli.walking import Walking
from lowerbound.evaluation.extras import mean_and_error, number, of_information, of_meters
from lowerbound.files import write_json

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.fitted import Fitted
    from lowerbound.precision import Precision

Draws = int | Literal["auto"]
"""As `evaluation.perdatum.Particles`, which would import torch."""


@final
@dataclass(frozen=True, kw_only=True)
class Evaluate(OfRun):
    """Log-likelihood, bounds, diagnostics and the use made of the latent, each with its standard error.

    On the run's own data the figures are also kept in the run's folder, as evaluation-SPLIT.json, unless something is
    told in place of the rows' own conditions. Of a model that is told c they are of p(x|c).
    """

    rows: Flat[Which] = field(default=Which())
    condition: Flat[Condition] = field(default=Condition())
    particles: Draws = 5000
    """Draws of z a datum, for log p(x) by importance sampling; auto is as many as each takes, up to 12,800."""
    seed: int = 0
    """Fixes the draws."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products; bf16 is quicker on processors with units for it, and hundredths of a nat off a datum."""

    def answer(self) -> Answer:
        model = self.open()
        told = self.condition.tell(model)
        figures = evaluated(told, self.rows, self.particles, self.common, self.seed, self.precision)
        return Answer(figures, table(figures))


@final
@dataclass(frozen=True, kw_only=True)
class LogProb(OfRun):
    """Write log p(x) of each datum, in nats, with its error and its row number.

    Columns of importance sampling: log_p, row, stderr, ess (effective sample size), khat (Pareto k of the weights),
    particles, believed (whether k is at most 0.7 and the error a tenth of a nat). Where k is above 0.7 the method
    refined, which first fits a posterior to each datum, is much closer. So is ais, annealed importance sampling, which
    takes about a second a datum; its columns: log_p, row, stderr, ess, acceptance.
    """

    rows: Flat[Which] = field(default=Which(split="all"))
    condition: Flat[Condition] = field(default=Condition())
    method: Literal["importance", "refined", "ais"] = "importance"
    """Importance sampling from the encoder's posterior, from one fitted to each datum, or annealed."""
    particles: Draws = 1000
    """Draws of z a datum, for importance sampling; auto is as many as each takes, up to 12,800."""
    walking: Flat[Walking] = field(default=Walking())
    seed: int = 0
    """Fixes the draws."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products; bf16 is quicker on processors with units for it, and hundredths of a nat off a datum."""
    output: Flat[Output]

    def answer(self) -> Answer:
        self.output.check(pictures=False)
        model = self.open()
        rows = self.rows.of(model)
        columns = self._columns(self.condition.tell(model, rows), arrays(rows))
        log_p = columns.pop("log_p")
        self.output.write({"log_p": log_p, "row": rows.numbers, **columns})
        facts = {"count": len(log_p), "method": self.method, "units": "nats", "mean": float(log_p.mean())}
        doubt = _doubt(columns)
        words = f"log p(x) is {facts['mean']:.2f} nats on average over {len(log_p):,} rows{_in_words(doubt)}"
        return Answer({**facts, **doubt, "out": str(self.output.out)}, f"{words}; wrote {self.output.out}")

    def _columns(self, model: Fitted, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        watch = watcher(self.common, "rows")
        if self.method == "ais":
            return model.annealed(x, self.walking.walk(), self.seed, watch)
        if self.method == "refined":
            return model.refined(x, self.particles, self.seed, watch)
        return model.marginal(x, self.particles, self.seed, watch, self.precision)


def _doubt(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """What importance sampling spent on a row in the mean, and how many rows it is not to be believed of."""
    if "believed" not in columns:
        return {}
    return {"particles": float(columns["particles"].mean()), "doubtful": int((~columns["believed"]).sum())}


def _in_words(doubt: dict[str, Any]) -> str:
    return f", by {doubt['particles']:,.0f} particles; {doubt['doubtful']:,} are not to be believed" if doubt else ""


def evaluated(
    model: Fitted, rows: Which, particles: Draws, common: Common, seed: int = 0, precision: Precision = "fp32"
) -> dict[str, Any]:
    """The figures of a split; those of a run's own data are also kept in its folder."""
    figures = model.evaluate(rows.data, rows.split, particles, seed, watcher(common, "rows"), precision)
    if model.run is not None and model.usual and figures["fingerprint"] == model.spec.fingerprint:
        write_json(kept_at(model.run.path, rows.split), figures)
    return figures


def kept_at(run: Path, split: str) -> Path:
    """Where the figures of a split are kept."""
    return run / f"evaluation-{split}.json"


def table(figures: dict[str, Any]) -> str:
    """The figures of an evaluation as lines for a terminal."""
    head = f"{figures['count']:,} {figures['split']} rows of {figures['data']}, nats a datum (mean ± standard error)"
    told = [f"  {'told':<18} {figures['told']}"] if "told" in figures else []
    return "\n".join([head, *told, *(f"  {name:<18} {words}" for name, words in _lines(figures) if words)])


def _lines(figures: dict[str, Any]) -> list[tuple[str, str]]:
    bound = _bound_lines(figures) if "log_p" in figures else []
    return [
        *bound[:3],
        ("distortion", mean_and_error(figures["distortion"])),
        ("squared error", mean_and_error(figures["reconstruction_mse"], digits=5)),
        *bound[3:],
        *of_information(figures.get("information")).items(),
        *of_meters(figures).items(),
    ]


def _bound_lines(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """What is there only where the model gives a bound on log p(x)."""
    ess, khat = figures["ess"], figures["khat"]
    return [
        ("log p(x)", f"{mean_and_error(figures['log_p'])}  by importance sampling, {figures['particles']:,} particles"),
        ("ELBO", mean_and_error(figures["elbo"])),
        ("rate", mean_and_error(figures["rate"])),
        ("active units", f"{figures['active_units']} of {figures['latent']}"),
        ("bits per dimension", mean_and_error(figures["bits_per_dim"], digits=4)),
        ("nats per symbol", mean_and_error(figures.get("nats_per_symbol"), digits=4)),
        ("perplexity", mean_and_error(figures.get("perplexity"))),
        ("not to be believed", f"{figures['doubtful']:,} rows: Pareto k above 0.7, or an error above 0.1 nats"),
        ("effective sample", f"median {number(ess['median'])}, least {number(ess['min'])}"),
        ("Pareto k", f"median {number(khat['median'])}, {_doubtful(khat)}"),
    ]


def _doubtful(khat: dict[str, Any]) -> str:
    """For how many data the estimate is not to be believed; a few particles show no tail to judge by."""
    share = khat["share_above_0.7"]
    return f"above 0.7 for {share:.1%} of the data" if share < 1 or khat["median"] is not None else "too few particles"
