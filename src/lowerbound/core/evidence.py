"""Evidence: part of a datum as the condition under which the rest of it is modelled.

It is a condition like any other, of shape (B, 2, *event): the values told, 0 where none is, and 1 where one is told.
Given it, what was told is certain, so that log p(x | evidence) is log p(x_hidden | x_told).
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent

from lowerbound.core.conditionals import Conditional
from lowerbound.core.distributions import Shape


def evidence(x: Tensor, told: Tensor) -> Tensor:
    """What is told of values x (B, *event), where `told` is True, as a condition (B, 2, *event).

    >>> evidence(torch.tensor([[3.0, 4.0]]), torch.tensor([[True, False]]))
    tensor([[[3., 0.],
             [1., 0.]]])
    """
    return torch.stack([torch.where(told, x, 0), told.to(x.dtype)], 1)


def unpacked(c: Tensor, event: int) -> tuple[Tensor, Tensor]:
    """The values told and where, as floats 0 and 1, of a condition (..., 2, *event) with so many event dimensions."""
    values, told = c.unbind(-1 - event)
    return values, told


@final
class Pinned(Distribution):
    """An elementwise distribution some of whose values are known: there all mass is on what they are, and log p is 0.

    base: of the values that are not known. values, told: what they are where told is True; both broadcast to the base.
    It is scored at the values told, or at anything where they are: what is certain is not asked about.

    >>> d = Pinned(torch.distributions.Bernoulli(torch.full((2,), 0.5)), torch.ones(2), torch.tensor([True, False]))
    >>> d.log_prob(torch.ones(2)), d.mean
    (tensor([ 0.0000, -0.6931]), tensor([1.0000, 0.5000]))
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, base: Distribution, values: Tensor, told: Tensor) -> None:
        self.base, self.values, self.told = base, values, told
        super().__init__(base.batch_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base.has_rsample

    @property
    def support(self) -> Any:
        return self.base.support

    @property
    def mean(self) -> Tensor:
        return self.known_or(self.base.mean)

    @property
    def mode(self) -> Tensor:
        return self.known_or(self.base.mode)

    @property
    def variance(self) -> Tensor:
        return torch.where(self.told, 0, self.base.variance)

    def known_or(self, values: Tensor) -> Tensor:
        """The values told, and these where none is."""
        return torch.where(self.told, self.values.to(values.dtype), values)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Pinned:
        return Pinned(self.base.expand(Size(batch_shape)), self.values, self.told)

    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008 - Size is immutable
        return self.known_or(self.base.sample(Size(sample_shape)))

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        return self.known_or(self.base.rsample(Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.where(self.told, 0, self.base.log_prob(value))


@final
class Pinning(Conditional):
    """A likelihood whose last given is evidence, or None: what was told is pinned.

    part: the likelihood of all values, independent over the event.

    >>> from torch import nn
    >>> from lowerbound.core import Bernoulli
    >>> part = Pinning(Bernoulli(lambda z, c: z))
    >>> part(torch.zeros(5, 2), evidence(torch.ones(5, 2), torch.tensor([True, False]).expand(5, 2))).mean[0]
    tensor([1.0000, 0.5000])
    """

    def __init__(self, part: Conditional) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: object) -> Distribution:
        d, c = self.part(*given), given[-1]
        return d if c is None else pinned(d, c)  # type: ignore[arg-type]  # the last given is a condition


def pinned(d: Distribution, c: Tensor) -> Distribution:
    """A distribution that is independent over its event, with what the evidence tells known for certain."""
    assert isinstance(d, Independent)
    values, told = unpacked(c, len(d.event_shape))
    return Independent(Pinned(d.base_dist, values, told.bool()), len(d.event_shape), validate_args=False)
