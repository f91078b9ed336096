"""The parts recipes are made of: networks and likelihoods sized from the data, bounds and estimators by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from lowerbound.arguments import Count
from lowerbound.core import (
    Batch,
    Bernoulli,
    Categorical,
    Conditional,
    ContinuousBernoulli,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Estimator,
    EvenLaplace,
    Gaussian,
    Homoscedastic,
    Laplace,
    Latent,
    NegativeBinomial,
    Objective,
    Pathwise,
    Poisson,
    squared_error,
)
from lowerbound.data.conditioning import Told
from lowerbound.data.likelihoods import check_likelihood
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import Identity, View, view_for
from lowerbound.errors import InputError
from lowerbound.nets import SUGGESTED_HIDDEN, decoder, encoder
from lowerbound.nets.observing import Observing
from lowerbound.recipes.latents import PLAIN, Latents, meetings
from lowerbound.recipes.registry import Setup

MIXTURE_COMPONENTS = 5

LikelihoodName = Literal[
    "auto",
    "bernoulli",
    "continuous-bernoulli",
    "gaussian",
    "gaussian-fixed",
    "gaussian-learned",
    "gaussian-per-dim",
    "mse",
    "laplace",
    "laplace-fixed",
    "laplace-learned",
    "categorical",
    "discretized-logistic",
    "discretized-logistic-mixture",
    "poisson",
    "negative-binomial",
]
NetName = Literal["mlp", "conv", "resnet"]
Widths = tuple[Count, ...] | None
Reads = Callable[[Batch], tuple[Tensor, Tensor | None]]
"""What an encoder is given of a batch: values, and a condition."""


@final
@dataclass(frozen=True)
class Family:
    """A likelihood by name: how many numbers it asks of the network for each value, how to build it, and where
    its location starts for data of a given mean."""

    per_value: Callable[[Variable], int]
    build: Callable[[nn.Module, Variable], Conditional]
    location: Callable[[Tensor, Variable], Tensor]

    def start(self, mean: Tensor, variable: Variable) -> Tensor:
        """The network's output, (*shape) or (*shape, P), of a likelihood with this mean: its location, zeros beside it.

        A network whose last biases start there need not spend its first units on saying what is always so.
        """
        location, p = self.location(mean, variable), self.per_value(variable)
        return location if p == 1 else nn.functional.pad(location.unsqueeze(-1), (0, p - 1))


def likelihood_name(name: str, variable: Variable) -> str:
    """The name itself, or the data's own choice for "auto"; refused with a sentence if it does not fit the data."""
    chosen = variable.likelihood if name == "auto" else name
    check_likelihood(variable, chosen)
    return chosen


def family(name: str) -> Family:
    """The likelihood family of this name.

    >>> family("gaussian").per_value(None)
    2
    """
    return _FAMILIES[name]


def reads(variable: Variable, likelihood: str) -> Reads:
    """What an encoder of one variable is given: levels and codes, and the logarithm of counts, brought to [0, 1].

    A likelihood may speak of values from 0 to 255 or of counts without end; read as they are they would start the
    posterior millions of nats from the prior.
    """

    def read(batch: Batch) -> tuple[Tensor, Tensor | None]:
        return small(batch.filled(variable.name)), batch.c

    small = _small(variable, likelihood)
    return read


def _small(variable: Variable, likelihood: str) -> Callable[[Tensor], Tensor]:
    high = max(variable.high, 1.0)
    if variable.kind == "count":
        return lambda x: torch.log1p(x) / math.log1p(high)
    as_stored = isinstance(view_for(variable, likelihood), Identity)
    return (lambda x: x / high) if as_stored else (lambda x: x)


@final
@dataclass(frozen=True, eq=False)
class Ends:
    """The data's side of a model of one variable: an encoder's network, and a likelihood over a decoder's.

    variable: what is modelled. encoder: x (B, *seen) -> (B, outputs). decoder: z (..., inputs) -> what the likelihood
    reads. likelihood, views: by the variable's name, as `Latent` and `Setup` take them. reads, start: the same.
    """

    variable: Variable
    encoder: nn.Module
    decoder: nn.Module
    likelihood: dict[str, Conditional]
    views: dict[str, View]
    reads: Reads
    start: Callable[[Mapping[str, Tensor]], None]
    seen: tuple[int, ...]


def ends(
    spec: DataSpec,
    outputs: int,
    inputs: int,
    *,
    net: NetName,
    hidden: Widths,
    activation: str,
    likelihood: str,
    beside: int = 0,
    condition: int = 0,
) -> Ends:
    """Networks and likelihood for data of one variable: an encoder to `outputs` numbers, a decoder from `inputs`.

    beside: numbers that the encoder is given beside a datum. condition: numbers of a condition that both are given.

    Raises:
        InputError: several variables, or a network or likelihood that does not fit.
    """
    x = only_variable(spec)
    name, widths = likelihood_name(likelihood, x), SUGGESTED_HIDDEN[net] if hidden is None else hidden
    outward = decoder(net, inputs, x.shape, family(name).per_value(x), widths, activation, condition)
    inward = encoder(net, x.shape, outputs, widths, activation, beside + condition)
    return between(x, name, inward, outward, outward.start_at)


def observing_ends(spec: DataSpec, outputs: int, inputs: int, **chosen: Any) -> Ends:
    """The same; where values may be missing, of an encoder that is told which were observed.

    Pierre-Alexandre Mattei and Jes Frellsen, "MIWAE: deep generative modelling and imputation of incomplete data sets",
    2019, show it zeros for the missing and nothing more.
    """
    x = only_variable(spec)
    if not x.missing:
        return ends(spec, outputs, inputs, **chosen)
    sides = ends(spec, outputs, inputs, beside=x.size, **chosen)
    inward, read = Observing(sides.encoder, len(x.shape)), _with_mask(sides.reads, x)
    return replace(sides, encoder=inward, reads=read, seen=(2, *x.shape))


def _with_mask(read: Reads, variable: Variable) -> Reads:
    """What the encoder is given, and beside it which values were observed."""

    def both(batch: Batch) -> tuple[Tensor, Tensor | None]:
        (x, c), mask = read(batch), batch.mask_of(variable.name)
        seen = torch.ones_like(x) if mask is None else mask.to(x.dtype)
        return torch.stack([x, seen], -1 - len(variable.shape)), c

    return both


def between(
    x: Variable, likelihood: str, inward: nn.Module, outward: nn.Module, start_at: Callable[[Tensor], None]
) -> Ends:
    """The ends of a model whose networks are at hand; start_at: tells `outward` where its output is to start."""
    chosen = family(likelihood)
    return Ends(
        x,
        inward,
        outward,
        {x.name: chosen.build(outward, x)},
        {x.name: view_for(x, likelihood)},
        reads(x, likelihood),
        lambda means: start_at(chosen.start(means[x.name], x)),
        x.shape,
    )


def only_variable(spec: DataSpec) -> Variable:
    """The variable of data that have one; others are refused."""
    if len(spec.variables) > 1:
        raise InputError(f"the recipe models one variable, and {spec.name!r} has {len(spec.variables)}")
    return spec.variables[0]


def gaussian_vae(
    spec: DataSpec,
    latent: int,
    objective: Objective,
    *,
    net: NetName,
    hidden: Widths,
    activation: str,
    likelihood: str,
    estimator: Estimator | None = None,
    particles: int = 1,
    latents: Latents = PLAIN,
    told: Told | None = None,
    prior: Conditional | None = None,
) -> Setup:
    """The model that many recipes share, under the objective that tells them apart.

    Default estimator: `Pathwise`; default latents: N(0, I) prior and factorised Gaussian posterior. told: the condition
    that encoder and decoder are shown, and the prior where one is given in place of that of the latents.
    """
    width = latents.width(latent)
    chosen = {"net": net, "hidden": hidden, "activation": activation, "likelihood": likelihood}
    sides = observing_ends(spec, width, latent, **chosen, condition=told.width if told else 0)
    posterior = latents.after(sides.encoder, latent)
    prior = prior or latents.before(latent, posterior, sides.seen)
    return Setup(
        Latent(prior, posterior, sides.likelihood, sides.reads),
        sides.views,
        objective,
        estimator or Pathwise(),
        particles,
        condition=told,
        start=sides.start,
        meet=meetings(prior, sides.reads),
    )


def _dims(variable: Variable) -> int:
    return len(variable.shape)


def _levels(variable: Variable) -> int:
    return variable.levels or 2


def _learned(shape: tuple[int, ...]) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


# The mean of data that never vary would start a location at infinity.
_LEAST_MEAN = 1e-3


def _logit(mean: Tensor, v: Variable) -> Tensor:
    return torch.logit(mean, eps=_LEAST_MEAN)


def _log(mean: Tensor, v: Variable) -> Tensor:
    return mean.clamp_min(_LEAST_MEAN).log()


def _same(mean: Tensor, v: Variable) -> Tensor:
    return mean


def _on_unit_scale(mean: Tensor, v: Variable) -> Tensor:
    return mean * (2 / (_levels(v) - 1)) - 1


def _zero(mean: Tensor, v: Variable) -> Tensor:
    return torch.zeros_like(mean)


_FAMILIES: dict[str, Family] = {
    "bernoulli": Family(lambda v: 1, lambda net, v: Bernoulli(net, _dims(v)), _logit),
    "continuous-bernoulli": Family(lambda v: 1, lambda net, v: ContinuousBernoulli(net, _dims(v)), _logit),
    "gaussian": Family(lambda v: 2, lambda net, v: Gaussian(net, _dims(v)), _same),
    "gaussian-fixed": Family(lambda v: 1, lambda net, v: Homoscedastic(net, torch.zeros(()), _dims(v)), _same),
    "gaussian-learned": Family(lambda v: 1, lambda net, v: Homoscedastic(net, _learned(()), _dims(v)), _same),
    "gaussian-per-dim": Family(lambda v: 1, lambda net, v: Homoscedastic(net, _learned(v.shape), _dims(v)), _same),
    "mse": Family(lambda v: 1, lambda net, v: squared_error(net, _dims(v)), _same),
    "laplace": Family(lambda v: 2, lambda net, v: Laplace(net, _dims(v)), _same),
    "laplace-fixed": Family(lambda v: 1, lambda net, v: EvenLaplace(net, torch.zeros(()), _dims(v)), _same),
    "laplace-learned": Family(lambda v: 1, lambda net, v: EvenLaplace(net, _learned(()), _dims(v)), _same),
    "categorical": Family(_levels, lambda net, v: Categorical(net, _levels(v), _dims(v)), _zero),
    "discretized-logistic": Family(
        lambda v: 2, lambda net, v: DiscretizedLogistic(net, _levels(v), _dims(v)), _on_unit_scale
    ),
    "discretized-logistic-mixture": Family(
        lambda v: 3 * MIXTURE_COMPONENTS,
        lambda net, v: DiscretizedLogisticMixture(net, MIXTURE_COMPONENTS, _levels(v), _dims(v)),
        _zero,
    ),
    "poisson": Family(lambda v: 1, lambda net, v: Poisson(net, _dims(v)), _log),
    "negative-binomial": Family(lambda v: 2, lambda net, v: NegativeBinomial(net, _dims(v)), _log),
}
