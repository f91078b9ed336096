"""The autoencoder in whose latents another model works."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Literal

import torch
from torch import nn

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import (
    BetaELBO,
    Conditional,
    EvenLaplace,
    Gaussian,
    Latent,
    Objective,
    Pathwise,
    Schedule,
    WarmUp,
    standard_normal,
)
from lowerbound.core.looks import PatchAdversary, Perceptual
from lowerbound.data.likelihoods import ACCEPTS
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.nets.kl_autoencoder import LatentDecoder, LatentEncoder
from lowerbound.nets.looking import Differences, PatchJudge, RandomFeatures
from lowerbound.nets.mapped import Scaled
from lowerbound.recipes import parts
from lowerbound.recipes.pricing import price
from lowerbound.recipes.registry import Setup, recipe

SUGGESTED = (32, 64, 64)
"""Channels of each grid: two halvings, which serve pictures of some 30 x 30 pixels."""

LOG_SCALE = -2.0
"""Log of the scale of errors to begin with."""

ROWS_PRICED = 1024
"""Training rows whose errors say how wide the likelihood is in the end."""


@recipe("first-stage")
def first_stage(
    spec: DataSpec,
    *,
    latent: Count = 4,
    hidden: parts.Widths = None,
    blocks: Count = 1,
    groups: Count | None = None,
    likelihood: parts.LikelihoodName = "auto",
    beta: NonNegative = 0.01,
    perceptual: NonNegative = 1.0,
    features: Literal["differences", "random"] = "differences",
    adversary: NonNegative = 0.0,
    adversary_warmup: NonNegativeInt = 2000,
    judge: tuple[Count, ...] = (32, 64),
) -> Setup:
    """First stage of a latent diffusion: a VAE whose latent keeps the picture's directions, (h, w, c).

    Choose it for latents that another model is to work in: the network is that of diffusers' AutoencoderKL, whose
    weights the verbs export and import carry over. The likelihood auto is laplace-learned where values are ordered:
    Σ|x−μ|/b + D log 2b, "L1 + KL" with a price b that is learned and in the end measured; elsewhere the data's own. The
    rate counts for beta of its nats; with 1, and without the other terms, the objective is the bound on log p(x). Robin
    Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser and Björn Ommer, "High-resolution image synthesis with
    latent diffusion models", 2022.

    Args:
        latent: channels of z on each place of its grid.
        hidden: channels of each grid, from the picture's; each but the last is halved.
        blocks: residual ones on each grid on the way down; there is one more on the way up.
        groups: in which channels are normalised; by default as many as divide all widths, up to 32, of four or more.
        beta: weight of the rate, KL(q(z|x) ‖ N(0, I)) in nats; small, so that z is not noise but stays near unit size.
        perceptual: nats of a value that one unit of distance between features is worth; 0 leaves them out, and of
            unordered codes they are left out in any case.
        features: what reconstructions are compared by; differences between neighbours at three sizes, or the maps of a
            random network. A trained network's go into core.looks.Perceptual.
        adversary: nats of a value that one unit of a judge's opinion is worth; 0 is no judge.
        adversary_warmup: steps over which that weight rises from 0.
        judge: widths of the judge of patches, each of which halves the picture.
    """
    x, widths = parts.only_variable(spec), SUGGESTED if hidden is None else hidden
    name = likelihood_of(likelihood, x)
    inward = LatentEncoder(x.shape, latent, widths, blocks, groups)
    outward = LatentDecoder(x.shape, latent, parts.family(name).per_value(x), widths, blocks, groups)
    ends = framed(x, name, inward, outward)
    looks = [
        perceptual * Perceptual(_FEATURES[features](x.shape), x.name) if perceptual else None,
        judged(x, judge, WarmUp(max(1, adversary_warmup), adversary)) if adversary else None,
    ]
    posterior = Gaussian(ends.encoder, event_dims=3)
    model = Latent(standard_normal(*inward.grid, latent), posterior, ends.likelihood, ends.reads)
    return Setup(
        model,
        ends.views,
        with_looks(BetaELBO(beta), x, looks),
        Pathwise(),
        start=ends.start,
        settle=lambda rows: price(model, ends.likelihood[x.name], x.name, [next(iter(rows()))[:ROWS_PRICED]]),
    )


def likelihood_of(name: str, x: Variable) -> str:
    """The name itself; for "auto" laplace-learned where values are ordered without gaps, else the data's own choice."""
    fits = x.kind in ACCEPTS["laplace-learned"]
    return parts.likelihood_name("laplace-learned" if name == "auto" and fits else name, x)


def framed(x: Variable, likelihood: str, inward: LatentEncoder, outward: LatentDecoder) -> parts.Ends:
    """The ends of a model whose networks see and make pictures on [−1, 1], as diffusers' do; real values stay."""
    seen = Scaled(2.0, -1.0) if x.kind != "real" else Scaled(1.0, 0.0)
    located = likelihood.startswith(("laplace", "gaussian", "mse"))  # a location on the scale of what is seen
    made = Scaled(0.5, 0.5) if located and x.kind != "real" else Scaled(1.0, 0.0)
    start_at = lambda out: outward.start_at(made.inverse(out))  # noqa: E731
    ends = parts.between(x, likelihood, nn.Sequential(seen, inward), nn.Sequential(outward, made), start_at)
    narrow(ends.likelihood[x.name])
    return ends


@torch.no_grad()
def narrow(likelihood: Conditional) -> None:
    """Begin with a price of errors that fits pictures on [0, 1]; down from 1 it takes Adam thousands of steps."""
    if isinstance(likelihood, EvenLaplace):
        likelihood.log_scale.fill_(LOG_SCALE)


def judged(x: Variable, widths: tuple[int, ...], weight: Schedule) -> Objective:
    """The term of an adversary that learns beside the model."""
    return PatchAdversary(PatchJudge(x.shape, widths), weight, x.name)


def with_looks(objective: Objective, x: Variable, looks: Iterable[Objective | None]) -> Objective:
    """The objective and what is charged for looks; of unordered codes there is no picture to look at."""
    wanted = [each for each in looks if each is not None] if x.kind != "category" else []
    return reduce(operator.add, wanted, objective)


_FEATURES: dict[str, Callable[[tuple[int, ...]], nn.Module]] = {
    "differences": Differences,
    "random": lambda shape: RandomFeatures(shape, (32, 64, 128)),
}
