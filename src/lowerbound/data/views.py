"""Views: from stored values to the values that a likelihood speaks of, on whatever device they are."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from lowerbound.data.likelihoods import check_likelihood
from lowerbound.data.spec import Variable


class View(nn.Module, ABC):
    """A map from stored values (uint8, float, codes; any leading dimensions) to floats of the default dtype.

        log p(data as given) = log p(view(data)) + log_volume        (nats per datum)

    `random` says whether two calls on the same values differ.
    """

    random: ClassVar[bool] = False

    @abstractmethod
    def forward(self, raw: Tensor) -> Tensor:
        """The values that the likelihood speaks of."""

    @abstractmethod
    def expected(self, raw: Tensor) -> Tensor:
        """The mean of what `forward` returns; the same at every call."""

    @abstractmethod
    def inverse(self, value: Tensor) -> Tensor:
        """Back to the scale of the stored values, as floats within their range; for samples and for means."""

    @property
    @abstractmethod
    def log_slope(self) -> Tensor:
        """log |d view / d raw| of each value of a datum, or one number for all of them, in nats."""

    @property
    @abstractmethod
    def log_volume(self) -> float:
        """Σ log |d view / d raw| over the values of one datum, in nats."""


@final
class Identity(View):
    """The values as they are, as floats.

    Args:
        low, high: the range that `inverse` keeps to.

    Example:
        >>> Identity(0, 255)(torch.tensor([0, 7], dtype=torch.uint8))
        tensor([0., 7.])
    """

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, raw: Tensor) -> Tensor:
        """raw, as floats."""
        return raw.to(torch.get_default_dtype())

    def expected(self, raw: Tensor) -> Tensor:
        """What `forward` returns."""
        return self.forward(raw)

    def inverse(self, value: Tensor) -> Tensor:
        """value, within the range."""
        return value.clamp(self.low, self.high)

    @property
    def log_slope(self) -> Tensor:
        """0."""
        return torch.zeros(())

    @property
    def log_volume(self) -> float:
        """0."""
        return 0.0


@final
class Scale(View):
    """(raw - low) / (high - low), which fills [0, 1]; its log-volume is -size·log(high - low).

    Args:
        low, high: the range of the stored values.
        size: values in one datum.

    Example:
        >>> view = Scale(0, 255, size=2)
        >>> view(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
        >>> round(view.log_volume, 4)
        -11.0825
    """

    def __init__(self, low: float, high: float, size: int = 1) -> None:
        super().__init__()
        self.low, self.width, self.size = low, high - low, size

    def forward(self, raw: Tensor) -> Tensor:
        """(raw - low) / (high - low)."""
        return (raw.to(torch.get_default_dtype()) - self.low) / self.width

    def expected(self, raw: Tensor) -> Tensor:
        """What `forward` returns."""
        return self.forward(raw)

    def inverse(self, value: Tensor) -> Tensor:
        """low + value·(high - low), with value kept to [0, 1]."""
        return value.clamp(0, 1) * self.width + self.low

    @property
    def log_slope(self) -> Tensor:
        """-log(high - low)."""
        return torch.tensor(-math.log(self.width))

    @property
    def log_volume(self) -> float:
        """-size·log(high - low)."""
        return -self.size * math.log(self.width)


@final
class Standardise(View):
    """(raw - mean) / std; its log-volume is -Σ log std over the values of one datum.

    Args:
        mean, std: of the training rows: one number each, or one a column.
        size: values in one datum.

    Example:
        >>> view = Standardise([10.0, 0.0], [2.0, 0.5], size=2)
        >>> view(torch.tensor([12.0, -1.0]))
        tensor([ 1., -2.])
        >>> view.log_volume
        -0.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], size: int = 1) -> None:
        super().__init__()
        # float64, because a column may be far from 0 in units of its spread (a date in seconds, say).
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64), persistent=False)
        self._log_volume = -size / len(std) * sum(map(math.log, std))

    def forward(self, raw: Tensor) -> Tensor:
        """(raw - mean) / std."""
        centred = raw - self.mean.to(raw.dtype)
        return (centred / self.std.to(raw.dtype)).to(torch.get_default_dtype())

    def expected(self, raw: Tensor) -> Tensor:
        """What `forward` returns."""
        return self.forward(raw)

    def inverse(self, value: Tensor) -> Tensor:
        """mean + std·value."""
        return value * self.std.to(value.dtype) + self.mean.to(value.dtype)

    @property
    def log_slope(self) -> Tensor:
        """-log std."""
        return -self.std.log()

    @property
    def log_volume(self) -> float:
        """-Σ log std."""
        return self._log_volume


@final
class Flat(View):
    """What another view makes of the values of a datum, in one row.

    Example:
        >>> view = Flat(Identity(0, 16), (2, 2))
        >>> view(torch.ones(5, 2, 2)).shape, view.inverse(torch.ones(5, 4)).shape
        (torch.Size([5, 4]), torch.Size([5, 2, 2]))
    """

    def __init__(self, inner: View, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.inner, self.shape = inner, shape

    def forward(self, raw: Tensor) -> Tensor:
        """The inner view's values, in a row."""
        return self.inner(raw).flatten(-len(self.shape))

    def expected(self, raw: Tensor) -> Tensor:
        """The mean of what `forward` returns."""
        return self.inner.expected(raw).flatten(-len(self.shape))

    def inverse(self, value: Tensor) -> Tensor:
        """Back to the datum's shape and scale."""
        return self.inner.inverse(value.unflatten(-1, self.shape))

    @property
    def log_slope(self) -> Tensor:
        """The inner view's, in a row."""
        slope = self.inner.log_slope
        return slope.flatten() if slope.dim() else slope

    @property
    def log_volume(self) -> float:
        """The inner view's."""
        return self.inner.log_volume


@final
class Binarise(View):
    """Dynamic binarisation: 1 with probability raw / (levels - 1), else 0, drawn anew at every call.

    Drawn on the values' device from torch's global generator. Ruslan Salakhutdinov, Iain Murray, On the Quantitative
    Analysis of Deep Belief Networks, 2008.

    Args:
        levels: the stored values are integers 0..levels - 1.

    Example:
        >>> Binarise(256)(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
    """

    random: ClassVar[bool] = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self._step = -(-(1 << _BITS) // (levels - 1))

    def forward(self, raw: Tensor) -> Tensor:
        """1 where a uniform integer of 30 bits is below raw·⌈2^30 / (levels - 1)⌉.

        So the probability is 0 and 1 to the last bit at the ends and within 2.4e-7 of raw / (levels - 1) between.
        """
        # 128×784 on one core: 245 µs. torch.rand(...) < raw / 255 takes 435, torch.bernoulli 1 216, uint8 random_ 370:
        # the generator is the cost, and 64 bits of it at once make two pixels; a bool is slow to become a float.
        drawn = torch.empty((raw.numel() + 1) // 2, dtype=torch.int64, device=raw.device).random_(-(1 << 63), None)
        uniform = drawn.view(torch.int32)[: raw.numel()].view(raw.shape).bitwise_and_((1 << _BITS) - 1)
        ones = uniform < raw.int().mul_(self._step)
        return ones.view(torch.uint8).to(torch.get_default_dtype())

    def expected(self, raw: Tensor) -> Tensor:
        """raw / (levels - 1)."""
        return raw.to(torch.get_default_dtype()) / (self.levels - 1)

    def inverse(self, value: Tensor) -> Tensor:
        """value·(levels - 1): for means, the expected grey."""
        return value.clamp(0, 1) * (self.levels - 1)

    @property
    def log_slope(self) -> Tensor:
        """0."""
        return torch.zeros(())

    @property
    def log_volume(self) -> float:
        """0: the log p is of the drawn 0/1 values."""
        return 0.0


_BITS = 30


def view_for(variable: Variable, likelihood: str) -> View:
    """The view through which `likelihood` speaks of `variable`; all it needs is in the description.

    Raises:
        InputError: when that likelihood does not fit the variable.

    Example:
        >>> type(view_for(Variable("x", "byte", (28, 28), 0, 255, levels=256), "bernoulli")).__name__
        'Binarise'
    """
    check_likelihood(variable, likelihood)
    if variable.kind == "real":
        return Standardise(variable.mean or (0.0,), variable.std or (1.0,), variable.size)
    if variable.kind == "byte":
        return _view_of_bytes(variable, likelihood)
    if variable.kind == "count":
        return Identity(low=0.0)  # a likely count may exceed the greatest one seen
    return Identity(variable.low, variable.high)


def _view_of_bytes(variable: Variable, likelihood: str) -> View:
    if likelihood == "bernoulli":
        return Binarise(variable.levels or 256)
    if likelihood in {"categorical", "discretized-logistic", "discretized-logistic-mixture"}:
        return Identity(variable.low, variable.high)
    return Scale(variable.low, variable.high, variable.size)
