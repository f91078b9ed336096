"""An encoder that learns ahead of its decoder, while it lags behind the posterior that the decoder makes."""

from __future__ import annotations

from dataclasses import replace

from lowerbound.core import Latent
from lowerbound.recipes.registry import Setup


def ahead(setup: Setup, lag: int, until: int) -> Setup:
    """The setup, in whose first `until` steps prior and likelihood move once for every `lag` steps of the posterior.

    A posterior collapses early, while it lags behind the model's true one: then z seems to carry nothing, and the
    decoder learns to do without. Junxian He, Daniel Spokoyny, Graham Neubig and Taylor Berg-Kirkpatrick, "Lagging
    inference networks and posterior collapse in variational autoencoders", 2019, who end this once the mutual
    information of z and x no longer rises; here it ends after a number of steps, so that a seed repeats a run.
    """
    model = setup.model
    assert isinstance(model, Latent)
    own = {id(parameter) for parameter in model.posterior.parameters()}
    still = tuple(parameter for parameter in model.parameters() if id(parameter) not in own)
    return replace(setup, resting=lambda step: still if step < until and step % (lag + 1) < lag else ())
