"""The narrow waist: a model makes a `Trace`; objectives, metrics and pictures read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core.batch import Batch, observed
from lowerbound.core.bounds import Bound
from lowerbound.core.certain import is_certain, is_singular
from lowerbound.core.conditionals import Conditional, Fixed
from lowerbound.core.divergences import known_kl
from lowerbound.core.estimators import Estimator, Reparameterised, fitting, summed
from lowerbound.core.gdreg import led
from lowerbound.core.observation import observed_log_prob

T = TypeVar("T")


@final
class once(Generic[T]):  # noqa: N801 - a decorator
    """A property computed once, when first asked for: `cached_property` without the lock that torch.compile refuses.

    What was first asked for under `no_grad` carries no gradient, so it is kept apart from what can be differentiated.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__
        self.name = compute.__name__

    def __get__(self, instance: Any, owner: type) -> T:
        if instance is None:
            return self  # type: ignore[return-value]  # read off the class, as documentation tools do
        kept = self.name if torch.is_grad_enabled() else f"{self.name} without gradient"
        if kept not in instance.__dict__:
            instance.__dict__[kept] = self.compute(instance)
        value: T = instance.__dict__[kept]
        return value


@final
@dataclass(eq=False)
class Trace:
    """One pass through a model: particles z ~ q(z|x,c), and the distributions they were scored by.

    z: (K, B, *event), or a dict of named latents; q and p alike; px: name -> p(x|z,c) with batch shape (K, B).
    Terms are computed when first asked for and add up over the names.
    """

    z: Tensor | Mapping[str, Tensor]
    q: Distribution | Mapping[str, Distribution]
    p: Distribution | Mapping[str, Distribution]
    px: Mapping[str, Distribution]
    batch: Batch
    estimator: Estimator
    # The bound, and the values, that `DReG` has scaled the gradient of z for; under a plain mean any values will do.
    scaled_for: tuple[Bound, Tensor | None] | None = field(default=None, init=False, repr=False)

    @property
    def named_z(self) -> Mapping[str, Tensor]:
        """The latents by name; one alone is called "z"."""
        return named(self.z)

    @property
    def pairs(self) -> dict[str, tuple[Distribution, Distribution]]:
        """name -> (q, p)."""
        p = named(self.p)
        return {name: (q, p[name]) for name, q in named(self.q).items()}

    @property
    def proper(self) -> bool:
        """Whether log w is that of a bound: a point mass on a continuous z (a plain autoencoder) gives none."""
        return not any(is_singular(q) for q in named(self.q).values())

    @property
    def certain(self) -> bool:
        """Whether all particles are the same, so that one of them says all."""
        return all(is_certain(q) for q in named(self.q).values())

    @once
    def log_q(self) -> Tensor:
        """log q(z|x,c), (K, B)."""
        q = named(self.q)
        return summed([self.estimator.log_q(q[name], z) for name, z in self.named_z.items()])

    @once
    def log_p(self) -> Tensor:
        """log p(z|c), (K, B)."""
        p = named(self.p)
        return summed([p[name].log_prob(z) for name, z in self.named_z.items()])

    @once
    def log_lik(self) -> dict[str, Tensor]:
        """log p(x|z,c) of what was observed of each variable, name -> (K, B)."""
        x, mask_of = self.batch.x, self.batch.mask_of
        return {name: observed_log_prob(d, x[name], mask_of(name)) for name, d in self.px.items() if name in x}

    @once
    def log_px(self) -> Tensor:
        """The log-likelihood summed over the observed variables, (K, B)."""
        return summed(list(self.log_lik.values()))

    @once
    def log_w(self) -> Tensor:
        """log p(x|z) + log p(z) − log q(z|x), (K, B)."""
        return self.log_px + self.log_p - self.log_q

    @once
    def log_measure(self) -> Tensor:
        """The log of what each particle counts for, (K, 1) or (K, B)."""
        return self.estimator.log_measure(self)

    @once
    def kl(self) -> dict[str, Tensor] | None:
        """KL(q‖p) of each latent, datum and dimension in closed form, name -> (B, D); None where one has no such form.

        Of a latent that depends on another (a ladder's lower layers) it is the mean over the particles of that other,
        which is a closed form only where gradients go through them.
        """
        known = {name: known_kl(q, p) for name, (q, p) in self.pairs.items()}
        exact = {name: kl for name, kl in known.items() if kl is not None and self._can_average(kl)}
        return {name: self._averaged(kl) for name, kl in exact.items()} if len(exact) == len(known) else None

    def mean(self, values: Tensor) -> Tensor:
        """E_q[values] over the particles, (K, B) -> (B,)."""
        return (self.log_measure.exp() * values).sum(0)

    def _can_average(self, kl: Tensor) -> bool:
        return kl.dim() == 2 or isinstance(self.estimator, Reparameterised)

    def _averaged(self, kl: Tensor) -> Tensor:
        return kl if kl.dim() == 2 else (self.log_measure.exp().unsqueeze(-1) * kl).sum(0)


class Model(nn.Module, ABC):
    """Anything that can be traced and can generate. `Latent` is the model of independent parts; a model whose q and p
    share computation (a ladder) is another."""

    @abstractmethod
    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        """Draw K particles for each datum and score them. Default estimator: `fitting` for q."""

    @abstractmethod
    def infer(self, batch: Batch) -> Distribution | Mapping[str, Distribution]:
        """q(z|x,c), batch shape (B,)."""

    @abstractmethod
    def decode(self, z: Any, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z,c) for each variable."""

    @abstractmethod
    def generate(self, n: int, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z,c) at n draws z ~ p(z|c), batch shape (n,)."""


@final
class Latent(Model):
    """p(z|c) × q(z|x,c) × p(x|z,c).

    prior, posterior: conditionals over z. likelihood: one conditional, for the variable "x", or a dict by variable.
    reads: what the posterior is given of a batch; `observed` for an encoder, `rows` for a `Table`.

    >>> import torch
    >>> from lowerbound.core import Bernoulli, Gaussian, standard_normal
    >>> encoder = nn.Sequential(nn.Linear(784, 40), nn.Unflatten(-1, (20, 2)))
    >>> model = Latent(standard_normal(20), Gaussian(encoder), Bernoulli(nn.Linear(20, 784)))
    >>> model.trace(Batch({"x": torch.zeros(8, 784)}), particles=5).log_w.shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        prior: Conditional,
        posterior: Conditional,
        likelihood: Conditional | Mapping[str, Conditional],
        reads: Callable[[Batch], tuple[Any, ...]] = observed,
    ) -> None:
        super().__init__()
        self.prior, self.posterior, self.reads = prior, posterior, reads
        self.likelihood = nn.ModuleDict(dict(likelihood) if isinstance(likelihood, Mapping) else {"x": likelihood})

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        q, p = self.infer(batch), self.prior(batch.c)
        estimator = estimator or fitting(q)
        p, z = led(estimator, p, estimator.draw(q, particles))
        return Trace(z, q, p, self.decode(z, batch.c), batch, estimator)

    def infer(self, batch: Batch) -> Distribution:
        """q(z|x,c), batch shape (B,)."""
        q: Distribution = self.posterior(*self.reads(batch))
        return q

    def decode(self, z: Tensor, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z,c) for each variable; z (..., *event)."""
        return {name: part(z, c) for name, part in self.likelihood.items()}

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z,c) at n draws z ~ p(z|c); with a condition, c has n rows."""
        return self.decode(self.imagine(n, c), c)

    def imagine(self, n: int, c: Tensor | None = None) -> Tensor:
        """n draws z ~ p(z|c), (n, *event)."""
        p: Distribution = self.prior(c)
        return p.sample() if p.batch_shape else p.sample((n,))

    def translate(self, batch: Batch, to: str, particles: int = 1) -> Distribution:
        """p(x_to | z) at draws z ~ q(z | what the batch shows), batch shape (K, B)."""
        z = self.infer(batch).sample((particles,))
        d: Distribution = self.likelihood[to](z, batch.c)
        return d


def settled(model: Model, batch: Batch) -> Model:
    """The model with its posteriors of this batch inferred once for all, for where the batch is traced many times.

    One that is not of independent parts, whose q depends on what is drawn, is left as it is.
    """
    if not isinstance(model, Latent):
        return model
    q = model.infer(batch)
    likelihood: dict[str, Any] = dict(model.likelihood)
    return Latent(model.prior, Fixed(lambda: q), likelihood)


def named(value: Any) -> Mapping[str, Any]:
    """A mapping as it is; anything else as {"z": value}."""
    return value if isinstance(value, Mapping) else {"z": value}
