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

    All rows start at N(0, I). pace: their learning rate, in units of the other parameters': a datum's row is stepped
    only when the datum is seen, while the weights are stepped each time.

    Matthew D. Hoffman, David M. Blei, Chong Wang and John Paisley, "Stochastic variational inference", 2013.

    >>> table = Table(100, 3)
    >>> q = table(torch.tensor([4, 7]))
    >>> q.mean.shape
    torch.Size([2, 3])
    >>> q.mean.sum().backward()
    >>> table.rows.weight.grad.is_sparse
    True
    """

    def __init__(self, rows: int, dim: int, pace: float = 1.0) -> None:
        super().__init__()
        self.pace = pace
        self.rows = nn.Embedding.from_pretrained(torch.zeros(rows, 2 * dim), freeze=False, sparse=True)

    def forward(self, *given: object) -> Distribution:
        (index,) = given
        return gaussians(self.rows(index))

    def start(self, count: int) -> Distribution:
        """What every row starts as, batch shape (count,): what is said of a datum that has no row."""
        return gaussians(self.rows.weight.new_zeros(count, self.rows.embedding_dim))

    @torch.no_grad()
    def note(self, index: Tensor, q: Distribution) -> None:
        """Write these Gaussians, batch shape (B,), into the rows of these numbers (B,)."""
        self.rows.weight[index] = torch.cat([q.mean, q.variance.log()], -1)


def gaussians(rows: Tensor) -> Distribution:
    """The Gaussians that rows (..., 2·D) of a table stand for, batch shape (...)."""
    loc, log_variance = rows.chunk(2, -1)
    return Independent(LogScaleNormal(loc, half_clamped(log_variance)), 1, validate_args=False)
