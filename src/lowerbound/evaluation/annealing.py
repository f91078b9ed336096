"""Annealed importance sampling of a trained model: of given data, and of data that the model made itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from lowerbound.arguments import Count, conformed
from lowerbound.core import Annealed, Batch, Chain, Ladder, Latent, Sandwich, ais, sandwich, simulated
from lowerbound.core.latent import Model
from lowerbound.errors import InputError
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.statistics import estimate
from lowerbound.evaluation.watching import Watch
from lowerbound.randomness import derive, isolated, reseed

ROWS_AT_ONCE = 64
"""Data annealed in one go. A constant, because draws are seeded once for each such chunk."""


@final
@dataclass(frozen=True)
class Walk:
    """How far each datum's chains walk.

    steps: intermediate densities. chains: for each datum. leapfrogs: gradients between two densities.
    """

    steps: int = 200
    chains: int = 16
    leapfrogs: int = 2

    def check(self) -> None:
        """Refuse what is no walk."""
        for name, value in vars(self).items():
            conformed(name, value, Count)


USUAL_WALK = Walk()
"""What the verbs take unless told."""


def annealed(model: Model, seen: Batch, walk: Walk) -> Annealed:
    """log p(x) of each datum; see `core.ais`."""
    with refusals("log-prob estimates other models' log p(x) by importance sampling"):
        return ais(model, seen, **vars(walk))


def sandwiched(
    asking: Asking, count: int, walk: Walk = USUAL_WALK, seed: int = 0, watch: Watch | None = None
) -> dict[str, Any]:
    """Between what bounds log p(x) of data that the model made lies, in the mean, as plain JSON values.

    lower, upper: nats per datum of the data as given, too low and too high in expectation, with the standard error over
    data; width: of the difference, datum by datum. So much at most is the error of either. See `core.sandwich`.

    Raises:
        InputError: a model whose latent cannot be annealed.
    """
    walk.check()
    model, device, parts, done = asking.setup.model, asking.device, list[Sandwich](), 0
    if not isinstance(model, Latent | Ladder | Chain):
        raise InputError("this model cannot say which z it made its data from, where a sandwich is begun; train vae")
    counts = [len(part) for part in torch.empty(count).split(ROWS_AT_ONCE)]
    with isolated(device), torch.no_grad():
        for size, c in zip(counts, asking.shown(counts)):
            reseed(device, derive(seed, "sandwich", done))
            parts.append(_around(model, size, c, walk))
            done += size
            if watch:
                watch(done, count)
    found = Sandwich(*(torch.cat(field).double() for field in zip(*parts)))
    return {"count": count, **vars(walk), "units": "nats", **_summary(found, asking.setup.log_volume)}


def _around(model: Latent | Ladder | Chain, count: int, c: Tensor | None, walk: Walk) -> Sandwich:
    with refusals("a sandwich takes a proper prior and a latent with gradients, as vae has them"):
        batch, z = simulated(model, count, c)
        return sandwich(model, batch, z, **vars(walk))


def _summary(found: Sandwich, log_volume: float) -> dict[str, Any]:
    return {
        "lower": estimate(found.lower + log_volume),
        "upper": estimate(found.upper + log_volume),
        "width": estimate(found.upper - found.lower),
        "acceptance": found.acceptance.mean().item(),
    }


@contextmanager
def refusals(remedy: str) -> Iterator[None]:
    """What the mathematics refuses, in a sentence that ends with the remedy."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{error}; {remedy}") from None
