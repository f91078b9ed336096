"""What a model is shown: observed variables, a condition, row numbers and masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Batch:
    """B data side by side.

    x: name -> (B, *event); c: (B, *condition) or None; index: (B,) row numbers in the data set;
    mask: name -> (B, *event), True where the entry was observed. A variable without a mask is observed throughout;
    what lies under a False is never read, so it may be NaN. shown: name -> (B, *event), what an encoder sees in place
    of x (a corrupted picture whose clean form is to be told).

    >>> Batch({"x": torch.zeros(3, 28, 28)}).size
    3
    """

    x: Mapping[str, Tensor]
    c: Tensor | None = None
    index: Tensor | None = None
    mask: Mapping[str, Tensor] | None = None
    shown: Mapping[str, Tensor] | None = None

    @property
    def size(self) -> int:
        """B, the number of data."""
        return len(next(iter(self.x.values())))

    def mask_of(self, name: str) -> Tensor | None:
        """The mask of one variable, or None when all of it was observed."""
        return None if self.mask is None else self.mask.get(name)

    def filled(self, name: str) -> Tensor:
        """What an encoder may see of the variable: what is shown in its place if anything is, zeros where unobserved.

        >>> Batch({"x": torch.ones(2)}, shown={"x": torch.tensor([0.0, 1.0])}).filled("x")
        tensor([0., 1.])
        """
        mask, x = self.mask_of(name), (self.shown or {}).get(name, self.x[name])
        return x if mask is None else torch.where(mask, x, 0)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return self.map(lambda t: t.to(device))

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        """Some of the data."""
        return self.map(lambda t: t[rows])

    def map(self, f: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with f applied to every tensor in it."""
        each = lambda tensors: None if tensors is None else {name: f(t) for name, t in tensors.items()}  # noqa: E731
        one = lambda t: None if t is None else f(t)  # noqa: E731
        return Batch(each(self.x) or {}, one(self.c), one(self.index), each(self.mask), each(self.shown))


def observed(batch: Batch) -> tuple[Tensor | dict[str, Tensor], Tensor | None]:
    """What an encoder reads: the one variable (or a dict of several), unobserved entries zeroed, and the condition.

    >>> x, c = observed(Batch({"x": torch.tensor([[1.0, float("nan")]])}, mask={"x": torch.tensor([[True, False]])}))
    >>> x, c
    (tensor([[1., 0.]]), None)
    """
    x = {name: batch.filled(name) for name in batch.x}
    return (next(iter(x.values())) if len(x) == 1 else x), batch.c


def rows(batch: Batch) -> tuple[Tensor]:
    """What a table of per-datum posteriors reads: the row numbers."""
    if batch.index is None:
        raise ValueError("a posterior per datum needs batch.index, the data's row numbers")
    return (batch.index,)
