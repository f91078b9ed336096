"""log p(x) by importance sampling from a posterior fitted to each datum by itself, while the model stands still."""

from __future__ import annotations

from lowerbound.core import Batch, Latent, Marginal, posed, refined
from lowerbound.core.latent import Model
from lowerbound.core.refinement import richest
from lowerbound.errors import InputError
from lowerbound.evaluation import perdatum
from lowerbound.evaluation.annealing import refusals
from lowerbound.evaluation.perdatum import Particles

STEPS, DRAWS = 500, 8
"""Of the climb from the encoder's posterior to the datum's own."""

REMEDY = "log-prob estimates other models' log p(x) by importance sampling, or by annealing with the method ais"


def refined_marginal(model: Model, seen: Batch, particles: Particles) -> Marginal:
    """log p(x) of each datum, its draws being of the best Gaussian found for it, of any covariance.

    In expectation a lower bound like any other importance sampling, only with much lighter weights.
    """
    if not isinstance(model, Latent):
        raise InputError(f"a posterior is refined where there is one latent, and this model has several; {REMEDY}")
    with refusals(REMEDY):
        found = refined(model, seen, richest(model.infer(seen)), steps=STEPS, particles=DRAWS)
    return perdatum.marginal(*posed(model, seen, found.q), particles)
