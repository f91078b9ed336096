"""Expectations over every combination of particles: what a bound is in mean, and its gradient, without a draw."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lowerbound.core import Batch, Bound, Enumerate, Latent, Pathwise, Trace


def grid(model: Latent, x: Tensor, count: int = 80) -> tuple[Tensor, Tensor]:
    """log w and log mass (count,) at the nodes of Gauss–Hermite quadrature over a Gaussian z of one dimension."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(count)
    b = Batch({"x": x[None]})
    q = model.infer(b)
    z = q.mean + q.stddev * torch.tensor(nodes)[:, None, None]
    log_w = Trace(z, q, model.prior(), model.decode(z), b, Pathwise()).log_w
    return log_w.squeeze(1), torch.tensor(masses / masses.sum()).log()


def support(model: Latent, x: Tensor) -> tuple[Tensor, Tensor]:
    """log w and log q(z) of every value of a discrete z."""
    trace = model.trace(Batch({"x": x[None]}), 1, Enumerate())
    return trace.log_w.squeeze(1), trace.log_q.squeeze(1)


def expected(bound: Bound, log_w: Tensor, log_mass: Tensor, particles: int) -> Tensor:
    """E L over independent particles, each one of these values with this mass: the sum over every combination."""
    choices = torch.cartesian_prod(*[torch.arange(len(log_w))] * particles).reshape(-1, particles)
    values = bound(log_w[choices].T, equal(particles))
    return (log_mass[choices].sum(1).exp() * values).sum()


def equal(particles: int) -> Tensor:
    """The log measure of drawn particles, (K, 1)."""
    return torch.full((particles, 1), -math.log(particles))
