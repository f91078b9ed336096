"""Flow matching: a density that carries noise to data along a learned velocity, trained by regression alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, final

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, constraints

from lowerbound.core.conditionals import Conditional
from lowerbound.core.distributions import HALF_LOG_TWO_PI, Shape, widened
from lowerbound.core.estimators import summed
from lowerbound.core.latent import Trace, named
from lowerbound.core.objectives import Objective

Field = Callable[[Tensor, Tensor], Tensor]
"""A value (N, *event) and a time (N,) to a velocity (N, *event)."""

EXACT_UP_TO = 16
"""A divergence is taken along each of so many dimensions, and along one random direction where there are more."""

ROWS_AT_ONCE = 1 << 10
"""Values that are carried in one go."""


@final
class Carried(Distribution):
    """Where noise ends that follows dz/dt = v(z, t) from t = 0, N(0, I), to t = 1.

        log p(z) = log N(z₀; 0, I) − ∫₀¹ div v(z_t, t) dt,    z₀: where the way back from z ends

    The ways are walked in `steps` midpoint steps, two evaluations of v each; density and draws are those of v as it is,
    but for the error of these steps. Beyond 16 dimensions the divergence is εᵀ(∂v/∂z)ε with random signs ε, whose mean
    it is: log p(z) is then unbiased and noisy. It carries no gradient; v is trained by `mismatch`.

    Ricky T. Q. Chen, Yulia Rubanova, Jesse Bettencourt and David Duvenaud, "Neural ordinary differential equations",
    2018; Will Grathwohl et al., "FFJORD: free-form continuous dynamics for scalable reversible generative models",
    2019.

    >>> still = Carried(lambda z, t: torch.zeros_like(z), torch.zeros(2), steps=1)
    >>> still.log_prob(torch.zeros(3, 2))
    tensor([-1.8379, -1.8379, -1.8379])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, velocity: Field, like: Tensor, steps: int) -> None:
        self.velocity, self.like, self.steps = velocity, like, steps
        super().__init__(Size(), like.shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    @torch.no_grad()
    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008 - Size is immutable
        rows = math.prod(sample_shape)
        noise = torch.randn((rows, *self.event_shape), dtype=self.like.dtype, device=self.like.device)
        parts = [walk(self.velocity, part, 0.0, 1.0, self.steps) for part in noise.split(ROWS_AT_ONCE)]
        return torch.cat(parts).reshape(self._extended_shape(sample_shape))

    @torch.no_grad()
    def log_prob(self, value: Tensor) -> Tensor:
        rows = value.reshape(-1, *self.event_shape)
        parts = [self._log_prob(part) for part in rows.split(ROWS_AT_ONCE)]
        return torch.cat(parts).reshape(value.shape[: value.dim() - len(self.event_shape)])

    def mismatch(self, z: Tensor) -> Tensor:
        """‖v(z_t, t) − (z − ε)‖² at z_t = (1−t)ε + tz, for a noise ε ~ N(0, I) and a time t ~ U(0, 1) to each z.

        z (..., *event) -> (...). Its minimiser over v is the velocity that carries N(0, I) to the density of z. No
        gradient goes to z. Yaron Lipman, Ricky T. Q. Chen, Heli Ben-Hamu, Maximilian Nickel and Matt Le, "Flow matching
        for generative modeling", 2023; Xingchao Liu, Chengyue Gong and Qiang Liu, "Flow straight and fast: learning to
        generate and transfer data with rectified flow", 2023.
        """
        rows = z.detach().reshape(-1, *self.event_shape)
        noise, t = torch.randn_like(rows), torch.rand(len(rows), dtype=rows.dtype, device=rows.device)
        share = t.reshape(-1, *(1 for _ in self.event_shape))
        found = widened(self.velocity(torch.lerp(noise, rows, share), t))
        return (found - (rows - noise)).square().flatten(1).sum(1).reshape(z.shape[: z.dim() - len(self.event_shape)])

    def _log_prob(self, rows: Tensor) -> Tensor:
        along = directions(rows)

        def both(state: Tensor, t: Tensor) -> Tensor:
            velocity, divergence = with_divergence(self.velocity, state[:, :-1].reshape(rows.shape), t, along)
            return torch.cat([velocity.flatten(1), divergence.unsqueeze(1)], 1)

        flat = rows.flatten(1)
        end = walk(both, torch.cat([flat, flat.new_zeros(len(flat), 1)], 1), 1.0, 0.0, self.steps)
        # The walk back has added up minus the integral.
        return end[:, -1] - (0.5 * end[:, :-1].square() + HALF_LOG_TWO_PI).sum(1)


def walk(field: Field, z: Tensor, start: float, end: float, steps: int) -> Tensor:
    """Follow dz/dt = field(z, t) in midpoint steps of equal length.

    >>> around = walk(lambda z, t: z, torch.ones(1, 1), 0.0, 1.0, steps=100)
    >>> round(around.item(), 3)
    2.718
    """
    length = (end - start) / steps
    for step in range(steps):
        t = z.new_full((len(z),), start + step * length)
        middle = z + 0.5 * length * widened(field(z, t))
        z = z + length * widened(field(middle, t + 0.5 * length))
    return z


def directions(rows: Tensor) -> Tensor:
    """Directions (S, *rows) whose mean outer product is the identity, or is so in expectation."""
    size = rows[0].numel()
    if size > EXACT_UP_TO:
        return 1 - 2 * torch.randint_like(rows, 2).unsqueeze(0)
    basis = math.sqrt(size) * torch.eye(size, dtype=rows.dtype, device=rows.device)
    return basis.reshape(size, 1, *rows.shape[1:]).expand(-1, *rows.shape)


def with_divergence(field: Field, z: Tensor, t: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    """field(z, t) and the mean over directions of εᵀ(∂field/∂z)ε, (N,)."""
    count, along = len(along), along.flatten(0, 1)
    times = t.repeat(count)
    value, back = torch.func.vjp(  # type: ignore[misc]
        lambda z: widened(field(z, times)), z.repeat(count, *(1 for _ in z.shape[1:]))
    )
    found = (back(along.to(value.dtype))[0] * along).flatten(1).sum(1)
    return value[: len(z)], found.unflatten(0, (count, -1)).mean(0)


@final
class FlowMatched(Conditional):
    """`Carried` noise as a prior: N(0, I) over an event of this shape, led along a network's velocity.

    velocity: `(N, *event)` and `(N,)` to `(N, *event)`.

    >>> from lowerbound.nets.velocity import Velocity
    >>> FlowMatched(Velocity((4, 4, 2), widths=(8,), layers=1), (4, 4, 2), steps=2)().sample((3,)).shape
    torch.Size([3, 4, 4, 2])
    """

    def __init__(self, velocity: nn.Module, event: tuple[int, ...], steps: int) -> None:
        super().__init__()
        self.velocity, self.steps = velocity, steps
        self.like: Tensor
        self.register_buffer("like", torch.zeros(event), persistent=False)

    def forward(self, *given: object) -> Distribution:
        return Carried(self.velocity, self.like, self.steps)


@final
class FlowMatching(Objective):
    """The mismatch of each prior that is `Carried`: what trains its velocity, and nothing else.

    A squared error, not nats. It is a bound on log p(z) only with another weight on each time; see Diederik P. Kingma
    and Ruiqi Gao, "Understanding diffusion objectives as the ELBO with simple data augmentation", 2023.
    """

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        priors = {name: p for name, p in named(trace.p).items() if isinstance(p, Carried)}
        if not priors:
            raise ValueError("flow matching needs a prior whose velocity it can match; use FlowMatched")
        return {"mismatch": trace.mean(summed([p.mismatch(trace.named_z[name]) for name, p in priors.items()]))}
