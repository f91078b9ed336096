"""Latents that variables share and latents that are one variable's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.core.batch import Batch
from lowerbound.core.conditionals import Conditional, half_clamped, register, standard_normal
from lowerbound.core.estimators import Estimator, Pathwise, Reparameterised
from lowerbound.core.experts import Encoders, EqualMixture, Normals, Opinions, mixed, singles
from lowerbound.core.latent import Model, Trace


@final
class Private(Model):
    """p(z) Π_m p(w_m) p(x_m | z, w_m): z is what the variables share, w_m is the m-th one's own.

    q(z|x) is the mixture of experts over the variables observed, q(w_m|x_m) a Gaussian; of a variable that was not
    observed it is the prior. All priors are N(0, I). The latents are named "z", and "w_" with the variable's name. Such
    a trace is one of the model itself, and its log w bounds log p(x) as any other's.

    In training another is drawn, lest w_m carry what z should: a draw of z by expert m goes with w_m ~ q(w_m|x_m), and
    with every other w_n ~ r_n = N(0, s_n²), s_n learned, which says nothing of x. So the other variables have to be
    told by z alone:

        log w = log p(z) − log q(z|x) + log p(w_m) − log q(w_m|x_m) + log p(x_m|z, w_m) + Σ_{n≠m} log p(x_n|z, w_n)

    With r_n = p(w_n) the mean of w is p(x), and a bound it remains. With another r_n the other variables are scored as
    if their own latent came from it: what is bounded is then log ∫ p(z) Σ_m ρ_m(z) p(x_m|z) Π_{n≠m} r_n(x_n|z) dz, with
    r_n(x_n|z) = ∫ r_n(w) p(x_n|z, w) dw and ρ_m = q(z|x_m) / Σ_n q(z|x_n), which is no log p(x) of one model.

    encoders: from each variable to (μ, log σ²) of `shared` dimensions of z and then `own` ones of w, (B, shared + own,
    2). likelihood: p(x_m | z, w_m) of the two side by side. reads: what the encoders are given, without a condition.

    Emanuele Palumbo, Imant Daunhawer and Julia E. Vogt, "MMVAE+: enhancing the generative quality of multimodal VAEs
    without compromises", 2023.
    """

    def __init__(
        self,
        encoders: Encoders,
        likelihood: Mapping[str, Conditional],
        shared: int,
        own: int,
        reads: Callable[[Batch], tuple[Any, ...]],
    ) -> None:
        super().__init__()
        self.encoders, self.likelihood, self.reads = encoders, nn.ModuleDict(dict(likelihood)), reads
        self.shared, self.prior, self.own_prior = shared, standard_normal(shared), standard_normal(own)
        self.spreads: Tensor
        zeros = torch.zeros(len(likelihood), own)
        register(self, "spreads", nn.Parameter(zeros) if len(likelihood) > 1 else zeros)  # one alone needs no stand-in
        self.sets: Tensor
        self.register_buffer("sets", singles(len(likelihood)).to(torch.uint8), persistent=False)

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        estimator = estimator or Pathwise()
        if self.training:
            return self._crossed(batch, particles, estimator)
        q = self.infer(batch)
        z = {name: estimator.draw(each, particles) for name, each in q.items()}
        return Trace(z, q, self._priors(), self.decode(z), batch, estimator)

    def infer(self, batch: Batch) -> dict[str, Distribution]:
        """q(z|x) and q(w_m|x_m) of each variable, batch shape (B,)."""
        opinions = self._opinions(batch)
        return {"z": self._mixture(opinions), **self._named(opinions.rest(self.shared).alone())}

    def decode(self, z: Mapping[str, Tensor], c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x_m | z, w_m) for each variable, of latents by name, each (..., *event)."""
        own = dict(zip(self.likelihood, self._own_names))
        return {name: part(torch.cat([z["z"], z[own[name]]], -1)) for name, part in self.likelihood.items()}

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x_m | z, w_m) at n draws of the priors."""
        return self.decode({name: p.sample((n,)) for name, p in self._priors().items()})

    def _crossed(self, batch: Batch, particles: int, estimator: Estimator) -> Trace:
        """Draws of z by expert, each with the expert's own w and with stand-ins for the others'."""
        if not isinstance(estimator, Reparameterised):
            raise ValueError(f"private latents are trained through their draws, unlike {type(estimator).__name__}'s")
        opinions = self._opinions(batch)
        mixture = self._mixture(opinions)
        expert = mixture.strata(particles)
        own = torch.stack([expert == number + 1 for number in range(len(self.likelihood))]).unsqueeze(-1)
        q_own, p_own = self._where_own(own, opinions)
        z = {"z": mixture.of(expert).distribution().rsample(), **{name: q.rsample() for name, q in q_own.items()}}
        return Trace(z, {"z": mixture, **q_own}, {"z": self.prior(), **p_own}, self.decode(z), batch, estimator)

    def _where_own(self, own: Tensor, opinions: Opinions) -> tuple[dict[str, Distribution], dict[str, Distribution]]:
        """q and p of each w, batch shape (K, B): where it is the expert's own what it says and N(0, I), else both r."""
        inferred = opinions.rest(self.shared).alone()
        stand_in = half_clamped(2 * self.spreads)[:, None, None]
        loc = torch.where(own, inferred.loc.unsqueeze(1), 0.0)
        q = Normals(loc, torch.where(own, inferred.log_scale.unsqueeze(1), stand_in))
        p = Normals(torch.zeros_like(loc), torch.where(own, 0.0, stand_in).expand_as(loc))
        return self._named(q), self._named(p)

    def _named(self, each: Normals) -> dict[str, Distribution]:
        pairs = zip(each.loc, each.log_scale)
        return {name: Normals(*pair).distribution() for name, pair in zip(self._own_names, pairs)}

    def _opinions(self, batch: Batch) -> Opinions:
        found: Opinions = self.encoders(*self.reads(batch))
        return found

    def _mixture(self, opinions: Opinions) -> EqualMixture:
        return mixed(opinions.first(self.shared), self.sets)

    def _priors(self) -> dict[str, Distribution]:
        return {"z": self.prior(), **{name: self.own_prior() for name in self._own_names}}

    @property
    def _own_names(self) -> list[str]:
        return [f"w_{name}" for name in self.likelihood]
