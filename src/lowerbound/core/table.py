"""A posterior for every datum by itself: a table of parameters in place of an encoder."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from lowerbound.core.conditionals import Conditional, half_clamped
from lowerbound.core.distributions import LogScaleNormal


@final
class Table(Conditional):
    """q(z|x^i) = N(μ^i, diag σ^i²): row i of a table holds μ^i and log σ^i² of datum i, and is read by row number.

    Stochastic variational inference without an encoder. The gradient is sparse: it is that of the rows read and no
    others, so that what follows a batch costs the batch and not the data.

    log_variance: where every row's log σ² starts; μ starts at 0. pace: the rows' learning rate, in units of the other
    parameters': a datum's row is stepped only when the datum is seen, while the weights are stepped each time.

    Matthew D. Hoffman, David M. Blei, Chong Wang and John Paisley, "Stochastic variational inference", 2013.

    >>> table = Table(100, 3)
    >>> q = table(torch.tensor([4, 7]))
    >>> q.mean.shape
    torch.Size([2, 3])
    >>> q.mean.sum().backward()
    >>> table.rows.weight.grad.is_sparse
    True
    """

    def __init__(self, rows: int, dim: int, log_variance: float = 0.0, pace: float = 1.0) -> None:
        super().__init__()
        self.log_variance, self.pace = log_variance, pace
        start = torch.cat([torch.zeros(rows, dim), torch.full((rows, dim), log_variance)], 1)
        self.rows = nn.Embedding.from_pretrained(start, freeze=False, sparse=True)

    def forward(self, *given: object) -> Distribution:
        (index,) = given
        return gaussians(self.rows(index))

    def start(self, count: int) -> Distribution:
        """What every row starts as, batch shape (count,): what is said of a datum that has no row."""
        dim = self.rows.embedding_dim // 2
        level = self.rows.weight.new_full((count, dim), self.log_variance)
        return gaussians(torch.cat([torch.zeros_like(level), level], 1))

    @torch.no_grad()
    def note(self, index: Tensor, q: Distribution) -> None:
        """Write these Gaussians, batch shape (B,), into the rows of these numbers (B,)."""
        self.rows.weight[index] = torch.cat([q.mean, q.variance.log()], -1)


def gaussians(rows: Tensor) -> Distribution:
    """The Gaussians that rows (..., 2·D) of a table stand for, batch shape (...)."""
    loc, log_variance = rows.chunk(2, -1)
    return Independent(LogScaleNormal(loc, half_clamped(log_variance)), 1, validate_args=False)
