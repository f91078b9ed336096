"""Biased gradients for finite latents: as if a step had a slope, or as if the latent were not finite at all."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.bounds import Bound
from lowerbound.core.estimators import Sampling, with_value
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective
from lowerbound.core.relaxations import logits_of, relaxation, uniform


@final
class StraightThrough(Sampling):
    """z ~ q as it is, with the gradient of E[z]: biased, and of little noise.

    Yoshua Bengio, Nicholas Léonard and Aaron Courville, "Estimating or propagating gradients through stochastic neurons
    for conditional computation", 2013.

    >>> from torch.distributions import OneHotCategorical
    >>> logits = torch.zeros(1, 3, requires_grad=True)
    >>> z = StraightThrough().draw(OneHotCategorical(logits=logits), 4)
    >>> z.sum(-1).tolist(), z.requires_grad
    ([[1.0], [1.0], [1.0], [1.0]], True)
    """

    def draw(self, q: Distribution, particles: int) -> Tensor:
        return with_value(q.sample((particles,)), relaxation(q).soft(logits_of(q)))

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        return bound(values, trace.log_measure)


@final
class GumbelStraightThrough(Sampling):
    """z ~ q as it is, with the gradient of its relaxation at this temperature: biased, less so the lower it is.

    Eric Jang, Shixiang Gu and Ben Poole, "Categorical reparameterization with Gumbel-softmax", 2017.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        self.temperature = positive(temperature)

    def draw(self, q: Distribution, particles: int) -> Tensor:
        z = q.sample((particles,))
        kind, logits = relaxation(q), logits_of(q)
        noise = kind.given(logits.detach(), z, uniform(logits, particles)) - logits.detach()
        return with_value(z, kind.soft((logits + noise) / self.temperature))

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        return bound(values, trace.log_measure)


@final
class GumbelSoftmax(Sampling):
    """Relaxed z while there is a gradient to follow, z ~ q itself without: the concrete distribution in training.

    In training the value is that of the relaxed model, which is no bound on log p(x) of the model there is; under
    `no_grad`, where models are validated and measured, it is the bound. A relaxed z has no mass under q, so the rate
    must be in closed form: `AnalyticELBO`.

    Chris J. Maddison, Andriy Mnih and Yee Whye Teh, "The concrete distribution: a continuous relaxation of discrete
    random variables", 2017; Eric Jang, Shixiang Gu and Ben Poole, "Categorical reparameterization with Gumbel-softmax",
    2017.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        self.temperature = positive(temperature)

    def draw(self, q: Distribution, particles: int) -> Tensor:
        if not torch.is_grad_enabled():
            return q.sample((particles,))
        kind, logits = relaxation(q), logits_of(q)
        return kind.soft((logits + kind.noise(uniform(logits, particles))) / self.temperature)

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise ValueError("a relaxed z has no mass under a discrete q; use AnalyticELBO, or GumbelStraightThrough")
        return q.log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        return bound(values, trace.log_measure)


@final
class OfRelaxed(Objective):
    """An objective that `GumbelSoftmax` relaxes in training: there its terms are called so, lest they pass for a bound.

    >>> from lowerbound.core import Distortion, Rate
    >>> objective = OfRelaxed(Distortion()) + Rate()
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        mark = "relaxed_" if torch.is_grad_enabled() else ""
        return {f"{mark}{name}": term for name, term in self.objective(trace, step).items()}


def positive(temperature: float) -> float:
    """The temperature, which must be above zero."""
    if temperature <= 0:
        raise ValueError(f"a temperature is above zero, not {temperature}")
    return temperature
