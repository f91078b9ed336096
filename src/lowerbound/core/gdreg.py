"""Doubly reparameterised gradients for the parameters of a learned prior, too."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution, Independent

from lowerbound.core.bounds import Bound
from lowerbound.core.dependent import Dependent
from lowerbound.core.distributions import LogScaleNormal, StandardNormal
from lowerbound.core.estimators import (
    DReG,
    Estimator,
    Reparameterised,
    detached,
    path_share,
    rescale_gradient,
    summed,
    with_value,
)

if TYPE_CHECKING:
    from lowerbound.core.latent import Trace


@final
class GDReG(Reparameterised):
    """Generalised DReG: φ learns as under `DReG`, the parameters θ of a learned prior by the way in which they move z.

    Whoever drew z, it is T(ε; θ), a draw of p(z_l | z_{l+1}) with the noise ε that gives it. With the bound's first and
    second derivatives L_k and L_kk, the gradient for θ is, all partial derivatives being at the other latents held,

        Σ_k [L_kk ∂log w_k/∂z_l + L_k ∂(log q(z|x) − log p(z_l | z_{l+1}))/∂z_l] · ∂T/∂θ

    which is made of slopes where the usual gradient is a score: quieter where the data say little of z, and noisier
    where they say much. What p depends on, and the likelihood, get their usual gradients. It takes a bound on log w,
    and priors whose parameters are seen to move draws (`moved_by`).
    Matthias Bauer and Andriy Mnih, "Generalized doubly reparameterized gradient estimators", 2021.
    """

    def __init__(self) -> None:
        self.encoder = DReG()

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return self.encoder.log_q(q, z)

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        leading = {name: p for name, (_, p) in trace.pairs.items() if isinstance(p, Leading)}
        if not leading:
            return self.encoder.surrogate(trace, values, bound)
        if values is not trace.log_w:
            raise ValueError("GDReG follows the prior through log w alone; use a bound on log w, or the estimator DReG")
        if trace.scaled_for is None:
            share = path_share(bound, values.detach(), trace.log_measure)
            for p in leading.values():
                rescale_gradient(p.way, (1 - share) / torch.where(share == 0, torch.finfo(share.dtype).tiny, share))
        return self.encoder.surrogate(trace, values, bound) + self._own(trace, bound, leading)

    def _own(self, trace: Trace, bound: Bound, leading: dict[str, Leading]) -> Tensor:
        """Zeros (B,), with the gradient of Σ_k L_k (log q(z_k|x) − log p(z_l)) through the way p moves z."""
        first = bound.weights(trace.log_w.detach(), trace.log_measure)
        each = [log_q_around(trace, name, p.moved) - cut(p.p).log_prob(p.moved) for name, p in leading.items()]
        carrier = (first * summed(each)).sum(0)
        return with_value(torch.zeros_like(carrier), carrier)


@final
class Leading(Distribution):
    """A learned p(z): its density, cut from its parameters, and the way by which they move a z.

    moved: z, as p's parameters would move it were its noise held, whoever drew it. way: the same under another name.
    """

    def __init__(self, p: Distribution, moved: Tensor) -> None:
        self.p, self.moved, self.way = p, moved, moved.view_as(moved)
        super().__init__(p.batch_shape, p.event_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return detached(self.p).log_prob(value)


def led(estimator: Estimator, p: Distribution, z: Tensor) -> tuple[Distribution, Tensor]:
    """p and z as they are to be scored: as they are, unless the estimator is `GDReG` and p has something to learn."""
    if not (isinstance(estimator, GDReG) and torch.is_grad_enabled()):
        return p, z
    moved = moved_by(p, z.detach())
    if not moved.requires_grad:
        return p, z
    leading = Leading(p, moved)
    return leading, with_value(z, leading.way)


def log_q_around(trace: Trace, name: str, z: Tensor) -> Tensor:
    """What log q(z|x) says of one latent, the others held: of it given those below, and of those drawn given it."""
    q, own = {each: q for each, (q, _) in trace.pairs.items()}, trace.named_z[name]
    above = {each: d for each, d in q.items() if isinstance(d, Dependent) and d.z is own}
    scores = [d.held_at(z).log_prob(trace.named_z[each].detach()) for each, d in above.items()]
    return summed([cut(q[name]).log_prob(z), *scores])


def cut(d: Distribution) -> Distribution:
    """The distribution as it is, cut from whatever it depends on."""
    return detached(Independent(d.base_dist, d.reinterpreted_batch_ndims)) if isinstance(d, Dependent) else detached(d)


@singledispatch
def moved_by(p: Distribution, z: Tensor) -> Tensor:
    """z with the gradient that a draw from p with this value would have, its noise held."""
    raise NotImplementedError(
        f"GDReG does not know how the parameters of {type(p).__name__} move its draws; register it with moved_by, or "
        "use DReG"
    )


@moved_by.register
def _(p: Dependent, z: Tensor) -> Tensor:
    # What p depends on gets its gradient from p's density, which is not cut from that.
    return moved_by(p.conditional(p.z.detach(), *p.given), z)


@moved_by.register(Independent)
def _(p: Independent[Distribution], z: Tensor) -> Tensor:
    return moved_by(p.base_dist, z)


@moved_by.register
def _(p: LogScaleNormal, z: Tensor) -> Tensor:
    scale = p.log_scale.exp()
    return torch.addcmul(p.loc, scale, ((z - p.loc) / scale).detach())


@moved_by.register
def _(p: D.Normal, z: Tensor) -> Tensor:
    return torch.addcmul(p.loc, p.scale, ((z - p.loc) / p.scale).detach())


@moved_by.register
def _(p: D.Laplace, z: Tensor) -> Tensor:
    return torch.addcmul(p.loc, p.scale, ((z - p.loc) / p.scale).detach())


@moved_by.register
def _(p: StandardNormal, z: Tensor) -> Tensor:
    return z
