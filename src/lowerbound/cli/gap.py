"""The verb gap: what an encoder loses of log p(x), and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.arguments import Count, conformed
from lowerbound.cli.condition import Condition
from lowerbound.cli.output import refuse_ending, refuse_existing
from lowerbound.cli.progress import watcher
from lowerbound.cli.selection import Which
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch
from lowerbound.evaluation.extras import mean_and_error
from lowerbound.files import write_json

if TYPE_CHECKING:
    from lowerbound.plots import Drawing


@final
@dataclass(frozen=True, kw_only=True)
class Gap(OfRun):
    """Split what the bound lacks of log p(x) into what the posterior's family and what the encoder loses.

    Each datum is given a posterior of its own, which climbs its ELBO from the encoder's; what is gained is the
    amortisation gap, and what is still missing to log p(x) the approximation gap.
    """

    rows: Flat[Which] = field(default=Which())
    condition: Flat[Condition] = field(default=Condition())
    count: int = 100
    """Rows, the first of the split; a row takes a second of one core or less."""
    steps: int = 500
    """Steps of each datum's climb."""
    particles: int = 1000
    """Draws of each posterior, for its ELBO and for log p(x) by importance sampling."""
    anneal: int = 200
    """Densities between posterior and joint in annealed importance sampling; 0 leaves that estimate of log p(x) out."""
    seed: int = 0
    """Fixes the draws."""
    out: Path | None = None
    """File for a picture of the gaps, .png."""
    force: Switch = False
    """Replace the picture if it is there."""

    def answer(self) -> Answer:
        from lowerbound.evaluation.gap import Effort

        self._check()
        effort = Effort(steps=self.steps, particles=self.particles, anneal=self.anneal)
        model = self.condition.tell(self.open())
        watch = watcher(self.common, "rows")
        figures = model.gap(self.rows.data, self.rows.split, self.count, effort, self.seed, watch)
        if model.run is not None and model.usual and figures["fingerprint"] == model.spec.fingerprint:
            write_json(gaps_kept_at(model.run.path, self.rows.split), figures)
        self._draw(figures)
        return Answer({**figures, "out": str(self.out)} if self.out else figures, table(figures))

    def _check(self) -> None:
        conformed("count", self.count, Count)
        if self.out is not None:
            refuse_ending(self.out, [".png"])
            refuse_existing(self.out, self.force)

    def _draw(self, figures: dict[str, Any]) -> None:
        if self.out is not None:
            from lowerbound.plots import write_png

            write_png(self.out, bars(figures))


def gaps_kept_at(run: Path, split: str) -> Path:
    """Where the gaps of a split are kept."""
    return run / f"gap-{split}.json"


def table(figures: dict[str, Any]) -> str:
    """The gaps as lines for a terminal."""
    head = f"{figures['count']:,} {figures['split']} rows of {figures['data']}, nats a datum (mean ± standard error)"
    return "\n".join([head, *(f"  {name:<22} {words}" for name, words in _lines(figures))])


def _lines(figures: dict[str, Any]) -> list[tuple[str, str]]:
    from lowerbound.evaluation.gap import SAMPLERS

    log_p, nll = figures["log_p"], {when: mean_and_error(found) for when, found in figures["nll"].items()}
    return [
        ("log p(x)", f"{mean_and_error(log_p)}  by {SAMPLERS[log_p['by']]}"),
        ("ELBO of the encoder", mean_and_error(figures["elbo"]["encoder"])),
        ("inference gap", mean_and_error(figures["inference_gap"], 3)),
        ("  approximation gap", f"{mean_and_error(figures['approximation_gap'], 3)}  the family of posteriors"),
        ("  amortisation gap", f"{mean_and_error(figures['amortisation_gap'], 3)}  one encoder for all data"),
        *_of_richer(figures["full_covariance"]),
        ("-log p(x)", f"{nll['before']}  by importance sampling from the encoder's posterior"),
        ("  refined", f"{nll['after']}  from each datum's own"),
        ("still rising", f"{mean_and_error(figures['rise']['local'], 3)}  in the last quarter of the steps"),
    ]


def _of_richer(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    words = "what the best Gaussian of any covariance would win"
    return [("any covariance", f"{mean_and_error(found['gain'], 3)}  {words}")] if found else []


def bars(figures: dict[str, Any]) -> Drawing:
    """What each posterior lacks of log p(x), as bars."""
    from lowerbound.plots import gap_bars

    approximation, amortisation = (figures[f"{name}_gap"]["value"] for name in ("approximation", "amortisation"))
    gaps = {"encoder's posterior": (approximation, amortisation), "each datum's own": (approximation, 0.0)}
    if figures["full_covariance"]:
        gaps["with any covariance"] = (figures["full_covariance"]["approximation_gap"]["value"], 0.0)
    return gap_bars(gaps)
