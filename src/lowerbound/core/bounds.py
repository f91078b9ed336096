"""Bounds: from log weights to one number a datum.

A bound is a function L of the log weights of K particles. It also states its first and second derivatives with
respect to one log weight, because that is all that a doubly reparameterised gradient needs to know about it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
