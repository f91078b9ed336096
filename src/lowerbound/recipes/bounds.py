"""Bounds and gradient estimators by name, and which of them go together."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Annotated, Literal

from lowerbound.arguments import LARGEST_WHOLE, Count, NonNegative
from lowerbound.core import (
    CIWAE,
    ELBO,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    TVO,
    VR,
    AnalyticELBO,
    BetaELBO,
    Cyclical,
    DReG,
    Estimator,
    GDReG,
    Objective,
    Pathwise,
    Schedule,
    Score,
    WarmUp,
)
from lowerbound.errors import InputError

BoundName = Literal["elbo", "elbo-mc", "iwae", "miwae", "ciwae", "piwae", "vr", "vr-max", "tvo"]
EstimatorName = Literal["pathwise", "stl", "dreg", "score"]

# The numbers that belong to one bound or another; None leaves the choice to the bound.
Groups = Count | None
Share = Annotated[float, (0.0, 1.0)] | None
Order = NonNegative | None
Intervals = Annotated[int, (2, LARGEST_WHOLE)] | None
First = Annotated[float, (1e-6, 1 - 1e-6)] | None


def objective(
    bound: str,
    beta: float = 1.0,
    anneal: int = 0,
    free_bits: float = 0.0,
    particles: int | None = None,
    cycles: int = 1,
    **numbers: float | None,
) -> Objective:
    """The objective by name: "elbo" (closed KL; β, annealing and free bits apply), or a bound on the log weights.

    particles: how many there will be, if it is to be checked that they can be grouped. cycles: how often the weight of
    the rate rises. numbers: the bound's own.

    Raises:
        InputError: what does not go together.
    """
    if cycles > 1 and not anneal:
        raise InputError(f"the rate's weight is to rise {cycles} times; say over how many steps, with anneal")
    plain, given = beta == 1 and anneal == 0 and free_bits == 0, _own(bound, numbers)
    if bound == "elbo":
        return AnalyticELBO() if plain else BetaELBO(_rising(beta, anneal, cycles), free_bits)
    if not plain:
        raise InputError(f"beta, anneal and free_bits weigh the rate, which the bound {bound} has not; use bound elbo")
    _check_groups(given.get("groups", _default(bound, "groups")), particles)
    return _BOUNDS[bound](**given)


def _rising(beta: float, anneal: int, cycles: int) -> float | Schedule:
    """β, reached over `anneal` steps; in cycles it is then held as long, and starts again from 0."""
    if not anneal:
        return beta
    return WarmUp(anneal, beta) if cycles == 1 else Cyclical(2 * anneal, beta, cycles=cycles)


def estimator(name: str, bound: str, particles: int) -> Estimator:
    """The gradient estimator by name, refused where it would be biased or has no control variate."""
    if complaint := _complaint(name, bound, particles):
        raise InputError(complaint)
    return _ESTIMATORS[name]()


def _complaint(name: str, bound: str, particles: int) -> str:
    if name in {"stl", "dreg", "gdreg"} and bound == "elbo":
        return (
            f"the estimator {name} changes the gradient of the Monte-Carlo rate, and the bound elbo has its rate in "
            "closed form; use bound elbo-mc"
        )
    if name in {"stl", "dreg", "gdreg"} and bound == "vr-max":
        return (
            f"the estimator {name} needs smooth weights, and the bound vr-max has one particle or another; use pathwise"
        )
    if name != "dreg" and bound == "piwae":
        return "the bound piwae has one gradient for the encoder and one for the decoder; use the estimator dreg"
    if name == "stl" and bound != "elbo-mc":
        return f"the estimator stl is biased under the bound {bound}; use dreg"
    if name == "score" and particles < 2:
        return "the estimator score needs a control variate; use particles of at least 2"
    return ""


def _own(bound: str, numbers: dict[str, float | None]) -> dict[str, float]:
    """The numbers that were given, if they are the bound's own."""
    given = {name: value for name, value in numbers.items() if value is not None}
    for name in given:
        owners = [each for each in _BOUNDS if _default(each, name) is not None]
        if bound not in owners:
            raise InputError(f"{name} is a number of other bounds than {bound}; use bound {' or '.join(owners)}")
    return given


def _default(bound: str, number: str) -> float | None:
    """What this number is for this bound where it is not given; None if the bound has no such number."""
    parameters = inspect.signature(_BOUNDS[bound]).parameters if bound in _BOUNDS else {}
    return parameters[number].default if number in parameters else None


def _check_groups(groups: float | None, particles: int | None) -> None:
    if groups and particles and particles % groups:
        more = particles + groups - particles % groups
        raise InputError(f"particles {particles} is no multiple of groups {groups}; use particles {more}")


def _vr_max() -> Objective:
    return VR(-math.inf)


_BOUNDS: dict[str, Callable[..., Objective]] = {
    "elbo-mc": ELBO,
    "iwae": IWAE,
    "miwae": MIWAE,
    "ciwae": CIWAE,
    "piwae": PIWAE,
    "vr": VR,
    "vr-max": _vr_max,
    "tvo": TVO,
}
_ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "pathwise": Pathwise,
    "stl": STL,
    "dreg": DReG,
    "gdreg": GDReG,
    "score": Score,
}
