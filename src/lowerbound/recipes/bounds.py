"""Bounds and gradient estimators by name, and which of them go together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lowerbound.core import ELBO, IWAE, STL, AnalyticELBO, BetaELBO, DReG, Estimator, Objective, Pathwise, Score, WarmUp
from lowerbound.errors import InputError

BoundName = Literal["elbo", "elbo-mc", "iwae"]
EstimatorName = Literal["pathwise", "stl", "dreg", "score"]


def objective(bound: str, beta: float, anneal: int, free_bits: float) -> Objective:
    """The objective by name: "elbo" (closed KL; β, annealing and free bits apply), "elbo-mc" or "iwae"."""
    plain = beta == 1 and anneal == 0 and free_bits == 0
    if bound == "elbo":
        return AnalyticELBO() if plain else BetaELBO(WarmUp(anneal, beta) if anneal else beta, free_bits)
    if not plain:
        raise InputError(f"beta, anneal and free_bits weigh the rate, which the bound {bound} has not; use bound elbo")
    return ELBO() if bound == "elbo-mc" else IWAE()


def estimator(name: str, bound: str, particles: int) -> Estimator:
    """The gradient estimator by name, refused where it would be biased or has no control variate."""
    if name in {"stl", "dreg"} and bound == "elbo":
        raise InputError(
            f"the estimator {name} changes the gradient of the Monte-Carlo rate, and the bound elbo has its rate in "
            "closed form; use bound elbo-mc"
        )
    if name == "stl" and bound == "iwae":
        raise InputError("the estimator stl is biased under the bound iwae; use dreg")
    if name == "score" and particles < 2:
        raise InputError("the estimator score needs particles of at least 2 for its control variate")
    return _ESTIMATORS[name]()


_ESTIMATORS: dict[str, Callable[[], Estimator]] = {"pathwise": Pathwise, "stl": STL, "dreg": DReG, "score": Score}
