"""The categorical from logits, whose log-mass is one fused pass over them."""

from __future__ import annotations

from typing import Any, final

from torch import Size, Tensor
from torch.distributions import Categorical, Distribution
from torch.nn import functional as F

from lowerbound.core.distributions import Shape, widened


@final
class LogitCategorical(Categorical):
    """One of V symbols, from logits l (..., V): log p(x) = l_x − log Σ_v exp l_v.

    torch's form subtracts log Σ exp from all logits when it is made; here it is taken with the one that is asked for,
    which over thousands of symbols halves the time of a loss and its gradient.

    >>> import torch
    >>> LogitCategorical(torch.zeros(2, 4)).log_prob(torch.tensor([0.0, 3.0]))
    tensor([-1.3863, -1.3863])
    """

    def __init__(self, logits: Tensor) -> None:
        self.given = logits  # in the network's own precision: sums over the symbols are in float32 at least
        self._num_events = logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=False)

    @property
    def logits(self) -> Tensor:
        """log p of each symbol."""
        return F.log_softmax(widened(self.given), -1)

    @property
    def probs(self) -> Tensor:
        return F.softmax(widened(self.given), -1)

    @property
    def _param(self) -> Tensor:  # type: ignore[override]
        return self.given

    @property
    def param_shape(self) -> Size:
        return self.given.shape

    @property
    def mode(self) -> Tensor:
        return self.given.argmax(-1)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> LogitCategorical:
        return LogitCategorical(self.given.expand(*batch_shape, self._num_events))

    def log_prob(self, value: Tensor) -> Tensor:
        codes = value.long()
        if codes.dim() > len(self.batch_shape):  # many values to each logit, which are not to be copied for them
            return self.logits.expand(*codes.shape, -1).gather(-1, codes.unsqueeze(-1)).squeeze(-1)
        return log_mass(widened(self.given), codes.expand(self.batch_shape))


def log_mass(logits: Tensor, codes: Tensor) -> Tensor:
    """log p of codes (...) under logits (..., V), (...).

    >>> import torch
    >>> log_mass(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    tensor([-0.6931, -0.6931, -0.6931])
    """
    found = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), codes.reshape(-1), reduction="none")
    return -found.reshape(codes.shape)
