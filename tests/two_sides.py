"""Two variables over one z, all of it linear and Gaussian, so that every quantity is known exactly."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch import distributions as D

from lowerbound.core import Batch, Encoders, Homoscedastic, Latent, ProductOfExperts, standard_normal
from lowerbound.core.experts import observed_at_all
from toys import Affine, Head, LinearGaussian

NAMES = ("x", "y")


class TwoSides:
    """z ~ N(0, I), x|z and y|z as of `LinearGaussian`: what each says of z is a factorised Gaussian."""

    def __init__(self, latent: int = 2) -> None:
        self.sides = {"x": LinearGaussian(4, latent, 0.7), "y": LinearGaussian(3, latent, 1.2)}
        self.latent = latent

    def encoders(self, shrink: float = 1.0) -> Encoders:
        """What p(x|z) says of z, a Gaussian in z; its mean shrunk."""
        return Encoders({name: _message(side, shrink) for name, side in self.sides.items()})

    def likelihood(self) -> dict[str, Homoscedastic]:
        return {
            name: Homoscedastic(Affine(side.weight, side.bias), torch.full((1,), math.log(side.scale)))
            for name, side in self.sides.items()
        }

    def data(self, n: int) -> Batch:
        joint = self.joint(["x", "y"]).sample((n,))
        return Batch({"x": joint[:, :4], "y": joint[:, 4:]})

    def gappy(self, n: int) -> Batch:
        """Rows of which all, one, the other, and nothing was observed, in turn."""
        b, turn = self.data(n), torch.arange(n) % 4
        shown = {"x": (turn < 2), "y": (turn % 2 == 0)}
        return Batch(b.x, mask={name: shown[name].unsqueeze(1).expand_as(x) for name, x in b.x.items()})

    def joint(self, names: list[str]) -> D.MultivariateNormal:
        weight = torch.cat([self.sides[name].weight for name in names])
        noise = torch.cat([torch.full((len(self.sides[name].bias),), self.sides[name].scale ** 2) for name in names])
        return D.MultivariateNormal(
            torch.cat([self.sides[name].bias for name in names]), weight @ weight.T + noise.diag()
        )

    def log_p(self, batch: Batch) -> Tensor:
        """log p of what was observed of each datum."""
        return torch.stack([self._log_p(batch[i : i + 1]) for i in range(batch.size)])

    def _log_p(self, one: Batch) -> Tensor:
        seen = [name for name, there in zip(NAMES, observed_at_all(one, NAMES)) if there]
        if not seen:
            return torch.zeros(())
        return self.joint(seen).log_prob(torch.cat([one.x[name][0] for name in seen]))


def poe(toy: TwoSides, shrink: float = 1.0) -> Latent:
    """The model with the true posterior; or with each message's mean shrunk."""
    return Latent(standard_normal(toy.latent), ProductOfExperts(toy.encoders(shrink)), toy.likelihood(), reads)


def reads(batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    """What `Encoders` is given."""
    return {name: batch.filled(name) for name in NAMES}, observed_at_all(batch, NAMES)


def _message(side: LinearGaussian, shrink: float) -> Head:
    precision = side.weight.square().sum(0) / side.scale**2
    read = shrink * side.weight.T / side.scale**2 / precision[:, None]
    return Head(Affine(read, -read @ side.bias), -precision.log())
