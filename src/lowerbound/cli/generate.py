"""Verbs that make data or codes: sample, reconstruct, encode, decode."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.cli.drawing import comparison, picture
from lowerbound.cli.output import Output
from lowerbound.cli.selection import Which, arrays, first
from lowerbound.cli.verb import Answer, Flat, Named, OfRun, Switch

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.evaluation.rawdata import Values
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Sample(OfRun):
    """Draw new data: z from the prior, then the mean of p(x|z), or with --draw a draw of it."""

    count: int = 64
    """How many."""
    seed: int = 0
    """Fixes which."""
    draw: Switch = False
    """Draw x from p(x|z), with its noise, in place of its mean."""
    output: Flat[Output]

    def answer(self) -> Answer:
        self.output.check()
        model = self.open()
        x = columns(model, model.sample(self.count, self.seed, mean=not self.draw))
        self.output.write(x, lambda: picture(model, x))
        return written(self.output, count=self.count)


@final
@dataclass(frozen=True, kw_only=True)
class Reconstruct(OfRun):
    """Encode and decode data; in a picture each datum stands above its reconstruction."""

    count: int = 64
    """How many, from the first of the split."""
    rows: Flat[Which] = field(default=Which())
    output: Flat[Output]

    def answer(self) -> Answer:
        self.output.check()
        model = self.open()
        rows = self.rows.of(model)
        x = first(rows, self.count)
        found = columns(model, model.reconstruct(x))
        self.output.write(found, lambda: comparison(model, x, found))
        return written(self.output, count=min(self.count, rows.count))


@final
@dataclass(frozen=True, kw_only=True)
class Encode(OfRun):
    """Write the posterior mean of each datum, with its row number and its label if it has one."""

    rows: Flat[Which] = field(default=Which(split="all"))
    output: Flat[Output]

    def answer(self) -> Answer:
        self.output.check(pictures=False)
        model = self.open()
        rows = self.rows.of(model)
        z = model.encode(arrays(rows))
        labels = {} if rows.condition is None else {"label": rows.condition}
        self.output.write({"z": z, "row": rows.numbers, **labels})
        return written(self.output, count=len(z), latent=z.shape[1])


@final
@dataclass(frozen=True, kw_only=True)
class Decode(OfRun):
    """Turn codes into the means of p(x|z)."""

    codes: Named[Path]
    """A .npy file of codes, a row a datum, or the .npz or .parquet file that encode wrote."""
    output: Flat[Output]

    def answer(self) -> Answer:
        self.output.check()
        model = self.open()
        codes = read_codes(self.codes)
        x = columns(model, model.decode(codes))
        self.output.write(x, lambda: picture(model, x))
        return written(self.output, count=len(codes))


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


def written(output: Output, **facts: Any) -> Answer:
    """The answer of a verb whose result is a file."""
    return Answer({**facts, "out": str(output.out)}, f"wrote {output.out}")
