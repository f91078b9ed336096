"""A prior that is the posterior of a few imagined data."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core.conditionals import Conditional
from lowerbound.core.mixtures import equal_mixture


@final
class VampPrior(Conditional):
    """p(z) = (1/C) Σ_k q(z | u_k): a mixture of the posteriors of C learned pseudo-inputs.

    The prior that is best for the bound is the aggregate posterior, the mean of q(z|x) over the data; this is that
    mean over C made-up data. Gradients of log p(z) reach the encoder as well as the u. They are given to the encoder
    as they are, and may leave the range of data.

    The encoder belongs to the posterior; only its call is held here, so its weights are kept and saved once.
    Jakub M. Tomczak and Max Welling, "VAE with a VampPrior", 2018.

    posterior: of data of this `shape`, as the encoder reads them, with batch shape (C,) given C of them.

    >>> from lowerbound.core import Gaussian
    >>> posterior = Gaussian(nn.Sequential(nn.Linear(4, 6), nn.Unflatten(-1, (3, 2))))
    >>> VampPrior(posterior, components=10, shape=(4,))().sample((5,)).shape
    torch.Size([5, 3])
    """

    def __init__(self, posterior: Conditional, components: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.encode = posterior.forward
        self.inputs = nn.Parameter(torch.rand(components, *shape))

    def forward(self, *given: object) -> Distribution:
        # A view of a parameter asks for gradients even under no_grad, which torch's counter of operations chokes on.
        return equal_mixture(self.encode(self.inputs.clone()))

    @torch.no_grad()
    def start_at(self, data: Tensor) -> None:
        """Begin with pseudo-inputs that are these data (N, *shape), over and over where there are fewer than C."""
        self.inputs.copy_(data[torch.arange(len(self.inputs), device=data.device) % len(data)])
