"""Discrete latents, and the estimators of their gradients by name: which serve which latents and bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, final

import torch
from torch import Tensor, nn

from lowerbound.core import (
    ELBO,
    IWAE,
    RELAX,
    AnalyticELBO,
    Average,
    Baselined,
    Bernoulli,
    Conditional,
    DisARM,
    Distortion,
    Enumerate,
    Estimator,
    Fixed,
    GumbelSoftmax,
    GumbelStraightThrough,
    Objective,
    OfRelaxed,
    OneHot,
    Predicted,
    Rate,
    Score,
    SignalScale,
    StraightThrough,
    bits,
    one_hot,
)
from lowerbound.core.estimators import LARGEST_SUPPORT
from lowerbound.errors import InputError
from lowerbound.nets import encoder
from lowerbound.recipes.parts import Ends

PriorName = Literal["uniform", "learned"]
BoundName = Literal["elbo", "elbo-mc", "iwae"]
EstimatorName = Literal[
    "reinforce",
    "nvil",
    "rloo",
    "vimco",
    "disarm",
    "relax",
    "gumbel",
    "gumbel-straight-through",
    "straight-through",
    "enumerate",
]
Temperature = Annotated[float, (1e-3, 1e3)]

HIDDEN = 100
"""Width of the perceptrons that serve an estimator: a baseline, a control."""


@final
@dataclass(frozen=True)
class Finite:
    """So many latents of so many classes each: bits where there are two, one-hot vectors where there are more."""

    latent: int
    classes: int

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise InputError(f"a latent of {self.classes} class says nothing; use classes of at least 2")

    @property
    def width(self) -> int:
        """Numbers that an encoder gives, and that a decoder is given."""
        return self.latent if self.classes == 2 else self.latent * self.classes

    def posterior(self, network: nn.Module) -> Conditional:
        """q(z|x), of a network that gives `width` numbers."""
        if self.classes == 2:
            return Bernoulli(network)
        return OneHot(nn.Sequential(network, nn.Unflatten(-1, (self.latent, self.classes))), 2)

    def prior(self, name: PriorName) -> Conditional:
        """p(z): all values alike, or learned for each latent by itself."""
        start = torch.zeros(self.latent) if self.classes == 2 else torch.zeros(self.latent, self.classes)
        logits: Tensor = nn.Parameter(start) if name == "learned" else start
        return Fixed(bits if self.classes == 2 else partial(one_hot, event_dims=2), logits=logits)

    def read(self, network: nn.Module) -> nn.Module:
        """A decoder's network made to read z."""
        return network if self.classes == 2 else nn.Sequential(nn.Flatten(-2), network)


def objective(bound: BoundName, estimator: EstimatorName) -> Objective:
    """The bound by name; of a relaxed model, its distortion is called so."""
    if estimator == "gumbel":
        return OfRelaxed(Distortion()) + Rate()
    plain: dict[str, Callable[[], Objective]] = {"elbo": AnalyticELBO, "elbo-mc": ELBO, "iwae": IWAE}
    return plain[bound]()


def chosen(
    name: EstimatorName, bound: BoundName, particles: int, latents: Finite, sides: Ends, temperature: float
) -> Estimator:
    """The gradient estimator by name, refused where it is none for these latents, this bound or so many particles."""
    if complaint := _of_bound(name, bound) or _of_particles(name, particles) or _of_latents(name, latents):
        raise InputError(complaint)
    return {
        "nvil": lambda: Baselined(
            Predicted(_baseline(sides), sides.reads), SignalScale() if bound == "elbo-mc" else None
        ),
        "relax": lambda: RELAX(_Control(sides.variable.shape, latents.width), sides.reads),
        "gumbel": lambda: GumbelSoftmax(temperature),
        "gumbel-straight-through": lambda: GumbelStraightThrough(temperature),
        **_PLAIN,
    }[name]()


def _baseline(sides: Ends) -> nn.Module:
    return encoder("mlp", sides.variable.shape, 1, (HIDDEN,), "tanh")


@final
class _Control(nn.Module):
    """x (B, *shape) and z (K, B, D), each by a linear layer of its own, so that x is read once for all particles."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.x = encoder("mlp", shape, HIDDEN, (), "tanh")
        self.z, self.out = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        found: Tensor = self.out(torch.tanh(self.x(x) + self.z(z)))
        return found


def _of_bound(name: str, bound: str) -> str:
    if name in {"disarm", "relax"} and bound == "iwae":
        return f"the estimator {name} weighs each particle by itself, which the bound iwae does not; use vimco"
    if name == "gumbel" and bound != "elbo":
        return "the estimator gumbel relaxes z, which then has no log q; use bound elbo, or gumbel-straight-through"
    if name == "enumerate" and bound == "iwae":
        return "the estimator enumerate makes the bound iwae log p(x) itself, whatever the encoder; use bound elbo"
    if name == "rloo" and bound == "iwae":
        return "the estimator rloo is called vimco under the bound iwae; use vimco"
    if name == "vimco" and bound != "iwae":
        return f"the estimator vimco is called rloo under the bound {bound}; use rloo"
    return ""


def _of_particles(name: str, particles: int) -> str:
    if name in {"rloo", "vimco"} and particles < 2:
        return f"the estimator {name} compares particles with each other; use particles of at least 2"
    if name == "disarm" and particles % 2:
        return f"the estimator disarm draws particles in pairs, and {particles} is odd; use particles of 2, 4 and so on"
    return ""


def _of_latents(name: str, latents: Finite) -> str:
    if name == "disarm" and latents.classes > 2:
        return "the estimator disarm is for latents of 2 classes; use rloo or vimco"
    if name == "enumerate" and latents.classes**latents.latent > LARGEST_SUPPORT:
        return f"z has {latents.classes}^{latents.latent} values, too many for the estimator enumerate; use rloo"
    return ""


_PLAIN: dict[str, Callable[[], Estimator]] = {
    "reinforce": lambda: Baselined(Average()),
    "rloo": Score,
    "vimco": Score,
    "disarm": DisARM,
    "straight-through": StraightThrough,
    "enumerate": Enumerate,
}
