"""Action chunking with transformers: a robot's next actions, all at once."""

from __future__ import annotations

from typing import Annotated, final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Batch, Conditional, Latent, Objective, Pathwise, Rate, Trace, standard_normal
from lowerbound.core.bounds import Mean
from lowerbound.core.evidence import Pinned
from lowerbound.core.objectives import surrogate
from lowerbound.data.ahead import Ahead
from lowerbound.data.conditioning import Told
from lowerbound.data.likelihoods import ACCEPTS
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import View, view_for
from lowerbound.nets.act import Laid, Shape
from lowerbound.recipes import latents, parts
from lowerbound.recipes.chunk_nets import NetName, Nets, networks
from lowerbound.recipes.cvae import Drop
from lowerbound.recipes.pricing import price
from lowerbound.recipes.registry import Setup, recipe

PRICED = 512
"""Rows at most of each batch of training rows whose errors say how wide the likelihood is in the end."""

Dropout = Annotated[float, (0.0, 0.9)]


@recipe("act")
def act(
    spec: DataSpec,
    *,
    chunk: Count = 100,
    latent: NonNegativeInt = 32,
    net: NetName = "transformer",
    width: Count = 128,
    heads: Count = 4,
    layers: Count = 2,
    dropout: Dropout = 0.1,
    hidden: tuple[Count, ...] = (512, 512),
    likelihood: parts.LikelihoodName = "auto",
    kl_weight: NonNegative = 10.0,
    drop: Drop = 0.0,
) -> Setup:
    """Action chunking with transformers: a robot's next actions, all at once, told what it sees.

    A conditional VAE over chunks (steps, numbers): a transformer reads a chunk and the condition to q(z|x,c), another
    writes all steps of p(x|z,c) at once, and p(z) is N(0, I); a camera's picture in c is for the latter alone. A policy
    acts by the mean of p(x|z,c) at z = 0. Choose it to learn from demonstrations (see docs/robots.md), or for series of
    real values told something.

    What is minimised is −E_q log p(x|z,c) / n + kl_weight · KL(q ‖ p), n being how many values of the datum were
    observed: steps beyond an episode's end are in no sum and no denominator. The likelihood auto is laplace-fixed where
    values are ordered, whose b stands at 1 in training, so that the first term is the mean absolute error of
    standardised values + log 2. A datum's term is the negative bound of β = kl_weight · n divided by n; with b fitted
    to the errors, as it is once training is over, the same trade-off is the bound of β = kl_weight · n / b: 10 is tens
    of thousands of nats for each nat of z. What is evaluated is the bound in nats, β = 1, at the fitted b. Tony Z.
    Zhao, Vikash Kumar, Sergey Levine and Chelsea Finn, "Learning fine-grained bimanual manipulation with low-cost
    hardware", 2023.

    Args:
        chunk: steps at most that are modelled, from the first; log p is of these. The data have no more than they have.
        latent: dimensions of z; 0 for none, a plain transformer from the condition to a chunk.
        net: transformers, or for short chunks perceptrons, which take a tenth of the time.
        width: numbers at each place of the transformers.
        heads: of attention, which share them.
        layers: blocks of each of the three transformers: that of q, and the two of p(x|z,c).
        dropout: share of what each block adds that is left out in training.
        hidden: widths of the perceptrons, from the chunk's side to that of z.
        likelihood: p(x|z,c); auto is laplace-fixed for ordered values, the data's own for others; gaussian-fixed is
            half the squared error in its place. One scale is fitted to the errors of training rows in the end.
        kl_weight: nats of a value that one nat of the rate is worth.
        drop: share of the training data whose c is withheld, so that the model serves without c too; 0 for never.
    """
    chunks = Chunks(parts.only_variable(spec), likelihood, chunk)
    told = Told.by(spec, drop)
    nets = networks(net, Shape(width, heads, layers, dropout), hidden, told.variable)
    decoder = chunks.decoder(latent, told.width, nets)
    part = parts.family(chunks.likelihood).build(decoder, chunks.variable)
    posterior = chunks.posterior(latent, told.width, nets) if latent else latents.Nothing()
    model = Latent(standard_normal(latent), posterior, {chunks.name: chunks.shortened(part)}, chunks.read)
    return Setup(
        model,
        {chunks.name: chunks.view},
        PerValue(chunks) + kl_weight * Rate() if latent else PerValue(chunks),
        Pathwise(),
        condition=told,
        start=lambda means: decoder.start_at(chunks.start(means[chunks.name])),
        settle=lambda rows: price(model, part, chunks.name, map(chunks.few, rows())),
    )


@final
class Chunks:
    """The data's side of a model of chunks: what is read of them, and what is said.

    A datum of shape (steps, *rest) is so many steps, a vector one step. Of more than `most` steps the first are
    modelled, and the rest is neither read nor scored.
    """

    def __init__(self, variable: Variable, likelihood: str, most: int) -> None:
        self.variable, self.name = variable, variable.name
        self.likelihood = likelihood_of(likelihood, variable)
        self.total = 1 if len(variable.shape) == 1 else variable.shape[0]
        self.steps, self.width = min(most, self.total), variable.size // self.total
        self.short, self._read = self.steps < self.total, parts.reads(variable, self.likelihood)

    @property
    def view(self) -> View:
        """The likelihood's, of the first steps."""
        whole = view_for(self.variable, self.likelihood)
        return Ahead(whole, self.steps, self.total, len(self.variable.shape)) if self.short else whole

    def posterior(self, latent: int, condition: int, nets: Nets) -> Conditional:
        """q(z|x,c) from what `read` reads."""
        return latents.gaussian(nets.reader(self.steps, self.width, condition, 2 * latent), latent)

    def decoder(self, latent: int, condition: int, nets: Nets) -> Laid:
        """From z and c to what the likelihood reads."""
        per_value = parts.family(self.likelihood).per_value(self.variable)
        net = nets.writer(self.steps, self.width * per_value, latent, condition)
        return Laid(net, self.steps, self.total, self.variable.shape + (per_value,) * (per_value > 1))

    def shortened(self, likelihood: Conditional) -> Conditional:
        """The likelihood of the first steps."""
        return First(likelihood, self.steps, self.total) if self.short else likelihood

    def start(self, mean: Tensor) -> Tensor:
        """What the decoder gives for data of this mean."""
        return parts.family(self.likelihood).start(mean, self.variable)

    def read(self, batch: Batch) -> tuple[Tensor, ...]:
        """What q(z|x,c) is given: the first steps (B, steps, width), the condition, and which values were observed."""
        x, c = self._read(batch)
        mask = batch.mask_of(self.name)
        given = (self._first(x), c, None if mask is None else self._first(mask))
        return tuple(each for each in given if each is not None)

    def scored(self, batch: Batch) -> Tensor:
        """Which values count, (B, *shape)."""
        x, mask = batch.x[self.name], batch.mask_of(self.name)
        first = torch.arange(self.total, device=x.device) < self.steps
        whole = first.reshape(self.total, *(1,) * (len(self.variable.shape) - 1)).expand(x.shape)
        return whole if mask is None else whole & mask

    def few(self, batch: Batch) -> Batch:
        """Some of the rows, at even distances, with nothing observed but what counts."""
        some = batch[:: max(1, batch.size // PRICED)]
        return Batch(some.x, some.c, some.index, {self.name: self.scored(some)})

    def _first(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), self.total, self.width)[:, : self.steps]


@final
class First(Conditional):
    """A likelihood of the first steps of an event, certain that the others are 0, as `Ahead` has them."""

    place: Tensor

    def __init__(self, part: Conditional, steps: int, total: int) -> None:
        super().__init__()
        self.part, self.steps = part, steps
        self.register_buffer("place", torch.arange(total), persistent=False)

    def forward(self, *given: object) -> Distribution:
        d = self.part(*given)
        assert isinstance(d, Independent)
        told = (self.place >= self.steps).reshape(-1, *(1,) * (len(d.event_shape) - 1))
        return Independent(Pinned(d.base_dist, torch.zeros_like(told), told), len(d.event_shape), validate_args=False)


@final
class PerValue(Objective):
    """−E_q[log p(x|z,c)] by the number of the datum's values that were observed: nats of a value, padding left out."""

    def __init__(self, chunks: Chunks) -> None:
        super().__init__()
        self.chunks = chunks

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        count = self.chunks.scored(trace.batch).flatten(1).sum(1).clamp_min(1)
        return {"distortion_per_value": -surrogate(trace, trace.log_px / count, Mean())}


def likelihood_of(name: str, x: Variable) -> str:
    """The name itself; for "auto" laplace-fixed where values are ordered without gaps, else the data's own choice."""
    fits = x.kind in ACCEPTS["laplace-fixed"]
    return parts.likelihood_name("laplace-fixed" if name == "auto" and fits else name, x)
