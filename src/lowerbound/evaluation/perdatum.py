"""What a model makes of each datum by itself, (B,) each."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, cat
from torch.distributions import Distribution

from lowerbound.core import Batch, Distortion, Marginal, Rate, Trace, adaptive_log_marginal, log_marginal
from lowerbound.core.certain import is_certain
from lowerbound.core.latent import Model, named
from lowerbound.data.spec import DataSpec
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
    """((x̂ − x) / (high − low))² with x̂ = E[x|z], a mean over each datum's ordered values; nothing without any.

    Under the name "error", (B,).
    """
    errors = [
        ((setup.views[v.name].inverse(expected(px[v.name])) - raw.x[v.name]) / (v.high - v.low)).square().flatten(1)
        for v in spec.variables
        if v.kind != "category" and v.high > v.low
    ]
    return {"error": cat(errors, 1).mean(1)} if errors else {}
