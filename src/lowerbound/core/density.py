"""A density of codes, fitted after training, so that an autoencoder without a prior of its own can be sampled."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution

from lowerbound.core.conditionals import Conditional


@final
class CodeDensity(Conditional):
    """Σ_k π_k N(μ_k, Σ_k) with full covariances over vectors of `width` numbers; N(0, I) until it is fitted.

    It keeps buffers, not parameters: training leaves it alone, and it is saved with the weights. Partha Ghosh et al.,
    "From variational to deterministic autoencoders", 2020, call it an ex-post density.

    >>> density = CodeDensity(components=2, width=3)
    >>> density().log_prob(torch.zeros(3))
    tensor(-2.7568)
    >>> density.become(torch.tensor([1.0]), torch.full((1, 3), 5.0), torch.eye(3)[None])
    >>> density().mean
    tensor([5., 5., 5.])
    """

    logits: Tensor
    loc: Tensor
    scale_tril: Tensor

    def __init__(self, components: int, width: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("loc", torch.zeros(components, width))
        self.register_buffer("scale_tril", torch.eye(width).repeat(components, 1, 1))

    def forward(self, *given: object) -> Distribution:
        weights = D.Categorical(logits=self.logits, validate_args=False)
        parts = D.MultivariateNormal(self.loc, scale_tril=self.scale_tril, validate_args=False)
        return D.MixtureSameFamily(weights, parts, validate_args=False)

    @torch.no_grad()
    def become(self, weights: Tensor, loc: Tensor, covariance: Tensor) -> None:
        """Take the weights (C,), means and covariances of a mixture; of fewer than ours, some stay unused."""
        used = slice(len(weights))
        self.logits.fill_(-torch.inf)
        self.logits[used] = weights.log()
        self.loc[used] = loc.to(self.loc)
        self.scale_tril[used] = torch.linalg.cholesky(covariance).to(self.loc)
