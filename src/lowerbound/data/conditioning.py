"""Conditions: from what is stored of a label, a vector or a picture to the c that a model is shown."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError


@final
class Conditions:
    """Codes, vectors or pictures on the device, given out as rows of floats (one-hot for codes).

    Example:
        >>> label = Variable("label", "category", (), 0, 2, levels=3)
        >>> Conditions(label, np.array([2, 0]), torch.device("cpu")).at(torch.tensor([0]))
        tensor([[0., 0., 1.]])
    """

    def __init__(self, variable: Variable | None, stored: np.ndarray | None, device: torch.device) -> None:
        self._values = None if stored is None else torch.from_numpy(np.ascontiguousarray(stored)).to(device)
        coded = variable is not None and variable.kind == "category"
        self._one_hot = torch.eye(variable.levels or 1, device=device) if variable and coded else None

    def at(self, index: Tensor) -> Tensor | None:
        """The conditions of these rows, (B, W); None where there are none."""
        if self._values is None:
            return None
        rows = self._values.index_select(0, index)
        if self._one_hot is None:
            return rows.flatten(1).to(torch.get_default_dtype())
        return self._one_hot.index_select(0, rows.flatten()).reshape(len(rows), -1)


@final
class Told(nn.Module):
    """The condition that a model is shown: one-hot labels and vectors standardised, levels brought to [0, 1].

    Labels are standardised as if each were as frequent as the others. A one-hot label as it is, of length 1, is faint
    beside z, and what it says is then learned from z instead.

    drop: with it, a model learns to do without c too. Its c then has a number more, 1 where c is told and 0 where it is
    not, and all the others are 0 with that; and in training each datum's c is withheld with this probability.

    (B, W) as a batch's `c` is stored, or None, to (B, `width`). Jonathan Ho and Tim Salimans, "Classifier-free
    diffusion guidance", 2022, train one network with and without c by such withholding.

    Example:
        >>> told = Told(Variable("label", "category", (), 0, 2, levels=3), drop=0.5).eval()
        >>> told(torch.eye(3)[:2], 2)
        tensor([[ 1.4142, -0.7071, -0.7071,  1.0000],
                [-0.7071,  1.4142, -0.7071,  1.0000]])
        >>> told(None, 1)
        tensor([[0., 0., 0., 0.]])
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, variable: Variable, drop: float = 0.0) -> None:
        super().__init__()
        self.variable, self.drop = variable, drop
        centre, scale = _standard(variable)
        self.register_buffer("centre", torch.tensor(centre), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    @classmethod
    def by(cls, spec: DataSpec, drop: float = 0.0) -> Told:
        """What the data have to condition on; data without are refused."""
        if spec.condition is None:
            raise InputError(
                f"{spec.name!r} has nothing to condition on; say which labels, vectors or texts are to be, with labels"
            )
        return cls(spec.condition, drop)

    @property
    def width(self) -> int:
        """Numbers that the model is shown."""
        return self.variable.width + bool(self.drop)

    def forward(self, c: Tensor | None, rows: int) -> Tensor:
        """What the model is shown of `rows` data; in training some of it is withheld."""
        told = self.expected(c, rows)
        if not (self.training and self.drop):
            return told
        return told * (torch.rand(rows, 1, device=told.device) >= self.drop)

    def expected(self, c: Tensor | None, rows: int) -> Tensor:
        """The same with nothing withheld; where c is None nothing is told."""
        if c is None:
            return self._nothing(rows)
        told = (c - self.centre) / self.scale
        return nn.functional.pad(told, (0, 1), value=1.0) if self.drop else told

    def _nothing(self, rows: int) -> Tensor:
        if not self.drop:
            raise InputError(
                f"the model is told the {self.variable.name} of every datum; say which, or train with drop, "
                "that it learns to do without"
            )
        return self.scale.new_zeros(rows, self.width)


def _standard(variable: Variable) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is taken off each number, and what it is then divided by."""
    if variable.kind == "real" and variable.mean and variable.std:
        return variable.mean, variable.std
    if variable.kind == "category" and (levels := variable.levels or 1) > 1:
        return (1 / levels,), (math.sqrt(levels - 1) / levels,)
    return (0.0,), (variable.high if variable.kind == "byte" else 1.0,)
