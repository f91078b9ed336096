"""What is hidden of data, drawn by Markov chains: z given the whole of x, then what is hidden given z.

Danilo Jimenez Rezende, Shakir Mohamed and Daan Wierstra, "Stochastic backpropagation and approximate inference in deep
generative models", 2014, take every z that q(z|x) proposes; Pierre-Alexandre Mattei and Jes Frellsen, "Leveraging the
exact likelihood of deep latent variable models", 2018, accept it as Metropolis and Hastings do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.batch import Batch
from lowerbound.core.controls import no_control
from lowerbound.core.estimators import Score
from lowerbound.core.given import scored
from lowerbound.core.latent import Model, Trace, named

Tensors = Mapping[str, Tensor]


@final
class Place(NamedTuple):
    """Where chains are, one for each datum of a batch.

    batch: the data with what is hidden filled in. z: (1, B, *event), or several by name. accepted: (B,), the share of
    the proposals so far that were taken.
    """

    batch: Batch
    z: Any
    accepted: Tensor


Rule = Callable[[Model, Place, Trace], Tensor]
"""Which of the z proposed are taken, (B,): told where the chains are and the trace of the proposals."""


def always(model: Model, here: Place, proposed: Trace) -> Tensor:
    """Every one: pseudo-Gibbs, right as far as q(z|x) is the posterior.

    The chain has the stationary distribution of q(z|x) and p(x|z) as they are, which is p(x_hidden | x_observed) where
    q is exact, and else is not.
    """
    return torch.ones_like(proposed.log_w[0], dtype=torch.bool)


def metropolis(model: Model, here: Place, proposed: Trace) -> Tensor:
    """z' with probability min(1, w(z') / w(z)), w(z) = p(x, z) / q(z|x): Metropolis within Gibbs.

    It leaves p(z, x_hidden | x_observed) as it is whatever q proposes, and so is exact in the limit of many sweeps.
    """
    gain = proposed.log_w[0] - scored(model, here.batch, here.z).log_w[0]
    return torch.rand_like(gain).log() < gain


@torch.no_grad()
def start(model: Model, batch: Batch) -> Place:
    """Chains at these data, with z ~ q(z|x)."""
    trace = _proposed(model, batch)
    return Place(batch, trace.z, torch.ones_like(trace.log_w[0]))


@torch.no_grad()
def walked(model: Model, here: Place, observed: Tensors, sweeps: int, rule: Rule = metropolis) -> Place:
    """So many sweeps on: z proposed by q(z|x) and taken by the rule, then x_hidden ~ p(x|z).

    observed: name -> (B, *event), True for what stays as it is.

    >>> from torch import nn
    >>> from lowerbound.core import Bernoulli, Gaussian, Latent, standard_normal
    >>> encoder = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(-1, (2, 2)))
    >>> model = Latent(standard_normal(2), Gaussian(encoder), Bernoulli(nn.Linear(2, 4)))
    >>> first_two = {"x": torch.tensor([True, True, False, False]).expand(3, 4)}
    >>> walked(model, start(model, Batch({"x": torch.ones(3, 4)})), first_two, sweeps=5).batch.x["x"][:, :2].sum()
    tensor(6.)
    """
    total = torch.zeros_like(here.accepted)
    for _ in range(sweeps):
        here = _swept(model, here, observed, rule)
        total += here.accepted
    return here._replace(accepted=total / max(1, sweeps))


def _swept(model: Model, here: Place, observed: Tensors, rule: Rule) -> Place:
    proposed = _proposed(model, here.batch)
    taken = rule(model, here, proposed)
    z = _chosen(taken, proposed.z, here.z)
    px = model.decode(_first(z), here.batch.c)
    x = {name: _redrawn(px[name], values, observed[name]) for name, values in here.batch.x.items()}
    return Place(replace(here.batch, x=x), z, taken.to(here.accepted.dtype))


def _proposed(model: Model, batch: Batch) -> Trace:
    return model.trace(batch, 1, Score(no_control))


def _redrawn(d: Distribution, x: Tensor, observed: Tensor) -> Tensor:
    """What is hidden of x drawn anew; where p(x|z) does not factorise, given what is observed too."""
    if getattr(d, "takes_gaps", False):
        filled: Tensor = d.completed(torch.where(observed, x, torch.nan))  # type: ignore[attr-defined]
        return filled
    return torch.where(observed, x, d.sample().to(x.dtype))


def _chosen(taken: Tensor, there: Any, here: Any) -> Any:
    """z by z, (1, B, *event) each."""
    pairs = {name: (new, named(here)[name]) for name, new in named(there).items()}
    z = {name: torch.where(_wide(taken, new), new, old) for name, (new, old) in pairs.items()}
    return z if isinstance(here, Mapping) else z["z"]


def _wide(taken: Tensor, z: Tensor) -> Tensor:
    return taken.reshape(1, -1, *(1,) * (z.dim() - 2))


def _first(z: Any) -> Any:
    return {name: each[0] for name, each in z.items()} if isinstance(z, Mapping) else z[0]
