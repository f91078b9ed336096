"""Invertible networks, of zuko's masked transformations: x -> y, and how much it stretches space there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.errors import MissingExtraError

FlowName = Literal["autoregressive", "coupling", "spline"]
BINS = 8
LEAST_WIDTH = 128
FIRST_SHARE = 0.1
"""What the last weights are multiplied with at first, so that a flow starts near the identity."""


@final
class Flow(nn.Module):
    """Invertible steps one after another, each a network from a context to a transformation of vectors.

    x (..., D), context (..., C) or None -> y (..., D) and log |det ∂y/∂x| (...,).
    """

    def __init__(self, steps: Iterable[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(x.shape[:-1])
        for step in self.steps:
            x, gained = step(context).call_and_ladj(x)
            log_det = log_det + gained
        return x, log_det

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The x of which this is the y, and log |det ∂x/∂y|."""
        log_det = y.new_zeros(y.shape[:-1])
        for step in reversed(self.steps):
            transform = step(context)
            x = transform.inv(y)
            y, log_det = x, log_det - transform.log_abs_det_jacobian(x, y)
        return y, log_det


def invertible(kind: FlowName, dim: int, context: int, transforms: int) -> Flow:
    """A flow over vectors of `dim` numbers, given `context` numbers (0 for none), near the identity at first.

    autoregressive: each number scaled and shifted by what stands before it; back takes `dim` passes. coupling: half of
    the numbers by the other half; both ways take the same. spline: the same, bent by rational quadratics within ±5.
    Between steps the order is turned around or shuffled.

    Laurent Dinh, Jascha Sohl-Dickstein and Samy Bengio, "Density estimation using Real NVP", 2017; Conor Durkan et
    al., "Neural spline flows", 2019.

    >>> flow = invertible("coupling", 4, 0, transforms=3)
    >>> x = torch.randn(5, 4)
    >>> y, log_det = flow(x)
    >>> bool((flow.inverse(y)[0] - x).abs().max() < 1e-5)
    True
    """
    device = torch.get_default_device()
    with torch.device("cpu"):  # zuko lays out its masks by looking at numbers, which the meta device has not
        return Flow(_steps(kind, dim, context, transforms)).to(device)


def _steps(kind: FlowName, dim: int, context: int, transforms: int) -> Iterable[nn.Module]:
    orders = [torch.arange(dim)]
    while len(orders) < transforms:
        orders.append(orders[-1].flip(0) if len(orders) % 2 else torch.randperm(dim))
    return [_step(kind, dim, context, order) for order in orders]


def _step(kind: FlowName, dim: int, context: int, order: Tensor) -> nn.Module:
    zuko = _zuko()
    width = max(LEAST_WIDTH, 2 * dim)
    elementwise, shapes = _elementwise(zuko)[kind]
    step = zuko.flows.autoregressive.MaskedAutoregressiveTransform(
        dim,
        context,
        passes=dim if kind == "autoregressive" else 2,
        order=order,
        univariate=elementwise,
        shapes=shapes,
        hidden_features=(width, width),
        activation=nn.SiLU,
    )
    return _near_identity(step)


def _elementwise(zuko: Any) -> dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]]:
    affine = (_widening(zuko.transforms.MonotonicAffineTransform), ((), ()))
    spline = (_widening(zuko.transforms.MonotonicRQSTransform), ((BINS,), (BINS,), (BINS - 1,)))
    return {"autoregressive": affine, "coupling": affine, "spline": spline}


def _widening(transform: Callable[..., Any]) -> Callable[..., Any]:
    """The transformation, its parameters in float32 at least whatever the precision of the network's products."""
    return lambda *given: transform(*(each if each.dtype == torch.float64 else each.float() for each in given))


@torch.no_grad()
def _near_identity(step: Any) -> nn.Module:
    # Of a single number without a context there is no network.
    last = step.hyper[-1] if hasattr(step, "hyper") else step
    for parameter in last.parameters():
        parameter.mul_(FIRST_SHARE)
    found: nn.Module = step
    return found


def _zuko() -> Any:
    """The package, imported so that torch's distributions check their arguments as before: it switches that off."""
    before = {name: Distribution.__dict__[name] for name in ("_validate_args", "arg_constraints")}
    try:
        import zuko
    except ModuleNotFoundError as error:
        raise MissingExtraError("zuko", "flows") from error
    finally:
        for name, value in before.items():
            setattr(Distribution, name, value)
    return zuko
