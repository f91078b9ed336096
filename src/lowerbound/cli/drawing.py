"""Pictures of a model's data on the scale of its first variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.spec import Variable
    from lowerbound.fitted import Fitted


def picture(model: Fitted, x: Mapping[str, np.ndarray], across: int | None = None) -> np.ndarray:
    """A grid, `across` in a row."""
    from lowerbound import plots

    v = model.spec.variables[0]
    return plots.grid(_upright(v, x[v.name]), v.low, v.high, across)


def comparison(model: Fitted, x: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Each datum above what was made of it."""
    from lowerbound import plots

    v = model.spec.variables[0]
    return plots.pairs(_upright(v, x[v.name]), _upright(v, found[v.name]), v.low, v.high)


def _upright(v: Variable, values: np.ndarray) -> np.ndarray:
    """Spectrograms with high frequencies at the top; other pictures as they are."""
    return values[:, ::-1] if (v.form or "").startswith("sound:") else values


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether a datum of this shape can be drawn: (H, W), (H, W, 1) or (H, W, 3).

    >>> is_picture((28, 28)), is_picture((28, 28, 3)), is_picture((784,))
    (True, True, False)
    """
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
