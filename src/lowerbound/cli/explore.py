"""Verbs that move in the space of codes: interpolate, traverse, attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

import tyro

from lowerbound.arguments import Count, conformed
from lowerbound.cli.condition import Condition
from lowerbound.cli.drawing import picture
from lowerbound.cli.generate import columns, listed, made, opened
from lowerbound.cli.output import Output, refuse_ending, refuse_existing
from lowerbound.cli.selection import Which, arrays, few, labelled, labels, numbered, one
from lowerbound.cli.verb import Answer, Flat, OfRun
from lowerbound.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.rows import Rows
    from lowerbound.evaluation.attributes import Direction
    from lowerbound.evaluation.rawdata import Values
    from lowerbound.evaluation.traversals import Traversal
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Interpolate(OfRun):
    """Go from one datum to another along a path between their codes, from a text to another text by way of others.

    A model that is told something is told the condition of the one at the start and of the other at the end, and what
    lies between on the way.
    """

    start: Annotated[int | None, tyro.conf.arg(name="from")] = None
    """Row of the split (from 0) at which to start."""
    end: Annotated[int | None, tyro.conf.arg(name="to")] = None
    """Row of the split at which to end."""
    between: tuple[str, str] | None = None
    """Two texts of your own, in place of rows."""
    steps: int = 10
    """Data on the path, its ends included."""
    kind: Literal["linear", "spherical"] = "spherical"
    """The straight line, or the arc on which the prior has its mass."""
    rows: Flat[Which] = field(default=Which())
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        model = opened(self, self.output)
        told, a, b = self._ends(model)
        x = columns(model, told.interpolate(a, b, self.steps, self.kind))
        self.output.write(x, lambda: picture(model, x, across=self.steps))
        return made(self.output, x, count=self.steps)

    def _ends(self, model: Fitted) -> tuple[Fitted, Values, Values]:
        """The model, told what it is to be, and the data between which to go."""
        import numpy as np

        if self.between is None:
            ends = numbered(self.rows.of(model), *self._numbers())
            return self.condition.tell(model, ends), one(ends, 0), one(ends, 1)
        if self.start is not None or self.end is not None:
            raise InputError("say where to go between: two rows (--from, --to) or two texts (--between)")
        a, b = map(np.array, self.between)
        return self.condition.tell(model), a, b

    def _numbers(self) -> tuple[int, int]:
        if self.start is None or self.end is None:
            raise InputError("say where to go: from one row of the split to another (--from, --to)")
        return self.start, self.end


@final
@dataclass(frozen=True, kw_only=True)
class Traverse(OfRun):
    """Let one dimension of a code run over its range while the others stay: a row of the picture for each dimension.

    The range is that of the split's own codes, so it suits codes of any scale.
    """

    row: int | None = None
    """Row of the split (from 0) whose code is left; without one, the mean code."""
    dims: tuple[int, ...] | None = None
    """Which dimensions (from 0); by default the ten whose codes vary most over the split."""
    steps: int = 9
    """Data in a row."""
    reach: float = 2.0
    """How far each way, in standard deviations of the dimension."""
    rows: Flat[Which] = field(default=Which())
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        model = opened(self, self.output)
        rows = self.rows.of(model)
        spread = self.condition.tell(model, rows).spread(arrays(rows))
        left = None if self.row is None else numbered(rows, self.row)
        start = None if left is None else one(left)
        found = self.condition.tell(model, left).traverse(spread, start, self.dims, self.steps, self.reach)
        x = {name: listed(values) for name, values in columns(model, found.x).items()}
        table = {**x, **places(found)}
        self.output.write(table, lambda: picture(model, x, across=self.steps))
        return made(self.output, table, dims=list(found.dims), values=found.values.tolist())


@final
@dataclass(frozen=True, kw_only=True)
class Attributes(OfRun):
    """Move data along the direction from one labelled group to another, the difference of the groups' mean codes.

    The direction is found on the training split and shown on rows of the group that it leaves: in a picture each row
    is a datum, from its reconstruction on the left to the full strength on the right. auroc is how well the direction
    alone tells the two groups of the split apart; 0.5 is chance.
    """

    target: Annotated[str | None, tyro.conf.arg(name="to")] = None
    """Label of the group to move to."""
    origin: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Label of the group to come from; by default all others."""
    use: Path | None = None
    """A direction kept before, in place of labels."""
    keep: Path | None = None
    """Also keep the direction in this .json file."""
    count: int = 8
    """Data to move, from the first of the split."""
    strength: float = 1.0
    """How far in the end: 1 is from the one mean to the other, less than 0 leads away."""
    steps: int = 6
    """Data in a row."""
    rows: Flat[Which] = field(default=Which())
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        self._check()
        model = opened(self, self.output)
        rows = self.rows.of(model)
        along = self._direction(model)
        left, strengths = few(leaving(rows, along), self.count), evenly(self.strength, self.steps)
        shown = moved(self.condition.tell(model, left), arrays(left), along, strengths)
        self.output.write(shown, lambda: picture(model, shown, across=self.steps))
        if self.keep:
            along.save(self.keep)
        facts = {"from": along.origin, "to": along.target, "counts": list(along.counts), "strengths": strengths}
        return made(self.output, shown, **facts, auroc=self._separation(model, rows, along))

    def _check(self) -> None:
        conformed("steps", self.steps, Count)
        if (self.target is None) == (self.use is None):
            raise InputError("say where to go: the label of a group (--to) or a direction kept before (--use)")
        if self.keep is not None:
            refuse_ending(self.keep, (".json",))
            refuse_existing(self.keep, self.output.force)

    def _direction(self, model: Fitted) -> Direction:
        from lowerbound.evaluation.attributes import Direction

        if self.use is not None:
            return Direction.load(self.use)
        rows = model.rows(self.rows.data, "train")
        return self.condition.tell(model, rows).attribute(arrays(rows), labels(rows), self.target, self.origin)

    def _separation(self, model: Fitted, rows: Rows, along: Direction) -> float | None:
        """The area under the ROC curve of the codes' places along the direction; None without rows of both groups."""
        if not labelled(rows):
            return None
        groups = leaving(rows, along), rows.where(labels(rows) == along.target)
        codes = [self.condition.tell(model, group).encode(arrays(group)) for group in groups if group.count]
        return along.separation(*codes) if len(codes) == 2 else None


def places(found: Traversal) -> dict[str, np.ndarray]:
    """The dimension and the value that each datum of a traversal stands for."""
    import numpy as np

    return {"dim": np.repeat(found.dims, found.values.shape[1]), "value": found.values.reshape(-1)}


def evenly(strength: float, steps: int) -> list[float]:
    """Strengths from 0 to the full one; the full one alone for a single step.

    >>> evenly(1.0, 3), evenly(2.0, 1)
    ([0.0, 0.5, 1.0], [2.0])
    """
    return [strength * step / (steps - 1) for step in range(steps)] if steps > 1 else [strength]


def moved(model: Fitted, x: dict[str, np.ndarray], along: Direction, strengths: list[float]) -> dict[str, np.ndarray]:
    """Each datum at each strength, one after the other."""
    import numpy as np

    found = [columns(model, model.shift(x, along, strength)) for strength in strengths]
    return {name: listed(np.stack([each[name] for each in found], 1)) for name in found[0]}


def leaving(rows: Rows, along: Direction) -> Rows:
    """The rows of the group that the direction leaves, as far as these are labelled."""
    if not labelled(rows):
        return rows
    names = labels(rows)
    found = rows.where(names == along.origin if along.origin in names else names != along.target)
    if not found.count:
        raise InputError("the split has no row of the group that the direction leaves; choose another split (--split)")
    return found
