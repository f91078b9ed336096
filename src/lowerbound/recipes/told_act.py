"""Action chunks in a style that a second latent model supplies, which is told in words what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

from torch import nn

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Batch, Chain, Gaussian, LayerRates, Link, Pathwise, Unaided, foresight, standard_normal
from lowerbound.data.conditioning import Told
from lowerbound.data.likelihoods import ACCEPTS
from lowerbound.data.senses import Senses
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.nets.act import Shape
from lowerbound.nets.hearing import Forgetting, Hearing
from lowerbound.nets.mlp import MLPDecoder
from lowerbound.recipes import bounds, parts
from lowerbound.recipes.act import Chunks, Dropout
from lowerbound.recipes.chunk_nets import NetName, networks
from lowerbound.recipes.cvae import Drop
from lowerbound.recipes.registry import Setup, recipe

OuterHears = Literal["all", "words"]
Share = Annotated[float, (0.0, 0.99)]


@recipe("told-act")
def told_act(
    spec: DataSpec,
    *,
    chunk: Count = 20,
    latent: Count = 16,
    outer: Count = 4,
    net: NetName = "transformer",
    width: Count = 128,
    heads: Count = 4,
    layers: Count = 2,
    dropout: Dropout = 0.1,
    hidden: tuple[Count, ...] = (512, 512),
    outer_hears: OuterHears = "all",
    between: tuple[Count, ...] = (128, 128),
    forget: Share = 0.3,
    unaided: Share = 0.5,
    likelihood: parts.LikelihoodName = "auto",
    beta: NonNegative = 1.0,
    anneal: NonNegativeInt = 0,
    drop: Drop = 0.0,
) -> Setup:
    """Action chunking told in words: what to do is z, which a second latent model draws for an instruction.

    Inside, q(z|a,s) reads a chunk of actions a in a state s, and p(a|z,s) writes it, as in the recipe act. Outside, z
    is itself what is modelled, given an instruction l, by p(z|u,s,l), p(u) = N(0, I) and q(u|z,s,l). So the decoder
    hears no word but through z: log p(a|s,l) ≥ E_q[log p(a|z,s) + log p(z|u,s,l) + log p(u) − log q(z|a,s) − log
    q(u|z,s,l)]. Choose it for demonstrations of several tasks named in words, where one state may begin any of them.
    A policy acts at z, the mean of p(z|u,s,l) at u = 0. Kihyuk Sohn, Honglak Lee and Xinchen Yan, "Learning
    structured output representation using deep conditional generative models", 2015, is the model that is nested, and
    has the objective; Tony Z. Zhao, Vikash Kumar, Sergey Levine and Chelsea Finn, "Learning fine-grained bimanual
    manipulation with low-cost hardware", 2023, is the inner one.

    Args:
        chunk: as of the recipe act.
        latent: dimensions of z.
        outer: dimensions of u, which is what an instruction leaves open.
        net: transformers, as of the recipe act, or perceptrons, which take a tenth of their time.
        width: as of the recipe act.
        heads: as of the recipe act.
        layers: as of the recipe act.
        dropout: as of the recipe act.
        hidden: widths of the perceptrons, from the chunk's side to that of z.
        outer_hears: all is the state and the instruction; words the instruction alone, when z must mean the same in all
            states for its mean to mean anything.
        between: widths of the perceptrons between u, the instruction and z.
        forget: share of an instruction's numbers that are withheld from p(z|u,s,l) in training, each by chance, lest it
            know its few instructions by heart.
        unaided: share of the objective that is −log p(a|z,s) at z ~ p(z|s,l) in place of the negative bound, so that
            the outer model learns what its z will do.
        likelihood: p(a|z,s); auto is laplace-learned for ordered values, the absolute error at a price that is learned
            with the rest, and the data's own for others.
        beta: weight of the rate, of z and u together.
        anneal: steps over which that weight rises from 0.
        drop: as of the recipe act.
    """
    x = parts.only_variable(spec)
    told, chunks = Told.by(spec, drop), Chunks(x, fitting(likelihood, x), chunk)
    ears = Ears(state_width(spec), told.width, outer_hears)
    nets = networks(net, Shape(width, heads, layers, dropout), hidden)
    decoder = chunks.decoder(latent, ears.state, nets)
    part = parts.family(chunks.likelihood).build(ears.seeing(decoder), chunks.variable)
    down, up = ears.net(outer, latent, between), ears.net(latent, outer, between)
    prior = Gaussian(ears.listening(Forgetting(down, ears.words, forget)))
    links = {
        "z": Link(prior, chunks.posterior(latent, ears.state, nets)),
        "u": Link(standard_normal(outer), Gaussian(ears.listening(up))),
    }
    model = Chain(links, {chunks.name: chunks.shortened(part)}, ears.reading(chunks.read))
    bound = bounds.objective("elbo", beta, anneal)
    return Setup(
        model,
        {chunks.name: chunks.view},
        (1 - unaided) * bound + unaided * Unaided(foresight(model)) if unaided else bound,
        Pathwise(),
        condition=told,
        start=lambda means: decoder.start_at(chunks.start(means[chunks.name])),
        meters=lambda: (LayerRates(),),
    )


@final
@dataclass(frozen=True)
class Ears:
    """Who hears what of a condition: a state of so many numbers, and an instruction, all told so many.

    outer: what the outer model hears.
    """

    state: int
    told: int
    outer: OuterHears

    @property
    def words(self) -> int:
        """Numbers of an instruction."""
        return self.told - self.state

    def seeing(self, net: nn.Module) -> Hearing:
        """The network told the state alone."""
        return Hearing(net, 0, self.state)

    @property
    def heard(self) -> int:
        """Numbers that the outer model hears."""
        return self.words if self.outer == "words" else self.told

    def net(self, given: int, out: int, hidden: tuple[int, ...]) -> MLPDecoder:
        """From another latent and what the outer model hears to a mean and a log variance of so many numbers."""
        return MLPDecoder(given, (out, 2), hidden, "silu", self.heard)

    def listening(self, net: nn.Module) -> Hearing:
        """The network told what the outer model hears."""
        return Hearing(net, self.told - self.heard, self.told)

    def reading(self, read: Callable[[Batch], tuple[Any, ...]]) -> Callable[[Batch], tuple[Any, ...]]:
        """What an encoder is given of a batch, of its condition the state alone."""

        def seen(batch: Batch) -> tuple[Any, ...]:
            x, c, *mask = read(batch)
            return x, c[..., : self.state], *mask

        return seen


def fitting(name: str, x: Variable) -> str:
    """The name itself; for "auto" laplace-learned where values are ordered without gaps, else the data's own choice."""
    fits = x.kind in ACCEPTS["laplace-learned"]
    return parts.likelihood_name("laplace-learned" if name == "auto" and fits else name, x)


def state_width(spec: DataSpec) -> int:
    """How many numbers of the condition are seen; those after them are an instruction's, and one is refused."""
    senses = None if spec.condition is None else Senses.of(spec.condition)
    if senses is None or not senses.words:
        raise InputError(
            f"told-act is told a state and an instruction, and {spec.name!r} has not both; give a folder of "
            "demonstrations with their tasks in words, and with text the encoder that reads them, such as minilm"
        )
    return senses.seen
