"""What a model makes of each datum by itself, (B,) each."""

from __future__ import annotations

from torch import Tensor, cat
from torch.distributions import Distribution

from lowerbound.core import Batch, Distortion, Rate, Trace, log_marginal
from lowerbound.core.certain import is_certain
from lowerbound.core.latent import Model, named
from lowerbound.data.spec import DataSpec
from lowerbound.evaluation.rawdata import expected
from lowerbound.recipes.registry import Setup

PARTICLES_FOR_TERMS = 16
"""Draws of z a datum for rate and distortion; of one datum their noise is a nat or so, over many it is averaged."""


def traced(setup: Setup, seen: Batch, particles: int) -> Trace:
    """A trace for the terms: at most `PARTICLES_FOR_TERMS` particles, and one where all would be the same."""
    certain = all(is_certain(q) for q in named(setup.model.infer(seen[:1])).values())
    return setup.model.trace(seen, 1 if certain else min(particles, PARTICLES_FOR_TERMS), setup.estimator)


def terms(model: Model, trace: Trace, particles: int) -> dict[str, Tensor]:
    """The distortion in nats; where the model gives a bound also its rate, and log_p, stderr, ess and khat.

    See `log_marginal` for the last four, of that many particles.
    """
    found = Distortion()(trace)
    if not trace.proper:
        return found
    return {**found, **Rate()(trace), **log_marginal(model, trace.batch, particles)._asdict()}


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
