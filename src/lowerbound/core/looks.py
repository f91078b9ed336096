"""Objectives about how reconstructions look: to the features of a network, and to an adversary that learns beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.core.bounds import Mean
from lowerbound.core.frozen import frozen
from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective, surrogate
from lowerbound.core.schedules import Schedule

FAINT = 1e-3
"""Added to the squared length of a feature vector, so that places where there is nothing to see do not count."""

Features = Callable[[Tensor], Sequence[Tensor]]
"""Data (N, *event) to maps of features (N, C, H, W), one or several."""


class Pair(NamedTuple):
    """A datum and what z makes of it, (K·B, *event) each; zeros in both where it was not observed."""

    real: Tensor
    made: Tensor

    @classmethod
    def of(cls, trace: Trace, name: str) -> Pair:
        """Every particle's mean of p(x|z) beside the datum it was drawn for."""
        made, mask, real = trace.px[name].mean, trace.batch.mask_of(name), trace.batch.x[name]
        if mask is not None:
            made, real = torch.where(mask, made, 0), torch.where(mask, real, 0)
        return cls(real.expand_as(made).flatten(0, 1), made.flatten(0, 1))


@final
class Perceptual(Objective):
    """Size · Σ_l mean_places ‖f_l(x)/‖f_l(x)‖ − f_l(x̂)/‖f_l(x̂)‖‖², at x̂ = E[x|z]: how unlike they look to a network.

    features: a module from data (N, *event) to maps (N, C, H, W), one or several; it is kept as it is, whether or not
    it has weights that could be trained. Each place's features are brought to unit length. The distance is multiplied
    by the number of values of a datum, so that a weight says what a unit of it is worth beside the nats of one value.

    Richard Zhang, Phillip Isola, Alexei A. Efros, Eli Shechtman and Oliver Wang, "The unreasonable effectiveness of
    deep features as a perceptual metric", 2018; Justin Johnson, Alexandre Alahi and Li Fei-Fei, "Perceptual losses for
    real-time style transfer and super-resolution", 2016.
    """

    def __init__(self, features: nn.Module, name: str = "x") -> None:
        super().__init__()
        self.features, self.name = features.requires_grad_(False), name

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        pair = Pair.of(trace, self.name)
        distance = pair.real[0].numel() * unlikeness(self.features(pair.real), self.features(pair.made))
        return {"perceptual": surrogate(trace, distance.unflatten(0, (-1, trace.batch.size)), Mean())}


def unlikeness(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The mean over places of squared distances between features of unit length, summed over the maps, (N,).

    >>> same = torch.randn(5, 3, 4, 4)
    >>> unlikeness([same], [2 * same]).max() < 0.1
    tensor(True)
    """
    each = [(of_unit_length(a) - of_unit_length(b)).square().sum(1).flatten(1).mean(1) for a, b in zip(left, right)]
    return torch.stack(each).sum(0)


def of_unit_length(features: Tensor) -> Tensor:
    """Features (N, C, H, W) divided by their length at each place; faint ones come out shorter."""
    return features * (features.square().sum(1, keepdim=True) + FAINT).rsqrt()


@final
class PatchAdversary(Objective):
    """Minus what a judge of patches thinks of x̂ = E[x|z], beside the hinge loss by which the judge learns.

        discriminator = ½ E[max(0, 1 − D(x))] + ½ E[max(0, 1 + D(x̂))],    D: a mean over patches

    One sum, one backward, and each side gets its own gradient only, as in `AdversarialTotalCorrelation`; in eval mode
    there is neither. The model's side is multiplied by the number of values of a datum and by `weight`, which may be a
    schedule: a judge is of use only once reconstructions are no longer plainly wrong.

    discriminator: data (N, *event) to one number a patch, (N, …).
    Phillip Isola, Jun-Yan Zhu, Tinghui Zhou and Alexei A. Efros, "Image-to-image translation with conditional
    adversarial networks", 2017; Patrick Esser, Robin Rombach and Björn Ommer, "Taming transformers for high-resolution
    image synthesis", 2021.
    """

    def __init__(self, discriminator: nn.Module, weight: Schedule, name: str = "x") -> None:
        super().__init__()
        self.discriminator, self.weight, self.name = discriminator, weight, name

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return self.terms(trace, step) if self.training else {}

    def terms(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        """What the model pays, and what the discriminator pays, (B,) each."""
        pair, rows = Pair.of(trace, self.name), (-1, trace.batch.size)
        praise = pair.real[0].numel() * over_patches(frozen(self.discriminator, pair.made)).unflatten(0, rows)
        return {
            "weighted_adversary": -self.weight(step) * surrogate(trace, praise, Mean()),
            "discriminator": trace.mean(self.mistake(pair.real, pair.made.detach()).unflatten(0, rows)),
        }

    def mistake(self, real: Tensor, made: Tensor) -> Tensor:
        """The hinge loss of telling data from reconstructions, (N,)."""
        on_real, on_made = self.discriminator(real), self.discriminator(made)
        return 0.5 * over_patches(F.relu(1 - on_real) + F.relu(1 + on_made))


def over_patches(judged: Tensor) -> Tensor:
    """The mean of what is said of each patch, (N, …) -> (N,)."""
    return judged.flatten(1).mean(1)
