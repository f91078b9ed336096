"""Arrays of the user's on their way into a model, and a model's distributions on their way out to arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from lowerbound.core import Batch
from lowerbound.core.evidence import Pinned
from lowerbound.data.arrays import as_array
from lowerbound.data.checks import checked_array, checked_values
from lowerbound.data.describe import kept
from lowerbound.data.missing import incomplete, masked
from lowerbound.data.raw import Raw
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.text.vocabulary import Vocabulary, is_text
from lowerbound.data.texts import coded, holds_texts
from lowerbound.errors import InputError
from lowerbound.recipes.registry import Setup

Array = np.ndarray

Values = Array | Mapping[str, Array]
"""An array with a row a datum; for a model of several variables, an array for each by name."""

ROWS_AT_ONCE = 256
"""Data looked at in one go. A constant, because draws are seeded once for each such chunk."""


def batches(spec: DataSpec, x: object, c: Tensor | None = None) -> list[Batch]:
    """The rows, checked against the description of the training data, as batches of stored values.

    x: an array with a row a datum; where the model has several variables, an array for each by name. c: a stored
    condition for all of them (1, W), or one a row.

    Raises:
        InputError: a variable is missing, of another shape, not of the variable's kind, or rows do not match.
    """
    stored = {name: torch.from_numpy(array) for name, array in checked(spec, x).items()}
    values, mask = masked(stored, incomplete(spec))
    whole = Batch(values, mask=mask)
    whole = replace(whole, c=each_row(c, whole.size))
    return [whole[start : start + ROWS_AT_ONCE] for start in range(0, whole.size, ROWS_AT_ONCE)]


def each_row(c: Tensor | None, rows: int) -> Tensor | None:
    """A condition for each of so many rows, of one for all (1, W) or of as many; None stays."""
    if c is None or len(c) == rows:
        return c
    if len(c) > 1:
        raise InputError(f"{len(c):,} conditions are given for {rows:,} rows; give one for all, or one a row")
    return c.expand(rows, -1)


def checked(spec: DataSpec, x: object) -> dict[str, Array]:
    """The arrays by variable, in the type in which such data are stored; see `batches`."""
    named = x if isinstance(x, Mapping) else {spec.variables[0].name: x}
    missing = [variable.name for variable in spec.variables if variable.name not in named]
    if missing:
        raise InputError(f"the model needs the variable {missing[0]!r}; give a mapping of names to arrays")
    stored = {v.name: checked_variable(v, named[v.name]) for v in spec.variables}
    if len({len(array) for array in stored.values()}) > 1:
        raise InputError("the variables differ in their number of rows; give each the same")
    return stored


def checked_variable(variable: Variable, values: object) -> Array:
    """One variable's rows, in the type in which they are stored; with NaN only if values of it may be missing.

    >>> checked_variable(Variable("x", "byte", (2,), 0, 16, levels=17), [[0.0, 16.0]])
    array([[ 0, 16]], dtype=uint8)
    """
    place, given = "the array", as_array(values, "the array")
    if is_text(variable) and holds_texts(given):
        return coded(given, variable)
    array = checked_array(place, variable.name, given)
    if array.shape[1:] != variable.shape:
        raise InputError(
            f"{place} {variable.name!r} has rows of shape {array.shape[1:]}, but the model was made for rows of shape "
            f"{variable.shape}; one datum alone needs a first dimension of 1"
        )
    if not variable.missing and np.isnan(array).any():
        raise InputError(f"{place} {variable.name!r} has NaN, and the model is of whole rows; fill them in with impute")
    raw = Raw(place, place, {variable.name: array}, columns=variable.columns, levels=variable.levels or 256)
    return kept(array, *checked_values(raw, variable.name, variable.kind, variable.missing))


def means(setup: Setup, spec: DataSpec, px: Mapping[str, Distribution]) -> dict[str, Array]:
    """E[x|z] of each variable on the scale of the data; of a category the most probable code, of a text the text."""
    values = {v.name: to_array(setup.views[v.name].inverse(typical(px[v.name], v))) for v in spec.variables}
    return {v.name: in_texts(values[v.name], v) for v in spec.variables}


def draws(setup: Setup, spec: DataSpec, px: Mapping[str, Distribution]) -> dict[str, Array]:
    """A draw of each variable on the scale and in the type of the data."""
    values = {v.name: _stored(setup.views[v.name].inverse(px[v.name].sample()), v) for v in spec.variables}
    return {v.name: in_texts(values[v.name], v) for v in spec.variables}


def in_texts(values: Array, variable: Variable) -> Array:
    """Codes (..., L) of a text as texts (...); other values as they are."""
    return Vocabulary.by(variable).decode(values) if is_text(variable) else values


def typical(d: Distribution, variable: Variable) -> Tensor:
    """The most probable code where codes have no order, else the mean."""
    return d.mode if variable.kind == "category" else expected(d)


def expected(d: Distribution) -> Tensor:
    """E[x], also for symbols 0 … n−1, whose mean torch leaves undefined.

    >>> expected(Categorical(torch.tensor([[0.5, 0.0, 0.5]])))
    tensor([1.])
    """
    if isinstance(d, Independent):
        return expected(d.base_dist)
    if isinstance(d, Pinned):
        return d.known_or(expected(d.base))
    if isinstance(d, Categorical):
        return (d.probs * torch.arange(d.probs.shape[-1], device=d.probs.device)).sum(-1)
    return d.mean


def to_array(values: Tensor) -> Array:
    """A tensor on any device as an array."""
    return values.cpu().numpy()


def device_of(setup: Setup) -> torch.device:
    """Where the model's weights are; the host if it has none."""
    return next((parameter.device for parameter in setup.model.parameters()), torch.device("cpu"))


def _stored(values: Tensor, variable: Variable) -> Array:
    integers = {"binary": np.uint8, "byte": np.uint8, "count": np.int64, "category": np.int64}
    return to_array(values).round().astype(integers[variable.kind]) if variable.kind in integers else to_array(values)


def one_row(datum: Values) -> Values:
    """A datum, without a dimension of rows, as the one row of data."""
    if isinstance(datum, Mapping):
        return {name: np.asarray(values)[None] for name, values in datum.items()}
    return as_array(datum, "the datum")[None]


def joined(parts: list[dict[str, Array]]) -> Array | dict[str, Array]:
    """Chunks one after another; the array itself where there is one variable."""
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return next(iter(whole.values())) if len(whole) == 1 else whole
