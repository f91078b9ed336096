"""Codes of every model in one matrix, a row a datum, whatever the names and shapes of its latents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.latent import named
from lowerbound.evaluation.rawdata import expected
from lowerbound.evaluation.statistics import Moments

Latents = Tensor | Mapping[str, Tensor]
"""What a model decodes: one latent (N, *event), or several by name (a ladder's layers)."""


@final
@dataclass(frozen=True)
class Layout:
    """Where each latent lies in a row of codes: its shape by name, in the order of the columns.

    >>> layout = Layout.of({"top": torch.zeros(5, 2), "bottom": torch.ones(5, 3, 3)})
    >>> layout.width
    11
    >>> layout.latents(torch.zeros(7, 11))["bottom"].shape
    torch.Size([7, 3, 3])
    """

    shapes: Mapping[str, tuple[int, ...]]
    alone: bool

    @classmethod
    def of(cls, z: Latents) -> Self:
        """The layout of latents such as these, (N, *event) each."""
        shapes = {name: tuple(values.shape[1:]) for name, values in named(z).items()}
        return cls(shapes, not isinstance(z, Mapping))

    @property
    def sizes(self) -> list[int]:
        """Columns that each latent takes."""
        return [math.prod(shape) for shape in self.shapes.values()]

    @property
    def width(self) -> int:
        """Columns of a matrix of codes."""
        return sum(self.sizes)

    def latents(self, codes: Tensor) -> Latents:
        """What to decode for codes (N, D)."""
        columns = codes.split(self.sizes, 1)
        found = {name: part.reshape(-1, *shape) for part, (name, shape) in zip(columns, self.shapes.items())}
        return next(iter(found.values())) if self.alone else found


def matrix(z: Latents) -> Tensor:
    """Latents (N, *event) side by side, (N, D)."""
    return torch.cat([values.reshape(len(values), -1) for values in named(z).values()], 1)


def means(q: Distribution | Mapping[str, Distribution]) -> Latents:
    """E[z|x] of each latent."""
    return {name: expected(each) for name, each in q.items()} if isinstance(q, Mapping) else expected(q)


def variances(q: Distribution | Mapping[str, Distribution]) -> Latents:
    """Var[z|x] of each latent."""
    return {name: each.variance for name, each in q.items()} if isinstance(q, Mapping) else q.variance


@final
@dataclass(frozen=True, eq=False)
class Spread:
    """How the codes of data lie, each dimension by itself, all (D,).

    centre: the mean of E[z|x]. activity: the variance of E[z|x] over the data; almost 0 where a dimension says nothing
    of them (Burda et al., 2016). scale: the standard deviation of z ~ q(z|x) over the data, √(activity + E Var[z|x]),
    which is that of the prior where the two agree, and the codes' own where the posterior is a point.
    """

    centre: Tensor
    activity: Tensor
    scale: Tensor

    @property
    def order(self) -> list[int]:
        """The dimensions, the most active first."""
        return self.activity.argsort(descending=True, stable=True).tolist()


def spread(posteriors: Iterable[Distribution | Mapping[str, Distribution]]) -> Spread:
    """The spread of codes from the posteriors of chunks of data.

    >>> from torch.distributions import Independent, Normal
    >>> found = spread([Independent(Normal(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 1.0), 1)])
    >>> found.activity, found.scale, found.order
    (tensor([1., 0.]), tensor([1.4142, 1.0000]), [0, 1])
    """
    means_of, variances_of = Moments(), Moments()
    for q in posteriors:
        means_of.add(matrix(means(q)))
        variances_of.add(matrix(variances(q)))
    scale = (means_of.variance + variances_of.mean).sqrt()
    return Spread(*(each.to("cpu", torch.get_default_dtype()) for each in (means_of.mean, means_of.variance, scale)))
