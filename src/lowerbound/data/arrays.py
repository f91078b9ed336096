"""Arrays, tensors, mappings of them and map-style `torch` Datasets, decoded to `Raw`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.checks import checked_array
from lowerbound.data.raw import Raw, shown
from lowerbound.data.store import allocate
from lowerbound.errors import InputError


def read_arrays(source: Mapping[str, Any], label: str | None = None, place: str = "the mapping") -> Raw:
    """Several observed variables by name; the one named `label` is what to condition on.

    >>> raw = read_arrays({"x": np.zeros((3, 2)), "y": np.arange(3)}, label="y")
    >>> list(raw.arrays), raw.labels
    (['x'], array([0, 1, 2]))
    """
    arrays = {str(name): as_array(values, f"{place}, {shown(name)!r}") for name, values in source.items()}
    if label is not None and label not in arrays:
        names = ", ".join(shown(name) for name in arrays)
        raise InputError(f"{place} has no array {shown(label)!r} for labels; choose one of: {names}")
    labels = None if label is None else arrays.pop(label)
    if not arrays:
        raise InputError(f"{place} holds no array to model; give at least one beside the labels")
    checked = {name: checked_array(place, name, values) for name, values in arrays.items()}
    return Raw(shown(place), place, checked, labels=labels)


def as_array(values: Any, place: str) -> np.ndarray:
    """An array, a tensor or nested numbers as a numpy array; ragged rows are refused."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        return values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError:
        raise InputError(f"{place} has rows of different shapes; give every row the same shape") from None


def read_map_style(source: Any, place: str = "the Dataset") -> Raw:
    """A map-style `torch` Dataset whose items are arrays, (array, label) pairs, or mappings of names to arrays.

    Each item is decoded once: into memory, or, when they do not fit, into an unnamed file mapped into memory.
    """
    if len(source) == 0:
        raise InputError(f"{place} is empty; give at least one row")
    first, has_label = _item(source, 0, place)
    arrays = {name: allocate((len(source), *value.shape), value.dtype) for name, value in first.items()}
    labels = []
    for row in range(len(source)):
        item, label = _item(source, row, place)
        _refuse_unlike(place, row, item, first)
        for name, value in item.items():
            arrays[name][row] = value
        labels.append(label)
    checked = {name: checked_array(place, name, values) for name, values in arrays.items()}
    return Raw(place, place, checked, labels=None if has_label is None else as_array(labels, place))


def _item(source: Any, row: int, place: str) -> tuple[dict[str, np.ndarray], Any]:
    item, label = source[row], None
    if isinstance(item, tuple | list) and len(item) == 2:
        item, label = item
        label = label.tolist() if isinstance(label, Tensor | np.ndarray) else label
    named = item if isinstance(item, Mapping) else {"x": item}
    return {str(name): as_array(value, f"{place}, row {row} (from 0)") for name, value in named.items()}, label


def _refuse_unlike(place: str, row: int, item: dict[str, np.ndarray], first: dict[str, np.ndarray]) -> None:
    shapes = {name: value.shape for name, value in item.items()}
    wanted = {name: value.shape for name, value in first.items()}
    if shapes != wanted:
        raise InputError(
            f"{place}, row {row} (from 0) has shape {shapes}, but row 0 has {wanted}; give every row the same"
        )
