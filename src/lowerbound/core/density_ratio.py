"""The total correlation by a discriminator that tells codes from codes whose dimensions were shuffled."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from lowerbound.core.aggregate import codes
from lowerbound.core.bounds import Mean
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective, surrogate


@final
class AdversarialTotalCorrelation(Objective):
    """weight · E[D(z)], where D(z) ≈ log q(z)/Π_d q(z_d), beside the loss by which D learns that ratio.

        discriminator = ½ E[softplus(−D(z))] + ½ E[softplus(D(z̄))],    z̄: each dimension of z shuffled over the batch

    One sum, one backward, and each part gets its own gradient only: the first sees z through a D whose weights are
    held, the second trains D on z that is held. In eval mode there is neither: the scores of a judge who is still
    learning do not tell which of two epochs was better.

    discriminator: from codes (..., D) to one number each, (..., 1).
    Hyunjik Kim and Andriy Mnih, "Disentangling by factorising", 2018.

    >>> from lowerbound.core import AnalyticELBO
    >>> objective = AnalyticELBO() + AdversarialTotalCorrelation(nn.Linear(10, 1), weight=35)
    """

    def __init__(self, discriminator: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.discriminator, self.weight = discriminator, weight

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return self.terms(trace) if self.training else {}

    def terms(self, trace: Trace) -> dict[str, Tensor]:
        """What the model pays, and what the discriminator pays, (B,) each."""
        z = codes(trace)
        held = {name: weights.detach() for name, weights in self.discriminator.named_parameters()}
        ratio = functional_call(self.discriminator, held, (z,)).squeeze(-1)
        return {
            "weighted_total_correlation": self.weight * surrogate(trace, ratio, Mean()),
            "discriminator": trace.mean(self.mistake(z.detach())),
        }

    def mistake(self, z: Tensor) -> Tensor:
        """The cross-entropy of telling z (K, B, D) from its shuffled self, (K, B) nats."""
        real, shuffled = self.discriminator(z).squeeze(-1), self.discriminator(permuted(z)).squeeze(-1)
        return 0.5 * (F.softplus(-real) + F.softplus(shuffled))


def permuted(z: Tensor) -> Tensor:
    """z (K, B, D) with each dimension of each particle shuffled over the batch by itself.

    >>> z = torch.arange(6.0).reshape(1, 3, 2)
    >>> permuted(z).sum(1)
    tensor([[6., 9.]])
    """
    return z.gather(1, torch.rand_like(z).argsort(1))
