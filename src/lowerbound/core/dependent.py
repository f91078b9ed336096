"""A latent whose distribution depends on another's draws."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from lowerbound.core.frozen import frozen


@final
class Dependent(Independent):
    """d, which is conditional(z, *given) of a z that was drawn itself, and what it takes to have it again at that z.

    d may have been made of the same z under another name, so that what draws from d send back to z can be told from
    what their score does.

    >>> import torch
    >>> from lowerbound.core import Gaussian
    >>> conditional, z = Gaussian(nn.Unflatten(-1, (3, 2))), torch.zeros(5, 6)
    >>> Dependent(conditional(z), conditional, z).held().event_shape
    torch.Size([3])
    """

    def __init__(self, d: Distribution, conditional: nn.Module, z: Tensor, *given: Any) -> None:
        self.conditional, self.z, self.given = conditional, z, given
        base, dims = (d.base_dist, d.reinterpreted_batch_ndims) if isinstance(d, Independent) else (d, 0)
        super().__init__(base, dims, validate_args=False)

    def held(self) -> Distribution:
        """The same distribution, whose gradient reaches z and nothing else."""
        return self.held_at(self.z)

    def held_at(self, z: Tensor) -> Distribution:
        """The distribution at another z, whose gradient reaches that z and nothing else."""
        given = (g.detach() if isinstance(g, Tensor) else g for g in self.given)
        d: Distribution = frozen(self.conditional, z, *given)
        return d
