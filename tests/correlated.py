"""A linear-Gaussian model whose exact posterior no diagonal Gaussian is, and what that costs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution

from lowerbound.core import Batch, Gaussian, Homoscedastic, Latent, standard_normal
from toys import Affine, Head


class Correlated:
    """z ~ N(0, I), x|z ~ N(Wz + b, σ²I) with any W: the posterior N(m, P⁻¹), P = I + WᵀW/σ², is correlated.

    Of diagonal Gaussians N(m, diag 1/P_ii) is the best, and its ELBO is log p(x) − ½(Σ log P_ii − log |P|).
    """

    def __init__(self, size: int = 4, latent: int = 3, scale: float = 0.7) -> None:
        self.weight, self.bias, self.scale = torch.randn(size, latent), torch.randn(size), scale
        self.precision = torch.eye(latent) + self.weight.T @ self.weight / scale**2
        self.gap = 0.5 * (self.precision.diagonal().log().sum() - torch.logdet(self.precision))

    def model(self) -> Latent:
        """With an encoder that knows nothing: N(0.1x_1, e^−0.4) in each dimension."""
        latent = self.weight.shape[1]
        read = torch.zeros(latent, len(self.bias))
        read[:, 0] = 0.1
        encoder = Gaussian(Head(Affine(read, torch.zeros(latent)), torch.full((latent,), -0.4)))
        noise = torch.tensor(self.scale).log()
        return Latent(standard_normal(latent), encoder, Homoscedastic(Affine(self.weight, self.bias), noise))

    def data(self, n: int) -> Batch:
        return Batch({"x": self.marginal().sample((n,))})

    def marginal(self) -> D.MultivariateNormal:
        covariance = self.weight @ self.weight.T + self.scale**2 * torch.eye(len(self.bias))
        return D.MultivariateNormal(self.bias, covariance)

    def mean(self, batch: Batch) -> Tensor:
        return (batch.x["x"] - self.bias) @ self.weight / self.scale**2 @ self.precision.inverse()

    def kl(self, batch: Batch, q: Distribution) -> Tensor:
        """KL(q ‖ posterior) = log p(x) − ELBO(q), (B,)."""
        scale = torch.diag_embed(q.stddev) if isinstance(q, D.Independent) else q.scale_tril
        posterior = D.MultivariateNormal(self.mean(batch), precision_matrix=self.precision)
        return D.kl_divergence(D.MultivariateNormal(q.mean, scale_tril=scale), posterior)
