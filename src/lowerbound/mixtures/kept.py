"""Mixtures taken apart into plain values and tensors with names, and put together again: nothing of it can be run.

What may be part of a kept mixture is listed here by name; whatever else a file asks for is refused.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from lowerbound.data.raw import shown
from lowerbound.errors import InputError
from lowerbound.mixtures.mixture import Mixture

NAMES: dict[str, str] = {
    "mixture": "mixture:Mixture",
    "expectation": "mixture:Expectation",
    "stepwise": "stepwise:Stepwise",
    "proportions": "weights:Proportions",
    "dirichlet": "weights:Dirichlet",
    "stick-breaking": "weights:StickBreaking",
    "full": "gaussian:FullGaussians",
    "tied": "gaussian:TiedGaussians",
    "diag": "gaussian:DiagonalGaussians",
    "spherical": "gaussian:SphericalGaussians",
    "factors": "factors:FactorAnalysers",
    "own-noise": "factors:Own",
    "common-noise": "factors:Common",
    "isotropic-noise": "factors:Isotropic",
    "believed": "bayes:Believed",
    "normal-wishart": "bayes:Prior",
    "wishart-full": "bayes:FULL",
    "wishart-tied": "bayes:TIED",
    "wishart-diag": "bayes:DIAGONAL",
    "wishart-spherical": "bayes:SPHERICAL",
    "wishart-independent": "bayes:INDEPENDENT",
    "categorical": "discrete:Categoricals",
    "poisson": "discrete:Poissons",
    "student": "scales:Students",
    "negative-binomial": "scales:NegativeBinomials",
    "product": "product:Products",
    "group": "product:Group",
}
"""Name in files -> module:name in `lowerbound.mixtures`, of a class, or of a value that is one of a kind."""

T = TypeVar("T")


class Parts(NamedTuple):
    """A value in two parts: its form, which is JSON, and its tensors by their places in it."""

    form: Any
    tensors: dict[str, Tensor]


def apart(value: Any) -> Parts:
    """What a mixture, or a `Stepwise` on its way to one, is made of.

    >>> from lowerbound.mixtures.weights import Proportions
    >>> apart(Proportions.even(1, 2))
    Parts(form={'kind': 'proportions', 'fields': {'log_shares': {'tensor': 'log_shares'}}}, \
tensors={'log_shares': tensor([[-0.6931, -0.6931]], dtype=torch.float64)})
    """
    tensors: dict[str, Tensor] = {}
    return Parts(_form(value, (), tensors), tensors)


def together(parts: Parts, wanted: type[T]) -> T:
    """The value again, on the device of its tensors.

    Raises:
        InputError: it is none of `wanted`, or its parts are unknown, of other types than they should be, or NaN.
    """
    try:
        value = _value(parts.form, parts.tensors)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise InputError(f"what was kept is no {wanted.__name__.lower()} of this version: {shown(error)}") from None
    if not isinstance(value, wanted):
        raise InputError(f"what was kept is no {wanted.__name__.lower()}, but a {type(value).__name__.lower()}")
    return value


def checked(mixture: Mixture) -> Mixture:
    """A mixture, refused if its parts do not fit together: its own draws must have a density.

    Raises:
        InputError: they do not.
    """
    try:
        found = mixture.pick(torch.tensor([0])).log_prob(mixture.components.sample(torch.arange(mixture.shape[1])))
        whole = (
            mixture.weights.mean.shape == mixture.shape and mixture.components.sound.all() and found.isfinite().all()
        )
    except (RuntimeError, ValueError, LookupError) as error:
        raise InputError(f"the parts of the mixture do not fit together: {shown(error)}") from None
    if not whole:
        raise InputError("the parts of the mixture do not fit together: it has no density")
    return mixture


@cache
def known(name: str) -> Any:
    """What a name in a file stands for.

    Raises:
        LookupError: nothing.
    """
    module, _, place = NAMES[name].partition(":")
    return getattr(importlib.import_module(f"lowerbound.mixtures.{module}"), place)


def _form(value: Any, place: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[".".join(place)] = value
        return {"tensor": ".".join(place)}
    name = _name(value)
    if name is not None and not _is_record(known(name)):
        return {"constant": name}
    if name is not None:
        return {"kind": name, "fields": {at: _form(getattr(value, at), (*place, at), tensors) for at in _fields(value)}}
    if isinstance(value, Mapping):
        return {"mapping": {at: _form(each, (*place, at), tensors) for at, each in value.items()}}
    if isinstance(value, tuple):
        return [_form(each, (*place, str(at)), tensors) for at, each in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept: it has no name in lowerbound.mixtures.kept")


def _name(value: Any) -> str | None:
    """The name of a value's class, or of the value itself."""
    home, _, module = type(value).__module__.rpartition(".")
    kind = type(value).__name__
    for name, place in NAMES.items() if home == "lowerbound.mixtures" else ():
        if place == f"{module}:{kind}" or (place.startswith(f"{module}:") and known(name) is value):
            return name
    return None


def _value(form: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(form, list):
        return tuple(_value(each, tensors) for each in form)
    if not isinstance(form, dict):
        return form
    if set(form) == {"kind", "fields"}:
        return _record(known(form["kind"]), {at: _value(each, tensors) for at, each in form["fields"].items()})
    ((what, found),) = form.items()
    return _READ[what](found, tensors)


def _record(kind: Any, values: dict[str, Any]) -> Any:
    """An instance of a class that is kept, each of its fields of its type."""
    if not _is_record(kind) or set(values) != set(_fields(kind)):
        raise TypeError(f"{kind} does not have the fields {', '.join(values)}")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not fits(value, hints[name]):
            raise TypeError(f"{name} is no {hints[name]}")
    return kind(**values)


def _constant(name: str) -> Any:
    found = known(name)
    if _is_record(found):
        raise TypeError(f"{name} is a class")
    return found


_READ = {
    "tensor": lambda name, tensors: tensors[name],
    "constant": lambda name, tensors: _constant(name),
    "mapping": lambda found, tensors: {at: _value(each, tensors) for at, each in found.items()},
}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type as it is hinted; tensors have no NaN.

    >>> fits((1, 2), tuple[int, ...]), fits(1, float), fits("1", float), fits(torch.tensor(torch.nan), Tensor)
    (True, True, False, False)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(each, inner[0]) for each in value)
    if origin is not None:
        return isinstance(value, Mapping) and all(fits(each, inner[1]) for each in value.values())
    if isinstance(value, Tensor):
        return hint is Tensor and not bool(value.isnan().any())
    return isinstance(value, int | float if hint is float else hint)


def _is_record(kind: Any) -> bool:
    """Whether it is a class whose instances are taken apart by their fields."""
    return isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "_fields"))


def _fields(record: Any) -> tuple[str, ...]:
    named: tuple[str, ...] = getattr(record, "_fields", ())
    return named or tuple(field.name for field in fields(record))
