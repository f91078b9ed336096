"""What a user says a model is to be told, as it is stored: names to codes, texts to vectors, one row or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.conditioning import Conditions
from lowerbound.data.raw import shown
from lowerbound.data.spec import Variable
from lowerbound.errors import InputError


def stored(variable: Variable, condition: Any) -> Tensor:
    """One condition or several, as `Batch.c` holds them, (R, W).

    condition: of labels one, as the data have it (a name or a number), or a sequence of them; of several labels to a
    row, their codes (D,) or (R, D); of vectors and pictures one array or several.

    Raises:
        InputError: what the data have no such label, or no condition of that shape, for.

    >>> stored(Variable("label", "category", (), 0, 2, levels=3, labels=("ant", "bee", "cat")), "bee")
    tensor([[0., 1., 0.]])
    """
    values = _codes(variable, condition) if variable.labels else _array(variable, condition)
    found = Conditions(variable, values, torch.device("cpu")).at(torch.arange(len(values)))
    assert found is not None
    return found


def _codes(variable: Variable, condition: Any) -> np.ndarray:
    given = condition if _several(condition) else [condition]
    if not len(given):
        raise InputError("no condition is given; give one for all rows, or one a row")
    return np.array([_code(variable, each) for each in given])


def _several(condition: Any) -> bool:
    return isinstance(condition, Sequence | np.ndarray | Tensor) and not isinstance(condition, str)


def _code(variable: Variable, label: Any) -> int:
    names, name = variable.labels or (), str(label.item() if isinstance(label, np.generic | Tensor) else label)
    if name not in names:
        raise InputError(f"no datum is labelled {shown(name)!r}; choose one of: {', '.join(map(shown, names))}")
    return names.index(name)


def _array(variable: Variable, condition: Any) -> np.ndarray:
    values = as_array(condition, "the condition")
    rows = values[None] if values.shape == variable.shape else values
    if rows.shape[1:] != variable.shape or not len(rows):
        raise InputError(
            f"the condition is of shape {values.shape}, but the model is told {variable.shape} a datum; "
            "give that, or rows of it"
        )
    if rows.dtype.kind not in "biuf" or not np.isfinite(rows).all():
        raise InputError("the condition has NaN, infinite values or no numbers; give finite ones")
    if variable.kind != "real" and not variable.low <= rows.min() <= rows.max() <= variable.high:
        raise InputError(f"the condition is outside {variable.low:g} to {variable.high:g}; bring it to that range")
    return rows.astype(np.float32 if variable.kind == "real" else np.int64)
