"""Particles that are known already: a model is asked what it makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.batch import Batch
from lowerbound.core.bounds import Bound
from lowerbound.core.estimators import Sampling
from lowerbound.core.latent import Model, Trace, named


@final
class Given(Sampling):
    """Draws nothing: hands out the particles it was made with, in the order of the latents. It serves one trace.

    z: (K, B, *event), or a dict of named latents in the model's own order.
    """

    def __init__(self, z: Tensor | Mapping[str, Tensor]) -> None:
        self.left = iter(named(z).values())

    def draw(self, q: Distribution, particles: int) -> Tensor:
        return next(self.left).reshape(particles, *q.batch_shape, *q.event_shape)

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        return bound(values, trace.log_measure)


def scored(model: Model, batch: Batch, z: Tensor | Mapping[str, Tensor]) -> Trace:
    """The trace whose particles are these, differentiable in them.

    >>> import torch
    >>> from torch import nn
    >>> from lowerbound.core import Bernoulli, Gaussian, Latent, standard_normal
    >>> encoder = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(-1, (2, 2)))
    >>> model = Latent(standard_normal(2), Gaussian(encoder), Bernoulli(nn.Linear(2, 4)))
    >>> z = torch.zeros(5, 3, 2)
    >>> scored(model, Batch({"x": torch.zeros(3, 4)}), z).log_p[0]
    tensor([-1.8379, -1.8379, -1.8379])
    """
    particles = len(next(iter(named(z).values())))
    return model.trace(batch, particles, Given(z))
