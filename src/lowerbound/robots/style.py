"""Does z matter to what a robot does? How far predictions move with it, and what it knows of the chunk to come."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor

from lowerbound.arguments import Count, conformed
from lowerbound.core import Batch
from lowerbound.evaluation.statistics import estimate
from lowerbound.fitted import Fitted
from lowerbound.randomness import derive, isolated, reseed
from lowerbound.robots.policy import steps_of, usual

AT_ONCE = 1024
"""Chunks that are predicted in one go."""


def style(
    fitted: Fitted, data: Any = None, split: str = "test", count: int = 256, draws: int = 16, seed: int = 0
) -> dict[str, Any]:
    """What z does to the predicted actions of `count` rows of a split, at even distances; JSON values.

    In units of the actions' standard deviations over the training rows, over the values that were observed:

    moved: the root of the mean variance of E[a|z,c] over z ~ p(z|c); 0 where the decoder does without z. share: that
    variance by the variance of the actions themselves, the part of it that p(z|c) lays on z. usual, prior, posterior:
    the mean of |a − E[a|z,c]| at the z that a policy acts by, at z ~ p(z|c) and at z ~ q(z|a,c), each a mean over rows
    with its standard error; z tells of a chunk by as much as posterior is below usual. rate: KL in nats.

    data: as of `Fitted.evaluate`. draws: of z a row. A reproduction of Zhao et al., 2023, can see by it whether there
    was anything for z to say: demonstrations by one script are nearly told by the state alone.
    """
    rows = fitted.rows(data, split)
    few = min(conformed("count", count, Count), rows.count)
    index = torch.arange(few) * (rows.count // few)
    sampler, parts = rows.resident(fitted.device), list[dict[str, Tensor]]()
    with isolated(fitted.device), torch.no_grad():
        reseed(fitted.device, derive(seed, "style"))
        for some in index.split(max(1, AT_ONCE // conformed("draws", draws, Count))):
            parts.append(_figures(fitted, sampler.batch(some), draws))
    return _told({name: torch.cat([part[name] for part in parts]) for name in parts[0]}, few, draws)


def _told(each: dict[str, Tensor], rows: int, draws: int) -> dict[str, Any]:
    variance = float(each["variance"].mean())
    square = float(each["square"].mean() - each["value"].mean().square())
    means = {name: estimate(each[name]) for name in ("usual", "prior", "posterior", "rate")}
    return {"rows": rows, "draws": draws, "moved": math.sqrt(variance), "share": variance / square, **means}


def _figures(fitted: Fitted, stored: Batch, draws: int) -> dict[str, Tensor]:
    """Means over the observed values of each row, (B,)."""
    setup, name = fitted.setup, fitted.spec.variables[0].name
    seen = setup.steady(stored)
    trace, told = setup.model.trace(seen, 1, setup.estimator), seen.c
    assert told is not None
    imagined = setup.model.generate(draws * seen.size, told.repeat(draws, 1))[name].mean.unflatten(0, (draws, -1))
    acted = setup.model.decode(usual(setup.model, told), told)[name].mean
    x, average = seen.x[name], _Average(seen, name, steps_of(fitted))
    return {
        "variance": average(imagined.var(0, correction=min(1, draws - 1))),
        "value": average(x),
        "square": average(x.square()),
        "usual": average((x - acted).abs()),
        "prior": average((x - imagined).abs().mean(0)),
        "posterior": average((x - trace.px[name].mean[0]).abs()),
        "rate": (trace.log_q - trace.log_p)[0],
    }


@final
class _Average:
    """The mean over the observed values of the first steps of each row."""

    def __init__(self, seen: Batch, name: str, steps: int) -> None:
        mask = seen.mask_of(name)
        whole = torch.ones_like(seen.x[name], dtype=torch.bool) if mask is None else mask
        self.there = whole & (torch.arange(whole.shape[1], device=whole.device) < steps)[:, None]

    def __call__(self, values: Tensor) -> Tensor:
        return torch.where(self.there, values, 0).flatten(1).sum(1) / self.there.flatten(1).sum(1).clamp_min(1)
