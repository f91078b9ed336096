"""Mixtures taken apart and put together: every family comes back bit for bit, and nothing foreign gets in."""

from __future__ import annotations

import importlib
import json
import pkgutil
from typing import Any

import pytest
import torch
from torch import Tensor

import lowerbound.mixtures
from lowerbound.errors import InputError
from lowerbound.mixtures.blocks import Block, InMemory
from lowerbound.mixtures.components import Components, Family
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import Diagonal, Full, Spherical, Tied
from lowerbound.mixtures.kept import NAMES, Parts, apart, checked, known, together
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.stepwise import Stepwise, set_out
from lowerbound.mixtures.weights import Weights

FAMILIES: dict[str, Family] = {"full": Full(), "tied": Tied(), "diag": Diagonal(), "spherical": Spherical(1e-3)}


def rows(count: int = 200) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def through_json(value: Any) -> Parts:
    """The parts as they come back from a file."""
    form, tensors = apart(value)
    return Parts(json.loads(json.dumps(form)), tensors)


def concrete(kind: type) -> set[type]:
    below = {each for child in kind.__subclasses__() for each in concrete(child)}
    return below | ({kind} if not getattr(kind, "__abstractmethods__", None) else set())


def test_every_kind_of_components_and_weights_has_a_name() -> None:
    for module in pkgutil.iter_modules(lowerbound.mixtures.__path__):
        importlib.import_module(f"lowerbound.mixtures.{module.name}")
    named = {known(name) for name in NAMES if isinstance(known(name), type)}
    ours = {kind for kind in concrete(Components) | concrete(Weights) if kind.__module__.startswith("lowerbound.")}
    assert ours <= named, f"not in kept.NAMES: {ours - named}"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_mixture_comes_back_bit_for_bit(family: Family) -> None:
    x = rows()
    mixture = fit(begin(family, InMemory(x), 3, restarts=2), InMemory(x), Until(steps=5)).mixture
    again = checked(together(through_json(mixture), Mixture))
    assert torch.equal(again.log_prob(x), mixture.log_prob(x))
    assert type(again.components) is type(mixture.components)
    assert vars(again.components)["floor"] == vars(mixture.components)["floor"]


def test_a_walk_goes_on_from_what_was_kept() -> None:
    x = rows()
    state = set_out(Full(), InMemory(x), 2).learn(Block.even(x[:50]))
    again = together(through_json(state), Stepwise)
    ours, theirs = (each.learn(Block.even(x[50:])).mixture.log_prob(x) for each in (again, state))
    assert torch.equal(ours, theirs)


def small() -> Parts:
    x = rows()
    return through_json(begin(Diagonal(), InMemory(x), 2))


def spoilt(change: str) -> Parts:
    """The parts of a mixture after one change."""
    form, tensors = small()
    parts = form["fields"]["components"]["fields"]
    if change == "another class":
        form["fields"]["components"]["kind"] = "os:system"
    elif change == "a field more":
        parts["command"] = "rm"
    elif change == "text for a number":
        parts["floor"] = "1e-6"
    elif change == "no tensor":
        del tensors["components.loc"]
    elif change == "NaN":
        tensors["components.loc"] = tensors["components.loc"] * torch.nan
    elif change == "weights for components":
        form["fields"]["components"] = form["fields"]["weights"]
    elif change == "a class for a constant":
        form["fields"]["components"] = {"constant": "diag"}
    else:
        form = [form]
    return Parts(form, tensors)


@pytest.mark.parametrize(
    "change",
    [
        "another class",
        "a field more",
        "text for a number",
        "no tensor",
        "NaN",
        "weights for components",
        "a class for a constant",
        "a list",
    ],
)
def test_what_was_not_kept_so_is_refused(change: str) -> None:
    assert together(small(), Mixture).shape == (1, 2)
    with pytest.raises(InputError, match="what was kept is no mixture"):
        together(spoilt(change), Mixture)


def test_parts_that_do_not_fit_together_are_refused() -> None:
    form, tensors = small()
    wrong = {**tensors, "components.variance": tensors["components.variance"][..., :2]}
    with pytest.raises(InputError, match="do not fit together"):
        checked(together(Parts(form, wrong), Mixture))
    with pytest.raises(InputError, match="no density"):
        checked(together(Parts(form, {**tensors, "components.variance": -tensors["components.variance"]}), Mixture))


def test_what_has_no_name_is_not_kept() -> None:
    with pytest.raises(TypeError, match="has no name"):
        apart(Full())
