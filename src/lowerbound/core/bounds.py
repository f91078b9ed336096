"""Bounds: from log weights to one number a datum.

A bound is a function L of the log weights of K particles. It also states its first and second derivatives with
respect to one log weight, because that is all that a doubly reparameterised gradient needs to know about it: for any L
whose first derivative is continuous, in particles that are drawn independently,

    ∇φ E[L] = E Σ_k (L_k − L_kk) ∂log w_k/∂z_k · dz_k/dφ        L_k = ∂L/∂log w_k,  L_kk = ∂²L/∂(log w_k)²

since the score −L_k ∇φ log q(z_k) that φ has in log w_k has the mean of a path again, along which L_k changes by L_kk.

Bounds are values: two of the same kind and numbers are equal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from typing import final

import torch
from torch import Tensor


class Bound(ABC):
    """L(log w), with particles in the first dimension. log_measure is each particle's log share (−log K, or log q)."""

    @abstractmethod
    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        """(K, B), (K, B) or (K, 1) -> (B,) nats."""

    @abstractmethod
    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        """∂L/∂log w_k, (K, B)."""

    @abstractmethod
    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        """∂L/∂log w_k − ∂²L/∂(log w_k)², (K, B): what multiplies ∂log w_k/∂z_k in `DReG`."""


@final
@dataclass(frozen=True)
class Mean(Bound):
    """Σ_k m_k log w_k: the evidence lower bound.

    >>> Mean()(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.5], [0.5]]).log())
    tensor([1.])
    """

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return (log_measure.exp() * log_w).sum(0)

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return log_measure.exp().expand_as(log_w)

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return self.weights(log_w, log_measure)


@final
@dataclass(frozen=True)
class LogMeanExp(Bound):
    """log Σ_k m_k w_k: the importance-weighted bound, which rises with K to log p(x).

    Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, "Importance weighted autoencoders", 2016.

    >>> LogMeanExp()(torch.tensor([[1.0], [3.0]]).log(), torch.tensor([[0.5], [0.5]]).log()).exp()
    tensor([2.])
    """

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.logsumexp(log_w + log_measure, 0)

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.softmax(log_w + log_measure, 0)

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return self.weights(log_w, log_measure).square()


@final
@dataclass(frozen=True)
class Renyi(Bound):
    """1/(1−α) log Σ_k m_k w_k^(1−α), α ≠ 1: the logarithm of a power mean of the weights, which falls as α rises.

    Its limit for many particles is Rényi's bound, log p(x) − D_α(q ‖ posterior) where 0 < α < 1. A power mean of
    exponent at most 1 is at most the mean, so for every α ≥ 0 it is in mean a lower bound on log p(x) at every K:
    the `LogMeanExp` at α = 0, near the `Mean` about α = 1, below it beyond. For α < 0 it is a bound on neither side.

    Yingzhen Li and Richard E. Turner, "Rényi divergence variational inference", 2016.

    >>> Renyi(0.5)(torch.tensor([[1.0], [9.0]]).log(), torch.tensor([[0.5], [0.5]]).log()).exp()
    tensor([4.])
    """

    alpha: float

    def __post_init__(self) -> None:
        if self.alpha == 1:
            raise ValueError("Renyi(1) is a limit, the ELBO; use Mean()")

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.logsumexp((1 - self.alpha) * log_w + log_measure, 0) / (1 - self.alpha)

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.softmax((1 - self.alpha) * log_w + log_measure, 0)

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        first = self.weights(log_w, log_measure)
        return self.alpha * first + (1 - self.alpha) * first.square()


@final
@dataclass(frozen=True)
class Largest(Bound):
    """max_k log w_k, the limit of `Renyi` for α → −∞: the gradient of one particle alone. A bound on neither side.

    Yingzhen Li and Richard E. Turner, "Rényi divergence variational inference", 2016, there VR-max.

    >>> Largest()(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [0.5]]).log())
    tensor([3.])
    """

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return log_w.max(0).values

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.zeros_like(log_w).scatter(0, log_w.argmax(0, keepdim=True), 1.0)

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        raise ValueError(
            "the largest log weight has a derivative that jumps, and DReG needs the second; use Pathwise or Score"
        )


@final
@dataclass(frozen=True)
class Tempered(Bound):
    """Σ_k π_k log w_k with π_k ∝ m_k w_k^β: E[log w] on the way from q (β = 0) to the posterior (β = 1).

    It is the slope in β of log Σ_k m_k w_k^β, so it rises with β and its integral over [0, 1] is `LogMeanExp`. For
    β > 0 it is, by itself, no bound; `thermodynamic` makes bounds of it.

    >>> Tempered(1.0)(torch.tensor([[1.0], [3.0]]).log(), torch.tensor([[0.5], [0.5]]).log())
    tensor([0.8240])
    """

    beta: float

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return (self._shares(log_w, log_measure) * log_w).sum(0)

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return self._shares(log_w, log_measure) * self._rise(log_w, log_measure)

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        shares, rise = self._shares(log_w, log_measure), self._rise(log_w, log_measure)
        return shares * (rise - self.beta * ((1 - 2 * shares) * rise + 1))

    def _shares(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.softmax(self.beta * log_w + log_measure, 0)

    def _rise(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return 1 + self.beta * (log_w - self(log_w, log_measure))


@final
@dataclass(frozen=True)
class Groups(Bound):
    """The mean over `count` equal groups of consecutive particles of the bound `each` of a group.

    >>> four = torch.tensor([[1.0], [3.0], [2.0], [8.0]]).log()
    >>> Groups(2, LogMeanExp())(four, torch.full((4, 1), 0.25).log()).exp()  # √(2 · 5)
    tensor([3.1623])
    """

    count: int
    each: Bound

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        grouped, measure, share = self._grouped(log_w, log_measure)
        return (share * self.each(grouped, measure)).sum(0)

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        grouped, measure, share = self._grouped(log_w, log_measure)
        return in_one(share * self.each.weights(grouped, measure))

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        grouped, measure, share = self._grouped(log_w, log_measure)
        return in_one(share * self.each.path_weights(grouped, measure))

    def _grouped(self, log_w: Tensor, log_measure: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log w (K/M, M, B), the log measure within a group, and what each group counts for, (M, B)."""
        if len(log_w) % self.count:
            raise ValueError(f"{len(log_w)} particles are not {self.count} equal groups; use a multiple of that number")
        measure = apart(log_measure, self.count)
        share = torch.logsumexp(measure, 0)
        return apart(log_w, self.count), measure - share, share.exp()


@final
@dataclass(frozen=True)
class Mixed(Bound):
    """Σ_i share_i · bound_i.

    >>> half = Mixed(((0.5, Mean()), (0.5, LogMeanExp())))
    >>> half(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.5], [0.5]]).log())
    tensor([1.2169])
    """

    parts: tuple[tuple[float, Bound], ...]

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.stack([share * bound(log_w, log_measure) for share, bound in self.parts]).sum(0)

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.stack([share * bound.weights(log_w, log_measure) for share, bound in self.parts]).sum(0)

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return torch.stack([share * bound.path_weights(log_w, log_measure) for share, bound in self.parts]).sum(0)


@final
@dataclass(frozen=True)
class Partial(Bound):
    """The bound `decoder` for what the likelihood and the prior learn from, the bound `encoder` for what q does.

    Its value is the decoder's. `DReG` keeps the two gradients apart by itself, for it sends θ the weights and z the
    path weights; an estimator that differentiates the value would never see the encoder's bound.
    """

    decoder: Bound
    encoder: Bound
    # Of the encoder's weight at least so much goes to θ too: a group that counts for nothing among all particles would
    # else take its own encoder's gradient with it when its weight underflows.
    floor: float = field(default=1e-20, repr=False)

    def __call__(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return self.decoder(log_w, log_measure)

    def weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        least = self.floor * self.path_weights(log_w, log_measure)
        return torch.maximum(self.decoder.weights(log_w, log_measure), least)

    def path_weights(self, log_w: Tensor, log_measure: Tensor) -> Tensor:
        return self.encoder.path_weights(log_w, log_measure)


def renyi(alpha: float) -> Bound:
    """`Renyi` with its limits: `Mean` at α = 1, `Largest` at −∞.

    >>> renyi(0.5), renyi(1), renyi(-float("inf"))
    (Renyi(alpha=0.5), Mean(), Largest())
    """
    limits: dict[float, Bound] = {1.0: Mean(), -float("inf"): Largest()}
    return limits.get(alpha) or Renyi(alpha)


def log_uniform(intervals: int, first: float) -> tuple[float, ...]:
    """0 = β_0 < β_1 = first < … < β_n = 1, equally spaced in log β from the first on: fine where E[log w] bends.

    >>> [round(point, 3) for point in log_uniform(3, 0.01)]
    [0.0, 0.01, 0.1, 1.0]
    """
    if intervals < 2 or not 0 < first < 1:
        raise ValueError(
            f"a path from 0 to 1 needs 2 intervals or more and a first point in between, not {intervals} and {first}"
        )
    return (0.0, *(first ** (1 - i / (intervals - 1)) for i in range(intervals)))


def thermodynamic(points: tuple[float, ...]) -> Bound:
    """The left Riemann sum over β of E_β[log w], whose integral is log p(x): a lower bound, tighter with more points.

    E_β[log w] is `Tempered`, which rises with β. Of K particles the integral is `LogMeanExp`, so that the sum is below
    it for every draw, and in mean below log p(x). From (0, 1) it is the ELBO.

    Vaden Masrani, Tuan Anh Le and Frank Wood, "The thermodynamic variational objective", 2019. Its doubly
    reparameterised gradient: Rob Brekelmans et al., "All in the exponential family: Bregman duality in thermodynamic
    variational inference", 2020.
    """
    return riemann(points, points[:-1])


def thermodynamic_upper(points: tuple[float, ...]) -> Bound:
    """The right Riemann sum, above the integral: with all of z as particles (`Enumerate`) an upper bound on log p(x).

    With K draws it is above the `LogMeanExp` of the same draws, which tells how much finer points could still bring.
    """
    return riemann(points, points[1:])


def riemann(points: tuple[float, ...], at: tuple[float, ...]) -> Bound:
    """Σ (β_{i+1} − β_i) E_{at_i}[log w]."""
    widths = [high - low for low, high in pairwise(points)]
    return Mixed(tuple((width, Tempered(beta) if beta else Mean()) for width, beta in zip(widths, at)))


def apart(values: Tensor, groups: int) -> Tensor:
    """(K, ...) -> (K/M, M, ...), groups being of consecutive particles."""
    return values.unflatten(0, (groups, -1)).transpose(0, 1)


def in_one(values: Tensor) -> Tensor:
    """(K/M, M, ...) -> (K, ...): back from `apart`."""
    return values.transpose(0, 1).flatten(0, 1)
