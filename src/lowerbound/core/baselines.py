"""The score function with a baseline that is learned in training: of one number, or of the datum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core.batch import Batch, observed
from lowerbound.core.bounds import Bound
from lowerbound.core.controls import replaced, require_mean
from lowerbound.core.estimators import Sampling, vanishing, with_value

if TYPE_CHECKING:
    from lowerbound.core.latent import Trace

DECAY = 0.99


@final
class RunningMean(nn.Module):
    """The mean of what it was shown in training, in which each step counts for 1 % more than the one before.

    >>> running = RunningMean()
    >>> running.follow(torch.tensor([1.0, 3.0]))
    >>> running()
    tensor(2.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.total: Tensor
        self.weight: Tensor
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def forward(self) -> Tensor:
        """The mean; 0 before anything was shown."""
        return self.total / self.weight.clamp_min(1 - DECAY)

    @torch.no_grad()
    def follow(self, values: Tensor) -> None:
        """Take in the mean of these values; nothing where the module is not in training."""
        if self.training:
            self.total.lerp_(values.mean(), 1 - DECAY)
            self.weight.lerp_(torch.ones_like(self.weight), 1 - DECAY)


class Guess(nn.Module, ABC):
    """What a particle's value is expected to be before the particle is drawn."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """(B,) or (), in the unit of the values; a gradient that it carries trains it."""

    @abstractmethod
    def follow(self, values: Tensor) -> None:
        """Take note of the values (K, B) that were found."""


@final
class Average(Guess):
    """The same for all data: the mean of what was found so far."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = RunningMean()

    def forward(self, batch: Batch) -> Tensor:
        mean: Tensor = self.mean()
        return mean

    def follow(self, values: Tensor) -> None:
        self.mean.follow(values)


@final
class Predicted(Guess):
    """A network's guess from the datum, on top of the mean so far: (B, 1) from what `reads` gives it of the batch."""

    def __init__(self, net: nn.Module, reads: Callable[[Batch], tuple[Any, ...]] = observed) -> None:
        super().__init__()
        self.net, self.reads, self.mean = net, reads, RunningMean()

    def forward(self, batch: Batch) -> Tensor:
        more: Tensor = self.net(*(each for each in self.reads(batch) if each is not None))
        return more.squeeze(-1) + self.mean()

    def follow(self, values: Tensor) -> None:
        self.mean.follow(values)


@final
class SignalScale(nn.Module):
    """Divides by the standard deviation so far of what it is given, where that is above 1."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.square = RunningMean(), RunningMean()

    def forward(self, signal: Tensor) -> Tensor:
        scale = (self.square() - self.mean().square()).clamp_min(1).sqrt()
        self.mean.follow(signal)
        self.square.follow(signal.square())
        return signal / scale


@final
class Baselined(nn.Module, Sampling):
    """The score function, each particle's value compared with a guess: REINFORCE with a baseline.

    guess: `Average`, or `Predicted` for a baseline that depends on the datum, which is trained along to the least
    squared error. It serves one particle as well as several, and any bound: the baseline is the bound with the
    particle's value replaced by the guess. The guess is of one quantity, so use it with one bound a trace.
    normalise: `SignalScale`, with a `Predicted` guess, is NVIL; it shortens q's gradient, so all of that has to come
    by the signal: an average of log w (`ELBO`), and neither a rate in closed form nor an importance-weighted bound.

    Ronald J. Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
    1992; Andriy Mnih and Karol Gregor, "Neural variational inference and learning in belief networks", 2014.

    >>> from lowerbound.core import IWAE, Batch, Bernoulli, Fixed, Latent, bits, total
    >>> prior = Fixed(bits, logits=torch.zeros(3))
    >>> model = Latent(prior, Bernoulli(nn.Linear(5, 3)), Bernoulli(nn.Linear(3, 5)))
    >>> estimator = Baselined(Predicted(nn.Linear(5, 1)))
    >>> total(IWAE()(model.trace(Batch({"x": torch.zeros(8, 5)}), 4, estimator))).backward()
    >>> estimator.guess.net.bias.grad is None
    False
    """

    def __init__(self, guess: Guess, normalise: SignalScale | None = None) -> None:
        super().__init__()
        self.guess, self.normalise = guess, normalise

    def draw(self, q: Distribution, particles: int) -> Tensor:
        return q.sample((particles,))

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        held, value = values.detach(), bound(values, trace.log_measure)
        if not torch.is_grad_enabled():
            return value
        guess = self.guess(trace.batch)
        signal = value.detach() - replaced(held, guess.detach(), trace.log_measure, bound)
        self.guess.follow(held)
        score = self._normalised(signal, trace, values, bound) + vanishing(trace, values, bound)
        error = 0.5 * (held - guess).square().mean(0)
        return with_value(value.detach(), (score * trace.log_q).sum(0) + value - error)

    def _normalised(self, signal: Tensor, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        if self.normalise is None:
            return signal
        if values is not trace.log_w:
            raise ValueError("a normalised signal must be all of q's gradient; use ELBO, or do not normalise")
        require_mean(bound, "a normalised signal")
        scaled: Tensor = self.normalise(signal)
        return scaled
