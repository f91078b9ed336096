"""The verb translate: one variable of a datum told from others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

import tyro

from lowerbound.arguments import Count, conformed
from lowerbound.cli.drawing import is_picture
from lowerbound.cli.generate import written
from lowerbound.cli.output import Output
from lowerbound.cli.selection import Which, first
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch
from lowerbound.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.spec import Variable
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Translate(OfRun):
    """Tell one variable of each datum from others: a picture from another, the right half from the left.

    For each translation z is drawn anew from what the given variables say, and the mean of p(x|z) is written, or with
    --draw a draw of it. A file need hold no more than what is given. In a picture each row is a datum and then its
    translations.
    """

    given: Annotated[tuple[str, ...], tyro.conf.arg(name="from")]
    """The variables to go by."""
    to: str
    """The variable to tell."""
    count: int = 64
    """How many data, from the first."""
    each: int = 1
    """Translations of each."""
    draw: Switch = False
    """Draw x from p(x|z), with its noise, in place of its mean."""
    seed: int = 0
    """Fixes the draws."""
    rows: Flat[Which] = field(default=Which())
    output: Flat[Output]

    def answer(self) -> Answer:
        self.output.check()
        model = self.open()
        x = self._shown(model)
        found = model.translate(x, self.given, self.to, self.each, self.seed, mean=not self.draw)
        columns = {self.to: found[:, 0] if self.each == 1 else found}
        self.output.write(columns, lambda: _picture(model, x, self.given, self.to, found))
        return written(self.output, count=len(found), each=self.each)

    def _shown(self, model: Fitted) -> dict[str, np.ndarray]:
        """What to go by: of a file what it holds, else the rows of a data set."""
        import numpy as np

        from lowerbound.data.dataset import read
        from lowerbound.data.sources import SOURCES

        if self.rows.data is None or self.rows.data in SOURCES:
            return first(self.rows.of(model), self.count)
        arrays = dict(read(Path(self.rows.data)).arrays)
        if len(arrays) == len(self.given) == 1:
            arrays = dict(zip(self.given, arrays.values()))
        count = conformed("count", self.count, Count)
        return {name: np.array(values[:count]) for name, values in arrays.items()}


def _picture(model: Fitted, x: dict[str, np.ndarray], given: tuple[str, ...], to: str, found: np.ndarray) -> np.ndarray:
    """Each datum's given pictures, where they are as large as what is told, and then its translations."""
    import numpy as np

    from lowerbound import plots

    target = model.spec.variable(to)
    if not is_picture(target.shape):
        raise InputError(f"rows of {to!r} have shape {target.shape} and are no pictures; write .npy, .npz or .parquet")
    alike = [model.spec.variable(name) for name in given if model.spec.variable(name).shape == target.shape]
    shown = [_scaled(x[variable.name], variable)[:, None] for variable in alike]
    page = np.concatenate([*shown, _scaled(found, target)], axis=1)
    return plots.paths(page, 0, 1)


def _scaled(values: np.ndarray, variable: Variable) -> np.ndarray:
    """Values brought to [0, 1] by the variable's range."""
    found: np.ndarray = (values - variable.low) / (variable.high - variable.low)
    return found
