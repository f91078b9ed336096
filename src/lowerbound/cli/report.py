"""The verb report: everything about a run on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.cli.condition import Condition
from lowerbound.cli.drawing import comparison, is_picture, picture
from lowerbound.cli.gap import bars, gaps_kept_at
from lowerbound.cli.generate import columns, listed
from lowerbound.cli.measure import evaluated, kept_at
from lowerbound.cli.output import refuse_existing
from lowerbound.cli.selection import Which, arrays, few, first, numbered, one
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.rows import Rows
    from lowerbound.fitted import Fitted
    from lowerbound.plots import Drawing
    from lowerbound.run.folder import Run

SHOWN = 50
"""Samples, and data reconstructed, in a picture."""

PATHS, STEPS = 5, 10
"""Interpolations in a picture, and data on each."""

LISTED, PLACES = 20, 5
"""Texts in a list, and on each path between two of them."""

MAPPED = 2000
"""Codes on the latent map."""

OWN = Condition()
"""What each row is told: its own condition."""


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
        told = dict(texts(model, rows)) if in_texts(model) else {}
        write_report(out, **heading(run), numbers=numbers, facts=facts(run), pictures=pictures, texts=told)
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
    v = model.spec.variables[0]
    if is_picture(v.shape) and v.columns is None:  # a series of named numbers has that shape too
        yield from ((caption, plots.png(drawing)) for caption, drawing in _pictures(model, rows))
    yield "Posterior means of the split", plots.png(_map(model, rows))


def in_texts(model: Fitted) -> bool:
    """Whether the model's first variable is a text."""
    from lowerbound.data.text.vocabulary import is_text

    return is_text(model.spec.variables[0])


def texts(model: Fitted, rows: Rows) -> Iterator[tuple[str, list[list[str]]]]:
    """Captions and tables of texts."""
    shown = few(rows, LISTED)
    x, told = _told_texts(model, shown)
    if model.setup.condition is None:
        yield "Samples: draws of p(x|z) at draws of the prior", [[text] for text in model.sample(LISTED, mean=False)]
    else:
        yield "Data, and a sample that is told the same", side_by_side(x, told.sample(shown.count, mean=False))
    yield (
        "Data, and their reconstructions: the likeliest text at the posterior's mean",
        side_by_side(x, told.reconstruct(x)),
    )
    yield "Spherical interpolations, from left to right between data", [_between(model, rows, i) for i in range(PATHS)]


def side_by_side(*columns: Any) -> list[list[str]]:
    """Rows of texts from columns of them."""
    return [list(map(str, row)) for row in zip(*columns)]


def _told_texts(model: Fitted, rows: Rows) -> tuple[np.ndarray, Fitted]:
    """The texts of rows, and the model told what they are."""
    from lowerbound.data.text.vocabulary import Vocabulary

    x = next(iter(arrays(rows).values()))
    return Vocabulary.by(model.spec.variables[0]).decode(x), OWN.tell(model, rows)


def _between(model: Fitted, rows: Rows, number: int) -> list[str]:
    x, told = _told_texts(model, numbered(rows, 2 * number, 2 * number + 1))
    return [str(text) for text in told.interpolate(x[0], x[1], PLACES)]


def _curves(model: Fitted, rows: Rows) -> Iterator[tuple[str, Drawing]]:
    from lowerbound import plots

    if model.run is not None and (lines := model.run.metrics()):
        volume = float(model.volumes(first(rows, MAPPED)).mean())
        yield "Training, by epoch", plots.learning_curves(lines, volume)


def _pictures(model: Fitted, rows: Rows) -> Iterator[tuple[str, Drawing]]:
    shown = few(rows, SHOWN)
    x, told = arrays(shown), OWN.tell(model, shown)
    about = model.setup.condition and model.setup.condition.variable
    if about is None:
        yield "Samples: E[x|z] at draws of the prior", picture(model, columns(model, model.sample(SHOWN)), across=STEPS)
    elif about.labels and len(about.labels) <= SHOWN:
        yield from _by_label(model, few(rows, STEPS))
    else:
        samples = columns(model, told.sample(shown.count))
        yield "Data, each above a sample that is told the same", comparison(model, x, samples)
    yield "Data, each above its reconstruction", comparison(model, x, columns(model, told.reconstruct(x)))
    yield "Spherical interpolations between data", _paths(model, rows)


def _by_label(model: Fitted, rows: Rows) -> Iterator[tuple[str, Drawing]]:
    """Samples under every label, and data under every label."""
    import numpy as np

    words, x = f"a row for each of the labels {', '.join(model.labels)}", arrays(rows)
    samples = columns(model, model.sample_each(STEPS))
    yield f"Samples: {words}; down a column one draw of z", _rows_of(model, samples)
    others = columns(model, model.decode_each(OWN.tell(model, rows).encode(x)))
    both = {name: np.concatenate([x[name][None], found]) for name, found in others.items()}
    yield f"Data in the first row, then told otherwise with their z kept: {words}", _rows_of(model, both)


def _rows_of(model: Fitted, x: Mapping[str, np.ndarray]) -> Drawing:
    """Data (R, S, ...) as R rows of a picture."""
    across = next(iter(x.values())).shape[1]
    return picture(model, {name: listed(values) for name, values in x.items()}, across)


def _paths(model: Fitted, rows: Rows) -> Drawing:
    import numpy as np

    pairs = [numbered(rows, 2 * i, 2 * i + 1) for i in range(min(PATHS, rows.count // 2))]
    found = [columns(model, OWN.tell(model, two).interpolate(one(two, 0), one(two, 1), STEPS)) for two in pairs]
    return _rows_of(model, {name: np.stack([each[name] for each in found]) for name in found[0]})


def _map(model: Fitted, rows: Rows) -> Drawing:
    from lowerbound import plots

    shown, condition = few(rows, MAPPED), rows.spec.condition
    means = OWN.tell(model, shown).encode(arrays(shown))
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
    about = spec.condition
    told = {"condition": f"{about.kind} {list(about.shape)}, as {about.width:,} numbers"} if about else {}
    return {
        "Recipe": {"name": record.recipe, **record.arguments},
        "Training": record.settings.to_json(),
        "Data": {**rows, **variables, **told},
        "Versions": dict(record.versions),
    }
