"""Objectives: from a trace to named per-datum terms in nats, to be minimised. They compose with + and a weight *.

>>> from lowerbound.core import WarmUp
>>> objective = Distortion() + WarmUp(1000) * Rate()
>>> objective = ELBO() + 0.1 * Rate()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from lowerbound.core.bounds import (
    Bound,
    Groups,
    LogMeanExp,
    Mean,
    Mixed,
    Partial,
    log_uniform,
    renyi,
    thermodynamic,
)
from lowerbound.core.estimators import DReG, summed
from lowerbound.core.latent import Trace
from lowerbound.core.schedules import Constant, Schedule


class Objective(nn.Module, ABC):
    """Trace -> {name: (B,) nats}, minimised. A module, so one that keeps state saves and moves like any other."""

    @abstractmethod
    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        """The terms of each datum; `step` drives schedules, and without it they stand at their final value."""

    def __add__(self, other: Objective) -> Objective:
        return Sum(self, other)

    def __mul__(self, weight: float | Schedule) -> Objective:
        return Weighted(weight, self)

    def __rmul__(self, weight: float | Schedule) -> Objective:
        return Weighted(weight, self)


@final
class Sum(Objective):
    """Both objectives' terms; terms of one name are added."""

    def __init__(self, left: Objective, right: Objective) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        left, right = self.left(trace, step), self.right(trace, step)
        both = {name: left[name] + right[name] for name in left.keys() & right.keys()}
        return {**left, **right, **both}


@final
class Weighted(Objective):
    """An objective times a constant or a schedule. Its terms are renamed, so no weighted number poses as nats."""

    def __init__(self, weight: float | Schedule, objective: Objective) -> None:
        super().__init__()
        self.weight = weight if isinstance(weight, Schedule) else Constant(weight)
        self.objective = objective

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        weight = self.weight(step)
        return {f"weighted_{name}": weight * term for name, term in self.objective(trace, step).items()}


class OfWeights(Objective, ABC):
    """Minus a bound of the log weights, under a name of its own."""

    name: ClassVar[str]

    def __init__(self, bound: Bound) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return {self.name: -surrogate(trace, trace.log_w, self.bound)}

    def extra_repr(self) -> str:
        return str(self.bound)


@final
class ELBO(OfWeights):
    """The evidence lower bound by Monte Carlo: −E_q[log p(x|z) + log p(z) − log q(z|x)]."""

    name = "negative_elbo"

    def __init__(self) -> None:
        super().__init__(Mean())


@final
class IWAE(OfWeights):
    """The importance-weighted bound: −E log (1/K) Σ_k w_k ≥ −log p(x), tighter as K grows.

    Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, "Importance weighted autoencoders", 2016.
    """

    name = "negative_iwae"

    def __init__(self) -> None:
        super().__init__(LogMeanExp())


@final
class MIWAE(OfWeights):
    """The mean of `groups` importance-weighted bounds, each over its own share of the particles.

    M groups of K particles are M·K of a trace. With M = 1 it is `IWAE`, with K = 1 `ELBO`; between them it gives up
    some of the tightness for a clearer gradient to the encoder.
    Tom Rainforth et al., "Tighter variational bounds are not necessarily better", 2018.
    """

    name = "negative_miwae"

    def __init__(self, groups: int = 2) -> None:
        super().__init__(Groups(groups, LogMeanExp()))


@final
class CIWAE(OfWeights):
    """share · ELBO + (1 − share) · IWAE, the ELBO over all particles.

    Tom Rainforth et al., "Tighter variational bounds are not necessarily better", 2018.
    """

    name = "negative_ciwae"

    def __init__(self, share: float = 0.5) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"the ELBO's share is a number from 0 to 1, not {share}")
        super().__init__(Mixed(((share, Mean()), (1 - share, LogMeanExp()))))


@final
class PIWAE(Objective):
    """The decoder learns from `IWAE` over all particles, the encoder from `MIWAE` over groups of them, of one trace.

    Only `DReG` serves it, which sends each of them its own gradient (see `Partial`); the value is that of `IWAE`, and
    so is the name of the term.
    Tom Rainforth et al., "Tighter variational bounds are not necessarily better", 2018.
    """

    def __init__(self, groups: int = 2) -> None:
        super().__init__()
        self.bound = Partial(LogMeanExp(), Groups(groups, LogMeanExp()))

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        if torch.is_grad_enabled() and not isinstance(trace.estimator, DReG):
            raise ValueError("PIWAE has a gradient for the encoder and another for the decoder; use the estimator DReG")
        return {"negative_iwae": -surrogate(trace, trace.log_w, self.bound)}


@final
class VR(OfWeights):
    """Rényi's bound of order α: 1/(1−α) log (1/K) Σ_k w_k^(1−α), from IWAE (α = 0) by the ELBO (1) to below (> 1).

    A lower bound on log p(x) in mean for α ≥ 0, at every K. For α < 0 it is none, and VR-max, α = −∞, trains on the
    one particle of the largest weight.
    Yingzhen Li and Richard E. Turner, "Rényi divergence variational inference", 2016.
    """

    name = "negative_vr"

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__(renyi(alpha))


@final
class TVO(OfWeights):
    """The thermodynamic variational objective: a lower Riemann sum over the path from q to the posterior.

    intervals: in how many pieces [0, 1] is cut; first: where the first ends, the others lying equally in log β. With
    more pieces it rises to `IWAE`. Gradients are those of the sum over the K particles, unbiased for its mean.
    Vaden Masrani, Tuan Anh Le and Frank Wood, "The thermodynamic variational objective", 2019.
    """

    name = "negative_tvo"

    def __init__(self, intervals: int = 5, first: float = 0.1) -> None:
        super().__init__(thermodynamic(log_uniform(intervals, first)))


@final
class Distortion(Objective):
    """−E_q[log p(x|z)]: what the code fails to say of x."""

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return {"distortion": -surrogate(trace, trace.log_px, Mean())}


@final
class Rate(Objective):
    """KL(q(z|x) ‖ p(z)), in closed form where there is one and by Monte Carlo where not.

    free_bits: a dimension whose mean KL over the batch is below this many nats costs exactly that and gets no
    gradient, so it is not pressed to zero; the term is then called "charged_rate". Diederik P. Kingma et al.,
    "Improving variational inference with inverse autoregressive flow", 2016.
    """

    def __init__(self, free_bits: float = 0.0) -> None:
        super().__init__()
        if free_bits < 0:
            raise ValueError(f"free bits are a number of nats, zero or more, not {free_bits}")
        self.free_bits = free_bits
        self.name = "charged_rate" if free_bits else "rate"

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        if trace.kl is not None:
            return {self.name: summed([self.charge(kl) for kl in trace.kl.values()])}
        if self.free_bits:
            raise ValueError("free bits need a posterior and a prior whose KL is known per dimension")
        return {"rate": surrogate(trace, trace.log_q - trace.log_p, Mean())}

    def charge(self, kl: Tensor) -> Tensor:
        """The price of each datum's KL (B, D), summed over dimensions."""
        return (with_free_bits(kl, self.free_bits) if self.free_bits else kl).sum(-1)


def with_free_bits(kl: Tensor, free_bits: float) -> Tensor:
    """kl (B, D), with each dimension whose mean over the batch is below `free_bits` replaced by that constant."""
    return torch.where(kl.mean(0) < free_bits, free_bits, kl)


@final
class AnalyticELBO(Objective):
    """The evidence lower bound with its KL in closed form: distortion + rate. Less noise than `ELBO`, the same mean."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = Distortion() + Rate()

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.parts(trace, step)
        return terms


@final
class BetaELBO(Objective):
    """distortion + β·rate. β is a number or a schedule: `WarmUp` against early collapse, `Cyclical` to revisit it.

    Irina Higgins et al., "beta-VAE: learning basic visual concepts with a constrained variational framework", 2017.
    """

    def __init__(self, beta: float | Schedule = 1.0, free_bits: float = 0.0) -> None:
        super().__init__()
        self.parts = Distortion() + beta * Rate(free_bits)

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.parts(trace, step)
        return terms


def surrogate(trace: Trace, values: Tensor, bound: Bound) -> Tensor:
    """The bound of these values, with the gradient of the trace's estimator."""
    return trace.estimator.surrogate(trace, values, bound)


def total(terms: dict[str, Tensor]) -> Tensor:
    """The scalar to minimise: each term's mean over the batch, summed."""
    return summed([term.mean() for term in terms.values()])
