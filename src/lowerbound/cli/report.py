"""The verb report: everything about a run on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.cli.drawing import comparison, is_picture, picture
from lowerbound.cli.gap import bars, gaps_kept_at
from lowerbound.cli.generate import columns
from lowerbound.cli.measure import evaluated, kept_at
from lowerbound.cli.output import refuse_existing
from lowerbound.cli.selection import Which, first, one
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch

if TYPE_CHECKING:
    from lowerbound.data.rows import Rows
    from lowerbound.fitted import Fitted
    from lowerbound.plots import Drawing
    from lowerbound.run.folder import Run

SHOWN = 50
"""Samples, and data reconstructed, in a picture."""

PATHS, STEPS = 5, 10
"""Interpolations in a picture, and data on each."""

MAPPED = 2000
"""Codes on the latent map."""


@final
@dataclass(frozen=True, kw_only=True)
class Report(OfRun):
    """Put a run on one HTML page: numbers, curves, samples, reconstructions, interpolations and the latent map.

    Nothing is trained. The figures that evaluate left in the run's folder are taken; without any they are computed.
    """

    rows: Flat[Which] = field(default=Which())
    particles: int = 5000
    """Draws of z a datum, where log p(x) is still to be computed."""
    out: Path | None = None
    """The page; by default report.html in the run's folder."""
    force: Switch = False
    """Replace the page if it is there."""

    def answer(self) -> Answer:
        from lowerbound.report import write_report

        out = self.out or self.run / "report.html"
        refuse_existing(out, self.force)
        model = self.open()
        run = model.run
        assert run is not None  # it has just been opened from one
        rows = self.rows.of(model)
        numbers = kept(run, rows, self.rows.split) or evaluated(model, self.rows, self.particles, self.common)
        pictures = {**dict(drawings(model, rows)), **dict(gaps(run, rows, self.rows.split))}
        write_report(out, **heading(run), numbers=numbers, facts=facts(run), pictures=pictures)
        return Answer({"out": str(out), "numbers": numbers}, f"wrote {out}")


def kept(run: Run, rows: Rows, split: str) -> dict[str, Any] | None:
    """The figures that evaluate left for this split of these data; None if there are none, or they cannot be read."""
    return read(kept_at(run.path, split), rows, "distortion")


def read(path: Path, rows: Rows, needed: str) -> dict[str, Any] | None:
    """Figures of these data, with the one that is needed, from a file that may not be there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and isinstance(found.get(needed), dict)
    return found if whole and found.get("fingerprint") == rows.spec.fingerprint else None


def gaps(run: Run, rows: Rows, split: str) -> Iterator[tuple[str, bytes]]:
    """The picture of what the verb gap left for this split of these data, if it did."""
    from lowerbound import plots

    if found := read(gaps_kept_at(run.path, split), rows, "inference_gap"):
        yield f"What the encoder's bound lacks of log p(x), and why: {found['count']:,} data", plots.png(bars(found))


def drawings(model: Fitted, rows: Rows) -> Iterator[tuple[str, bytes]]:
    """Captions and PNGs."""
    from lowerbound import plots

    yield from ((caption, plots.png(drawing)) for caption, drawing in _curves(model, rows))
    if is_picture(model.spec.variables[0].shape):
        yield from ((caption, plots.png(drawing)) for caption, drawing in _pictures(model, rows))
    yield "Posterior means of the split", plots.png(_map(model, rows))


def _curves(model: Fitted, rows: Rows) -> Iterator[tuple[str, Drawing]]:
    from lowerbound import plots

    if model.run is not None and (lines := model.run.metrics()):
        volume = float(model.volumes(first(rows, MAPPED)).mean())
        yield "Training, by epoch", plots.learning_curves(lines, volume)


def _pictures(model: Fitted, rows: Rows) -> Iterator[tuple[str, Drawing]]:
    samples = columns(model, model.sample(SHOWN))
    yield "Samples: E[x|z] at draws of the prior", picture(model, samples, across=STEPS)
    x = first(rows, SHOWN)
    yield "Data, each above its reconstruction", comparison(model, x, columns(model, model.reconstruct(x)))
    yield "Spherical interpolations between data", _paths(model, rows)


def _paths(model: Fitted, rows: Rows) -> Drawing:
    import numpy as np

    pairs = [(one(rows, 2 * i), one(rows, 2 * i + 1)) for i in range(min(PATHS, rows.count // 2))]
    found = [columns(model, model.interpolate(a, b, STEPS, "spherical")) for a, b in pairs]
    return picture(model, {name: np.concatenate([each[name] for each in found]) for name in found[0]}, across=STEPS)


def _map(model: Fitted, rows: Rows) -> Drawing:
    from lowerbound import plots

    means, condition = model.encode(first(rows, MAPPED)), rows.spec.condition
    if rows.condition is None or condition is None or condition.kind != "category" or condition.shape:
        return plots.latent_map(means)
    return plots.latent_map(means, rows.condition[:MAPPED], condition.labels)


def heading(run: Run) -> dict[str, str]:
    """The page's title and the line below it."""
    record, result = run.record, run.record.result or {}
    summary = (
        f"{result.get('steps', 0):,} steps of training; the weights kept are those of epoch {result.get('epoch_kept')}."
    )
    return {"title": f"{record.recipe} of {record.data.name}", "summary": summary}


def facts(run: Run) -> dict[str, dict[str, Any]]:
    """Tables of what the run was made from."""
    record, spec = run.record, run.record.data
    rows = {"name": spec.name, "rows": spec.count, "splits": dict(spec.splits), "fingerprint": spec.fingerprint}
    variables = {v.name: f"{v.kind} {list(v.shape)}, {v.low:g} to {v.high:g}" for v in spec.variables}
    return {
        "Recipe": {"name": record.recipe, **record.arguments},
        "Training": record.settings.to_json(),
        "Data": {**rows, **variables},
        "Versions": dict(record.versions),
    }
