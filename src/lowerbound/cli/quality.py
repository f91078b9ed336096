"""The verb quality: how good samples are beside real data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from lowerbound.cli.progress import watcher
from lowerbound.cli.selection import Which
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch
from lowerbound.files import write_json


@final
@dataclass(frozen=True, kw_only=True)
class Quality(OfRun):
    """Compare samples with real pictures: Fréchet distance, precision, recall, density, coverage, and what was asked.

    The features compared are those of a classifier of the data's labels, which is trained at its first use (some
    minutes) and kept in the cache. As many training rows are compared with the same real ones, for a yardstick. The
    figures depend on how many are compared. A model told of labels is asked for each label as often as the real rows
    have it. On the run's own data the figures are also kept in the run's folder, as quality-SPLIT.json.
    """

    rows: Flat[Which] = field(default=Which())
    judge: str | None = None
    """Labelled data whose classifier judges; by default the data themselves."""
    count: int = 10_000
    """Samples, and real rows, at most."""
    neighbours: int = 5
    """The ball around a row reaches to its neighbour of this number."""
    draw: Switch = False
    """Judge draws of p(x|z), with their noise, in place of their means."""
    seed: int = 0
    """Fixes the samples."""

    def answer(self) -> Answer:
        from lowerbound.evaluation.classifier import classifier
        from lowerbound.evaluation.quality import Comparison, quality

        how = Comparison(self.count, self.neighbours, not self.draw, self.seed)
        how.check()
        model = self.open()
        judge = classifier(
            self.judge or model.dataset(self.rows.data), None, self.device, watcher(self.common, "steps")
        )
        figures = quality(model, judge, self.rows.data, self.rows.split, how)
        if model.run is not None and figures["fingerprint"] == model.spec.fingerprint:
            write_json(quality_kept_at(model.run.path, self.rows.split), figures)
        return Answer(figures, table(figures))


def quality_kept_at(run: Path, split: str) -> Path:
    """Where the figures of a split are kept."""
    return run / f"quality-{split}.json"


FIGURES = ("frechet", "frechet_extrapolated", "precision", "recall", "density", "coverage")
HEADS = ("Fréchet", "of endless", "precision", "recall", "density", "coverage")


def table(figures: dict[str, Any]) -> str:
    """The figures as lines for a terminal."""
    judge, count = figures["judge"], f"{figures['count']:,}"
    head = (
        f"{count} samples beside {count} {figures['split']} rows of {figures['data']}, by {judge['features']} features "
        f"of a classifier of {judge['data']}, right of {judge['accuracy']['test']:.1%} of its test rows"
    )
    rows = [_line(name, figures[name.replace(" ", "_")]) for name in ("samples", "training rows")]
    return "\n".join([head, " " * 16 + "".join(f"{word:>12}" for word in HEADS), *rows, *_asked(figures["coherence"])])


def _line(name: str, found: dict[str, float]) -> str:
    return f"  {name:<14}" + "".join(f"{found[figure]:>12.3f}" for figure in FIGURES)


def _asked(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    each = ", ".join(f"{name} {share:.1%}" for name, share in found["per_label"].items())
    return [f"  found what was asked for: {found['share']:.2%} ± {found['stderr']:.2%}  ({each})"]
