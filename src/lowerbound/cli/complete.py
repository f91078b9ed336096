"""The verb complete: what is hidden of data, drawn several times from what is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, final

from lowerbound.cli.condition import Condition
from lowerbound.cli.generate import columns
from lowerbound.cli.output import Output
from lowerbound.cli.progress import watcher
from lowerbound.cli.selection import Which, arrays, few
from lowerbound.cli.verb import Answer, Flat, OfRun

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.spec import Variable
    from lowerbound.evaluation.completion import Completed
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Complete(OfRun):
    """Hide part of data and complete it several times, each with its log p given what was left.

    A VAE of any recipe does so without having been trained for it; one of the recipe completing-vae does what it was
    trained for. Written are the completions, a row each, with the row completed, the number of the draw and log p of
    what was put there; a picture (.png) shows each datum, what was left of it, and its completions.
    """

    mask: str
    """What is hidden: bottom, top, left or right, for that half; quadrants-1, -2 or -3, to leave so many (the lower
    left, the left half, all but the lower right); quadrants, to leave one to three, whichever; random; all; or a file,
    .npy (0 and 1, or booleans, of one datum or of each) or .png, of 1, True or white for what is left."""
    share: float = 0.5
    """Of the mask random, the share hidden."""
    count: int = 16
    """How many data, from the first of the split."""
    draws: int = 5
    """Completions of each."""
    particles: int = 1000
    """Draws of z a datum, weighed by what was left of it."""
    method: Literal["importance", "refined", "gibbs", "metropolis"] = "refined"
    """Where z comes from: refined fits a posterior to what was left of each datum and weighs its draws; importance
    weighs the encoder's own, which is quick and poor where much is hidden; metropolis goes on from refined by a chain
    that is exact in the long run, and gibbs by one that takes every step. A completing-vae has its own."""
    sweeps: int = 100
    """Steps of the chain."""
    seed: int = 0
    """Fixes masks and draws."""
    rows: Flat[Which] = field(default=Which())
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        from lowerbound.evaluation.completion import Completing

        self.output.check()
        manner = Completing(self.draws, self.particles, self.method, self.sweeps)
        manner.check()
        model = self.open()
        rows = few(self.rows.of(model), self.count)
        x, about = arrays(rows), model.spec.variables[0]
        observed = self._observed(about, rows.count)
        told, watch = self.condition.tell(model, rows), watcher(self.common, "rows")
        found = told.complete(x, {about.name: observed}, manner, self.seed, watch)
        self.output.write(_table(model, found, rows.numbers), lambda: _picture(about, x[about.name], observed, found))
        return _answer(found, int((~observed).sum()), str(self.output.out))

    def _observed(self, about: Variable, rows: int) -> np.ndarray:
        """The masks, drawn by name or read from a file; (rows, *shape)."""
        from lowerbound.data.maskfiles import mask_for

        return mask_for(self.mask, about.shape, rows, self.share, self.seed)


def _table(model: Fitted, found: Completed, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """A row a completion."""
    import numpy as np

    by_name = columns(model, found.draws)
    x = {name: draws.reshape(-1, *draws.shape[2:]) for name, draws in by_name.items()}
    about = model.spec.variables[0]
    named = dict(zip(about.columns, x.pop(about.name).T)) if about.columns else {}
    draws = len(next(iter(by_name.values())))
    marks = {"row": np.tile(numbers, draws), "draw": np.repeat(np.arange(draws), len(numbers))}
    return {**named, **x, **marks, **{name: found.log_p[name].ravel() for name in ("log_p", "stderr")}}


def _picture(about: Variable, x: np.ndarray, observed: np.ndarray, found: Completed) -> np.ndarray:
    from lowerbound.plots import completions

    draws = found.draws[about.name] if isinstance(found.draws, dict) else found.draws
    return completions(x, observed, draws, about.low, about.high)


def _answer(found: Completed, hidden: int, path: str) -> Answer:
    from lowerbound.core.psis import RELIABLE_K

    facts: dict[str, Any] = {"rows": len(found.khat), "draws": len(found.log_p["log_p"]), "hidden": hidden}
    facts["doubtful"] = int((found.khat > RELIABLE_K).sum())
    facts |= {} if found.truth is None else _of_truth(found.truth, hidden)
    text = f"completed {facts['rows']:,} rows, {facts['draws']:,} times each; wrote {path}"
    if "log_p" in facts:
        truth = facts["log_p"]
        text += f"\nlog p of what was hidden: {truth['value']:.2f} ± {truth['stderr'] or 0:.2f} nats a row"
    return Answer({**facts, "out": path}, text + _doubt(facts["doubtful"]))


def _of_truth(truth: dict[str, np.ndarray], hidden: int) -> dict[str, Any]:
    """What the model makes of what was hidden in truth, means over the rows."""
    import torch

    from lowerbound.evaluation.statistics import estimate, finite

    names = [name for name in truth if not name.endswith("stderr") and name != "khat"]
    found = {name: estimate(torch.from_numpy(truth[name])) for name in names}
    return {**found, "log_p_per_value": finite(float(truth["log_p"].sum()) / max(1, hidden))}


def _doubt(rows: int) -> str:
    more = "use --method refined or metropolis, or more --particles"
    return f"\nof {rows:,} rows few draws of z carry all the weight (Pareto k above 0.7); {more}" if rows else ""
