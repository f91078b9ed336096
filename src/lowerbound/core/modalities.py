"""Objectives of models of several variables: likelihoods weighed, bounds of every subset, total correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from lowerbound.core.batch import Batch
from lowerbound.core.bounds import Mean
from lowerbound.core.divergences import kl_per_dimension
from lowerbound.core.estimators import summed
from lowerbound.core.experts import Product
from lowerbound.core.latent import Model, Trace
from lowerbound.core.objectives import Distortion, Objective, Rate, surrogate


@final
class WeighedDistortion(Objective):
    """−Σ_m λ_m E_q[log p(x_m|z)]: lest a variable of many values drown one of few.

    weights: λ_m by name. With weights other than 1 no bound on log p(x) is left of the ELBO that it stands in; what is
    measured of the model is measured without them.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        weighed = summed([self.weights[name] * each for name, each in trace.log_lik.items()])
        return {"weighted_distortion": -surrogate(trace, weighed, Mean())}

    def extra_repr(self) -> str:
        return str(self.weights)


@final
class Subsampled(Objective):
    """An objective of the whole datum, and of each variable as if it alone had been observed, added up.

    So each encoder learns to do without the others, which the bound on whole data does not ask of a product of experts.
    The sum of the ELBOs is a bound on log p(x_1, …, x_M) + Σ_m log p(x_m), not on log p of the datum; its terms say so
    by their names. What was not observed has nothing to add. model: what made the trace; it is traced again for each.

    Mike Wu and Noah Goodman, "Multimodal generative models for scalable weakly-supervised learning", 2018.
    """

    def __init__(self, model: Model, whole: Objective) -> None:
        super().__init__()
        self.whole = whole
        # In a tuple, so that the model's weights are not the objective's too.
        self.models = (model,)

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        terms = self.whole(trace, step)
        alone = [self.whole(self._retraced(trace, name), step) for name in trace.batch.x]
        each = {name: summed([found[name] for found in alone]) for name in terms}
        return {**terms, **{f"each_{name}": value for name, value in each.items()}}

    def _retraced(self, trace: Trace, name: str) -> Trace:
        (model,) = self.models
        return model.trace(only(trace.batch, name), len(next(iter(trace.named_z.values()))), trace.estimator)


def only(batch: Batch, name: str) -> Batch:
    """The batch as if the variable of this name alone had been observed.

    >>> only(Batch({"x": torch.zeros(1), "y": torch.zeros(1)}), "x").mask
    {'x': tensor([True]), 'y': tensor([False])}
    """
    seen = {each: torch.full_like(x, each == name, dtype=torch.bool) for each, x in batch.x.items()}
    return replace(batch, mask={each: mask & _mask(batch, each) for each, mask in seen.items()})


def _mask(batch: Batch, name: str) -> Tensor | bool:
    mask = batch.mask_of(name)
    return True if mask is None else mask


@final
class MVTCAE(Objective):
    """(n − α)/n · distortion + β·[(1 − α)·KL(q(z|x) ‖ p(z)) + α/n · Σ_m KL(q(z|x) ‖ q(z|x_m))].

    q is a product of experts; n: variables that were observed of the datum. The last sum is least where each variable's
    posterior by itself says what all of them together say. distortion: `Distortion()`, or one whose likelihoods are
    weighed. At α = 0 and β = 1 this is minus the ELBO; for other α it is derived as a bound on the variables' total
    correlation and the information that representations hold of each, and it is on neither side of log p(x). A datum
    of which nothing was observed counts for nothing.

    HyeongJoo Hwang, Geon-Hyeong Kim, Seunghoon Hong and Kee-Eung Kim, "Multi-view representation learning via total
    correlation objective", 2021.
    """

    def __init__(self, alpha: float = 0.5, beta: float = 1.0, distortion: Objective | None = None) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is a number from 0 to 1, not {alpha}")
        super().__init__()
        self.alpha, self.beta, self.distortion = alpha, beta, distortion or Distortion()
        self.rate = Rate()

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        q = trace.pairs["z"][0]
        if not isinstance(q, Product):
            raise ValueError("the objective MVTCAE compares a product of experts with each; use ProductOfExperts")
        n = q.opinions.present.sum(0)
        share = ((n - self.alpha) / n.clamp_min(1)).clamp_min(0)
        (distortion,) = self.distortion(trace, step).values()
        (rate,) = self.rate(trace, step).values()
        return {
            "weighted_distortion": share * distortion,
            "weighted_rate": self.beta * (1 - self.alpha) * rate,
            "weighted_conditional_rate": self.beta * self.alpha * conditional_rate(q),
        }

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}"


def conditional_rate(q: Product) -> Tensor:
    """The mean over the variables observed of KL(q(z|x) ‖ q(z|x_m)), (B,) nats; 0 where there was none."""
    present = q.opinions.present
    each = kl_per_dimension(q, q.opinions.alone().distribution()).sum(-1)
    return (each * present).sum(0) / present.sum(0).clamp_min(1)
