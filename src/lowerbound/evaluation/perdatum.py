"""What a model makes of each datum by itself, (B,) each."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, cat, get_default_dtype, ones_like
from torch.distributions import Distribution

from lowerbound.core import Batch, Distortion, Marginal, Rate, Trace, adaptive_log_marginal, log_marginal
from lowerbound.core.certain import is_certain
from lowerbound.core.latent import Model, named
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import View
from lowerbound.evaluation.rawdata import expected
from lowerbound.recipes.registry import Setup

Particles = int | Literal["auto"]
"""Draws of z a datum; auto is as many as each takes, see `adaptive_log_marginal`."""

PARTICLES_FOR_TERMS = 16
"""Draws of z a datum for rate and distortion; of one datum their noise is a nat or so, over many it is averaged."""


def traced(setup: Setup, seen: Batch, particles: Particles) -> Trace:
    """A trace for the terms: at most `PARTICLES_FOR_TERMS` particles, and one where all would be the same."""
    certain = all(is_certain(q) for q in named(setup.model.infer(seen[:1])).values())
    most = PARTICLES_FOR_TERMS if particles == "auto" else min(particles, PARTICLES_FOR_TERMS)
    return setup.model.trace(seen, 1 if certain else most, setup.estimator)


def marginal(model: Model, seen: Batch, particles: Particles) -> Marginal:
    """log p(x) of each datum by importance sampling."""
    return adaptive_log_marginal(model, seen) if particles == "auto" else log_marginal(model, seen, particles)


def terms(model: Model, trace: Trace, particles: Particles) -> dict[str, Tensor]:
    """The distortion in nats; where the model gives a bound also its rate, and the fields of `Marginal`."""
    found = Distortion()(trace)
    if not trace.proper:
        return found
    return {**found, **Rate()(trace), **marginal(model, trace.batch, particles)._asdict()}


def error(setup: Setup, spec: DataSpec, raw: Batch, px: dict[str, Distribution]) -> dict[str, Tensor]:
    """((x̂ − x) / (high − low))² with x̂ = E[x|z], a mean over each datum's ordered, observed values; else nothing.

    Under the name "error", (B,).
    """
    ordered = [v for v in spec.variables if v.kind != "category" and v.high > v.low]
    if not ordered:
        return {}
    errors = cat([_error(setup.views[v.name], v, raw.x[v.name], px[v.name]) for v in ordered], 1)
    seen = cat([_seen(raw, v.name) for v in ordered], 1)
    return {"error": (errors * seen).sum(1) / seen.sum(1).clamp_min(1)}


def values(raw: Batch) -> Tensor:
    """How many values of each datum were observed, (B,)."""
    return cat([_seen(raw, name) for name in raw.x], 1).sum(1)


def _error(view: View, variable: Variable, x: Tensor, d: Distribution) -> Tensor:
    """Squared errors in units of the range, (B, size)."""
    return ((view.inverse(expected(d)) - x) / (variable.high - variable.low)).square().flatten(1)


def _seen(raw: Batch, name: str) -> Tensor:
    """Which values were observed, as (B, size) of 0 and 1."""
    mask = raw.mask_of(name)
    return (ones_like(raw.x[name]) if mask is None else mask).flatten(1).to(get_default_dtype())
