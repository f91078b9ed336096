"""Arrays, tensors, mappings of them and map-style `torch` Datasets, decoded to `Raw`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.data.checks import checked_array
from lowerbound.data.presence import kinds_before, without_absent
from lowerbound.data.raw import Raw, shown
from lowerbound.data.spec import NAME
from lowerbound.data.store import allocate
from lowerbound.data.texts import holds_texts
from lowerbound.errors import InputError, UnlabelledError


def read_arrays(source: Mapping[str, Any], label: str | None = None, place: str = "mapping") -> Raw:
    """Several observed variables by name; the one named `label` is what to condition on.

    An array x_present beside x says of which rows x was observed.

    >>> raw = read_arrays({"x": np.zeros((3, 2)), "y": np.arange(3)}, label="y")
    >>> list(raw.arrays), raw.labels
    (['x'], array([0, 1, 2]))
    """
    arrays = {str(name): as_array(values, f"{place}, {shown(name)!r}") for name, values in source.items()}
    if label is not None and label not in arrays:
        names = ", ".join(shown(name) for name in arrays)
        raise UnlabelledError(f"{place} has no array {shown(label)!r} for labels; choose one of: {names}")
    labels = None if label is None else arrays.pop(label)
    if not arrays:
        raise InputError(f"{place} holds no array to model; give at least one beside the labels")
    for name in arrays:
        _refuse_name(place, name)
    checked = {name: _checked(place, name, values) for name, values in without_absent(place, arrays).items()}
    return Raw(place, place, checked, labels=labels, kinds=kinds_before(arrays, checked))


def _checked(place: str, name: str, values: np.ndarray) -> np.ndarray:
    return values if holds_texts(values) else checked_array(place, name, values)


def as_array(values: Any, place: str) -> np.ndarray:
    """An array, a tensor or nested numbers as a numpy array; ragged rows are refused."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(f"{place} has masked values; fill them in or remove their rows")
    try:
        if isinstance(values, np.memmap):
            return values
        return _numpy(values) if isinstance(values, Tensor) else np.asarray(values)
    except ValueError:
        raise InputError(f"{place} has rows of different shapes; give every row the same shape") from None
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{place} cannot become an array ({shown(error)}); give plain numbers") from None


def _numpy(values: Tensor) -> np.ndarray:
    plain = values.detach().cpu().resolve_conj().resolve_neg()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def read_map_style(source: Any, place: str = "Dataset") -> Raw:
    """A map-style `torch` Dataset whose items are arrays, (array, label) pairs, or mappings of names to arrays.

    Each item is decoded once: into memory or, when they do not fit, into an unnamed file mapped into memory. A random
    transform is therefore drawn once.
    """
    if len(source) == 0:
        raise InputError(f"{place} is empty; give at least one row")
    first, _ = _item(place, source, 0)
    arrays = {name: allocate((len(source), *value.shape), value.dtype) for name, value in first.items()}
    labels = [_decode_item(place, source, row, first, arrays) for row in range(len(source))]
    raw = read_arrays(arrays, place=place)
    return raw if labels[0] is None else replace(raw, labels=as_array(labels, f"{place}, the labels"))


def _decode_item(
    place: str, source: Any, row: int, first: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]
) -> Any:
    """Put one item into its row of the arrays; what comes back is its label."""
    values, label = _item(place, source, row)
    if _forms(values) != _forms(first):
        raise InputError(
            f"{place}, row {row} (from 0) is {_forms(values)}, but row 0 is {_forms(first)}; give every row the same "
            f"shape and type"
        )
    for name, value in values.items():
        arrays[name][row] = value
    return label


def _item(place: str, source: Any, row: int) -> tuple[dict[str, np.ndarray], Any]:
    item = source[row]
    item, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
    item = item[0] if isinstance(item, tuple) and len(item) == 1 else item
    named = item if isinstance(item, Mapping) else {"x": item}
    values = {str(name): as_array(value, f"{place}, row {row} (from 0)") for name, value in named.items()}
    return values, label.tolist() if isinstance(label, Tensor | np.ndarray) else label


def _forms(values: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{shown(name)} {value.shape} {value.dtype}" for name, value in values.items())


def _refuse_name(place: str, name: str) -> None:
    """Names of variables become names of modules, for which torch keeps some words to itself."""
    if not NAME.fullmatch(name):
        raise InputError(f"{place}: {shown(name)!r} cannot name a variable; use letters, digits and underscores")
    if hasattr(nn.ModuleDict, name) or name == "training":
        raise InputError(f"{place}: the name {name!r} is taken by torch; name the array otherwise")
