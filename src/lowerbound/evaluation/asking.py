"""What every verb of a trained model begins with: the model, the data it is of, and what it is told of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.core import Batch, Model
from lowerbound.data.rows import Rows
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.evaluation import codes, conditions, rawdata
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE, Array, Values
from lowerbound.evaluation.watching import Watch, watched
from lowerbound.randomness import derive, isolated, reseed
from lowerbound.recipes.registry import Setup


@final
@dataclass(frozen=True, eq=False)
class Asking:
    """A trained setup, ready to be asked about data.

    c: what it is told, as stored: one condition for all rows (1, W), or one a row (R, W); None tells nothing. own:
    whether rows of data that have conditions are told theirs in place of it.
    """

    setup: Setup
    spec: DataSpec
    c: Tensor | None = None
    own: bool = True

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return rawdata.device_of(self.setup)

    @property
    def variable(self) -> Variable:
        """The condition that the model is shown.

        Raises:
            InputError: a model that is shown none.
        """
        if self.setup.condition is None:
            raise InputError("the model is told nothing but x; train one that is, such as cvae, on data with labels")
        return self.setup.condition.variable

    def told(self, condition: Any) -> Asking:
        """The same, telling something; see `conditions.stored`. Rows of data are told what each of them has."""
        variable = self.variable
        found = conditions.own(variable, condition) if isinstance(condition, Rows) else condition
        c = None if found is None else conditions.stored(variable, found).to(self.device)
        return replace(self, c=c, own=False)

    def under(self, rows: Rows) -> Rows:
        """The rows as the model is to be shown them: under the conditions that it is told."""
        if self.setup.condition is None or (self.own and conditions.alike(self.variable, rows.spec.condition)):
            return rows
        c = self.told(rows).c if self.own else rawdata.each_row(self.c, rows.count)
        return conditions.put(rows, c)

    def in_words(self, rows: Rows) -> dict[str, str]:
        """What rows are told, for the figures of a model that is told something."""
        if self.setup.condition is None:
            return {}
        if self.own:
            return {"told": "nothing" if conditions.own(self.variable, rows) is None else "each row's own condition"}
        return {"told": "nothing" if self.c is None else "one condition" if len(self.c) == 1 else "as given"}

    @contextmanager
    def drawing(self, seed: int, purpose: str) -> Iterator[None]:
        """A block whose chance follows from the seed and the purpose, and leaves torch's generator as it was."""
        with isolated(self.device), torch.no_grad():
            reseed(self.device, derive(seed, purpose))
            yield

    def shown(self, counts: Sequence[int]) -> Iterator[Tensor | None]:
        """The condition as the model is shown it, for parts of so many rows in turn."""
        c = rawdata.each_row(self.c, sum(counts))
        each = [None] * len(counts) if c is None else c.split(list(counts))
        return (self.setup.told(part, count) for part, count in zip(each, counts))

    def batches(self, x: Values) -> list[Batch]:
        """The rows in batches of stored values, each with the condition that it is asked about under."""
        return rawdata.batches(self.spec, x, self.c)

    def posteriors(self, x: Values) -> Iterator[Any]:
        """q(z|x,c) of chunks of the rows, as they are without noise."""
        for batch in self.steady(x):
            yield self.setup.model.infer(batch)

    def steady(self, x: Values) -> Iterator[Batch]:
        """The rows as the model sees them, on its device and without noise."""
        return (self.setup.steady(batch.to(self.device)) for batch in self.batches(x))

    def seen(self, raw: Batch) -> Batch:
        """The rows through their views, random ones too, but nothing corrupted: they are shown as they were given."""
        return replace(self.setup.see(raw), shown=None)

    def bounded(self, x: Values, seed: int, watch: Watch | None) -> Iterator[Batch]:
        """The rows as the model sees them, refused if it has no log p(x).

        What a random view makes of them depends on the seed alone, so that every method is asked of the same data.
        """
        for number, stored in enumerate(watched(self.batches(x), watch)):
            reseed(self.device, derive(seed, "view", number))
            seen = self._with_bound(self.seen(stored.to(self.device)))
            reseed(self.device, derive(seed, "particles", number))
            yield seen

    def generated(self, model: Model, n: int, mean: bool) -> Values:
        """n draws from a model of the data's form, or the means of such."""
        show = rawdata.means if mean else rawdata.draws
        counts = [len(part) for part in torch.empty(n).split(ROWS_AT_ONCE)]
        px = (model.generate(count, c) for count, c in zip(counts, self.shown(counts)))
        return rawdata.joined([show(self.setup, self.spec, part) for part in px])

    def layout(self) -> codes.Layout:
        """How codes lie in a matrix, seen on a datum of least values, whatever it is told."""
        told = self.setup.condition
        one = self if told is None else replace(self, c=torch.zeros(1, told.variable.width, device=self.device))
        with torch.no_grad():
            return codes.Layout.of(codes.means(next(one.posteriors(self.lowest()))))

    def lowest(self) -> dict[str, Array]:
        """A datum of least values."""
        return {variable.name: np.full((1, *variable.shape), variable.low) for variable in self.spec.variables}

    def _with_bound(self, seen: Batch) -> Batch:
        """The batch, refused if the model has no log p(x)."""
        if not self.setup.model.trace(seen[:1], 1, self.setup.estimator).proper:
            raise InputError(
                "the model encodes to points, so there is no bound on log p(x); score rows by reconstruction with "
                "the verb anomaly (in Python: scores), or train a model whose posterior has a density, such as vae"
            )
        return seen
