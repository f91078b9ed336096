"""Values that were not observed: NaN where data are kept, zeros and a mask where a model sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lowerbound.data.spec import DataSpec

Tensors = dict[str, Tensor]


def incomplete(spec: DataSpec) -> frozenset[str]:
    """The names of the variables some of whose values are missing."""
    return frozenset(variable.name for variable in spec.variables if variable.missing)


def masked(x: Mapping[str, Tensor], names: Collection[str]) -> tuple[Tensors, Tensors | None]:
    """Stored values with zeros for NaN, and by name where there was none (True); None without such variables.

    names: the variables of which values may be missing; the others are taken as they are.

    Example:
        >>> x, mask = masked({"x": torch.tensor([1.0, float("nan")])}, {"x"})
        >>> x["x"], mask["x"]
        (tensor([1., 0.]), tensor([ True, False]))
    """
    mask = {name: ~x[name].isnan() for name in names}
    whole = {name: torch.where(mask[name], values, 0) if name in mask else values for name, values in x.items()}
    return whole, mask or None
