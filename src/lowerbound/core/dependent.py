"""A latent whose distribution depends on another's draws."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from lowerbound.core.frozen import frozen


@final
class Dependent(Independent):
    """conditional(z, *given) for a z that was drawn itself: the distribution, and the ways in which gradients enter it.

    `seen` is z under another name: what draws from this distribution send back to z passes through it, and what else
    depends on z does not. `held()` is the distribution with the conditional's parameters cut from the graph, while
    gradients reach z.

    >>> import torch
    >>> from lowerbound.core import Gaussian
    >>> q = Dependent(Gaussian(nn.Unflatten(-1, (3, 2))), torch.zeros(5, 6))
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([3]))
    """

    def __init__(self, conditional: nn.Module, z: Tensor, *given: Any) -> None:
        self.conditional, self.z, self.given = conditional, z, given
        self.seen = z.view_as(z)
        d = conditional(self.seen, *given)
        base, dims = (d.base_dist, d.reinterpreted_batch_ndims) if isinstance(d, Independent) else (d, 0)
        super().__init__(base, dims, validate_args=False)

    def held(self) -> Distribution:
        """The same distribution, whose gradient reaches z and none of the conditional's parameters."""
        d: Distribution = frozen(self.conditional, self.z, *self.given)
        return d
