"""The verb impute: what is missing of a file's rows, filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, final

from lowerbound.cli.generate import columns
from lowerbound.cli.output import Output
from lowerbound.cli.progress import watcher
from lowerbound.cli.verb import Answer, Flat, OfRun

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.raw import Raw
    from lowerbound.evaluation.rawdata import Values
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Impute(OfRun):
    """Fill in what is missing of rows, from what was observed of each.

    The rows are written with each missing value at its mean given the observed ones; with --draws 5 also five files
    more, OUT-1 to OUT-5, whose missing values are drawn together, row by row: analyse each and combine, and what is
    not known is not forgotten. The run may have been trained on whole rows or, with --missing, on such as these. A
    model that is told something is told each row's own label, where the rows have labels.
    """

    data: str
    """A file of rows such as the run was trained on, with NaN or empty cells; or a named data set."""
    particles: int = 1000
    """Draws of z a row, by which the model's posterior is weighed."""
    draws: int = 0
    """Completed files to draw besides."""
    centre: Literal["mean", "median"] = "mean"
    """What stands for the values that are possible: their mean, or their median where tails are heavy. Of categories
    it is always the most probable."""
    seed: int = 0
    """Fixes the draws."""
    output: Flat[Output]

    def answer(self) -> Answer:
        from lowerbound.data.dataset import read
        from lowerbound.evaluation.imputation import Manner

        outputs = [self.output, *(self._numbered(number + 1) for number in range(self.draws))]
        for output in outputs:
            output.check(pictures=False)
        manner = Manner(self.particles, self.draws, self.centre)
        manner.check()
        model = self.open()
        raw = read(self.data, _label(model))
        told = model if model.setup.condition is None or raw.labels is None else model.given(raw.labels)
        found = told.impute(dict(raw.arrays), manner, self.seed, watcher(self.common, "rows"))
        for output, values in zip(outputs, [found.values, *found.draws]):
            output.write(_table(model, raw, values))
        return _answer(raw, found.khat, [str(output.out) for output in outputs])

    def _numbered(self, number: int) -> Output:
        path = self.output.out
        return replace(self.output, out=path.with_stem(f"{path.stem}-{number}"))


def _label(model: Fitted) -> str | None:
    reading = model.run and model.run.record.reading
    return reading.labels if reading else None


def _table(model: Fitted, raw: Raw, values: Values) -> dict[str, np.ndarray]:
    """The values under the names that they had, and the labels beside them."""
    whole = columns(model, values)
    if raw.columns is not None:
        whole = dict(zip(raw.columns, whole["x"].T))
    label = _label(model)
    return whole if label is None or raw.labels is None else {**whole, label: raw.labels}


def _answer(raw: Raw, khat: np.ndarray, paths: list[str]) -> Answer:
    import numpy as np

    from lowerbound.core.psis import RELIABLE_K

    missing = sum(int(np.isnan(values).sum()) for values in raw.arrays.values())
    facts: dict[str, Any] = {"rows": len(khat), "missing": missing, "doubtful": int((khat > RELIABLE_K).sum())}
    words = f"filled in {missing:,} values of {len(khat):,} rows; {facts['doubtful']:,} rows are not to be believed"
    return Answer({**facts, "out": paths}, f"{words} (Pareto k above 0.7); wrote {', '.join(paths)}")
