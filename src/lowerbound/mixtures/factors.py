"""Gaussians of low rank and a diagonal: mixtures of factor analysers and of probabilistic PCA.

    x = μ_k + Λ_k z + e,  z ~ N(0, I),  e ~ N(0, Ψ_k),  so  x ~ N(μ_k, Λ_k Λ_kᵀ + Ψ_k)

z (q,) and the gaps of a row are hidden. Given its observed entries, M = I + Λᵀ diag(seen / ψ) Λ is z's precision,
M⁻¹ Λᵀ diag(seen / ψ) (x − μ) its mean, and no matrix is D × D. Zoubin Ghahramani and Geoffrey E. Hinton, "The EM
algorithm for mixtures of factor analyzers", 1996; Michael E. Tipping and Christopher M. Bishop, "Mixtures of
probabilistic principal component analyzers", 1999.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad

from lowerbound.mixtures.components import Explanation, Family, Statistics
from lowerbound.mixtures.conditional import Conditional
from lowerbound.mixtures.gaussian import FLOOR, Located
from lowerbound.mixtures.missing import Joined, inverted
from lowerbound.mixtures.quadratic import complete

LOG_2PI = math.log(2 * math.pi)
ROUNDS = 8
"""Of subspace iteration, for directions that EM sets out from."""


class Noise(ABC):
    """What the M-step takes to be one and the same among the variances Ψ of K components and D entries."""

    @abstractmethod
    def averaged(self, squares: Tensor, counts: Tensor) -> Tensor:
        """Variances from sums of squares (R, K, D) over rows, counts (R, K) of them; (R, K, D)."""

    @abstractmethod
    def free(self, components: int, width: int) -> int:
        """Free parameters."""


@final
@dataclass(frozen=True)
class Own(Noise):
    """A variance for each entry of each component: factor analysis.

    >>> Own().averaged(torch.tensor([[[2.0, 4.0]]]), torch.tensor([[2.0]]))
    tensor([[[1., 2.]]])
    """

    def averaged(self, squares: Tensor, counts: Tensor) -> Tensor:
        return squares / counts[..., None]

    def free(self, components: int, width: int) -> int:
        return components * width


@final
@dataclass(frozen=True)
class Common(Noise):
    """A variance for each entry, the same in all components: what noise of the instruments would be.

    >>> Common().averaged(torch.tensor([[[2.0, 4.0], [4.0, 2.0]]]), torch.tensor([[2.0, 1.0]]))
    tensor([[[2., 2.],
             [2., 2.]]])
    """

    def averaged(self, squares: Tensor, counts: Tensor) -> Tensor:
        return (squares.nansum(1) / counts.sum(1)[..., None])[:, None].expand_as(squares)

    def free(self, components: int, width: int) -> int:
        return width


@final
@dataclass(frozen=True)
class Isotropic(Noise):
    """One variance for each component: probabilistic PCA.

    >>> Isotropic().averaged(torch.tensor([[[2.0, 4.0]]]), torch.tensor([[2.0]]))
    tensor([[[1.5000, 1.5000]]])
    """

    def averaged(self, squares: Tensor, counts: Tensor) -> Tensor:
        return (squares.mean(-1) / counts)[..., None].expand_as(squares)

    def free(self, components: int, width: int) -> int:
        return components


@final
@dataclass(frozen=True, eq=False)
class Loadings:
    """What rows meet, measured from the origin: loc, noise (R, K, D), matrix Λ (R, K, D, q)."""

    loc: Tensor
    matrix: Tensor
    noise: Tensor

    @cached_property
    def weighted(self) -> Tensor:
        """Ψ⁻¹Λ."""
        return self.matrix / self.noise[..., None]

    @cached_property
    def offset(self) -> Tensor:
        """Ψ⁻¹Λ times μ, for each entry."""
        return self.weighted * self.loc[..., None]

    @cached_property
    def outer(self) -> Tensor:
        """Each entry's part of ΛᵀΨ⁻¹Λ, (R, K, D, q²)."""
        return (self.weighted[..., :, None] * self.matrix[..., None, :]).flatten(-2)

    @cached_property
    def regression(self) -> Tensor:
        """(Λ, μ), (R, K, D, q + 1): E[x | z] = (Λ, μ) (z, 1)."""
        return torch.cat([self.matrix, self.loc[..., None]], -1)

    def square(self, x: Tensor, seen: Tensor) -> Tensor:
        """Σ_d of (x − μ)²/ψ + log 2πψ over what was seen; (R, K, n)."""
        precision = (1 / self.noise).to(x)
        constants = (self.loc.square() / self.noise + self.noise.log() + LOG_2PI).to(x)
        varying = precision @ x.square().mT - 2 * (precision * self.loc.to(x)) @ x.mT
        return varying + constants @ seen.mT


@final
class Coded(Explanation):
    """Rows by their codes z.

    x (n, D), measured from the origin and 0 where it is missing; seen (n, D), or (1, D) if it is the same for all rows;
    mean (R, K, n, q) and covariance (R, K, n or 1, q, q) are those of z given what is observed.
    """

    def __init__(self, x: Tensor, seen: Tensor, loadings: Loadings) -> None:
        self._x, self._seen, self._loadings = x, seen, loadings
        one = torch.eye(loadings.matrix.shape[-1]).to(x)
        factor = torch.linalg.cholesky_ex(_mapped(seen, loadings.outer).unflatten(-1, one.shape) + one)[0]
        slope = _mapped(x, loadings.weighted) - _mapped(seen, loadings.offset)
        white = inverted(factor)
        self.covariance = white.mT @ white
        self.mean = (self._grouped(slope) @ self.covariance).flatten(2, 3)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        square = loadings.square(x, seen) - (slope * self.mean).sum(-1)
        self._log_prob = -0.5 * (square + log_det).mT

    @property
    def log_prob(self) -> Tensor:
        return self._log_prob

    def statistics(self, responsibilities: Tensor) -> dict[str, Tensor]:
        r = responsibilities.mT.to(self._x)
        code = pad(self.mean, (0, 1), value=1.0)
        weighted = r[..., None] * code
        spread = self._grouped(r[..., None]).sum(-2)[..., None] * self.covariance
        gram = self._grouped(weighted).mT @ self._grouped(code) + pad(spread, (0, 1, 0, 1))
        cross = torch.einsum("rknp,nd->rkdp", weighted, self._x).double()
        missing = self._missing(gram).double()
        expected = self._loadings.regression[..., None, :] @ missing
        noise = self._loadings.noise * missing[..., -1, -1]
        second = (expected[..., 0, :] * self._loadings.regression).sum(-1) + noise
        return {
            "second": (r @ self._x.square()).double() + second,
            "cross": cross + expected[..., 0, :],
            "gram": gram.sum(2).double(),
        }

    def _missing(self, gram: Tensor) -> Tensor:
        """Σ r E (z, 1)(z, 1)ᵀ over the rows in which each of the entries is missing; (R, K, D, q + 1, q + 1)."""
        total = torch.einsum("nd,rknp->rkdp", 1 - self._seen, gram.flatten(-2))
        return total.unflatten(-1, gram.shape[-2:])

    def _grouped(self, each: Tensor) -> Tensor:
        """(R, K, n, ·) with the rows apart, or together, (R, K, n or 1, 1 or n, ·), as the covariances are."""
        return each.unflatten(2, (len(self._seen), -1))


@final
@dataclass(frozen=True, eq=False)
class FactorAnalysers(Located):
    """N(μ_k, Λ_k Λ_kᵀ + Ψ_k) with Ψ_k diagonal; rows may hold NaN.

    loc (R, K, D); loadings Λ (R, K, D, q); variance Ψ (R, K, D); noise: what is the same among the variances; origin
    and floor as of `Located`.
    """

    loc: Tensor
    loadings: Tensor
    variance: Tensor
    origin: Tensor
    noise: Noise = Own()
    floor: float = FLOOR

    @property
    def sound(self) -> Tensor:
        return (self.variance > 0).all(-1) & self.certain

    @property
    def free(self) -> int:
        K, D, q = self.loadings.shape[1:]
        return K * (D + D * q - q * (q - 1) // 2) + self.noise.free(K, D)

    @property
    def magnitude(self) -> Tensor:
        size = self.variance + self.loadings.square().sum(-1) + self.centred.square()
        return (size / self.variance).sum(-1)

    @cached_property
    def _centred(self) -> Loadings:
        return Loadings(self.centred, self.loadings, self.variance)

    def explain(self, rows: Tensor) -> Explanation:
        x = self.precise(rows)
        if complete(rows):
            return self._coded(x)
        gappy = rows.isnan().any(-1)
        parts = [part for part in ((~gappy).nonzero()[:, 0], gappy.nonzero()[:, 0]) if len(part)]
        return Joined([(part, self._coded(x[part])) for part in parts], rows.dtype)

    def codes(self, rows: Tensor) -> Tensor:
        """E[z | x, k] of rows (N, D), of their observed entries alone where some are missing; (R, N, K, q)."""
        return self._coded(rows.double()).mean.movedim(1, 2)

    def refit(self, counts: Tensor, statistics: Statistics) -> FactorAnalysers:
        """x by regression on (z, 1), where z may have any mean and covariance; they then go into μ and Λ.

        Chuanhai Liu, Donald B. Rubin and Ying Nian Wu, "Parameter expansion to accelerate EM: the PX-EM algorithm",
        1998.
        """
        gram, cross = statistics["gram"], statistics["cross"]
        found = torch.linalg.solve_ex(gram, cross, left=False)[0]
        squares = (statistics["second"] - (found * cross).sum(-1)).clamp_min(0)
        moments = gram / counts[..., None, None]
        mean = moments[..., :-1, -1:]
        scale = torch.linalg.cholesky_ex(moments[..., :-1, :-1] - mean @ mean.mT)[0]
        loc = (found[..., -1:] + found[..., :-1] @ mean)[..., 0]
        variance = self.noise.averaged(squares, counts) + self.floor
        return replace(self, loc=loc + self.origin, loadings=found[..., :-1] @ scale, variance=variance)

    def pick(self, mixtures: Tensor) -> FactorAnalysers:
        loc, loadings, variance = (each[mixtures] for each in (self.loc, self.loadings, self.variance))
        return replace(self, loc=loc, loadings=loadings, variance=variance)

    def sample(self, which: Tensor) -> Tensor:
        return self._emitted(torch.randn_like(self.loadings[0, which, 0]), which)

    def conditional(self, rows: Tensor) -> Conditional:
        gone, coded = rows.isnan()[:, None], self._coded(rows.double())
        expected = torch.einsum("kdq,knq->nkd", self.loadings[0], coded.mean[0]) + self.loc[0]
        spread = (self.loadings[0, :, None] @ coded.covariance[0] * self.loadings[0, :, None]).sum(-1).movedim(0, 1)
        mean = torch.where(gone, expected, rows[:, None].double())
        return Conditional(mean, torch.where(gone, self.variance[0] + spread, 0.0))

    def draw(self, rows: Tensor, which: Tensor) -> Tensor:
        coded, each = self._coded(rows.double()), torch.arange(len(rows), device=rows.device)
        covariance = coded.covariance[0].expand(-1, len(rows), -1, -1)[which, each]
        noise = torch.randn_like(coded.mean[0, which, each])
        z = coded.mean[0, which, each] + (torch.linalg.cholesky(covariance) @ noise[..., None])[..., 0]
        return torch.where(rows.isnan(), self._emitted(z, which), rows)

    def tensors(self) -> dict[str, Tensor]:
        return {"loc": self.loc, "loadings": self.loadings, "variance": self.variance, "origin": self.origin}

    def _coded(self, rows: Tensor) -> Coded:
        seen = (~rows.isnan()).to(rows)
        x = torch.where(rows.isnan(), 0, rows - self.origin.to(rows))
        return Coded(x, seen[:1] if complete(rows) else seen, self._centred)

    def _emitted(self, z: Tensor, which: Tensor) -> Tensor:
        """Draws of x given codes (n, q)."""
        noise = self.variance[0, which].sqrt() * torch.randn_like(self.loc[0, which])
        return self.loc[0, which] + (self.loadings[0, which] @ z[..., None])[..., 0] + noise


@final
@dataclass(frozen=True)
class Factors(Family):
    """Factor analysers with `latent` factors each; with `Isotropic` noise, mixtures of probabilistic PCA.

    >>> found = Factors(2, Isotropic()).pooled(torch.randn(50, 6), restarts=1, components=3)
    >>> found.loadings.shape
    torch.Size([1, 3, 6, 2])
    """

    latent: int = 2
    noise: Noise = Own()
    floor: float = FLOOR

    def pooled(self, rows: Tensor, restarts: int, components: int) -> FactorAnalysers:
        """Probabilistic PCA of all rows, gaps at the mean, in each.

        Raises:
            ValueError: there are as many factors as entries.
        """
        if self.latent >= rows.shape[1]:
            raise ValueError(
                f"{self.latent} factors of rows of {rows.shape[1]} entries; take fewer factors than entries"
            )
        origin = rows.double().nanmean(0).float().double()
        x = torch.where(rows.isnan(), 0, rows - origin)
        loadings = _leading(x, self.latent)
        squares = (x.square().mean(0) - loadings.square().sum(-1)).clamp_min(0)
        shape = torch.Size((restarts, components))
        variance = self.noise.averaged(squares.expand(*shape, -1), squares.new_ones(shape)) + self.floor
        loc = origin.expand(*shape, -1)
        return FactorAnalysers(loc, loadings.expand(*shape, -1, -1), variance, origin, self.noise, self.floor)


def _leading(x: Tensor, latent: int) -> Tensor:
    """The loadings (D, q) of probabilistic PCA, by subspace iteration: nothing D × D."""
    start = torch.randn(x.shape[1], latent, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    basis = torch.linalg.qr(start.to(x))[0]
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(x.mT @ (x @ basis))[0]
    values, turn = torch.linalg.eigh((x @ basis).mT @ (x @ basis) / len(x))
    left = (x.square().mean(0).sum() - values.sum()) / (x.shape[1] - latent)
    return basis @ turn * (values - left).clamp_min(0).sqrt()


def _mapped(x: Tensor, to: Tensor) -> Tensor:
    """x (n, D) times (R, K, D, p), (R, K, n, p), as one product."""
    return torch.tensordot(x, to.to(x), ([1], [2])).movedim(0, 2)
