"""How wide a likelihood is in the end: as its errors are on training rows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lowerbound.core import Batch, Conditional, EvenLaplace, Homoscedastic, Model, Trace

ROWS_AT_ONCE = 128
"""Rows whose errors are looked at in one go."""

LEAST_ERROR = 1e-4
"""A likelihood is made no narrower than this, on the scale that it speaks of."""


@torch.no_grad()
def price(model: Model, likelihood: Conditional, name: str, batches: Iterable[Batch]) -> None:
    """Set the one scale of a likelihood to the most likely one for the errors x − E[x|z] of these rows, z ~ q(z|x).

    b of `EvenLaplace` is the mean of |x − E[x|z]|, σ of `Homoscedastic` the root of the mean of its square. Of others
    nothing is set. One that is learned is still on its way where a training is short; one that was fixed has no say of
    its own before.
    """
    if isinstance(likelihood, EvenLaplace | Homoscedastic):
        power = 1 if isinstance(likelihood, EvenLaplace) else 2
        parts = (batch[at : at + ROWS_AT_ONCE] for batch in batches for at in range(0, batch.size, ROWS_AT_ONCE))
        errors = torch.cat([_errors(model.trace(part), name) for part in parts])
        likelihood.log_scale.fill_(errors.pow(power).mean().pow(1 / power).clamp_min(LEAST_ERROR).log())


def _errors(trace: Trace, name: str) -> Tensor:
    """|x − E[x|z]| of every value that was observed, in a row."""
    mask = trace.batch.mask_of(name)
    errors = (trace.px[name].mean[0] - trace.batch.x[name]).abs()
    return errors.flatten() if mask is None else errors[mask]
