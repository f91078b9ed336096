"""The estimate of log p(x) against the exact value, on a model where it is known.

    python bench/linear_gaussian.py

z ~ N(0, I), x = W z + noise of variance 1/4: log p(x) = log N(x; 0, W Wᵀ + I/4). Importance sampling proposes from the
exact posterior, and from one whose scale is wrong by a fifth.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from _harness import record
from lowerbound.core import Batch, Gaussian, Homoscedastic, Latent, log_marginal, log_weights, standard_normal

LATENT, OBSERVED, DATA, NOISE = 4, 12, 200, 0.5
SCALE_ERROR = 1.2


class Linear(nn.Module):
    """x -> (mean, log variance) of a posterior that is linear in x."""

    def __init__(self, weight: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.weight, self.log_variance = weight, log_variance

    def forward(self, x: Tensor) -> Tensor:
        mean = x @ self.weight
        return torch.stack([mean, self.log_variance.expand_as(mean)], -1)


def orthogonal_model(scale_error: float) -> tuple[Latent, Tensor]:
    """The model and W. With orthogonal columns the posterior factorises, so a diagonal Gaussian can be exact."""
    torch.manual_seed(0)
    w = torch.linalg.qr(torch.randn(OBSERVED, LATENT)).Q * torch.linspace(0.5, 2, LATENT)
    variance = 1 / (1 + w.square().sum(0) / NOISE**2)
    posterior = Linear(w * variance / NOISE**2, (variance * scale_error**2).log())
    decode = nn.Linear(LATENT, OBSERVED, bias=False)
    decode.weight.data = w
    likelihood = Homoscedastic(decode, torch.tensor(math.log(NOISE)))
    return Latent(standard_normal(LATENT), Gaussian(posterior), likelihood), w


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rows = []
    for scale_error, particles in [(1.0, 1), (SCALE_ERROR, 10), (SCALE_ERROR, 1000), (SCALE_ERROR, 100_000)]:
        model, w = orthogonal_model(scale_error)
        marginal = MultivariateNormal(torch.zeros(OBSERVED), w @ w.T + NOISE**2 * torch.eye(OBSERVED))
        x = marginal.sample((DATA,))
        exact = marginal.log_prob(x)
        estimate = log_marginal(model, Batch({"x": x}), particles)
        off = estimate.log_p - exact
        spread = off.std() / estimate.stderr.square().mean().sqrt() if particles > 1 else torch.tensor(0.0)
        widest = (
            (log_weights(model, Batch({"x": x}), particles) - exact).abs().max() if particles == 1 else off.abs().max()
        )
        rows.append(
            {
                "posterior": "exact" if scale_error == 1 else f"scale × {scale_error}",
                "K": particles,
                "mean error": f"{off.mean():.1e}",
                "largest error": f"{widest:.1e}",
                "stated standard error": f"{estimate.stderr.mean():.1e}" if particles > 1 else None,
                "spread of error / stated": f"{spread:.2f}" if particles > 1 else None,
                "ESS / K": round(float(estimate.ess.mean()) / particles, 3),
                "largest k̂": f"{estimate.khat.max():.2f}" if particles > 10 else None,
            }
        )
    notes = (
        f"{DATA} data of {OBSERVED} dimensions, {LATENT} latent, float64. 'Spread of error / stated' near 1 is honest."
    )
    record("linear_gaussian", "log p(x) where it is known", "python bench/linear_gaussian.py", rows, notes)


if __name__ == "__main__":
    main()
