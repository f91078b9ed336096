"""The first steps of a datum, as if it had no others."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lowerbound.data.views import View


@final
class Ahead(View):
    """What another view makes of the first `steps` of a datum's `total`, and 0 in place of those after them.

    It is of the same shape. What it leaves out has no volume, so a likelihood that puts all its mass on 0 there (see
    `core.evidence.Pinned`) has the log p of the first steps alone.

    Example:
        >>> from lowerbound.data.views import Standardise
        >>> view = Ahead(Standardise([1.0], [2.0], size=3), steps=2, total=3)
        >>> view(torch.tensor([3.0, 5.0, 7.0])[:, None]).flatten()
        tensor([1., 2., 0.])
        >>> round(view.log_volume, 4)
        -1.3863
    """

    kept: Tensor

    def __init__(self, inner: View, steps: int, total: int, event: int = 2) -> None:
        super().__init__()
        self.inner, self.steps, self.share = inner, steps, steps / total
        kept = (torch.arange(total) < steps).reshape(total, *(1,) * (event - 1))
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """The inner view's values, 0 after the first steps."""
        return torch.where(self.kept, self.inner(raw), 0)

    def expected(self, raw: Tensor) -> Tensor:
        """The mean of what `forward` returns."""
        return torch.where(self.kept, self.inner.expected(raw), 0)

    def inverse(self, value: Tensor) -> Tensor:
        """The inner view's; after the first steps it is what the inner view calls 0."""
        return self.inner.inverse(value)

    @property
    def log_slope(self) -> Tensor:
        """The inner view's, 0 after the first steps."""
        return torch.where(self.kept, self.inner.log_slope, 0)

    @property
    def log_volume(self) -> float:
        """The inner view's, of the first steps."""
        return self.share * self.inner.log_volume
