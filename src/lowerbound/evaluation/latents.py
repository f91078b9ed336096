"""Latents in their own shape, for another model to work in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import torch
from torch.distributions import Distribution

from lowerbound.core import Batch
from lowerbound.errors import InputError
from lowerbound.evaluation import rawdata
from lowerbound.evaluation.rawdata import Array
from lowerbound.evaluation.statistics import Moments
from lowerbound.recipes.registry import Setup


@final
@dataclass(frozen=True, eq=False)
class Latents:
    """z of each row, (N, *event), and over all of its numbers mean and standard deviation.

    Raises:
        InputError: a model of several latents.
    """

    z: Array
    mean: float
    std: float

    @classmethod
    def of(cls, setup: Setup, batches: Iterable[Batch], draw: bool = False) -> Self:
        """E[z|x] of the rows of these batches of stored values, or with draw=True a draw of q(z|x)."""
        moments, parts = Moments(), []
        with torch.no_grad():
            for stored in batches:
                z = _z(setup.model.infer(setup.steady(stored)), draw)
                moments.add(z.reshape(-1, 1))
                parts.append(rawdata.to_array(z))
        return cls(np.concatenate(parts), float(moments.mean), float(moments.variance) ** 0.5)

    @property
    def scale(self) -> float:
        """1 / std: what latents are multiplied by for a diffusion, which expects about unit size.

        Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser and Björn Ommer, "High-resolution image
        synthesis with latent diffusion models", 2022, measure it so, on a first batch.
        """
        return 1 / self.std


def _z(q: object, draw: bool) -> torch.Tensor:
    if not isinstance(q, Distribution):
        raise InputError("the model has several latents, which have no one shape; use the verb encode")
    return q.sample() if draw else rawdata.expected(q)
