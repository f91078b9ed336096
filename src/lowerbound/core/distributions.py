"""Distributions that torch lacks, or has in a form that loses digits. All are elementwise over their batch shape."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Gamma, Normal, constraints, register_kl
from torch.nn import functional as F

Shape = Size | list[int] | tuple[int, ...]
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def widened(h: Tensor) -> Tensor:
    """h in float32 at least."""
    return h if h.dtype in (torch.float32, torch.float64) else h.float()


def joint_shape(a: Tensor, b: Tensor) -> Size:
    """The shape two tensors broadcast to; torch's own function takes 40 µs even where the shapes are equal."""
    return a.shape if a.shape == b.shape else torch.broadcast_shapes(a.shape, b.shape)


@final
class LogScaleNormal(Distribution):
    r"""Normal in terms of its log scale: log p(x) = −½((x−μ)/σ)² − log σ − ½ log 2π.

    Networks speak in logs; taking exp and then log again costs two passes and loses the digits of small σ.
    `log_scale` may be any shape that broadcasts to `loc`'s.

    >>> LogScaleNormal(torch.zeros(2), torch.tensor(0.0)).log_prob(torch.zeros(2))
    tensor([-0.9189, -0.9189])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor, log_scale: Tensor) -> None:
        self.loc, self.log_scale = loc, log_scale
        super().__init__(joint_shape(loc, log_scale), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc.expand(self._batch_shape)

    @property
    def mode(self) -> Tensor:
        return self.mean

    @property
    def stddev(self) -> Tensor:
        return self.log_scale.exp().expand(self._batch_shape)

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_scale).exp().expand(self._batch_shape)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> LogScaleNormal:
        return LogScaleNormal(self.loc.expand(batch_shape), self.log_scale.expand(batch_shape))

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008 - Size is immutable
        noise = torch.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return torch.addcmul(self.loc, self.log_scale.exp(), noise)

    def log_prob(self, value: Tensor) -> Tensor:
        standard = (value - self.loc) * (-self.log_scale).exp()
        return -0.5 * standard.square() - (self.log_scale + HALF_LOG_TWO_PI)

    def cdf(self, value: Tensor) -> Tensor:
        return torch.special.ndtr((value - self.loc) * (-self.log_scale).exp())

    def entropy(self) -> Tensor:
        return (self.log_scale + (0.5 + HALF_LOG_TWO_PI)).expand(self._batch_shape)


@final
class StandardNormal(Distribution):
    """N(0, 1) of the shape, type and device of `like`: the usual prior, with nothing to compute.

    >>> StandardNormal(torch.empty(2)).log_prob(torch.zeros(2))
    tensor([-0.9189, -0.9189])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, like: Tensor) -> None:
        self.like = like
        super().__init__(like.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.zeros_like(self.like)

    @property
    def mode(self) -> Tensor:
        return self.mean

    @property
    def variance(self) -> Tensor:
        return torch.ones_like(self.like)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> StandardNormal:
        return StandardNormal(self.like.expand(batch_shape))

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        return torch.randn(self._extended_shape(sample_shape), dtype=self.like.dtype, device=self.like.device)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * value.square() - HALF_LOG_TWO_PI

    def cdf(self, value: Tensor) -> Tensor:
        return torch.special.ndtr(value)

    def entropy(self) -> Tensor:
        return torch.full_like(self.like, 0.5 + HALF_LOG_TWO_PI)


@final
class ContinuousBernoulli(Distribution):
    r"""The density on [0, 1] proportional to λ^x (1−λ)^(1−x), with λ = sigmoid(logits).

    log p(x) = x·l − softplus(l) + log(l / tanh(l/2)), in logits l throughout: no clipped probabilities.
    Gabriel Loaiza-Ganem and John P. Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational
    autoencoders", 2019.

    >>> ContinuousBernoulli(torch.zeros(1)).log_prob(torch.tensor([0.3]))
    tensor([0.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        small, logits = self._split()
        below_half = 1 / logits.abs() + (-logits.abs()).exp() / torch.expm1(-logits.abs())
        exact = torch.where(logits > 0, 1 - below_half, below_half)
        return torch.where(small, 0.5 + self.logits / 12 - self.logits**3 / 720, exact)

    @property
    def variance(self) -> Tensor:
        small, logits = self._split()
        exact = 1 / logits.square() - (-logits.abs()).exp() / torch.expm1(-logits.abs()).square()
        return torch.where(small, 1 / 12 - self.logits**2 / 240 + self.logits**4 / 6048, exact)

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> ContinuousBernoulli:
        return ContinuousBernoulli(self.logits.expand(batch_shape))

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        return self.icdf(torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device))

    def icdf(self, value: Tensor) -> Tensor:
        # By symmetry only l <= 0 is needed, where expm1 cannot overflow: x(u; l) = 1 − x(1−u; −l).
        small, logits = self._split()
        flipped = logits > 0
        u = torch.where(flipped, 1 - value, value)
        x = torch.log1p(u * torch.expm1(-logits.abs())) / -logits.abs()
        return torch.where(small, self._nearly_uniform(value), torch.where(flipped, 1 - x, x)).clamp(0, 1)

    def _nearly_uniform(self, u: Tensor) -> Tensor:
        """The inverse cdf to third order in the logits."""
        logits = self.logits
        bend = 1 + logits * (1 - 2 * u) / 3 + logits**2 * (1 - 6 * u + 6 * u**2) / 12
        return u + 0.5 * logits * u * (1 - u) * bend

    def log_prob(self, value: Tensor) -> Tensor:
        return value * self.logits - F.softplus(self.logits) + self.log_normaliser

    @property
    def log_normaliser(self) -> Tensor:
        """log(l / tanh(l/2)), by its series near zero."""
        small, logits = self._split()
        series = math.log(2) + self.logits**2 / 12 - 7 * self.logits**4 / 1440
        return torch.where(small, series, logits.abs().log() - torch.tanh(logits.abs() / 2).log())

    def _split(self) -> tuple[Tensor, Tensor]:
        """Where the logits are near zero, and logits with those replaced so that no branch makes a NaN gradient."""
        small = self.logits.abs() < (1e-1 if self.logits.dtype == torch.float32 else 1e-2)
        return small, torch.where(small, 1.0, self.logits)


@final
class DiscretizedLogistic(Distribution):
    r"""A logistic density summed over bins: a probability for each of the integers 0 … levels−1.

    With x mapped to [−1, 1], half a bin h = 1/(levels−1), a = (x+h−μ)/s and b = (x−h−μ)/s, the mass is σ(a) − σ(b),
    where the end bins take the tails. It is computed as σ(a)·σ(−b)·(1−e^(b−a)), which is exact in logs everywhere.
    Tim Salimans, Andrej Karpathy, Xi Chen and Diederik P. Kingma, "PixelCNN++", 2017.

    >>> d = DiscretizedLogistic(torch.zeros(()), torch.tensor(-1.0), levels=4)
    >>> d.log_prob(torch.arange(4.0)).exp().sum()
    tensor(1.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = False

    def __init__(self, loc: Tensor, log_scale: Tensor, levels: int) -> None:
        self.loc, self.log_scale, self.levels = loc, log_scale, levels
        super().__init__(joint_shape(loc, log_scale), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    @property
    def mean(self) -> Tensor:
        """Σ_j P(x ≥ j), level by level so that memory stays that of one picture."""
        return sum((self._at_least(j) for j in range(1, self.levels)), torch.zeros_like(self.loc))

    @property
    def variance(self) -> Tensor:
        """E(x − r)² − (mean − r)² for r the integer nearest the mean, which cancels no digits."""
        mean = self.mean
        centre = mean.round()
        spread = sum((self._spread(j, centre) for j in range(1, self.levels)), torch.zeros_like(mean))
        return (spread - (mean - centre).square()).clamp_min(0)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> DiscretizedLogistic:
        return DiscretizedLogistic(self.loc.expand(batch_shape), self.log_scale.expand(batch_shape), self.levels)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        logit = torch.logit(torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device), eps=1e-7)
        level = (self.loc + self.log_scale.exp() * logit + 1) * (self.levels - 1) / 2
        return level.round().clamp(0, self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        precision, half = (-self.log_scale).exp(), 1 / (self.levels - 1)
        centred = self._to_unit(value) - self.loc
        below_top = torch.where(value < self.levels - 1, F.logsigmoid((centred + half) * precision), 0)
        above_bottom = torch.where(value > 0, F.logsigmoid((half - centred) * precision), 0)
        interior = (value > 0) & (value < self.levels - 1)
        return below_top + above_bottom + torch.where(interior, log1mexp(2 * half * precision), 0)

    def _at_least(self, level: int) -> Tensor:
        """P(x ≥ level)."""
        return torch.sigmoid((self.loc - self._to_unit(level - 0.5)) * (-self.log_scale).exp())

    def _spread(self, level: int, centre: Tensor) -> Tensor:
        """What of E(x − centre)² is due to x beyond the edge under this level, seen from the centre."""
        outwards = torch.where(centre < level, 1.0, -1.0)
        beyond = torch.sigmoid(outwards * (self.loc - self._to_unit(level - 0.5)) * (-self.log_scale).exp())
        return outwards * (2 * (level - centre) - 1) * beyond

    def _to_unit(self, level: Any) -> Any:
        return level * (2 / (self.levels - 1)) - 1


def log1mexp(a: Tensor) -> Tensor:
    """log(1 − e^(−a)) for a > 0, without cancellation at either end.

    >>> log1mexp(torch.tensor([1e-6, 50.0]))
    tensor([-1.3816e+01, -1.9287e-22])
    """
    near = a < math.log(2)
    # Each branch is given only what it can take: the gradient of one not taken must not be NaN either.
    small, large = torch.where(near, a, 1.0), torch.where(near, 1.0, a)
    return torch.where(near, (-torch.expm1(-small)).log(), torch.log1p(-(-large).exp()))


@final
class NegativeBinomial(Distribution):
    r"""Counts of mean m and variance m + m²/r, in terms of log m and log r.

    log p(x) = log Γ(x+r) − log Γ(r) − log x! + x log σ(l) + r log σ(−l), with l = log m − log r. As r grows it becomes
    Poisson, where the difference of the two log Γ would lose whole nats in float32; `log_rising` keeps them.

    >>> NegativeBinomial(torch.zeros(1), torch.tensor([15.0])).log_prob(torch.zeros(1))
    tensor([-1.0000])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.nonnegative_integer
    has_rsample = False

    def __init__(self, log_mean: Tensor, log_r: Tensor) -> None:
        self.log_mean, self.log_r = log_mean, log_r
        super().__init__(joint_shape(log_mean, log_r), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp().expand(self._batch_shape)

    @property
    def mode(self) -> Tensor:
        return (self.mean - (self.log_mean - self.log_r).exp()).clamp_min(0).floor()

    @property
    def variance(self) -> Tensor:
        return self.mean + (2 * self.log_mean - self.log_r).exp()

    def expand(self, batch_shape: Shape, _instance: Any = None) -> NegativeBinomial:
        return NegativeBinomial(self.log_mean.expand(batch_shape), self.log_r.expand(batch_shape))

    @torch.no_grad()
    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        r = self.log_r.exp().expand(self._extended_shape(sample_shape))
        return torch.poisson(Gamma(r, 1.0, validate_args=False).sample() * (self.log_mean - self.log_r).exp())

    def log_prob(self, value: Tensor) -> Tensor:
        logits = self.log_mean - self.log_r
        odds = value * F.logsigmoid(logits) + self.log_r.exp() * F.logsigmoid(-logits)
        return log_rising(self.log_r.exp(), value) - torch.lgamma(value + 1) + odds


def log_rising(r: Tensor, n: Tensor) -> Tensor:
    """log Γ(r+n) − log Γ(r), by Stirling's series where r is large, so that no digits cancel.

    >>> log_rising(torch.tensor([1.0, 100.0]), torch.tensor([4.0, 1.0])).exp().round()
    tensor([ 24., 100.])
    """
    large = r > 30
    small, r = torch.where(large, 1.0, r), torch.where(large, r, 30.0)
    series = (r + n - 0.5) * torch.log1p(n / r) + n * r.log() - n + stirling_tail(r + n) - stirling_tail(r)
    return torch.where(large, series, torch.lgamma(small + n) - torch.lgamma(small))


def stirling_tail(x: Tensor) -> Tensor:
    """log Γ(x) − ((x−½) log x − x + ½ log 2π), for x of 30 and more."""
    inverse_square = x**-2
    return (1 / 12 - inverse_square * (1 / 360 - inverse_square / 1260)) / x


@register_kl(LogScaleNormal, LogScaleNormal)
def _kl_normal_normal(q: LogScaleNormal, p: LogScaleNormal) -> Tensor:
    log_ratio = q.log_scale - p.log_scale
    shift = (q.loc - p.loc) * (-p.log_scale).exp()
    return 0.5 * (torch.expm1(2 * log_ratio) + shift.square()) - log_ratio


@register_kl(LogScaleNormal, StandardNormal)
def _kl_normal_standard(q: LogScaleNormal, p: StandardNormal) -> Tensor:
    return 0.5 * (q.loc.square() + torch.expm1(2 * q.log_scale)) - q.log_scale


@register_kl(StandardNormal, StandardNormal)
def _kl_standard_standard(q: StandardNormal, p: StandardNormal) -> Tensor:
    return torch.zeros_like(q.like)


@register_kl(StandardNormal, LogScaleNormal)
def _kl_standard_normal(q: StandardNormal, p: LogScaleNormal) -> Tensor:
    zero = torch.zeros_like(q.like)
    return _kl_normal_normal(LogScaleNormal(zero, zero), p)


@register_kl(LogScaleNormal, Normal)
def _kl_log_scale_torch(q: LogScaleNormal, p: Normal) -> Tensor:
    return _kl_normal_normal(q, LogScaleNormal(p.loc, p.scale.log()))


@register_kl(Normal, LogScaleNormal)
def _kl_torch_log_scale(q: Normal, p: LogScaleNormal) -> Tensor:
    return _kl_normal_normal(LogScaleNormal(q.loc, q.scale.log()), p)


@register_kl(Normal, StandardNormal)
def _kl_torch_standard(q: Normal, p: StandardNormal) -> Tensor:
    return _kl_normal_standard(LogScaleNormal(q.loc, q.scale.log()), p)
