"""Recipes by name. A file in this folder with a function under `@recipe` is all it takes to add one."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, final, get_type_hints

import torch
from torch import Tensor, nn

from lowerbound import recipes as folder
from lowerbound.arguments import conformed
from lowerbound.core import Batch, Estimator, Meter, Model, Objective
from lowerbound.data.conditioning import Told
from lowerbound.data.masks import Hiding
from lowerbound.data.spec import DataSpec
from lowerbound.data.views import View
from lowerbound.errors import InputError

Meeting = Callable[[Callable[[int], Batch], int, int], None]
"""What is done between two steps with some of the training rows: told how to get so many of them, without noise and
spread over all there are, the number of the step that comes next and how many there are in all. It may move parameters
and write buffers."""


@final
@dataclass(frozen=True, eq=False)
class Setup:
    """What a recipe makes: a model, how it sees the data, and how it is fitted.

    views: variable name -> `View`. particles: K in training. condition: what the model is shown of the data's
    condition, None for one that is shown nothing of it.
    start: told once, before training, the mean of each variable over the training rows as its view expects it.
    meet: meetings by the share of training that is behind when they are held, 0 (before the first step) to below 1;
    what begins as data begins at 0, what is fitted to codes once there are codes worth it.
    corruptions: variable name -> a module from x to what the encoder is shown in its place, in training and wherever
    the model is measured. hiding: which part of each datum is its condition, and which is left to be told, likewise.
    settle: told once, after training, how to go over the training rows without noise, for what
    is fitted to a finished model (a density of its codes); it writes into the model's buffers.
    resting: the parameters that stand still in the step of this number (a decoder whose encoder is to learn ahead).
    meters: makes what `evaluate` is to measure besides. validation_rows: how many rows at most are looked at after each
    epoch, for a model that is dear to measure; None for all.
    """

    model: Model
    views: Mapping[str, View]
    objective: Objective
    estimator: Estimator
    particles: int = 1
    condition: Told | None = None
    start: Callable[[Mapping[str, Tensor]], None] = lambda means: None
    meet: Mapping[float, Meeting] = field(default_factory=dict)
    corruptions: Mapping[str, nn.Module] = field(default_factory=dict)
    hiding: Hiding | None = None
    settle: Callable[[Callable[[], Iterator[Batch]]], None] = lambda rows: None
    meters: Callable[[], tuple[Meter, ...]] = tuple
    resting: Callable[[int], Iterable[nn.Parameter]] = lambda step: ()
    validation_rows: int | None = None

    def see(self, raw: Batch) -> Batch:
        """The batch as the model is to see it: values through their views, the condition only if it is used."""
        x = {name: self.views[name](values) for name, values in raw.x.items()}
        shown = {name: corrupt(x[name]) for name, corrupt in self.corruptions.items()}
        c = None if self.condition is None else self.condition(raw.c, raw.size)
        seen = Batch(x, c, raw.index, raw.mask, shown or None)
        return seen if self.hiding is None else self.hiding(seen)

    def steady(self, raw: Batch) -> Batch:
        """The batch without noise: the mean of a random view in place of a draw, and nothing corrupted."""
        x = {name: self.views[name].expected(values) for name, values in raw.x.items()}
        return Batch(x, self.told(raw.c, raw.size), raw.index, raw.mask)

    def told(self, c: Tensor | None, rows: int) -> Tensor | None:
        """What the model is shown of a stored condition (rows, W), or of none; nothing is withheld by chance."""
        return None if self.condition is None else self.condition.expected(c, rows)

    @property
    def log_volume(self) -> float:
        """Nats to add to the model's log p(x) for log p of the data as given."""
        return sum(view.log_volume for view in self.views.values())

    def volumes(self, batch: Batch) -> Tensor:
        """The same for each datum of a batch, (B,): of a datum's values only those that were observed count."""
        return torch.stack([self._volumes(name, batch) for name in self.views]).sum(0)

    def _volumes(self, name: str, batch: Batch) -> Tensor:
        view, mask, x = self.views[name], batch.mask_of(name), batch.x[name]
        if mask is None:
            return torch.full((batch.size,), view.log_volume, device=x.device)
        return (mask * view.log_slope.to(x.device)).flatten(1).sum(1).to(torch.get_default_dtype())

    @property
    def random_views(self) -> bool:
        """Whether two looks at the same data differ (dynamic binarisation)."""
        return any(view.random for view in self.views.values())

    def to(self, device: torch.device | str) -> Setup:
        """This setup with all its modules moved to the device."""
        shown = (self.condition, self.hiding, *self.views.values(), *self.corruptions.values())
        for part in (self.model, self.objective, self.estimator, *shown):
            if isinstance(part, nn.Module):
                part.to(device)
        return self


@final
@dataclass(frozen=True)
class Parameter:
    """One argument of a recipe: its name, type hint, default and what it means."""

    name: str
    hint: Any
    default: Any
    doc: str


@final
@dataclass(frozen=True)
class Recipe:
    """A named function from a data spec and keyword arguments to a `Setup`."""

    name: str
    build_with: Callable[..., Setup]

    @property
    def summary(self) -> str:
        """One line."""
        return (inspect.getdoc(self.build_with) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """The whole docstring."""
        return inspect.getdoc(self.build_with) or ""

    @property
    def choice(self) -> str:
        """When to choose it: the sentence of the docstring that begins "Choose it", or nothing."""
        found = re.search(r"\bChoose it\b.*?\.(?= |$)", " ".join(self.description.split()))
        return found.group() if found else ""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The arguments by name, in order."""
        return _parameters(self.build_with)

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments, defaults filled in; an unknown or ill-typed one is refused with an `InputError`."""
        for name in arguments:
            if name not in self.parameters:
                raise InputError(_unknown(f"recipe {self.name} has no argument", name, list(self.parameters)))
        given = {p.name: arguments.get(p.name, p.default) for p in self.parameters.values()}
        return {name: conformed(f"argument {name}", v, self.parameters[name].hint) for name, v in given.items()}

    def build(self, spec: DataSpec, **arguments: Any) -> Setup:
        """The setup for data of this spec. Weights are drawn from torch's generator; seed it first."""
        return self.build_with(spec, **self.check(arguments))


MEANINGS: Mapping[str, str] = {
    "latent": "dimensions of z.",
    "net": "networks: a perceptron, or for pictures strided or residual convolutions.",
    "hidden": "widths from the data's side to the latent's; each kind of network has its own default.",
    "activation": "the networks' nonlinearity.",
    "likelihood": "p(x|z); auto takes the one that fits the kind of data.",
    "components": "Gaussians in the density fitted to the codes after training, from which new data are drawn.",
}
"""What arguments mean that mean the same in every recipe; a recipe's own docstring goes before."""

_registered: dict[str, Recipe] = {}


def recipe(name: str) -> Callable[[Callable[..., Setup]], Callable[..., Setup]]:
    """Register a function (spec, *, typed keyword arguments with defaults) -> Setup under a name.

    Its docstring is the help: a first line, then `Args:` with a line `name: what it means` for each argument that
    `MEANINGS` does not explain.
    """

    def register(function: Callable[..., Setup]) -> Callable[..., Setup]:
        _registered[name] = Recipe(name, function)
        return function

    return register


def names() -> list[str]:
    """The recipes there are.

    >>> "vae" in names()
    True
    """
    return sorted(_all())


def get(name: str) -> Recipe:
    """The recipe of this name.

    >>> get("vea")
    Traceback (most recent call last):
    ...
    lowerbound.errors.InputError: there is no recipe 'vea'; did you mean 'vae'?
    """
    if name not in _all():
        raise InputError(_unknown("there is no recipe", name, names()))
    return _all()[name]


@cache
def _all() -> dict[str, Recipe]:
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return _registered


@cache
def _parameters(function: Callable[..., Setup]) -> dict[str, Parameter]:
    hints, docs = (
        get_type_hints(function, include_extras=True),
        {**MEANINGS, **_argument_docs(inspect.getdoc(function) or "")},
    )
    keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {p.name: Parameter(p.name, hints[p.name], p.default, docs[p.name]) for p in keywords}


def _argument_docs(doc: str) -> dict[str, str]:
    """name -> meaning, from the lines under `Args:`; a deeper line continues the one above."""
    _, _, section = doc.partition("\nArgs:\n")
    block = re.match(r"(?: .*\n?|\n)*", section)
    joined = re.sub(r"\n {8,}", " ", block.group() if block else "")
    return dict(re.findall(r"^ {4}(\w+): (.+)$", joined, re.MULTILINE))


def _unknown(complaint: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(known)}"
    return f"{complaint} {name!r}; {remedy}"
