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
    return arrays(few(rows, count))


def few(rows: Rows, count: int) -> Rows:
    """The first rows, at least one."""
    return rows.where(slice(conformed("count", count, Count)))


def numbered(rows: Rows, *numbers: int) -> Rows:
    """The rows of these numbers."""
    for number in numbers:
        if not 0 <= number < rows.count:
            raise InputError(f"the split has rows 0 to {rows.count - 1}, and no row {number}")
    import numpy as np

    return rows.where(np.array(numbers))


def one(rows: Rows, number: int = 0) -> dict[str, np.ndarray]:
    """One datum."""
    return {name: values[0] for name, values in arrays(numbered(rows, number)).items()}


def labelled(rows: Rows) -> bool:
    """Whether each row has one label."""
    about = rows.spec.condition
    return about is not None and about.kind == "category" and not about.shape


def labels(rows: Rows) -> np.ndarray:
    """What each row is labelled, in words, (count,).

    Raises:
        InputError: data without labels.
    """
    import numpy as np

    about = rows.spec.condition
    if about is None or not labelled(rows):
        raise InputError(f"{rows.spec.name!r} has no labels; give data with one for each row")
    names = about.labels or tuple(map(str, range(about.levels or 0)))
    found: np.ndarray = np.array(names)[rows.condition]
    return found


def marked(rows: Rows, label: str) -> np.ndarray:
    """Which rows bear the label, (count,); a label that none of the data can bear is refused."""
    found = labels(rows)
    about = rows.spec.condition
    if about and about.labels and label not in about.labels:
        raise InputError(f"{rows.spec.name!r} has no label {label!r}; its labels are: {', '.join(about.labels)}")
    marks: np.ndarray = found == label
    return marks
