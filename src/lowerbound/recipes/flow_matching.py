"""A prior alone: noise carried to data, or to the latents of a first stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.arguments import Count
from lowerbound.core import (
    Bernoulli,
    Categorical,
    Conditional,
    DiscretizedLogistic,
    FlowMatched,
    FlowMatching,
    Homoscedastic,
    Latent,
    Pathwise,
    Poisson,
)
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import view_for
from lowerbound.errors import InputError
from lowerbound.nets.mapped import Mapped
from lowerbound.nets.velocity import Velocity
from lowerbound.recipes import parts
from lowerbound.recipes.registry import Setup, recipe

BLUR, WIDE_BLUR = 0.01, 0.1
"""How far z lies from where it puts a value: for values of an order without gaps, and for codes and counts."""

ODDS = 2 / WIDE_BLUR**2
"""What z is multiplied by for the log odds, by Bayes' rule, of +1 against −1 blurred so."""


@recipe("flow-matching")
def flow_matching(
    spec: DataSpec,
    *,
    hidden: parts.Widths = (64, 128),
    blocks: Count = 1,
    patch: Count = 1,
    steps: Count = 20,
) -> Setup:
    """Flow matching: a network's velocity carries noise to data; a model all prior, in which z is the datum itself.

    Choose it over the latents that a first stage has written, to draw new ones, which is latent diffusion; or over
    small pictures. q(z|x) is a narrow fixed Gaussian about x on a scale of unit size and p(x|z) as narrow, so that
    log p(x) is that of the carried density, and encode gives back x. The objective is a squared error, not nats. Its
    log p(x) walks back along the velocity, many evaluations of the network for each particle: ask for few. Yaron
    Lipman, Ricky T. Q. Chen, Heli Ben-Hamu, Maximilian Nickel and Matt Le, "Flow matching for generative modeling",
    2023; Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser and Björn Ommer, "High-resolution image
    synthesis with latent diffusion models", 2022.

    Args:
        hidden: channels of the U-Net's grids, from the finest; each but the last is halved.
        blocks: residual ones on each grid, on the way down and on the way up.
        patch: side of the squares of values that make one place of the finest grid.
        steps: midpoint steps from noise to data, two evaluations of the network each.
    """
    x = parts.only_variable(spec)
    if x.missing:
        raise InputError(f"flow-matching is of whole rows, and {x.name!r} has missing values; fill them in with impute")
    place, widths = placed(x), hidden or (64, 128)
    prior = FlowMatched(Velocity(place.event, widths, blocks, patch), place.event, steps)
    posterior = blurred(place.put, place.blur, place.event)
    model = Latent(prior, posterior, {x.name: place.take}, lambda batch: (batch.filled(x.name),))
    return Setup(model, {x.name: view_for(x, place.likelihood)}, FlowMatching(), Pathwise())


@final
@dataclass(frozen=True, eq=False)
class Place:
    """Where the values of a variable lie among the reals.

    event: shape of z. put: x as the likelihood speaks of it -> the middle of z. blur: standard deviation of z about
    it. likelihood: the name by which x is seen. take: p(x|z).
    """

    event: tuple[int, ...]
    put: Callable[[Tensor], Tensor]
    blur: float
    likelihood: str
    take: Conditional


def placed(x: Variable) -> Place:
    """Where the values of this variable lie: ordered ones on [−1, 1], real ones standardised, codes one-hot at ±1."""
    return _PLACES[x.kind](x)


def blurred(middle: Callable[[Tensor], Tensor], blur: float, event: tuple[int, ...]) -> Homoscedastic:
    """A Gaussian of a fixed standard deviation about what the function gives."""
    return Homoscedastic(Mapped(middle), torch.tensor(math.log(blur)), len(event))


def _real(x: Variable) -> Place:
    return Place(x.shape, _same, BLUR, "gaussian", blurred(_same, BLUR, x.shape))


def _unit(x: Variable) -> Place:
    return Place(x.shape, _spread, BLUR, "gaussian", blurred(lambda z: (z + 1) / 2, BLUR / 2, x.shape))


def _byte(x: Variable) -> Place:
    top = (x.levels or 2) - 1
    narrow = Mapped(lambda z: torch.stack([z, torch.full_like(z, _LOG_SQUARED_SCALE)], -1))
    take = DiscretizedLogistic(narrow, top + 1, len(x.shape))
    return Place(x.shape, lambda v: _spread(v / top), BLUR, "discretized-logistic", take)


def _binary(x: Variable) -> Place:
    return Place(x.shape, _spread, WIDE_BLUR, "bernoulli", Bernoulli(Mapped(_odds), len(x.shape)))


def _category(x: Variable) -> Place:
    levels = x.levels or 2
    put = partial(_one_hot, levels=levels)
    return Place((*x.shape, levels), put, WIDE_BLUR, "categorical", Categorical(Mapped(_odds), levels, len(x.shape)))


def _count(x: Variable) -> Place:
    take = Poisson(Mapped(_same), len(x.shape))
    return Place(x.shape, lambda v: v.clamp_min(0.5).log(), WIDE_BLUR, "poisson", take)


# A logistic of scale s has the standard deviation sπ/√3.
_LOG_SQUARED_SCALE = 2 * math.log(BLUR * math.sqrt(3) / math.pi)


def _same(values: Tensor) -> Tensor:
    return values


def _spread(values: Tensor) -> Tensor:
    """From [0, 1] to [−1, 1]."""
    return 2 * values - 1


def _odds(z: Tensor) -> Tensor:
    return z * ODDS


def _one_hot(codes: Tensor, levels: int) -> Tensor:
    return _spread(F.one_hot(codes.long(), levels).to(codes.dtype))


_PLACES: dict[str, Callable[[Variable], Place]] = {
    "real": _real,
    "unit": _unit,
    "byte": _byte,
    "binary": _binary,
    "category": _category,
    "count": _count,
}
