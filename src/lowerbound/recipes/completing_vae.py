"""The conditional model of what is hidden of a datum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import AnalyticELBO, Batch, Conditional, Latent, Meter, Objective, Pathwise, Trace, standard_normal
from lowerbound.core.evidence import Pinning, unpacked
from lowerbound.core.observation import observed_log_prob
from lowerbound.data.masks import Hiding, MaskName, Masks
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import View, view_for
from lowerbound.nets import SUGGESTED_HIDDEN, decoder, encoder
from lowerbound.nets.guessing import Guess, PartReader, Prompted
from lowerbound.nets.mlp import MLPDecoder, activate
from lowerbound.nets.picture import PictureDecoder
from lowerbound.recipes import bounds, latents, parts
from lowerbound.recipes.registry import Setup, recipe

Share = Annotated[float, (0.0, 1.0)] | None
Names = tuple[MaskName, ...]


@recipe("completing-vae")
def completing_vae(
    spec: DataSpec,
    *,
    latent: NonNegativeInt = 50,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    bound: bounds.BoundName = "elbo",
    estimator: bounds.EstimatorName = "pathwise",
    particles: Count = 1,
    beta: NonNegative = 1.0,
    anneal: NonNegativeInt = 0,
    masks: Names = ("random",),
    share: Share = None,
) -> Setup:
    """Conditional VAE of what is hidden of a datum, given the rest of it: log p(x_hidden | x_observed).

    p(z | x_observed), q(z | x_observed, x_hidden) and p(x_hidden | z). A plain network guesses the hidden values from
    the observed ones, trained for that by itself, and the prior reads its code. Choose it to complete data of which
    always like parts are hidden; any VAE completes what it was never trained for. Every datum is cut anew in each step,
    and what `evaluate` and `log-prob` say is of what these masks hide. Kihyuk Sohn, Honglak Lee and Xinchen Yan,
    "Learning structured output representation using deep conditional generative models", 2015.

    Args:
        latent: dimensions of z; 0 leaves the guess alone, the deterministic network that the model is to better.
        bound: as of the recipe vae.
        estimator: as of the recipe vae.
        particles: draws of z for each datum and step.
        beta: weight of the rate.
        anneal: steps over which that weight rises from 0.
        masks: what is hidden, one of these in turn: bottom, top, left, right; quadrants-1, -2, -3, of which so many are
            observed (the lower left, the left half, all but the lower right), or quadrants for any one to three of the
            four; random, each value by itself; all.
        share: of the mask random, the share that is hidden; where not given, one drawn anew for each datum.
    """
    x = parts.only_variable(spec)
    name = parts.likelihood_name(likelihood, x)
    family, read = parts.family(name), parts.reads(x, name)
    sizes = Sizes(x, family, net, SUGGESTED_HIDDEN[net] if hidden is None else hidden, activation, read)
    objective = bounds.objective(bound, beta, anneal, particles=particles)
    setup = completing(sizes, latent, objective, view_for(x, name), Hiding(x.name, Masks(x.shape, masks, share)))
    return replace(setup, estimator=bounds.estimator(estimator, bound, particles), particles=particles)


@final
@dataclass(frozen=True, eq=False)
class Sizes:
    """What the networks are sized by; read: what brings a batch's values to where they like them."""

    variable: Variable
    family: parts.Family
    net: parts.NetName
    hidden: tuple[int, ...]
    activation: str
    read: parts.Reads

    @property
    def code(self) -> int:
        """Numbers in the guess's code."""
        return (self.variable.size, *self.hidden)[-1]

    def reader(self, outputs: int, beside: int = 0) -> PartReader:
        """A reader of evidence, and of other numbers beside."""
        x = self.variable
        net = encoder(self.net, x.shape, outputs, self.hidden, self.activation, x.size + beside)
        return PartReader(net, x.shape, self.scaled)

    def inward(self, outputs: int) -> nn.Module:
        """An encoder of a whole datum beside what `whole` says of it."""
        x = self.variable
        return encoder(self.net, x.shape, outputs, self.hidden, self.activation, x.size * (1 + x.missing))

    def outward(self, inputs: int) -> MLPDecoder | PictureDecoder:
        """A decoder to the parameters of the likelihood."""
        x, per_value = self.variable, self.family.per_value(self.variable)
        return decoder(self.net, inputs, x.shape, per_value, self.hidden, self.activation)

    def guess(self, outward: nn.Module) -> Guess:
        """The plain network, by way of its code to that decoder."""
        return Guess(self.reader(self.code), activate(self.activation), outward)

    def start(self, mean: Tensor, *decoders: MLPDecoder | PictureDecoder) -> None:
        """Have decoders begin with what gives the data their mean."""
        for each in decoders:
            each.start_at(self.family.start(mean, self.variable))

    def scaled(self, values: Tensor) -> Tensor:
        """Values as networks are given them."""
        return self.read(Batch({self.variable.name: values}))[0]

    def whole(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the posterior reads: all values, told or hidden, and which were told, and where some miss which not."""
        name, event = self.variable.name, len(self.variable.shape)
        x = batch.filled(name)
        values, told = (torch.zeros_like(x),) * 2 if batch.c is None else unpacked(batch.c, event)
        marks = [told, *([_marked(batch, name)] if self.variable.missing else [])]
        return self.scaled(torch.where(told.bool(), values, x)), torch.cat([mark.flatten(1) for mark in marks], 1)


def completing(sizes: Sizes, latent: int, objective: Objective, view: View, hiding: Hiding) -> Setup:
    """The model under an objective, to which the guess's own is added; without z, the guess alone."""
    x, first = sizes.variable, sizes.outward(sizes.code)
    guessed = Pinning(sizes.family.build(guess := sizes.guess(first), x))
    second = sizes.outward(latent) if latent else first
    return Setup(
        led(sizes, latent, guess, second) if latent else alone(guessed, x.name),
        {x.name: view},
        objective + Guessing(guessed, x.name) if latent else AnalyticELBO(),
        Pathwise(),
        start=lambda means: sizes.start(means[x.name], first, second),
        hiding=hiding,
        meters=lambda: (GuessMeter(guessed, x.name),),
    )


def led(sizes: Sizes, latent: int, guess: Guess, outward: nn.Module) -> Latent:
    """A latent whose prior reads the guess's code beside what is observed, and whose decoder reads z alone.

    A decoder that had the guess as well would begin by repeating it, and leave z unused for long.
    """
    x = sizes.variable
    prior = latents.gaussian(Prompted(sizes.reader(2 * latent, sizes.code), guess), latent)
    posterior = latents.gaussian(sizes.inward(2 * latent), latent)
    told = Pinning(_OfLatent(sizes.family.build(outward, x)))
    return Latent(prior, posterior, {x.name: told}, sizes.whole)


@final
class _OfLatent(Conditional):
    """A likelihood that reads z and nothing of the evidence."""

    def __init__(self, part: Conditional) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: object) -> Distribution:
        return self.part(given[0])


def alone(guessed: Pinning, name: str) -> Latent:
    """The guess without anything latent: a z of no dimensions, of which nothing can be asked."""
    return Latent(standard_normal(0), latents.Nothing(), {name: _Unmoved(guessed)}, lambda batch: (batch.x[name],))


@final
class _Unmoved(Conditional):
    """A likelihood that a z of no dimensions has no part in, with its leading dimensions."""

    def __init__(self, part: Conditional) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: object) -> Distribution:
        z, c = given
        assert isinstance(z, Tensor)
        return self.part(c).expand(z.shape[:-1])


@final
class Guessing(Objective):
    """−log p(x_hidden | x_observed) of the guess by itself."""

    def __init__(self, guessed: Conditional, name: str) -> None:
        super().__init__()
        # A list is no child module: the guess is the model's.
        self.guessed, self.name = [guessed], name

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return {"guess": -log_prob_of(self.guessed[0], self.name, trace.batch)}


def log_prob_of(guessed: Conditional, name: str, batch: Batch) -> Tensor:
    """log p(x_hidden | x_observed) of a likelihood that reads evidence alone, (B,)."""
    return observed_log_prob(guessed(batch.c), batch.x[name], batch.mask_of(name))


@final
class GuessMeter(Meter):
    """How well the guess alone tells what is hidden: its mean log p(x_hidden | x_observed) in nats a datum, as seen."""

    def __init__(self, guessed: Conditional, name: str) -> None:
        self.guessed, self.name, self.found = guessed, name, list[Tensor]()

    def add(self, trace: Trace) -> None:
        self.found.append(log_prob_of(self.guessed, self.name, trace.batch).double())

    def figures(self) -> dict[str, Any]:
        each = torch.cat(self.found)
        return {"guess": {"log_p": each.mean().item(), "stderr": (each.var() / len(each)).sqrt().item()}}


def _marked(batch: Batch, name: str) -> Tensor:
    x, mask = batch.x[name], batch.mask_of(name)
    return torch.ones_like(x) if mask is None else mask.to(x.dtype)
