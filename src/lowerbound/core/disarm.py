"""An antithetic gradient for binary latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core.bounds import Bound
from lowerbound.core.controls import require_mean
from lowerbound.core.estimators import Sampling, summed, with_value
from lowerbound.core.relaxations import Binary, base_of, beside, logits_of, relaxation, uniform

if TYPE_CHECKING:
    from lowerbound.core.latent import Trace


@final
class DisARM(Sampling):
    """Bernoulli latents in antithetic pairs b = 1[u < p], b' = 1[1 − u < p], for averages such as the ELBO.

    The gradient in the logits l is ½ (f(b) − f(b')) (b − b') σ(|l|), averaged over the pairs: what remains of the
    antithetic form of REINFORCE when the noise u given b and b' has been integrated out. Unbiased; of one bit never
    noisier than `leave_one_out` on two independent particles, and of many, as measured, by a third less noisy. The
    particles K are the two halves of K/2 pairs, so K is even.

    Zhe Dong, Andriy Mnih and George Tucker, "DisARM: an antithetic gradient estimator for binary latent variables",
    2020; found independently as U2G by Mingzhang Yin, Nhat Ho, Bowei Yan, Xiaoning Qian and Mingyuan Zhou,
    "Probabilistic best subset selection via gradient-based optimization", 2020.

    >>> from lowerbound.core import ELBO, Batch, Bernoulli, Fixed, Latent, bits, total
    >>> prior = Fixed(bits, logits=torch.zeros(3))
    >>> model = Latent(prior, Bernoulli(torch.nn.Linear(5, 3)), Bernoulli(torch.nn.Linear(3, 5)))
    >>> trace = model.trace(Batch({"x": torch.zeros(8, 5)}), particles=2, estimator=DisARM())
    >>> total(ELBO()(trace)).backward()
    """

    def draw(self, q: Distribution, particles: int) -> Tensor:
        if not isinstance(relaxation(q), Binary):
            raise ValueError(f"DisARM is for Bernoulli latents, not {type(base_of(q)).__name__}; use Score")
        if particles % 2:
            raise ValueError(f"DisARM draws particles in antithetic pairs; ask for an even number of them: {particles}")
        p = torch.sigmoid(logits_of(q))
        u = uniform(p, particles // 2)
        return torch.cat([u < p, 1 - u < p]).to(p.dtype)

    def log_q(self, q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z).detach()  # averaged, its own gradient is zero in the mean: only noise

    def surrogate(self, trace: Trace, values: Tensor, bound: Bound) -> Tensor:
        value = bound(values, trace.log_measure)
        if not torch.is_grad_enabled():
            return value
        require_mean(bound, "DisARM")
        pairs = trace.pairs
        slopes = [_slope(values.detach(), z, logits_of(pairs[name][0])) for name, z in trace.named_z.items()]
        return with_value(value.detach(), value + summed(slopes))


def _slope(values: Tensor, z: Tensor, logits: Tensor) -> Tensor:
    """(B,): has the gradient in the logits."""
    (f, opposite_f), (b, opposite_b) = values.chunk(2), z.chunk(2)
    step = 0.5 * beside(f - opposite_f, b) * (b - opposite_b) * torch.sigmoid(logits.detach().abs())
    return (step.mean(0) * logits).flatten(1).sum(-1)
