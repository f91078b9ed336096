"""Contraction: how fast a network's output moves with what it reads, ‖∂f/∂u‖²_F, measured exactly or by probes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.func import jvp, vjp, vmap

from lowerbound.core.latent import Trace
from lowerbound.core.objectives import Objective

Function = Callable[[Tensor], Tensor]


class SquaredJacobian(ABC):
    """‖∂f/∂u‖²_F: the sum of squares of every entry of the Jacobian of f at each row of u.

    Not a module: f belongs to the model, which learns and saves it.
    """

    @abstractmethod
    def __call__(self, u: Tensor) -> Tensor:
        """u (B, *event) -> (B,). The rows of f must not depend on each other."""


@final
class Exact(SquaredJacobian):
    """Direction by direction, all at once: of the outputs if they are fewer, else of the inputs.

    It costs as many passes as there are directions.

    >>> Exact(lambda u: u @ torch.tensor([[1.0, 2.0], [0.0, 3.0]]))(torch.zeros(1, 2))
    tensor([14.])
    """

    def __init__(self, f: Function) -> None:
        self.f = f

    def __call__(self, u: Tensor) -> Tensor:
        out, pull = vjp(self.f, u)[:2]
        if out[0].numel() < u[0].numel():
            return _over_directions(lambda direction: pull(direction)[0], out)
        return _over_directions(lambda direction: jvp(self.f, (u,), (direction,))[1], u)


@final
class Probed(SquaredJacobian):
    """The mean of ‖∂f/∂u · v‖² over random v of entries ±1, which is ‖∂f/∂u‖²_F in expectation.

    One probe costs two passes, whatever the widths. Michael F. Hutchinson, "A stochastic estimator of the trace of the
    influence matrix for Laplacian smoothing splines", 1989.
    """

    def __init__(self, f: Function, probes: int = 1) -> None:
        self.f, self.probes = f, probes

    def __call__(self, u: Tensor) -> Tensor:
        return torch.stack([self._once(u) for _ in range(self.probes)]).mean(0)

    def _once(self, u: Tensor) -> Tensor:
        signs = torch.randint_like(u, 2) * 2 - 1
        return squared(jvp(self.f, (u,), (signs,))[1])


@final
class OneLayer(SquaredJacobian):
    """In closed form for s(Wu + b), s elementwise: Σ_j s'(a_j)² ‖W_j‖², with a = Wu + b.

    Salah Rifai et al., "Contractive auto-encoders: explicit invariance during feature extraction", 2011.

    >>> OneLayer(nn.Linear(4, 3), nn.Sigmoid())(torch.zeros(2, 4)).shape
    torch.Size([2])
    """

    def __init__(self, linear: nn.Linear, activation: nn.Module) -> None:
        self.linear, self.activation = linear, activation

    def __call__(self, u: Tensor) -> Tensor:
        a = self.linear(u.flatten(1))
        slope = jvp(self.activation, (a,), (torch.ones_like(a),))[1]
        return slope.square() @ self.linear.weight.square().sum(1)


@final
class Contractive(Objective):
    """‖∂f/∂u‖²_F of each datum: the code's sensitivity to x, or the decoder's to the code.

    norm: how it is measured. at: the u (B, *event) of a trace, such as what the encoder reads.

    Added to a reconstruction error it makes codes that hold still under small changes of x: Salah Rifai et al.,
    "Contractive auto-encoders: explicit invariance during feature extraction", 2011.

    >>> encoder = nn.Linear(4, 2)
    >>> penalty = 0.1 * Contractive(Exact(encoder), at=lambda trace: trace.batch.filled("x"))
    """

    def __init__(self, norm: SquaredJacobian, at: Callable[[Trace], Tensor]) -> None:
        super().__init__()
        self.norm, self.at = norm, at

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return {"contraction": self.norm(self.at(trace))}


def squared(rows: Tensor) -> Tensor:
    """The sum of squares of each row, (B, *event) -> (B,)."""
    return rows.flatten(1).square().sum(1)


def _over_directions(image: Function, like: Tensor) -> Tensor:
    """Σ over the unit directions of a row of `like`, of the squared image of each; (B,)."""
    units = torch.eye(like[0].numel(), dtype=like.dtype, device=like.device).reshape(-1, *like.shape[1:])
    return vmap(lambda unit: squared(image(unit.expand_as(like))))(units).sum(0)
