"""A mixture as a model of the library: `Latent` with one finite z, whose posterior is exact.

Prior, posterior and likelihood are π, the responsibilities and the components; with the estimator `Enumerate` every
bound is log p(x), and every objective, metric and estimator of the library serves mixtures too.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, OneHotCategorical, constraints

from lowerbound.core.batch import Batch
from lowerbound.core.conditionals import Conditional, Fixed, one_hot
from lowerbound.core.distributions import Shape
from lowerbound.core.latent import Latent
from lowerbound.mixtures.bayes import point
from lowerbound.mixtures.components import Components
from lowerbound.mixtures.discrete import Categoricals, Poissons
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.scales import NegativeBinomials


@final
class ComponentDensity(Distribution):
    """p(x | z) of the first mixture, where z (..., K) says by a one which component; entries that are NaN are left out.

    x (N, D) is scored under each z of (..., N, K) in one E-step, whatever the leading dimensions.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    takes_gaps: ClassVar[bool] = True

    def __init__(self, components: Components, z: Tensor) -> None:
        self.components, self.z = components, z
        super().__init__(z.shape[:-1], _width(components), validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> ComponentDensity:
        return ComponentDensity(self.components, self.z.expand(*batch_shape, self.z.shape[-1]))

    @property
    def support(self) -> constraints.Constraint:
        """Whole numbers where all components are of such."""
        counted = isinstance(self.components, Categoricals | Poissons | NegativeBinomials)
        return constraints.independent(constraints.nonnegative_integer, 1) if counted else constraints.real_vector

    @property
    def mean(self) -> Tensor:
        """E[x | z]: what is expected where nothing is observed; of codes the likeliest."""
        z = self.z.reshape(-1, self.z.shape[-1])
        nothing = z.new_full((len(z), *self.event_shape), torch.nan)
        return self.components.filled(nothing, z).reshape(*self.batch_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        found = self.components.explain(value.reshape(-1, value.shape[-1])).log_prob[0].double()
        return (self.z * found.reshape(*value.shape[:-1], -1)).sum(-1)

    def filled(self, value: Tensor, shares: Tensor) -> Tensor:
        """E[x_mis | x_obs] in place of NaN in values (N, D), where each z (P, N, K) counts for a share (P, N)."""
        return self.components.filled(value, (shares[..., None] * self.z).sum(0))

    @torch.no_grad()
    def completed(self, value: Tensor) -> Tensor:
        """A draw of p(x_mis | x_obs, z) in place of NaN in values (N, D), for each z (P, N, K)."""
        return torch.stack([self.components.draw(value, which) for which in self.z.argmax(-1)])

    @torch.no_grad()
    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        which = self.z.argmax(-1).expand(*sample_shape, *self.batch_shape)
        return self.components.sample(which.reshape(-1)).reshape(*which.shape, *self.event_shape)


@final
class ByBayes(Conditional):
    """p(z | x) of a mixture, exactly: z one-hot among its components."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        self.mixture = mixture

    def forward(self, *given: object) -> Distribution:
        (x,) = (each for each in given if isinstance(each, Tensor))
        found = self.mixture.components.explain(x).log_prob[0]
        return one_hot(found + self.mixture.weights.log[0])


@final
class ByComponent(Conditional):
    """p(x | z) of a mixture's components."""

    def __init__(self, components: Components) -> None:
        super().__init__()
        self.components = components

    def forward(self, *given: object) -> Distribution:
        (z,) = (each for each in given if isinstance(each, Tensor))
        return ComponentDensity(self.components, z)


def as_latent(mixture: Mixture) -> Latent:
    """The first of the mixtures as a model of one variable "x", whose rows may hold NaN.

    A believed mixture is taken at its mean first (`bayes.point`). The bound equals log p(x) whatever it is:

    >>> from lowerbound.core import Batch, Enumerate
    >>> from lowerbound.mixtures.gaussian import Diagonal
    >>> from lowerbound.mixtures.weights import Proportions
    >>> x = torch.tensor([[0.0], [1.0], [5.0]])
    >>> mixture = Mixture(Proportions.even(1, 2), Diagonal().pooled(x, 1, 2))
    >>> trace = as_latent(mixture).trace(Batch({"x": x}), estimator=Enumerate())
    >>> bool(torch.allclose(trace.mean(trace.log_w).float(), mixture.log_prob(x)[0]))
    True
    """
    mixture = point(mixture)
    logits = mixture.weights.log[0]
    prior = Fixed(lambda logits: OneHotCategorical(logits=logits, validate_args=False), logits=logits)
    return Latent(prior, ByBayes(mixture), ByComponent(mixture.components), reads=_rows)


def _rows(batch: Batch) -> tuple[Tensor]:
    """The rows, NaN for what is under a mask: the mixture knows what to make of gaps."""
    x, mask = batch.x["x"], batch.mask_of("x")
    return (x if mask is None else torch.where(mask, x, torch.nan),)


def _width(components: Components) -> Size:
    return Size(components.sample(torch.zeros(1, dtype=torch.long)).shape[1:])
