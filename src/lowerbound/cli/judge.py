"""Verbs that judge what codes and densities are good for: features, disentanglement, anomaly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.arguments import Count, conformed
from lowerbound.cli.output import Output
from lowerbound.cli.progress import watcher
from lowerbound.cli.selection import Which, arrays, marked
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch
from lowerbound.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.rows import Rows
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Features(OfRun):
    """Classify labels from the codes, from as many principal components, and from the values themselves.

    Logistic regression and the k nearest neighbours are fitted to the training split, their one setting is chosen on
    the validation split, and the accuracy is that on the test split.
    """

    data: str | None = None
    """Data with labels; by default what the run was trained on."""
    count: int = 10_000
    """Training rows to learn from, at most."""

    def answer(self) -> Answer:
        conformed("count", self.count, Count)
        figures = self.open().features(self.data, self.count)
        return Answer(figures, _accuracies(figures))


@final
@dataclass(frozen=True, kw_only=True)
class Disentanglement(OfRun):
    """Say how far each dimension of the code speaks of one known factor of the data: MIG, DCI, SAP, FactorVAE score.

    For data with several labels to a row, the factors that they were made from, such as the named set shapes.
    """

    rows: Flat[Which] = field(default=Which())
    seed: int = 0
    """Fixes the halves of the rows, the forests and the votes."""

    def answer(self) -> Answer:
        figures = self.open().disentanglement(self.rows.data, self.rows.split, self.seed)
        return Answer(figures, _disentangled(figures))


@final
@dataclass(frozen=True, kw_only=True)
class Anomaly(OfRun):
    """Score rows by how strange they are to the model, and say how well each score finds the anomalies.

    Scores: −log p(x), its parts the rate and the distortion, and the squared error of the reconstruction; a model
    without a bound on log p(x) has the last two. An area under the ROC curve of 0.5 is chance, 1 perfect. A model that
    is told c is told each row's own if all have one, else nothing.
    """

    against: str | None = None
    """Data that are the anomalies: a file, a folder of pictures or a named data set."""
    label: str | None = None
    """The label that marks the anomalies."""
    rows: Flat[Which] = field(default=Which())
    count: int | None = None
    """Rows, and anomalies from other data, at most; by default all of the split."""
    particles: int = 100
    """Draws of z a datum, for log p(x) by importance sampling."""
    seed: int = 0
    """Fixes the draws."""
    out: Path | None = None
    """File for the scores of each row: .npz, .csv or .parquet."""
    force: Switch = False
    """Replace the file if it is there."""

    def answer(self) -> Answer:
        output = self._checked()
        model = self.open()
        groups, about = self._rows(model)
        x, told = side_by_side([arrays(group) for group in groups]), telling(model, groups)
        scores = told.scores(x, self.particles, self.seed, watcher(self.common, "rows"))
        if output:
            output.write({**scores, **about})
        found = found_by(scores, about)
        facts = {"count": len(about["row"]), **found, **({"out": str(self.out)} if output else {})}
        return Answer(facts, "\n".join([*_areas(found), *([f"wrote {self.out}"] if output else [])]))

    def _checked(self) -> Output | None:
        if self.against is not None and self.label is not None:
            raise InputError("anomalies are either other data (--against) or rows with a label (--label), not both")
        if self.against is None and self.label is None and self.out is None:
            raise InputError("say which rows are anomalies (--against or --label), or where to write scores (--out)")
        conformed("count", self.count, Count | None)
        output = Output(self.out, self.force) if self.out else None
        if output:
            output.check(pictures=False)
        return output

    def _rows(self, model: Fitted) -> tuple[list[Rows], dict[str, np.ndarray]]:
        """What to score; and beside it each row's number and, where it is known, whether it is an anomaly."""
        rows = self.rows.of(model).where(slice(self.count))
        if self.label is not None:
            return [rows], {"row": rows.numbers, "anomaly": marked(rows, self.label)}
        if self.against is not None:
            return beside(rows, model.rows(self.against, self.rows.split).where(slice(self.count)))
        return [rows], {"row": rows.numbers}


def beside(ordinary: Rows, strange: Rows) -> tuple[list[Rows], dict[str, np.ndarray]]:
    """Both, with their row numbers and which are strange."""
    import numpy as np

    marks = np.repeat([False, True], [ordinary.count, strange.count])
    return [ordinary, strange], {"row": np.concatenate([ordinary.numbers, strange.numbers]), "anomaly": marks}


def side_by_side(groups: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The rows of all, one group after another."""
    import numpy as np

    return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}


def telling(model: Fitted, groups: list[Rows]) -> Fitted:
    """The model that is told each row's own condition, if all have one that it knows; or as it is."""
    import numpy as np

    from lowerbound.evaluation.conditions import own

    if model.setup.condition is None:
        return model
    each = [own(model.setup.condition.variable, group) for group in groups]
    known = [found for found in each if found is not None]
    return model.given(np.concatenate(known)) if len(known) == len(each) else model


def found_by(scores: dict[str, np.ndarray], about: dict[str, np.ndarray]) -> dict[str, Any]:
    """How well each score finds the anomalies, if it is known which rows are."""
    from lowerbound.evaluation.anomaly import detections

    if "anomaly" not in about:
        return {}
    return {"anomalies": int(about["anomaly"].sum()), "scores": detections(scores, about["anomaly"])}


def _accuracies(figures: dict[str, Any]) -> str:
    head = f"test accuracy on {figures['data']}, {figures['rows']:,} training rows      logistic      nearest"
    return "\n".join([head, *(_accuracy(name, figures[key]) for key, name in REPRESENTATIONS.items())])


def _accuracy(name: str, found: dict[str, Any]) -> str:
    shares = (f"{found[probe]['accuracy']:7.2%} ± {found[probe]['stderr']:.2%}" for probe in ("linear", "knn"))
    return "  ".join([f"  {name:<22} {found['width']:>5} wide ", *shares])


REPRESENTATIONS = {"codes": "codes", "pca": "principal components", "raw": "values themselves"}


def _disentangled(figures: dict[str, Any]) -> str:
    scores = {"MIG": figures["mig"], "SAP": figures["sap"], "FactorVAE score": figures["factor_vae_score"]}
    scores |= {f"DCI {name}": value for name, value in figures["dci"].items()}
    head = f"{figures['count']:,} rows with the factors {', '.join(figures['information'])}; each score from 0 to 1"
    return "\n".join([head, *(f"  {name:<20} {value:.3f}" for name, value in scores.items())])


def _areas(found: dict[str, Any]) -> list[str]:
    if not found:
        return []
    lines = (
        f"  {name:<12} {each['auroc']:.4f} ± {each['auroc_stderr']:.4f}   {each['aupr']:.4f}"
        for name, each in found["scores"].items()
    )
    return [f"{found['anomalies']:,} anomalies; areas under the curves ROC and precision-recall", *lines]
