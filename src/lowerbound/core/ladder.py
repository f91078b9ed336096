"""A hierarchy of latents, whose posterior and prior walk down the same path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core.batch import Batch, observed
from lowerbound.core.conditionals import Conditional, Gaussian, standard_normal
from lowerbound.core.estimators import Estimator, Pathwise, Score, drawn
from lowerbound.core.given import Given
from lowerbound.core.latent import Model, Trace
from lowerbound.core.meters import Meter
from lowerbound.core.objectives import Objective, with_free_bits

Named = dict[str, Any]


@final
class Rung(nn.Module):
    """One layer of a ladder: its prior, its posterior, and the path on downwards.

    h is what the layers above pass on, None at the top; d is what the data say at this height.
    prior: h -> p(z_l | z_{>l}). posterior: (h, d) -> q(z_l | z_{>l}, x). descend: (h, z_l) -> the h of the next layer.
    """

    def __init__(self, prior: Conditional, posterior: Conditional, descend: nn.Module) -> None:
        super().__init__()
        self.prior, self.posterior, self.descend = prior, posterior, descend


@final
class Ladder(Model):
    """p(x, z) = p(z_1) Π_l p(z_l | z_{<l}) p(x | z), q(z|x) = q(z_1 | x) Π_l q(z_l | z_{<l}, x), layer 1 at the top.

    Both are read off one deterministic path h downwards, so that a posterior need only say how the data correct the
    prior. The latents are named, from the top; below the top q and p have the batch shape (K, B) of the z above.

    ascent: what of a batch is read -> the d of each rung, top first. rungs: by name, top first. likelihood: of x given
    the last h, one conditional or a dict by variable. reads: as in `Latent`.

    Casper Kaae Sønderby et al., "Ladder variational autoencoders", 2016; in this form Arash Vahdat and Jan Kautz,
    "NVAE: a deep hierarchical variational autoencoder", 2020, and Rewon Child, "Very deep VAEs generalize
    autoregressive models and can outperform them on images", 2021.

    >>> from lowerbound.core import Bernoulli, Gaussian, standard_normal
    >>> class Up(nn.Module):
    ...     def forward(self, x, c):
    ...         return x, x
    >>> class Down(nn.Bilinear):
    ...     def forward(self, h, z):
    ...         return z if h is None else super().forward(h, z)
    >>> class Read(nn.Module):
    ...     def forward(self, *given):
    ...         return torch.stack([given[0], given[0]], -1)
    >>> top = Rung(standard_normal(3), Gaussian(Read()), Down(3, 3, 3))
    >>> low = Rung(Gaussian(Read()), Gaussian(Read()), Down(3, 3, 3))
    >>> model = Ladder(Up(), {"top": top, "low": low}, Bernoulli(nn.Identity()))
    >>> trace = model.trace(Batch({"x": torch.zeros(8, 3)}), particles=5)
    >>> trace.log_w.shape, trace.kl["low"].shape
    (torch.Size([5, 8]), torch.Size([8, 3]))
    """

    def __init__(
        self,
        ascent: nn.Module,
        rungs: Mapping[str, Rung],
        likelihood: Conditional | Mapping[str, Conditional],
        reads: Callable[[Batch], tuple[Any, ...]] = observed,
    ) -> None:
        super().__init__()
        self.ascent, self.reads = ascent, reads
        self.rungs = nn.ModuleDict(dict(rungs))
        self.likelihood = nn.ModuleDict(dict(likelihood) if isinstance(likelihood, Mapping) else {"x": likelihood})

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        estimator = followed(estimator or Pathwise())
        z, q, p, h = self._follow(batch, lambda q: drawn(estimator, q, particles))
        return Trace(z, q, p, self._likelihoods(h, batch.c), batch, estimator)

    def infer(self, batch: Batch) -> dict[str, Distribution]:
        """q(z_l | z_{<l}, x) at the posterior means of the layers above, name -> batch shape (B,)."""
        return self._follow(batch, lambda q: q.mean)[1]

    def decode(self, z: Mapping[str, Tensor], c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z) for each variable, of all layers' z by name, each (..., *event)."""
        h = None
        for name, rung in self._named().items():
            h = rung.descend(h, z[name])
        return self._likelihoods(h, c)

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z) at n draws from the prior, layer by layer."""
        return self.decode(self.imagine(n, c), c)

    def imagine(self, n: int, c: Tensor | None = None) -> dict[str, Tensor]:
        """n draws z ~ p(z), name -> (n, *event)."""
        z, h = {}, None
        for name, rung in self._named().items():
            p = rung.prior(h)
            z[name] = p.sample() if p.batch_shape else p.sample((n,))
            h = rung.descend(h, z[name])
        return z

    def _follow(self, batch: Batch, choose: Callable[[Distribution], Tensor]) -> tuple[Named, Named, Named, Any]:
        """Walk down, choosing each z of its posterior; z, q and p by name, and the last h."""
        z: Named = {}
        q: Named = {}
        p: Named = {}
        h = None
        for (name, rung), d in zip(self._named().items(), self.ascent(*self.reads(batch)), strict=True):
            p[name], q[name] = rung.prior(h), rung.posterior(h, d)
            z[name] = choose(q[name])
            h = rung.descend(h, z[name])
        return z, q, p, h

    def _named(self) -> dict[str, Rung]:
        return {name: rung for name, rung in self.rungs.items() if isinstance(rung, Rung)}

    def _likelihoods(self, h: Any, c: Tensor | None) -> dict[str, Distribution]:
        return {name: part(h, c) for name, part in self.likelihood.items()}


def gaussian_rung(event: tuple[int, ...], prior: nn.Module | None, posterior: nn.Module, descend: nn.Module) -> Rung:
    """A layer of factorised Gaussians over z of this shape, from networks that give (*event, 2).

    Where there is no network for the prior, at the top, it is N(0, I).

    >>> type(gaussian_rung((3,), None, nn.Unflatten(-1, (3, 2)), nn.Identity()).prior).__name__
    'Fixed'
    """
    dims = len(event)
    above = standard_normal(*event) if prior is None else Gaussian(prior, dims)
    return Rung(above, Gaussian(posterior, dims), descend)


def followed(estimator: Estimator) -> Estimator:
    """The estimator, if it is right for latents that depend on each other.

    With the parameters of a lower q cut from the graph, as `STL` has them, the gradient would lose its path through the
    z above and with it what STL is for; and `DReG` would scale the gradient of a lower layer again in each layer above.
    """
    if isinstance(estimator, Pathwise | Score | Given):
        return estimator
    name = type(estimator).__name__
    raise ValueError(f"{name} takes latents for independent given the data; trace a ladder with Pathwise or Score")


@final
class LayerRate(Objective):
    """Σ_l KL(q(z_l | z_{<l}, x) ‖ p(z_l | z_{<l})), each layer's mean over the batch charged as `free_bits` at least.

    `Rate` with its free bits counted by layer rather than by dimension: a layer as a whole is not pressed to zero, and
    may spend them on whichever dimensions it likes. Diederik P. Kingma et al., "Improving variational inference with
    inverse autoregressive flow", 2016.
    """

    def __init__(self, free_bits: float) -> None:
        super().__init__()
        if free_bits < 0:
            raise ValueError(f"free bits are a number of nats, zero or more, not {free_bits}")
        self.free_bits = free_bits

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        if trace.kl is None:
            raise ValueError("free bits need posteriors and priors whose KL is known")
        layers = torch.stack([kl.sum(-1) for kl in trace.kl.values()], -1)
        return {"charged_rate": with_free_bits(layers, self.free_bits).sum(-1)}


def layer_rates(trace: Trace) -> dict[str, Tensor]:
    """E_q[log q − log p] of each latent, name -> (B,): its KL where that is known, else the mean over the particles."""
    if trace.kl is not None:
        return {name: kl.sum(-1) for name, kl in trace.kl.items()}
    z = trace.named_z
    ratios = {name: q.log_prob(z[name]) - p.log_prob(z[name]) for name, (q, p) in trace.pairs.items()}
    return {name: trace.mean(ratio) for name, ratio in ratios.items()}


@final
class LayerRates(Meter):
    """How many nats each layer says of a datum: its KL, averaged over the data.

    A ladder's lower layers may do all the work, or its upper ones nothing; the sum does not tell.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, trace: Trace) -> None:
        self.count += trace.batch.size
        for name, rate in layer_rates(trace).items():
            self.sums[name] = self.sums.get(name, 0.0) + rate.sum(dtype=torch.float64).item()

    def figures(self) -> dict[str, Any]:
        return {"rate_by_layer": {name: total / self.count for name, total in self.sums.items()}}
