"""Verbs that make data or codes: sample, reconstruct, encode, decode."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.cli.condition import Condition
from lowerbound.cli.drawing import comparison, picture
from lowerbound.cli.output import Output, lines, records
from lowerbound.cli.selection import Which, arrays, few
from lowerbound.cli.verb import Answer, Flat, Named, OfRun, Switch
from lowerbound.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.evaluation.rawdata import Values
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Sample(OfRun):
    """Draw new data: z from the prior, then the mean of p(x|z), or with --draw a draw of it.

    A model that is told something (recipe cvae) is told what --label, --text or --like say; without, nothing, if it was
    trained to do without. --each draws under every label in turn. Where no picture is told, --like picture.png asks for
    data like that one: z is drawn from its posterior in place of the prior, of a model told labels under the --label.
    """

    count: int | None = None
    """How many; by default 64, or with --each 10 of each label."""
    each: Switch = False
    """So many of each label: in a picture a row for a label, and down a column one draw of z."""
    seed: int = 0
    """Fixes which."""
    draw: Switch = False
    """Draw x from p(x|z), with its noise, in place of its mean."""
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        if self.each and self.condition.said:
            raise InputError("say either what is told (--label, --text, --like) or that every label is (--each)")
        model = opened(self, self.output)
        return self._each(model) if self.each else self._all(model)

    def _all(self, model: Fitted) -> Answer:
        count = 64 if self.count is None else self.count
        x = columns(model, self._like(model, count) if self._varied(model) else self._new(model, count))
        self.output.write(x, lambda: picture(model, x))
        return made(self.output, x, count=count)

    def _new(self, model: Fitted, count: int) -> Values:
        return self.condition.tell(model).sample(count, self.seed, mean=not self.draw)

    def _varied(self, model: Fitted) -> bool:
        """Whether data like that in a file are asked for, which the model is not told."""
        from lowerbound.data.pictures import ENDINGS

        about, like = model.setup.condition and model.setup.condition.variable, self.condition.like
        if like is None or about is None:
            return like is not None
        return about.kind == "category" or (about.kind == "real" and like.suffix.lower() in ENDINGS)

    def _like(self, model: Fitted, count: int) -> Values:
        from lowerbound.evaluation.likeness import read_datum
        from lowerbound.evaluation.making import changed

        about, said = model.spec.variables[0], replace(self.condition, like=None)
        x = read_datum(about, self.condition.like or Path())
        found = said.tell(model).variations({about.name: x}, count, self.seed, mean=not self.draw)
        return changed(found, listed)

    def _each(self, model: Fitted) -> Answer:
        import numpy as np

        count = 10 if self.count is None else self.count
        x = {
            name: listed(made)
            for name, made in columns(model, model.sample_each(count, self.seed, not self.draw)).items()
        }
        names = model.labels
        labelled = {**x, "label": np.repeat(names, count)}
        self.output.write(labelled, lambda: picture(model, x, across=count))
        return made(self.output, labelled, count=count * len(names), labels=list(names))


@final
@dataclass(frozen=True, kw_only=True)
class Reconstruct(OfRun):
    """Encode and decode data; in a picture each datum stands above its reconstruction, of a text after it."""

    count: int = 64
    """How many, from the first of the split."""
    rows: Flat[Which] = field(default=Which())
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        model = opened(self, self.output)
        rows = few(self.rows.of(model), self.count)
        x = arrays(rows)
        found = columns(model, self.condition.tell(model, rows).reconstruct(x))
        table = {**found, **originals(model, x)}
        self.output.write(table, lambda: comparison(model, x, found))
        return made(self.output, table, count=rows.count)


@final
@dataclass(frozen=True, kw_only=True)
class Encode(OfRun):
    """Write the posterior mean of each datum, with its row number and its label if it has one."""

    rows: Flat[Which] = field(default=Which(split="all"))
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        self.output.check(pictures=False)
        model = self.open()
        rows = self.rows.of(model)
        z = self.condition.tell(model, rows).encode(arrays(rows))
        labels = {} if rows.condition is None else {"label": rows.condition}
        self.output.write({"z": z, "row": rows.numbers, **labels})
        return written(self.output, count=len(z), latent=z.shape[1])


@final
@dataclass(frozen=True, kw_only=True)
class Decode(OfRun):
    """Turn codes into the means of p(x|z)."""

    codes: Named[Path]
    """A .npy file of codes, a row a datum, or the .npz or .parquet file that encode wrote."""
    condition: Flat[Condition] = field(default=Condition())
    output: Flat[Output]

    def answer(self) -> Answer:
        model = opened(self, self.output)
        codes = read_codes(self.codes)
        x = columns(model, self.condition.tell(model).decode(codes))
        self.output.write(x, lambda: picture(model, x))
        return made(self.output, x, count=len(codes))


def read_codes(path: Path) -> np.ndarray:
    """Codes from a file of their own or from one that encode wrote, where they are "z" or z0, z1, …"""
    from lowerbound.data.files import read_path

    raw = read_path(path)
    if raw.columns is None:
        return raw.arrays.get("z", next(iter(raw.arrays.values())))
    chosen = [number for number, name in enumerate(raw.columns) if re.fullmatch(r"z\d+", name)]
    return raw.arrays["x"][:, chosen or slice(None)]


def columns(model: Fitted, values: Values) -> dict[str, np.ndarray]:
    """Arrays by variable, whether the model has one variable or several."""
    return dict(values) if isinstance(values, Mapping) else {model.spec.variables[0].name: values}


def opened(verb: OfRun, output: Output) -> Fitted:
    """The model of a verb whose result is data, written as such data can be."""
    from lowerbound.data.text.vocabulary import is_text

    model = verb.open()
    output.check_for(is_text(model.spec.variables[0]))
    return model


def originals(model: Fitted, x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What stood for texts before, to be read beside what was made of it; nothing for other data."""
    from lowerbound.data.text.vocabulary import is_text
    from lowerbound.evaluation.rawdata import in_texts

    return {f"{v.name}_original": in_texts(x[v.name], v) for v in model.spec.variables if is_text(v)}


def listed(values: np.ndarray) -> np.ndarray:
    """Rows of several, (R, S, ...), as one list, (R·S, ...)."""
    return values.reshape(-1, *values.shape[2:])


def written(output: Output, **facts: Any) -> Answer:
    """The answer of a verb whose result is a file."""
    return Answer({**facts, "out": str(output.out)}, f"wrote {output.out}")


def made(output: Output, table: Mapping[str, np.ndarray], **facts: Any) -> Answer:
    """The answer of a verb whose result is a file, or texts that are printed."""
    if not output.printed:
        return written(output, **facts)
    return Answer({**facts, "texts": records(table)}, "\n".join(lines(table)))
