"""The verb mixture: fit mixtures of several sizes and families, choose one, and leave a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from lowerbound.arguments import Count, NonNegative, conformed
from lowerbound.cli.progress import watcher
from lowerbound.cli.verb import Answer, Flat, Named, Switch, Verb
from lowerbound.errors import InputError

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset
    from lowerbound.mixtures.blocks import Blocks
    from lowerbound.mixtures.selection import Candidate, Fitting, Selection

FamilyName = Literal["full", "tied", "diag", "spherical", "student", "bernoulli", "poisson", "negative-binomial"]
"""As `mixtures.families.FAMILIES`, which would import torch."""


@dataclass(frozen=True)
class Climb:
    """How each mixture is fitted."""

    restarts: int = 4
    """Starts, of which the likeliest is kept."""
    tolerance: float = 1e-3
    """EM stops once a step adds less than so many nats a row."""
    steps: int = 300
    """Steps of EM at most."""
    floor: float = 1e-6
    """Added to each variance, in the square of the data's own units."""
    stepwise: Switch = False
    """Learn from mini-batches as they come (stepwise EM), for data that EM would take too long to walk over."""
    batch: int = 4096
    """Rows of a mini-batch."""
    passes: int = 1
    """Passes over the rows, with --stepwise."""
    seed: int = 0
    """Fixes the starts, and which rows are in which split."""

    def check(self) -> None:
        """Refuse what cannot be."""
        for name in ("restarts", "steps", "batch", "passes"):
            conformed(name, getattr(self, name), Count)
        for name in ("tolerance", "floor"):
            conformed(name, getattr(self, name), NonNegative)

    def fitting(self) -> Fitting:
        """The same as the library has it."""
        from lowerbound.mixtures.em import Until
        from lowerbound.mixtures.selection import ByEM, BySteps

        if self.stepwise:
            return BySteps(self.restarts, self.batch, self.passes, seed=self.seed)
        return ByEM(self.restarts, Until(self.tolerance, self.steps), seed=self.seed)


@final
@dataclass(frozen=True, kw_only=True)
class Mixture(Verb):
    """Fit mixtures of several sizes by EM, choose one, and leave a run that the other verbs open.

    Mixtures are fitted to the training split; the validation split is held out, and the test split is left alone. What
    each criterion says of each mixture is in the table that is printed, in the run and in its picture.

    The run answers log-prob, anomaly, cluster, evaluate, report, impute, and sample, which shows means but with --draw.
    Its log p(x) is exact, of however few --particles (1 is quickest).
    """

    data: Named[str]
    """A file, a folder of pictures or a named data set; see: lowerbound data"""
    out: Path
    """New folder for the run."""
    components: tuple[int, ...] = (1, 2, 4, 8, 16)
    """How many components to try."""
    family: tuple[FamilyName, ...] = ("full",)
    """What components to try: Gaussians by their covariance, or others for heavy tails, binary values and counts."""
    criterion: Literal["bic", "aic", "icl", "held-out"] = "bic"
    """What to choose by: parameters weighed by BIC or AIC, BIC and clear clusters (ICL), or rows held out."""
    missing: Switch = False
    """Values may be missing: NaN, and the empty cells of a table."""
    kind: Literal["binary", "byte", "unit", "real", "count", "category"] | None = None
    """What the values are, where the guess from type and range is wrong."""
    labels: str | None = None
    """The column of a table, or the array of an npz, that labels the rows; it is kept out of what is modelled."""
    climb: Flat[Climb] = field(default=Climb())

    def answer(self) -> Answer:
        self._check()
        data = self._read()
        found = self._selected(data)
        self._keep(data, found)
        best = found.best.row()
        facts = {"run": str(self.out), "criterion": self.criterion, **best, "table": found.table}
        return Answer(facts, "\n".join(in_words(found, data, self.out)))

    def _check(self) -> None:
        """Refuse, before any work, what cannot be."""
        from lowerbound.run.mixtures import require_absent

        self.climb.check()
        for count in self.components:
            conformed("components", count, Count)
        if not (self.components and self.family):
            raise InputError("say at least one number of components, and at least one family")
        require_absent(self.out)

    def _read(self) -> Dataset:
        from lowerbound.data.dataset import load_data

        data = load_data(self.data, seed=self.climb.seed, kind=self.kind, labels=self.labels, missing=self.missing)
        if [variable.name for variable in data.spec.variables] != ["x"]:
            raise InputError(
                "a mixture is of one array of rows; give a table, a .npy file, or an .npz whose array is x"
            )
        if max(self.components) > data.spec.splits["train"]:
            raise InputError(f"there are {data.spec.splits['train']:,} training rows, fewer than components; try fewer")
        return data.unconditional()

    def _selected(self, data: Dataset) -> Selection:
        """All candidates, each told of as it is done."""
        from lowerbound.mixtures.selection import Selection

        candidates, watch = [], watcher(self.common, "mixtures")
        for candidate in self._candidates(data):
            candidates.append(candidate)
            if watch:
                watch(len(candidates), len(self.components) * len(self.family))
        return Selection(candidates, self.criterion)

    def _candidates(self, data: Dataset) -> Iterator[Candidate]:
        from lowerbound.mixtures.families import chosen
        from lowerbound.mixtures.selection import candidates

        families = chosen(self.family, data.spec.variables[0], self.climb.floor)
        train, held = (blocks_of(data, split) for split in ("train", "validation"))
        try:
            yield from candidates(families, self.components, train, held, self.climb.fitting())
        except ValueError as error:
            raise InputError(str(error)) from error

    def _keep(self, data: Dataset, found: Selection) -> None:
        from lowerbound.data.reading import reading_of
        from lowerbound.plots import png, selection
        from lowerbound.run.mixtures import MixtureRun

        best = found.best
        asked = {name: _plain(value) for name, value in asdict(self).items() if name not in ("common", "out", "data")}
        run = MixtureRun(
            best.fit.mixture,
            data.spec,
            reading_of(self.data, self.kind, self.labels, self.missing),
            asked,
            {"criterion": self.criterion, **best.row(), "table": found.table},
        )
        picture = selection(found.curves, (best.family, best.components), NAMES[self.criterion])
        run.keep(self.out, {"selection.png": png(picture)})


def blocks_of(data: Dataset, split: str) -> Blocks:
    """A split's rows as a mixture is shown them, wherever they lie."""
    from lowerbound.mixtures.streams import Inspection, OnDisk, Through
    from lowerbound.run.mixtures import of_rows

    (variable,) = data.spec.variables
    inspection = Inspection(missing=variable.missing)
    return Through(OnDisk(data.arrays["x"], data.splits[split], inspection=inspection), of_rows(variable))


SURPRISE = 10.0
"""Nats a row by which rows held out may be less likely than others before a warning is due."""

NAMES = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "held-out": "−log p of rows held out, nats"}


def in_words(found: Selection, data: Dataset, out: Path) -> list[str]:
    """The table of criteria, what was chosen, and where it is."""
    best = found.best.row()
    head = f"{'family':<18} components  parameters     log p  held out          BIC          AIC          ICL   steps"
    rows = (
        f"{data.spec.splits['train']:,} training rows of {data.spec.name}, {data.spec.splits['validation']:,} held out"
    )
    return [
        f"{rows}; log p in nats a row",
        head,
        *(f"{_line(row)}{' *' if row == best else ''}" for row in found.table),
        "; ".join(
            [f"chose {best['components']} of {best['family']}: least by {NAMES[found.criterion]}", *_doubts(best)]
        ),
        f"wrote {out}",
        f"next: lowerbound cluster {out}",
    ]


def _line(row: dict[str, Any]) -> str:
    numbers = f"{row['components']:>10} {row['parameters']:>11,} {row['log_likelihood']:>9.3f} {row['held_out']:>9.3f}"
    criteria = " ".join(f"{row[name]:>12,.1f}" for name in ("bic", "aic", "icl"))
    return f"{row['family']:<18} {numbers} {criteria} {row['steps']:>6}{'' if row['converged'] else ', not converged'}"


def _doubts(best: dict[str, Any]) -> Iterator[str]:
    """What the user should know of how it was fitted."""
    if best["reseeded"]:
        yield f"{best['reseeded']} lost components were begun anew on the way"
    if not best["converged"]:
        yield "it has not converged; allow it more --steps"
    if best["log_likelihood"] - best["held_out"] > SURPRISE:
        yield "rows held out are far less likely than those fitted to; choose by held-out, or raise the --floor"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
