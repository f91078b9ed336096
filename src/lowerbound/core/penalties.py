"""Plain regularisers: of the size of a code and of the size of weights."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from lowerbound.core.estimators import summed
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective


@final
class SquaredCode(Objective):
    """½‖z‖², a mean over the particles: minus the log of a standard normal density, but for a constant."""

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        sizes = [0.5 * z.flatten(2).square().sum(-1) for z in trace.named_z.values()]
        return {"code": trace.mean(summed(sizes))}


@final
class SquaredWeights(Objective):
    """The sum of squares of a network's weights, biases left out: one number, given to each datum of the batch.

    The network stays the model's own; it is not saved with the objective.

    >>> penalty = 1e-3 * SquaredWeights(nn.Linear(3, 4))
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        # A list is no child module.
        self.nets = [net]

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        weights = [p for net in self.nets for p in net.parameters() if p.dim() > 1]
        return {"weights": torch.stack([w.square().sum() for w in weights]).sum().expand(trace.batch.size)}
