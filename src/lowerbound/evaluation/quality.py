"""How good a model's samples are beside real data, by the features of a classifier that was trained on real data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self, final

import numpy as np

from lowerbound.arguments import Count, conformed
from lowerbound.data.rows import Rows
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.evaluation.classifier import Classifier
from lowerbound.evaluation.coherence import coherence
from lowerbound.evaluation.coverage import NEIGHBOURS, coverage
from lowerbound.evaluation.frechet import extrapolated, frechet
from lowerbound.evaluation.probes import evenly
from lowerbound.recipes.registry import Setup

Array = np.ndarray


class Generates(Protocol):
    """What `quality` needs of a trained model; `Fitted` is one."""

    setup: Setup
    spec: DataSpec

    def given(self, condition: Any) -> Self:
        """The same model told something."""

    def sample(self, n: int, seed: int = 0, mean: bool = True) -> Any:
        """n new data."""

    def rows(self, data: Any = None, split: str = "test") -> Rows:
        """A split of data for this model."""


@final
@dataclass(frozen=True)
class Comparison:
    """How samples are compared with real rows.

    count: of each, at most; the figures depend on it. neighbours: k of the balls. mean: whether samples are E[x|z] or,
    with False, draws of p(x|z). seed: fixes them.
    """

    count: int = 10_000
    neighbours: int = NEIGHBOURS
    mean: bool = True
    seed: int = 0

    def check(self) -> None:
        """Refuse what is no count."""
        conformed("count", self.count, Count)
        conformed("neighbours", self.neighbours, Count)


USUAL_COMPARISON = Comparison()


def quality(
    fitted: Generates, judge: Classifier, data: Any = None, split: str = "test", how: Comparison = USUAL_COMPARISON
) -> dict[str, Any]:
    """Fréchet distance, precision, recall, density and coverage of as many samples as real rows, as JSON values.

    samples: of the model's, beside the split's rows. training_rows: the same of as many rows of the training split,
    which is what no model has to better. A model told of labels is asked for those of the rows, and coherence says how
    many samples the classifier takes for what was asked; None where there are none. See `frechet`, `coverage` and
    `coherence`.

    Raises:
        InputError: the classifier sees pictures of another shape, or the model is told nothing it could be asked for.
    """
    how.check()
    rows, others = (_few(fitted.rows(data, name), how.count) for name in (split, "train"))
    model = fitted if fitted.setup.condition is None else fitted.given(told(rows))
    made = _pictures(fitted.spec, model.sample(rows.count, how.seed, how.mean))
    shown = {"real": _real(rows), "samples": made, "training_rows": _real(others)}
    features = {name: judge.features(x) for name, x in shown.items()}
    names = ("samples", "training_rows")
    return {
        **_made_of(rows, split),
        **asdict(how),
        "count": rows.count,
        "judge": {"data": judge.data, "features": features["real"].shape[1], "accuracy": dict(judge.accuracy)},
        **{name: compared(features["real"], features[name], how) for name in names},
        "coherence": _coherence(judge, made, rows) if model is not fitted else None,
    }


def compared(real: Array, made: Array, how: Comparison = USUAL_COMPARISON) -> dict[str, float]:
    """All figures of features (N, D) of made data beside (M, D) of real.

    >>> x, y = np.random.default_rng(0).normal(size=(2, 300, 2))
    >>> [*compared(x, y)]
    ['frechet', 'frechet_extrapolated', 'precision', 'recall', 'density', 'coverage']
    """
    distances = {"frechet": frechet(real, made), "frechet_extrapolated": extrapolated(real, made, how.seed)}
    return {**distances, **coverage(real, made, how.neighbours)._asdict()}


def told(rows: Rows) -> Sequence[Any] | Array:
    """What each row is labelled, in words, or the vector that it is conditioned on, as `Fitted.given` takes them."""
    found = labels(rows)
    if found is not None:
        return found.tolist()
    if rows.condition is None:
        raise InputError(f"{rows.spec.name!r} has nothing that the model could be told; give data with labels")
    return rows.condition


def labels(rows: Rows) -> Array | None:
    """The names of the rows' labels, (N,); None where they have none, or several each."""
    about = rows.spec.condition
    if about is None or about.labels is None or about.shape:
        return None
    found: Array = np.array(about.labels)[rows.condition]
    return found


def _made_of(rows: Rows, split: str) -> dict[str, str]:
    return {"data": rows.spec.name, "fingerprint": rows.spec.fingerprint, "split": split}


def _few(rows: Rows, count: int) -> Rows:
    return rows.where(evenly(rows.count, count))


def _real(rows: Rows) -> Array:
    return rows.array(rows.spec.variables[0].name)


def _pictures(spec: DataSpec, made: Any) -> Array:
    found: Array = made[spec.variables[0].name] if isinstance(made, Mapping) else made
    return found


def _coherence(judge: Classifier, made: Array, rows: Rows) -> dict[str, Any] | None:
    asked = labels(rows)
    known = asked is not None and set(asked.tolist()) <= set(judge.names)
    return coherence(np.array(judge.names)[judge.predict(made)], asked) if asked is not None and known else None
