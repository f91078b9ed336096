"""What a user says a model is to be told, as it is stored: names to codes, texts to vectors, one row or many."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.conditioning import Conditions
from lowerbound.data.raw import shown
from lowerbound.data.rows import Rows
from lowerbound.data.spec import Variable
from lowerbound.data.text import encoder, read_captions
from lowerbound.errors import InputError

Array = np.ndarray


class UnknownWords(UserWarning):
    """A text has words that its encoder makes nothing of."""


def stored(variable: Variable, condition: Any) -> Tensor:
    """One condition or several, as `Batch.c` holds them, (R, W).

    condition: of labels one, as the data have it (a name or a number), or a sequence of them; of several labels to a
    row their codes, (D,) or (R, D), or a mapping of each column to its code or codes; of vectors and pictures one array
    or several; of a condition that was text also a text or several. Words that the text encoder does not know are told
    in a warning.

    Raises:
        InputError: what the data have no such label, or no condition of that shape, for.

    >>> stored(Variable("label", "category", (), 0, 2, levels=3, labels=("ant", "bee", "cat")), "bee")
    tensor([[0., 1., 0.]])
    >>> stored(Variable("c", "category", (2,), 0, 1, levels=2, columns=("size", "hue")), {"hue": [0, 1], "size": 1})
    tensor([[0., 1., 1., 0.],
            [0., 1., 0., 1.]])
    """
    each = values(variable, condition)
    found = Conditions(variable, each, torch.device("cpu")).at(torch.arange(len(each)))
    assert found is not None
    return found


def own(variable: Variable, rows: Rows) -> Array | None:
    """What each row's own condition is to a model that is told `variable`; None where the rows have none such.

    Labels go by their names, for data of other rows may give them other codes.

    Raises:
        InputError: the model knows some of the labels but not all.
    """
    about, found = rows.spec.condition, rows.condition
    if about is None or found is None:
        return None
    if variable.labels is None or about.labels is None:
        return found if alike(variable, about) else None
    return np.array(about.labels)[found] if set(variable.labels) & set(about.labels) else None


def alike(variable: Variable, about: Variable | None) -> bool:
    """Whether conditions of the one description are stored as those of the other."""
    told = ("kind", "shape", "levels", "labels", "columns", "encoder")
    return about is not None and all(getattr(variable, each) == getattr(about, each) for each in told)


def put(rows: Rows, c: Tensor | None) -> Rows:
    """The rows under these conditions, as stored (count, W), in place of their own; or under none."""
    if c is None:
        return rows.under(None, None)
    return rows.under(Variable("condition", "real", (c.shape[1],), 0, 1), c.cpu().numpy())


def values(variable: Variable, condition: Any) -> Array:
    """The same as data keep it: codes (R,) or (R, D), vectors (R, D) or pictures; see `stored`."""
    if variable.labels:
        return _codes(variable, condition)
    if isinstance(condition, Mapping):
        return _array(variable, _side_by_side(variable, condition))
    return _array(variable, _embedded(variable, condition) if _is_text(condition) else condition)


def _codes(variable: Variable, condition: Any) -> Array:
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


def _side_by_side(variable: Variable, condition: Mapping[str, Any]) -> Array:
    """The codes (D,) of several labels to a row by column, or (R, D)."""
    columns = variable.columns or ()
    if set(condition) != set(columns):
        known = f"each of: {', '.join(map(shown, columns))}" if columns else "an array, for it has no named columns"
        raise InputError(f"the model is not told {', '.join(map(shown, condition)) or 'nothing'} alone; give {known}")
    codes = [as_array(condition[name], f"the labels {shown(name)!r}") for name in columns]
    try:
        return np.stack(np.broadcast_arrays(*codes), -1)
    except ValueError:
        raise InputError("the columns of the condition differ in length; give each the same, or one value") from None


def _is_text(condition: Any) -> bool:
    return isinstance(condition, str) or (_several(condition) and any(isinstance(each, str) for each in condition))


def _embedded(variable: Variable, condition: Any) -> Array:
    """A text's vector, or several texts', by the encoder that made those of the data."""
    if variable.encoder is None:
        raise InputError(f"the model is told no texts but {_told(variable)}; give that")
    texts = [condition] if isinstance(condition, str) else [str(each) for each in condition]
    found = read_captions(encoder(variable.encoder), np.array(texts))
    if found.unknown.captions:
        warnings.warn(str(found.unknown), UnknownWords, stacklevel=2)
    return found.vectors


def _told(variable: Variable) -> str:
    """What the model is told, in words."""
    if variable.kind == "category":
        return f"the codes of {', '.join(variable.columns)}" if variable.columns else "labels"
    return f"{'pictures' if variable.kind == 'byte' else 'vectors'} of shape {variable.shape}"


def _array(variable: Variable, condition: Any) -> Array:
    given = as_array(condition, "the condition")
    rows = given[None] if given.shape == variable.shape else given
    if rows.shape[1:] != variable.shape or not len(rows):
        raise InputError(
            f"the condition is of shape {given.shape}, but the model is told {variable.shape} a datum; "
            "give that, or rows of it"
        )
    _refuse_strange(variable, rows)
    return rows.astype(np.float32 if variable.kind == "real" else np.int64)


def _refuse_strange(variable: Variable, rows: Array) -> None:
    if rows.dtype.kind not in "biuf" or not np.isfinite(rows).all():
        raise InputError("the condition has NaN, infinite values or no numbers; give finite ones")
    if variable.kind == "real":
        return
    if not variable.low <= rows.min() <= rows.max() <= variable.high:
        raise InputError(f"the condition is outside {variable.low:g} to {variable.high:g}; bring it to that range")
    if (rows != np.round(rows)).any():
        raise InputError("the condition has fractions, and the model is told whole numbers; round them")
