"""A chain of latents, inferred from the data upwards and generated from the top downwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, final

from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core.batch import Batch, observed
from lowerbound.core.conditionals import Conditional
from lowerbound.core.dependent import Dependent
from lowerbound.core.estimators import Estimator, Pathwise, Reparameterised, Score, drawn
from lowerbound.core.gdreg import led
from lowerbound.core.given import Given
from lowerbound.core.latent import Model, Trace


@final
class Link(nn.Module):
    """One layer of a chain. prior: z_{l+1} -> p(z_l | z_{l+1}), at the top of nothing; posterior: what is below ->
    q(z_l | z_{l−1}), of the first layer q(z_1 | x). Both are given the condition besides."""

    def __init__(self, prior: Conditional, posterior: Conditional) -> None:
        super().__init__()
        self.prior, self.posterior = prior, posterior


@final
class Chain(Model):
    """p(x, z) = p(z_L) … p(z_1 | z_2) p(x | z_1), q(z | x) = q(z_1 | x) q(z_2 | z_1) … q(z_L | z_{L−1}).

    Unlike a `Ladder`'s the two share nothing, and inference runs against the direction of generation. So the rate is
    a mean over draws: p(z_1 | z_2) reads a z_2 that was drawn given z_1, of which KL(q ‖ p) knows nothing. The latents
    are named, from the data's side; above the first, q has the batch shape (K, B) of the z below.

    links: by name, the data's side first. likelihood: p(x | z_1), one conditional or a dict by variable. reads: as in
    `Latent`. Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, "Importance weighted autoencoders", 2016.

    >>> import torch
    >>> from lowerbound.core import Bernoulli, Gaussian, standard_normal
    >>> def gaussian(inputs, outputs):
    ...     return Gaussian(nn.Sequential(nn.Linear(inputs, 2 * outputs), nn.Unflatten(-1, (outputs, 2))))
    >>> links = {"z1": Link(gaussian(2, 5), gaussian(9, 5)), "z2": Link(standard_normal(2), gaussian(5, 2))}
    >>> model = Chain(links, Bernoulli(nn.Linear(5, 9)))
    >>> model.trace(Batch({"x": torch.zeros(8, 9)}), particles=3).log_w.shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        links: Mapping[str, Link],
        likelihood: Conditional | Mapping[str, Conditional],
        reads: Callable[[Batch], tuple[Any, ...]] = observed,
    ) -> None:
        super().__init__()
        self.links, self.reads = nn.ModuleDict(dict(links)), reads
        self.likelihood = nn.ModuleDict(dict(likelihood) if isinstance(likelihood, Mapping) else {"x": likelihood})

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        estimator = linked(estimator or Pathwise())
        draws, drawn_from = self._climb(batch, lambda q: drawn(estimator, q, particles))
        z, p = self._descend(draws, batch.c, estimator)
        return Trace(z, self._posteriors(drawn_from, z, batch.c), p, self.decode(z, batch.c), batch, estimator)

    def infer(self, batch: Batch) -> dict[str, Distribution]:
        """q(z_l | z_{l−1}) at the posterior means of the layers below, name -> batch shape (B,)."""
        return self._climb(batch, lambda q: q.mean)[1]

    def decode(self, z: Mapping[str, Tensor], c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x | z_1) for each variable, of z by name, each (..., *event); only the first layer's is read."""
        first = z[next(iter(self.links))]
        return {name: part(first, c) for name, part in self.likelihood.items()}

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x | z_1) at n draws from the prior, layer by layer from the top."""
        return self.decode(self.imagine(n, c), c)

    def imagine(self, n: int, c: Tensor | None = None) -> dict[str, Tensor]:
        """n draws z ~ p(z|c), name -> (n, *event)."""
        return self.foreseen(lambda p: p.sample() if p.batch_shape else p.sample((n,)), c)

    def foreseen(self, choose: Callable[[Distribution], Tensor], c: Tensor | None = None) -> dict[str, Tensor]:
        """A z of each layer, chosen of its prior given that of the one above: a draw, one with a gradient, a mean."""
        z: dict[str, Tensor] = {}
        for name, link in reversed(self._named().items()):
            z[name] = choose(link.prior(*tuple(z.values())[-1:], c))
        return {name: z[name] for name in self.links}

    def _climb(
        self, batch: Batch, choose: Callable[[Distribution], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Distribution]]:
        """Go up, choosing each z of its posterior; z and q by name."""
        z: dict[str, Tensor] = {}
        q: dict[str, Distribution] = {}
        given = self.reads(batch)
        for name, link in self._named().items():
            q[name] = link.posterior(*given)
            z[name] = choose(q[name])
            given = (z[name], batch.c)
        return z, q

    def _descend(
        self, draws: Mapping[str, Tensor], c: Tensor | None, estimator: Estimator
    ) -> tuple[dict[str, Tensor], dict[str, Distribution]]:
        """Go down; z as it is scored, and p, by name.

        What is scored goes by another name than what was drawn, so that an estimator can scale what the score sends
        back without scaling again what one layer hands on to the next.
        """
        z: dict[str, Tensor] = {}
        p: dict[str, Distribution] = {}
        for name, link in reversed(self._named().items()):
            above = tuple(z.values())[-1:]
            prior = link.prior(*above, c)
            dependent = Dependent(prior, link.prior, *above, c) if above else prior
            p[name], z[name] = led(estimator, dependent, draws[name].view_as(draws[name]))
        return {name: z[name] for name in self.links}, p

    def _posteriors(
        self, drawn_from: Mapping[str, Distribution], z: Mapping[str, Tensor], c: Tensor | None
    ) -> dict[str, Distribution]:
        links, first = self._named(), next(iter(self.links))
        above = {
            name: Dependent(drawn_from[name], links[name].posterior, z[below], c) for below, name in pairwise(links)
        }
        return {first: drawn_from[first], **above}

    def _named(self) -> dict[str, Link]:
        return {name: link for name, link in self.links.items() if isinstance(link, Link)}


def linked(estimator: Estimator) -> Estimator:
    """The estimator, if it can draw latents that depend on each other's draws."""
    if isinstance(estimator, Reparameterised | Score | Given):
        return estimator
    raise ValueError(
        f"{type(estimator).__name__} takes one latent; trace a chain with Pathwise, STL, DReG, GDReG or Score"
    )
