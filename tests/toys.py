"""Models whose every quantity is known exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution, Independent

from lowerbound.core import (
    Batch,
    Bernoulli,
    Conditional,
    Estimator,
    Fixed,
    Gaussian,
    Homoscedastic,
    Latent,
    Model,
    Objective,
    OneHot,
    Pathwise,
    Trace,
    standard_normal,
    total,
)
from lowerbound.nets import join


class Affine(nn.Module):
    """weight @ (v, c) + bias; the weight may have leading dimensions of its own, one matrix a datum."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())

    def forward(self, v: Tensor, c: Tensor | None = None) -> Tensor:
        return (self.weight @ join(v, c).unsqueeze(-1)).squeeze(-1) + self.bias


class Constant(nn.Module):
    """The same numbers whatever is given."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value.clone())

    def forward(self, *given: Tensor) -> Tensor:
        return self.value.expand(*given[0].shape[:-1], self.value.shape[-1])


class Same(nn.Module):
    """The same (μ, log σ²) for every value of every datum."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values.clone())

    def forward(self, x: Tensor) -> Tensor:
        values = self.values[:, None] if self.values.dim() > 1 else self.values
        return values.expand(*x.shape, 2)


class Head(nn.Module):
    """(μ, log σ²) with μ affine and σ the same for all data."""

    def __init__(self, mean: nn.Module, log_variance: Tensor) -> None:
        super().__init__()
        self.mean, self.log_variance = mean, nn.Parameter(log_variance.clone())

    def forward(self, *given: Tensor) -> Tensor:
        mean = self.mean(*given)
        return torch.stack([mean, self.log_variance.expand_as(mean)], -1)


class LinearGaussian:
    """z ~ N(0, I), x|z ~ N(Wz + b, σ²I) with orthogonal columns in W, so that the exact posterior factorises."""

    def __init__(self, size: int = 4, latent: int = 2, scale: float = 0.7) -> None:
        basis = torch.linalg.qr(torch.randn(size, latent)).Q
        self.weight, self.bias = basis * torch.linspace(0.8, 1.6, latent), torch.randn(size)
        self.scale, self.latent = scale, latent

    def data(self, n: int) -> Batch:
        return Batch({"x": self.marginal().sample((n,))})

    def marginal(self) -> D.MultivariateNormal:
        covariance = self.weight @ self.weight.T + self.scale**2 * torch.eye(len(self.bias))
        return D.MultivariateNormal(self.bias, covariance)

    def log_p(self, batch: Batch) -> Tensor:
        return self.marginal().log_prob(batch.x["x"])

    def model(self, shrink: float = 1.0, widen: float = 0.0) -> Latent:
        """With the exact posterior; or with its mean shrunk and its log σ² raised."""
        precision = 1 + self.weight.square().sum(0) / self.scale**2
        read = shrink * self.weight.T / self.scale**2 / precision[:, None]
        posterior = Gaussian(Head(Affine(read, -read @ self.bias), widen - precision.log()))
        log_scale = nn.Parameter(torch.full((1,), math.log(self.scale)))
        likelihood = Homoscedastic(Affine(self.weight, self.bias), log_scale)
        return Latent(standard_normal(self.latent), posterior, likelihood)


class ToldGaussian:
    """z|c ~ N(Bc, I), x|z,c ~ N(Wz + Ac + b, σ²I) with c of `told` numbers: p(z|c) is learned, and all is exact."""

    def __init__(self, told: int, size: int = 4, latent: int = 2, scale: float = 0.7) -> None:
        self.alone = LinearGaussian(size, latent, scale)
        self.shift, self.lead = torch.randn(size, told), torch.randn(latent, told)

    def marginal(self, c: Tensor) -> D.MultivariateNormal:
        """p(x|c) of rows c (B, told)."""
        alone = self.alone.marginal()
        return D.MultivariateNormal(alone.loc + c @ self._whole.T, alone.covariance_matrix)

    def log_p(self, batch: Batch) -> Tensor:
        assert batch.c is not None
        return self.marginal(batch.c).log_prob(batch.x["x"])

    def model(self, widen: float = 0.0) -> Latent:
        """With the exact posterior; or with its log σ² raised."""
        alone, one = self.alone, self.alone.model(widen=widen)
        head, likelihood = one.posterior.net, one.likelihood["x"]
        read = head.mean.weight.detach()
        posterior = Affine(torch.cat([read, self.lead - read @ self._whole], 1), head.mean.bias.detach())
        decoder = Affine(torch.cat([alone.weight, self.shift], 1), alone.bias)
        prior = Gaussian(Head(Affine(self.lead, torch.zeros(alone.latent)), torch.zeros(alone.latent)))
        return Latent(
            prior,
            Gaussian(Head(posterior, head.log_variance.detach())),
            Homoscedastic(decoder, likelihood.log_scale.detach()),
        )

    @property
    def _whole(self) -> Tensor:
        """What c moves x by, z being where c leads it."""
        return self.shift + self.alone.weight @ self.lead


def expected_elbo(model: Latent, x: Tensor) -> Tensor:
    """The evidence lower bound of a linear-Gaussian model at x (D,), in closed form and differentiable."""
    head, lik = model.posterior.net, model.likelihood["x"]
    mean, variance = head.mean(x), head.log_variance.exp()
    noise = (2 * lik.log_scale).exp().squeeze()
    error = (x - lik.net(mean)).square().sum() + (variance * lik.net.weight.square().sum(0)).sum()
    kl = 0.5 * (mean.square() + variance - head.log_variance - 1).sum()
    return -0.5 * (len(x) * (2 * math.pi * noise).log() + error / noise) - kl


class Bayes(Conditional):
    """The exact posterior of a one-hot z, by Bayes' rule."""

    def __init__(self, prior: Conditional, likelihood: Conditional) -> None:
        super().__init__()
        self.prior, self.likelihood = prior, likelihood

    def forward(self, *given: object) -> Distribution:
        x = given[0]
        assert isinstance(x, Tensor)
        z = torch.eye(self.prior().event_shape[0])[:, None]
        joint = self.prior().log_prob(z) + self.likelihood(z).log_prob(x)
        return D.OneHotCategorical(logits=joint.T, validate_args=False)


class Mixture:
    """A Gaussian mixture with one-hot z."""

    def __init__(self, components: int = 3, size: int = 2) -> None:
        self.logits, self.means = torch.randn(components), 2 * torch.randn(size, components)

    def data(self, n: int) -> Batch:
        return Batch({"x": self.marginal().sample((n,))})

    def marginal(self) -> D.MixtureSameFamily:
        parts = Independent(D.Normal(self.means.T, 1.0), 1)
        return D.MixtureSameFamily(D.Categorical(logits=self.logits), parts)

    def log_p(self, batch: Batch) -> Tensor:
        return self.marginal().log_prob(batch.x["x"])

    def parts(self) -> tuple[Conditional, Conditional]:
        prior = Fixed(one_hot, logits=nn.Parameter(self.logits.clone()))
        return prior, Homoscedastic(Affine(self.means, torch.zeros(len(self.means))), torch.zeros(()))

    def exact(self) -> Latent:
        prior, likelihood = self.parts()
        return Latent(prior, Bayes(prior, likelihood), likelihood)

    def amortised(self, posterior: nn.Module) -> Latent:
        prior, likelihood = self.parts()
        return Latent(prior, OneHot(posterior), likelihood)


def one_hot(logits: Tensor) -> Distribution:
    return D.OneHotCategorical(logits=logits, validate_args=False)


def bits(logits: Tensor) -> Distribution:
    return Independent(D.Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


class Bits:
    """Independent bits z_i, each seen through x_i ~ N(a_i z_i, 1): the exact posterior is a product too."""

    def __init__(self, count: int = 3) -> None:
        self.logits, self.slope = torch.randn(count), torch.linspace(0.5, 2.0, count)

    def data(self, n: int) -> Batch:
        z = torch.bernoulli(torch.sigmoid(self.logits).expand(n, -1))
        return Batch({"x": self.slope * z + torch.randn_like(z)})

    def log_p(self, batch: Batch) -> Tensor:
        x = batch.x["x"]
        on = nn.functional.logsigmoid(self.logits) + D.Normal(self.slope, 1.0).log_prob(x)
        off = nn.functional.logsigmoid(-self.logits) + D.Normal(0.0, 1.0).log_prob(x)
        return torch.logaddexp(on, off).sum(-1)

    def model(self, shift: float = 0.0) -> Latent:
        """With the exact posterior; or with its logits shifted."""
        prior = Fixed(bits, logits=nn.Parameter(self.logits.clone()))
        exact = Affine(self.slope.diag(), self.logits - self.slope.square() / 2 + shift)
        decoder = Affine(self.slope.diag(), torch.zeros(len(self.slope)))
        return Latent(prior, Bernoulli(exact), Homoscedastic(decoder, torch.zeros(())))


class TwoLatents(Model):
    """x ~ N(u + v, σ²) with two named latents, each N(0, 1) a priori and Gaussian in x a posteriori."""

    def __init__(self, posteriors: Mapping[str, Conditional], scale: float = 0.5) -> None:
        super().__init__()
        self.posteriors, self.scale = nn.ModuleDict(dict(posteriors)), scale
        self.prior = standard_normal(1)

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        estimator = estimator or Pathwise()
        q = self.infer(batch)
        z = {name: estimator.draw(each, particles) for name, each in q.items()}
        return Trace(z, q, {name: self.prior() for name in q}, self.decode(z), batch, estimator)

    def infer(self, batch: Batch) -> dict[str, Distribution]:
        return {name: part(batch.x["x"]) for name, part in self.posteriors.items()}

    def decode(self, z: Any, c: Tensor | None = None) -> dict[str, Distribution]:
        return {"x": Independent(D.Normal(z["u"] + z["v"], self.scale, validate_args=False), 1, validate_args=False)}

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, Distribution]:
        return self.decode({"u": self.prior().sample((n,)), "v": self.prior().sample((n,))})


def replicated(model: nn.Module, count: int) -> nn.Module:
    """The model with `count` copies of each parameter, one for each row of a batch: `count` gradients in one pass."""
    model = copy.deepcopy(model)
    for module in model.modules():
        for name, value in module._parameters.items():
            copies = value.detach().expand(count, *value.shape).clone()
            module._parameters[name] = nn.Parameter(copies)
    return model


def gradients(
    model: Latent, objective: Objective, estimator: Estimator, x: Tensor, particles: int, count: int
) -> Tensor:
    """`count` independent gradients of the objective at one datum x (D,), (count, parameters)."""
    copies = replicated(model, count)
    trace = copies.trace(Batch({"x": x.expand(count, -1)}), particles, estimator)
    (count * total(objective(trace))).backward()
    return torch.cat([p.grad.reshape(count, -1) for p in copies.parameters()], 1)


def gradient(value: Tensor, model: nn.Module) -> Tensor:
    """The gradient of a scalar in all of a model's parameters, flat."""
    parts = torch.autograd.grad(value, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])
