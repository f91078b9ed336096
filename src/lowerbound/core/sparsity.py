"""Sparsity: penalties on what is active in the layers of a point posterior, and how active they are on given data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from lowerbound.core.certain import PointMass
from lowerbound.core.estimators import with_value
from lowerbound.core.latent import Trace, named
from lowerbound.core.meters import Meter
from lowerbound.core.objectives import Objective
from lowerbound.errors import InputError

# Means are kept this far from 0 and 1, where the divergence is infinite.
_EDGE = 1e-6


@final
class SparseActivation(Objective):
    """Σ_layers Σ_units KL(ρ ‖ ρ̂), ρ̂ a unit's mean activation over the data; for activations within (0, 1).

    A batch's own mean is noisy and biases the divergence upwards, so ρ̂ runs over the batches of training, about
    `memory` of them, and is kept with the weights; the gradient goes straight through to the batch's mean. In eval
    mode, where weights stand still, ρ̂ is the batch's own. One number for the model, so each datum of the batch is given
    the same.

    widths: of the posterior's layers, as `LayeredPoint` keeps them, the code's last. layers: which of them are
    penalised, from 1; by default all.

    Andrew Ng, "Sparse autoencoder", lecture notes of CS294A, 2011.

    >>> penalty = SparseActivation(widths=(200, 32), rho=0.05, layers=(2,))
    >>> penalty.mean.shape
    torch.Size([32])
    """

    def __init__(
        self, widths: Sequence[int], rho: float = 0.05, layers: Sequence[int] | None = None, memory: int = 30
    ) -> None:
        super().__init__()
        if not 0 < rho < 1:
            raise InputError(f"rho is a mean activation, over 0 and under 1, not {rho}")
        self.rho, self.memory, self.layers = rho, memory, chosen(len(widths), layers)
        self.mean: Tensor
        self.batches: Tensor
        self.register_buffer("mean", torch.full((sum(widths[i] for i in self.layers),), rho))
        # A whole number: of a float64 scalar, torch.compile (2.13) loses what is added to it.
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        active = joined(activations(trace), self.layers)
        batch = active.mean(0)
        mean = self._followed(batch.detach()) if self.training else batch.detach()
        kl = bernoulli_kl(self.rho, with_value(mean.clamp(_EDGE, 1 - _EDGE), batch))
        return {"sparsity": kl.sum().expand(len(active))}

    @torch.no_grad()
    def _followed(self, batch: Tensor) -> Tensor:
        """The mean with a batch taken in: the plain one of all so far at first, then a moving one."""
        self.batches.add_(1)
        # What is not finite leaves no trace: the step that it comes from is skipped, too.
        finite = torch.where(batch.isfinite(), batch, self.mean)
        return self.mean.lerp_(finite, 1 / self.batches.clamp(max=self.memory))


@final
class L1Activation(Objective):
    """Σ_layers Σ_units |h|: minus the log of a Laplace(0, 1) prior on every activation, but for a constant.

    λ times it stands for a prior of scale 1/λ: the maximum a posteriori reading of sparse coding. layers: as in
    `SparseActivation`. Bruno A. Olshausen and David J. Field, "Emergence of simple-cell receptive field properties by
    learning a sparse code for natural images", 1996.

    >>> penalty = 0.1 * L1Activation(widths=(200, 32))
    """

    def __init__(self, widths: Sequence[int], layers: Sequence[int] | None = None) -> None:
        super().__init__()
        self.layers = chosen(len(widths), layers)

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return {"l1": joined(activations(trace), self.layers).abs().sum(-1)}


@final
class MeanActivation(Meter):
    """Over the data, each layer's mean activation and the least and greatest mean among its units."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []

    def add(self, trace: Trace) -> None:
        sums = [layer.sum(0, dtype=torch.float64) for layer in activations(trace)]
        self.sums = [old + new for old, new in zip(self.sums, sums)] or sums
        self.count += trace.batch.size

    def figures(self) -> dict[str, Any]:
        means = [total / self.count for total in self.sums]
        return {
            "mean_activation": [mean.mean().item() for mean in means],
            "unit_activation_range": [[mean.min().item(), mean.max().item()] for mean in means],
        }


def activations(trace: Trace) -> tuple[Tensor, ...]:
    """The layers that a trace's point posterior kept, each (B, width)."""
    (q,) = named(trace.q).values()
    mass = getattr(q, "base_dist", q)
    if not (isinstance(mass, PointMass) and mass.layers):
        raise ValueError("a penalty on activations needs a posterior that keeps them; use LayeredPoint")
    return mass.layers


def chosen(count: int, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Positions from 0 of the layers numbered from 1, or of all `count`.

    >>> chosen(3, None), chosen(3, (3,))
    ((0, 1, 2), (2,))
    """
    numbers = range(1, count + 1) if layers is None else layers
    if not numbers or not all(1 <= number <= count for number in numbers):
        raise InputError(f"the layers to penalise are numbered from 1 to {count}, not {tuple(numbers)}")
    return tuple(number - 1 for number in numbers)


def joined(layers: Sequence[Tensor], positions: Sequence[int]) -> Tensor:
    """These layers side by side, (B, sum of widths)."""
    return torch.cat([layers[position] for position in positions], -1)


def bernoulli_kl(rho: float, mean: Tensor) -> Tensor:
    """KL between Bernoullis of these means: ρ log(ρ/ρ̂) + (1−ρ) log((1−ρ)/(1−ρ̂)), in nats.

    >>> bernoulli_kl(0.5, torch.tensor([0.5, 0.25]))
    tensor([0.0000, 0.1438])
    """
    target = torch.full_like(mean, rho)
    absent = torch.special.xlogy(1 - target, (1 - target) / (1 - mean))
    return torch.special.xlogy(target, target / mean) + absent
