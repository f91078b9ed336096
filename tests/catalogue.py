"""What there is to test: every registered likelihood with the kinds it fits, and every recipe on tiny specs of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution, constraints

from lowerbound.core import Batch, Parametric
from lowerbound.data.likelihoods import ACCEPTS, default_likelihood
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.recipes import Setup, get, names, parts
from lowerbound.run.folder import modules_of

LIKELIHOODS = [name for name in get_args(parts.LikelihoodName) if name != "auto"]
FITS = [(name, kind) for name in LIKELIHOODS for kind in sorted(ACCEPTS[name])]
"""Every likelihood with every kind of value it fits."""

LEVELS = {"binary": 2, "byte": 8, "category": 4}
RANGES = {"binary": (0, 1), "byte": (0, 7), "unit": (0, 1), "real": (-3, 3), "count": (0, 9), "category": (0, 3)}
NAMES = ("x", "y", "u")
"""What variables are called."""


def variable(kind: Any, shape: tuple[int, ...] = (8, 8)) -> Variable:
    """A variable of this kind, its sensible likelihood chosen."""
    columns = shape[0] if len(shape) == 1 else 1
    real = {"mean": (0.5,) * columns, "std": (2.0,) * columns} if kind == "real" else {}
    low, high = RANGES[kind]
    plain = Variable("x", kind, shape, low, high, levels=LEVELS.get(kind), **real)
    return replace(plain, likelihood=default_likelihood(plain)[0])


def variables(kinds: str, shape: tuple[int, ...] = (8, 8)) -> tuple[Variable, ...]:
    """A variable of each kind, "unit" or several such as "unit+byte", named in turn."""
    return tuple(replace(variable(kind, shape), name=name) for name, kind in zip(NAMES, kinds.split("+")))


LABEL = Variable("label", "category", (1,), 0, 2, levels=3)
INSTRUCTED = Variable("told", "real", (3,), -3, 3, mean=(0.0,) * 3, std=(1.0,) * 3, form="state:2")
"""Two numbers of a state and one of an instruction."""
TOLD = {"told-act": INSTRUCTED}
"""What recipes are told that are not told a label."""


def spec(*variables: Variable, told: Variable = LABEL) -> DataSpec:
    """Data of these variables, with a condition of three labels or another of three numbers."""
    return DataSpec("toy", variables, told, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)


def raw(kind: str, *shape: int) -> Tensor:
    """Stored values of this kind."""
    low, high = RANGES[kind]
    if kind in {"real", "unit"}:
        return low + (high - low) * torch.rand(shape)
    return torch.randint(low, high + 1, shape, dtype=torch.uint8 if kind in {"binary", "byte"} else torch.int64)


def batch(kinds: str, rows: int, shape: tuple[int, ...] = (8, 8)) -> Batch:
    """A raw batch as the loader gives it, of one kind or several (see `variables`), labels one-hot."""
    x = {name: raw(kind, rows, *shape) for name, kind in zip(NAMES, kinds.split("+"))}
    return Batch(x, torch.eye(3)[torch.arange(rows) % 3], torch.arange(rows))


def likelihood(name: str, shape: tuple[int, ...] = (), kind: str | None = None) -> Parametric:
    """The likelihood, reading its parameters off what it is given."""
    part = parts.family(name).build(nn.Identity(), variable(kind or min(ACCEPTS[name]), shape))
    assert isinstance(part, Parametric)
    return part


def parameters(part: Parametric, *shape: int, spread: float = 1.0) -> Tensor:
    """Random network outputs for values of this shape."""
    per_value = (part.per_value,) if part.per_value > 1 else ()
    return spread * torch.randn((*shape, *per_value))


def support(d: Distribution) -> Any:
    """The support of one value."""
    base = d.base_dist if isinstance(d, D.Independent) else d
    return base._component_distribution.support if isinstance(base, D.MixtureSameFamily) else base.support


def nodes(d: Distribution, counts: int = 4000) -> tuple[Tensor, Tensor]:
    """x (N, *batch) and weights (N, 1, …) with Σ w f(x) = ∫ f(x) dx for a scalar d; Σ f(x) over all values if discrete.

    In [0, 1] through x = σ(t), and on the line at the mean plus t standard deviations, by the trapezoidal rule.
    """
    domain, lead = support(d), (1,) * len(d.batch_shape)
    if domain.is_discrete:
        top = {constraints.nonnegative_integer: counts, constraints.boolean: 1}.get(domain)
        x = torch.arange(1.0 + (domain.upper_bound if top is None else top)).reshape(-1, *lead)
        return x.expand(-1, *d.batch_shape), torch.ones_like(x)
    t = torch.linspace(-45, 45, 90_001).reshape(-1, *lead)
    step = (t[1] - t[0]).squeeze()
    if domain is constraints.unit_interval:
        return torch.sigmoid(t).expand(-1, *d.batch_shape), step * torch.sigmoid(t) * torch.sigmoid(-t)
    return d.mean + t * d.stddev, step * d.stddev


SMALL: dict[str, Any] = {
    "latent": 2,
    "width": 8,
    "embedding": 4,
    "hidden": (4, 6, 8),
    "particles": 2,
    "codes": 6,
    "places": 3,
    "prior_width": 8,
    "prior_layers": 1,
    "k": 1,
    "steps": 3,
    "learning_steps": 2,
    "components": 5,
    "transforms": 2,
    "latents": (3, 2),
    "between": (4,),
    "within": 2,
    "restarts": 2,
    "blocks": 1,
    "judge": (4,),
    "chunk": 5,
    "heads": 2,
    "drop": 0.1,
}
"""Arguments that keep a recipe's networks small, where it has such an argument."""


ONLY: dict[str, tuple[str, tuple[int, ...]]] = {"text-vae": ("category", (8,))}
"""Recipes of one kind of data and of one number of dimensions: the kind, and a shape to try them with."""

KINDS = {recipe: (ONLY[recipe][0],) if recipe in ONLY else tuple(RANGES) for recipe in names()}
"""Recipe -> the kinds of data that it is of."""


@dataclass(frozen=True)
class Case:
    """A recipe with arguments for data of one kind, or of several variables."""

    recipe: str
    kind: str
    arguments: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, recipe: str, kind: str = "unit", *arguments: tuple[str, Any]) -> Case:
        """The recipe for data of this kind, or of the one that it is of."""
        return cls(recipe, ONLY[recipe][0] if recipe in ONLY else kind, arguments)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the data it is tried with."""
        return ONLY[self.recipe][1] if self.recipe in ONLY else (8, 8)

    def batch(self, rows: int) -> Batch:
        """Data for it."""
        return batch(self.kind, rows, self.shape)

    def build(self, shape: tuple[int, ...] | None = None, **more: Any) -> Setup:
        """The setup, of small networks in the default dtype.

        In eval mode, where what follows the data in training (a codebook, a running mean) stands still.
        """
        known = get(self.recipe).parameters
        wanted = {**SMALL, **dict(self.arguments), **more}
        given = {name: value for name, value in wanted.items() if name in known}
        told = TOLD.get(self.recipe, LABEL)
        setup = get(self.recipe).build(spec(*variables(self.kind, shape or self.shape), told=told), **given)
        modules_of(setup).eval()
        return setup

    def __str__(self) -> str:
        return "-".join([self.recipe, self.kind, *(f"{name}={value}" for name, value in self.arguments)])


def options(recipe: str, argument: str) -> tuple[Any, ...]:
    """The values a recipe's argument chooses among; none if it has no such argument."""
    known = get(recipe).parameters
    return get_args(known[argument].hint) if argument in known else ()


def cases(*arguments: str) -> list[Any]:
    """Every recipe with what it can be made of.

    The recipe vae with every likelihood × kind it fits × each value of these arguments, and with each of its priors and
    posteriors once; the others, made of the same parts, with every kind of data and with each value of each of their
    own choices once.
    """
    found = {str(case): case for recipe in names() for case in _cases(recipe, arguments)}
    return [pytest.param(case, id=name) for name, case in found.items()]


RICHER = ("prior", "posterior")
SEVERAL = {"multimodal-vae": "byte+real", "mmvae-plus": "byte+real"}
"""Recipes of several variables, and the kinds of those with which their own choices are tried."""
NEEDS = {("multimodal-vae", "objective", "mvtcae"): (("experts", "poe"),)}
"""What a recipe's choice goes with, where that is not its default."""


def _cases(recipe: str, arguments: tuple[str, ...]) -> list[Case]:
    if recipe == "vae":
        fits = [(("likelihood", name), kind) for name, kind in FITS]
        chosen = list(product(*([(name, each) for each in options(recipe, name)] for name in arguments)))
        richer = [Case(recipe, "unit", ((name, each),)) for name in RICHER for each in options(recipe, name)[1:]]
        return [*(Case(recipe, kind, (*pairs, likelihood)) for pairs in chosen for likelihood, kind in fits), *richer]
    tried = SEVERAL.get(recipe, Case.of(recipe).kind)
    plain = [Case(recipe, kind, ()) for kind in dict.fromkeys([*KINDS[recipe], tried])]
    return [
        *plain,
        *(Case(recipe, tried, (*NEEDS.get((recipe, *pair), ()), pair)) for pair in _choices(recipe, arguments)),
    ]


def _choices(recipe: str, arguments: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Each value of the arguments named and of those that only this recipe has."""
    own = [name for name in get(recipe).parameters if name not in get("vae").parameters]
    return [(name, each) for name in (*arguments, *own) for each in options(recipe, name) if isinstance(each, str)]
