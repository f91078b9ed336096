"""Families by name, and what data each is a likelihood of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

from lowerbound.data.spec import Variable
from lowerbound.errors import InputError
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.discrete import Bernoulli, Poisson
from lowerbound.mixtures.gaussian import FLOOR, Diagonal, Full, Spherical, Tied
from lowerbound.mixtures.scales import NegativeBinomial, Student

NUMBERS = frozenset({"binary", "byte", "unit", "real", "count"})


@final
@dataclass(frozen=True)
class Named:
    """How a family is made, given a floor of variances; the kinds of values that it fits; whether log p is a density's.

    Densities and probabilities are not to be compared, so that `chosen` takes families of one sort alone.
    """

    make: Callable[[float], Family]
    kinds: frozenset[str] = NUMBERS
    density: bool = True


FAMILIES: Mapping[str, Named] = {
    "full": Named(Full),
    "tied": Named(Tied),
    "diag": Named(Diagonal),
    "spherical": Named(Spherical),
    "student": Named(lambda floor: Student(floor=floor)),
    "bernoulli": Named(lambda floor: Bernoulli(), frozenset({"binary"}), density=False),
    "poisson": Named(lambda floor: Poisson(), frozenset({"binary", "byte", "count"}), density=False),
    "negative-binomial": Named(lambda floor: NegativeBinomial(), frozenset({"byte", "count"}), density=False),
}


def chosen(names: Iterable[str], variable: Variable, floor: float = FLOOR) -> dict[str, Family]:
    """The families of these names, checked to be likelihoods of a variable that can be compared.

    >>> list(chosen(["full", "diag"], Variable("x", "real", (2,), -1, 1)))
    ['full', 'diag']

    Raises:
        InputError: an unknown name, a family that does not fit the values, or densities beside probabilities.
    """
    found = {name: _named(name) for name in names}
    for name, each in found.items():
        if variable.kind not in each.kinds:
            raise InputError(
                f"the family {name} is of {' or '.join(sorted(each.kinds))} values, and {variable.name!r} holds "
                f"{variable.kind} ones; choose another family, or say of what kind they are"
            )
    if len({each.density for each in found.values()}) > 1:
        raise InputError(f"{' and '.join(found)} cannot be compared: densities and probabilities; choose one sort")
    return {name: each.make(floor) for name, each in found.items()}


def _named(name: str) -> Named:
    if name not in FAMILIES:
        raise InputError(f"there is no family {name!r}; choose from: {', '.join(FAMILIES)}")
    return FAMILIES[name]
