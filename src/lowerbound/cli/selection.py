"""Which data a verb looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lowerbound.arguments import Count, conformed
from lowerbound.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.rows import Rows
    from lowerbound.fitted import Fitted


@dataclass(frozen=True)
class Which:
    """Which data."""

    data: str | None = None
    """A file, a folder of pictures or a named data set; by default what the run was trained on."""
    split: Literal["train", "validation", "test", "all"] = "test"
    """Which part of them."""

    def of(self, model: Fitted) -> Rows:
        """The rows, checked to be such as the model was made for."""
        return model.rows(self.data, self.split)


def arrays(rows: Rows) -> dict[str, np.ndarray]:
    """The stored values of each variable."""
    return {variable.name: rows.array(variable.name) for variable in rows.spec.variables}


def first(rows: Rows, count: int) -> dict[str, np.ndarray]:
    """The same of the first rows, at least one."""
    count = conformed("count", count, Count)
    return {name: values[:count] for name, values in arrays(rows).items()}


def one(rows: Rows, number: int) -> dict[str, np.ndarray]:
    """One datum."""
    if not 0 <= number < rows.count:
        raise InputError(f"the split has rows 0 to {rows.count - 1}, and no row {number}")
    return {name: values[number] for name, values in arrays(rows).items()}
