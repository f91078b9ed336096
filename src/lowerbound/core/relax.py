"""A control variate that is a network of the relaxed latent, and learns to lower the gradient's variance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import grad_and_value

from lowerbound.core.baselines import RunningMean
from lowerbound.core.batch import Batch, observed
from lowerbound.core.bounds import Bound
from lowerbound.core.controls import require_mean
from lowerbound.core.estimators import Sampling, with_value
from lowerbound.core.relaxations import Relaxation, beside, logits_of, relaxation, uniform

if TYPE_CHECKING:
    from lowerbound.core.latent import Trace


@final
class RELAX(nn.Module, Sampling):
    """The score function and a learned control c of the continuous scores s behind z, for averages such as the ELBO.

    (f(z) − c(s')) ∂log q(z)/∂l + ∂c(s)/∂l − ∂c(s')/∂l for each particle and its logits l, where s and s' are two draws
    of the scores that make z: s is followed as logits plus noise, s' as a function of the logits given z. They are
    drawn after z, so that the model is asked for nothing more. Unbiased whatever c is; c's parameters and the
    temperature follow the gradient of the squared estimate, whose mean is the variance but for a constant. The running
    mean of f is taken off f, so that c need not learn it.

    control: a network from what `reads` gives of the batch, and then the softened s (K, B, D), to (K, B, 1).

    Will Grathwohl, Dami Choi, Yuhuai Wu, Geoffrey Roeder and David Duvenaud, "Backpropagation through the void:
    optimizing control variates for black-box gradient estimation", 2018; the two draws are those of George Tucker et
    al., "REBAR: low-variance, unbiased gradient estimates for discrete latent variable models", 2017.
    """

    def __init__(
        self, control: nn.Module, reads: Callable[[Batch], tuple[Any, ...]] = observed, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.control, self.reads = control, reads
        self.log_temperature = nn.Parameter(torch.tensor(temperature).log())
        self.mean = RunningMean()

    def draw(self, q: Distribution, particles: int) -> Tensor:
        relaxation(q)
        return q.sample((particles,))

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z).detach()  # averaged, its own gradient is zero in the mean: only noise

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        value = bound(values, trace.log_measure)
        if not torch.is_grad_enabled():
            return value
        require_mean(bound, "RELAX")
        (q, _), z = only(trace.pairs), only(trace.named_z)
        held = values.detach()
        estimate = self._estimate(relaxation(q), logits_of(q).detach(), z, held - self.mean(), trace.batch)
        self.mean.follow(held)
        slope = (estimate.detach().mean(0) * logits_of(q)).flatten(1).sum(-1)
        square = estimate.square().mean(0).flatten(1).sum(-1)
        return with_value(value.detach(), value + slope - square)

    def _estimate(self, kind: Relaxation, logits: Tensor, z: Tensor, f: Tensor, batch: Batch) -> Tensor:
        """The gradient in the logits, of each particle, (K, B, *event); it can be differentiated in the control."""
        particles = len(z)
        noise = kind.given(logits, z, uniform(logits, particles)) - logits
        u = uniform(logits, particles)
        given = tuple(each for each in self.reads(batch) if each is not None)

        def difference(free: Tensor) -> tuple[Tensor, Tensor]:
            again = self._c(kind, kind.given(free, z, u), given)
            return (self._c(kind, free + noise, given) - again).sum(), again

        slope, (_, again) = grad_and_value(difference, has_aux=True)(logits.expand_as(z))
        return beside(f - again, z) * kind.score(logits, z) + slope

    def _c(self, kind: Relaxation, s: Tensor, given: tuple[Tensor, ...]) -> Tensor:
        soft = kind.soft(s / self.log_temperature.exp())
        found: Tensor = self.control(*given, soft.flatten(2))
        return found.squeeze(-1)


def only(named: Any) -> Any:
    """What there is one of."""
    if len(named) > 1:
        raise ValueError("RELAX has one control, for one latent; use Score for several")
    return next(iter(named.values()))
