"""The verb sandwich: between which two numbers a model's log p(x) lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from lowerbound.cli.condition import Condition
from lowerbound.cli.progress import watcher
from lowerbound.cli.verb import Answer, Flat, OfRun
from lowerbound.cli.walking import Walking
from lowerbound.evaluation.extras import mean_and_error


@final
@dataclass(frozen=True, kw_only=True)
class Sandwich(OfRun):
    """Bound log p(x) from below and above, on data that the model makes, by annealing forwards and backwards.

    A model that is told something makes the data, and is asked about them, under what --label, --text or --like say;
    without, under nothing, if it was trained to do without.
    """

    count: int = 100
    """Data to make; each takes about a second of one core."""
    walking: Flat[Walking] = field(default=Walking())
    condition: Flat[Condition] = field(default=Condition())
    seed: int = 0
    """Fixes the draws."""

    def answer(self) -> Answer:
        model = self.condition.tell(self.open())
        figures = model.sandwich(self.count, self.walking.walk(), self.seed, watcher(self.common, "data"))
        return Answer(figures, table(figures))


def table(figures: dict[str, Any]) -> str:
    """The bounds as lines for a terminal."""
    head = f"{figures['count']:,} data that the model made, nats a datum (mean ± standard error)"
    lines = {
        "log p(x) is above": mean_and_error(figures["lower"]),
        "and below": mean_and_error(figures["upper"]),
        "apart by": mean_and_error(figures["width"], 3),
        "moves accepted": f"{figures['acceptance']:.0%}",
    }
    return "\n".join([head, *(f"  {name:<18} {words}" for name, words in lines.items())])
