"""How far the dimensions of a code depend on each other: the total correlation of the aggregate posterior, in nats.

q(z) = E_x[q(z|x)],    TC = KL(q(z) ‖ Π_d q(z_d)),    E_x[KL(q(z|x) ‖ p(z))] = I(x; z) + TC + Σ_d KL(q(z_d) ‖ p(z_d))
"""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import Independent

from lowerbound.core.bounds import Mean
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective, surrogate

NEGLIGIBLE = -80.0
"""The logarithm of a row's part in q(z_d) is raised to this: e^−80 is nothing beside the own row's, and exp of less is
slow."""


class Decomposition(NamedTuple):
    """The three parts of log q(z|x) − log p(z) at each particle, (K, B) nats."""

    information: Tensor
    total_correlation: Tensor
    dimensionwise: Tensor


def decomposition(trace: Trace, rows: int) -> Decomposition:
    """log q(z|x)/q(z), log q(z)/Π q(z_d) and Σ_d log q(z_d)/p(z_d), with q(z) estimated from the batch.

    rows: N, the size of the training set, of which the batch is a sample; see `log_aggregate`. The three add up to
    log q(z|x) − log p(z) whatever the estimate. Ricky T. Q. Chen, Xuechen Li, Roger Grosse and David Duvenaud,
    "Isolating sources of disentanglement in variational autoencoders", 2018.
    """
    joint, each = log_aggregate(trace, rows)
    product = each.sum(-1)
    return Decomposition(trace.log_q - joint, joint - product, product - trace.log_p)


def log_aggregate(trace: Trace, rows: int) -> tuple[Tensor, Tensor]:
    """log q(z) (K, B) and log q(z_d) (K, B, D) at the trace's particles.

        q(z_i) ≈ (1/N) q(z_i|x_i) + (1 − 1/N) · mean over j ≠ i of q(z_i|x_j)

    The stratified estimate: the row that z came from counts for what it is in the data, 1 in N, and the others of the
    batch stand for all the rest. Its mean over batches is q(z), and with the whole data as the batch it is q(z).
    """
    at_each = log_q_at_each(trace)
    weights = log_shares(at_each.shape[-2], rows, at_each)
    marginals = (at_each + weights.unsqueeze(-1)).clamp_min(NEGLIGIBLE)
    return torch.logsumexp(at_each.sum(-1) + weights, -1), torch.logsumexp(marginals, -2)


def log_q_at_each(trace: Trace) -> Tensor:
    """log q(z_d|x) of each particle under the posterior of each row of the batch, (K, B, B, D); the last B is x's."""
    parts = []
    for name, (q, _) in trace.pairs.items():
        if not (isinstance(q, Independent) and len(q.event_shape) == q.reinterpreted_batch_ndims == 1):
            raise ValueError(f"the total correlation needs a posterior factorised over a vector, which {name!r} is not")
        parts.append(q.base_dist.log_prob(trace.named_z[name].unsqueeze(-2)))
    return torch.cat(parts, -1)


def log_shares(batch: int, rows: int, like: Tensor) -> Tensor:
    """What each row of the batch counts for in q(z_i): log 1/N for i itself, the rest shared by the others; (B, B)."""
    others = math.log(max(rows - 1, 1) / rows / max(batch - 1, 1))
    own = torch.eye(batch, dtype=torch.bool, device=like.device)
    return torch.where(own, -math.log(rows), others).to(like.dtype)


@final
class TotalCorrelation(Objective):
    """TC = E_q(z)[log q(z) − Σ_d log q(z_d)], estimated from the batch; see `log_aggregate`.

    rows: the size of the training set. `AnalyticELBO() + (beta - 1) * TotalCorrelation(rows)` is Chen et al.'s
    β-TCVAE: all parts of the rate have the weight one, but this one β. The estimate is biased, as log q(z) is: a batch
    covers the marginals better than the joint. In validation it is of the batch there, so compare batches of one size.

    >>> from torch import nn
    >>> from lowerbound.core import Batch, Gaussian, Latent, squared_error, standard_normal
    >>> encoder = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(-1, (2, 2)))
    >>> model = Latent(standard_normal(2), Gaussian(encoder), squared_error(nn.Linear(2, 4)))
    >>> TotalCorrelation(1000)(model.trace(Batch({"x": torch.randn(8, 4)})))["total_correlation"].shape
    torch.Size([8])
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        if rows < 1:
            raise ValueError(f"a training set has one row or more, not {rows}")
        self.rows = rows

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return {"total_correlation": surrogate(trace, decomposition(trace, self.rows).total_correlation, Mean())}
