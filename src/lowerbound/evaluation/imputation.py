"""What was not observed of a datum, from what was: conditional means, medians and draws under a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeGuard, final

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from lowerbound.arguments import Count, NonNegativeInt, conformed
from lowerbound.core import Batch, Enumerate, Latent, Marginal, Trace, summarise
from lowerbound.core.evidence import Pinned
from lowerbound.core.latent import Model, named
from lowerbound.core.marginal import uninformed
from lowerbound.data.masks import told
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.text.vocabulary import is_text
from lowerbound.errors import InputError
from lowerbound.evaluation.rawdata import expected
from lowerbound.recipes.registry import Setup

Centre = Literal["mean", "median"]
"""The one value that stands for all that are possible; of categories, which have no order, the most probable."""

DRAWS_FOR_MEDIAN = 255
"""Draws of each row that a median is taken of."""

VALUES_HELD = 1 << 23
"""Values decoded at once: rows × particles × values of a datum."""


@final
class Imputed(NamedTuple):
    """Completed rows, one variable's or by name.

    values: each missing entry at the centre of p(x_missing | x_observed). draws: completed data, as many as asked for,
    each with the missing entries of a row drawn together. ess, khat: (N,), the effective sample size of the particles
    and the Pareto k̂ of their weights (see `core.Marginal`); above 0.7, distrust the row. k̂ is −∞ where every value of
    z is summed over, which is exact.
    """

    values: Any
    draws: tuple[Any, ...]
    ess: Any
    khat: Any


@final
@dataclass(frozen=True)
class Manner:
    """How rows are completed: by how many particles each, with how many draws, and what stands for the rest."""

    particles: int = 1000
    draws: int = 0
    centre: Centre = "mean"

    def check(self) -> None:
        """Refuse what is no manner."""
        conformed("particles", self.particles, Count)
        conformed("draws", self.draws, NonNegativeInt)
        conformed("centre", self.centre, Centre)


USUAL_MANNER = Manner()
"""What is taken unless told."""


def tolerant(spec: DataSpec) -> DataSpec:
    """The same data, of which values may be missing."""
    return replace(spec, variables=tuple(replace(variable, missing=True) for variable in spec.variables))


def imputed(setup: Setup, spec: DataSpec, raw: Batch, manner: Manner) -> list[Imputed]:
    """The rows of a batch of stored values completed, some at a time; tensors, values and draws by variable.

    By self-normalised importance sampling, with z_k ~ q(z | x_observed):

        w_k ∝ p(x_observed | z_k) p(z_k) / q(z_k | x_observed),  E[x_missing | x_observed] ≈ Σ_k w_k E[x_missing | z_k]

    and draws by resampling the z_k. Pierre-Alexandre Mattei and Jes Frellsen, "MIWAE: deep generative modelling and
    imputation of incomplete data sets", 2019.

    Raises:
        InputError: the posterior is a point, so there are no draws of z to weigh; or texts, which end.
    """
    if any(is_text(variable) for variable in spec.variables):
        raise InputError("nothing is missing beyond a text's end; gaps in texts are filled with infill")
    size = sum(variable.size for variable in spec.variables)
    rows = max(1, VALUES_HELD // (manner.particles * size))
    return [_imputed(setup, spec, raw[start : start + rows], manner) for start in range(0, raw.size, rows)]


def _imputed(setup: Setup, spec: DataSpec, raw: Batch, manner: Manner) -> Imputed:
    seen = replace(replace(setup, hiding=None).see(raw), shown=None)
    model, batch = (setup.model, seen) if setup.hiding is None else unweighed(setup, _cut(seen, setup.hiding.name))
    trace = model.trace(batch, manner.particles, setup.estimator)
    if not trace.proper:
        raise InputError("the model encodes to points, which say nothing of what is missing; train one such as vae")
    return of_trace(setup, spec, raw, trace, manner)


def unweighed(setup: Setup, told: Batch) -> tuple[Model, Batch]:
    """A model of the hidden given what is told, and a batch, of whose traces z ~ p(z | told) and all weigh alike."""
    assert isinstance(setup.model, Latent)
    nothing = {name: torch.zeros_like(mask) for name, mask in (told.mask or {}).items()}
    return uninformed(setup.model), replace(told, mask=nothing)


def _cut(seen: Batch, name: str) -> Batch:
    """The batch with what was observed told, and the rest left to be."""
    known = seen.mask_of(name)
    return told(seen, name, torch.ones_like(seen.x[name], dtype=torch.bool) if known is None else known)


def of_trace(setup: Setup, spec: DataSpec, raw: Batch, trace: Trace, manner: Manner) -> Imputed:
    """The rows completed by particles that are there already, weighed by what was observed."""
    found = summarise(weights(trace))
    conditional = _Conditional(setup, spec, trace)
    centres = conditional.means() if manner.centre == "mean" else conditional.medians()
    draws = (filled(raw, drawn) for drawn in conditional.draws(manner.draws))
    return Imputed(filled(raw, centres), tuple(draws), found.ess, _khat(setup, found))


def _khat(setup: Setup, found: Marginal) -> Tensor:
    """The Pareto k̂ of drawn particles; −∞ where all values of z are summed over, and nothing is left to chance."""
    return torch.full_like(found.khat, -torch.inf) if isinstance(setup.estimator, Enumerate) else found.khat


def weights(trace: Trace) -> Tensor:
    """The log of what each particle counts for in the posterior, but for a constant, (K, B)."""
    return trace.log_w + trace.log_measure


def takes_gaps(px: Any) -> TypeGuard[Any]:
    """Whether p(x|z) does not factorise and says itself what to make of gaps, as a mixture's components do."""
    return bool(getattr(px, "takes_gaps", False))


@final
class _Conditional:
    """p(x | x_observed) of a batch as a mixture over its particles, on the scale of the stored values."""

    def __init__(self, setup: Setup, spec: DataSpec, trace: Trace) -> None:
        self.setup, self.spec, self.trace = setup, spec, trace
        self.share = torch.softmax(weights(trace), 0)

    def means(self) -> dict[str, Tensor]:
        """The mean of each variable, (B, *shape); of a category the most probable code."""
        return {v.name: self._stored(v, self._mean(v, self.trace.px[v.name])) for v in self.spec.variables}

    def medians(self) -> dict[str, Tensor]:
        """The median of draws; of a category the most probable code."""
        drawn = self.draws(DRAWS_FOR_MEDIAN)
        codes = {v.name for v in self.spec.variables if v.kind == "category"}
        medians = {name: torch.stack([each[name] for each in drawn]).median(0).values for name in drawn[0]}
        return {**medians, **{name: mean for name, mean in self.means().items() if name in codes}}

    def draws(self, count: int) -> list[dict[str, Tensor]]:
        """As many draws: of a particle, by its weight, and of x given it."""
        if not count:
            return []
        index = Categorical(self.share.T, validate_args=False).sample((count,))
        px = self.setup.model.decode(_picked(self.trace.z, index), self.trace.batch.c)
        drawn = {v.name: self._stored(v, self._drawn(v.name, px[v.name])) for v in self.spec.variables}
        return [{name: values[number] for name, values in drawn.items()} for number in range(count)]

    def _mean(self, variable: Variable, px: Distribution) -> Tensor:
        if takes_gaps(px):
            found: Tensor = px.filled(self._with_gaps(variable.name), self.share)
            return found
        if variable.kind == "category":
            return self._averaged(_probabilities(px)).argmax(-1)
        return self._averaged(expected(px))

    def _drawn(self, name: str, px: Distribution) -> Tensor:
        return px.completed(self._with_gaps(name)) if takes_gaps(px) else px.sample()

    def _with_gaps(self, name: str) -> Tensor:
        """The values as the model sees them, NaN for what is missing."""
        x, mask = self.trace.batch.x[name], self.trace.batch.mask_of(name)
        return x if mask is None else torch.where(mask, x, torch.nan)

    def _averaged(self, values: Tensor) -> Tensor:
        """Σ_k w_k of values (K, B, ...)."""
        return torch.einsum("kb,kb...->b...", self.share.to(values.dtype), values)

    def _stored(self, variable: Variable, values: Tensor) -> Tensor:
        return self.setup.views[variable.name].inverse(values)


def _probabilities(px: Distribution) -> Tensor:
    """Of each code, (K, B, *shape, levels)."""
    if isinstance(px, Independent):
        return _probabilities(px.base_dist)
    if isinstance(px, Pinned):
        return _probabilities(px.base)
    assert isinstance(px, Categorical)
    return px.probs


def _picked(z: Tensor | Mapping[str, Tensor], index: Tensor) -> Any:
    """Of particles (K, B, ...) those numbered (M, B), each datum's own."""
    column = torch.arange(index.shape[1], device=index.device)
    picked = {name: values[index, column] for name, values in named(z).items()}
    return picked if isinstance(z, Mapping) else picked["z"]


def filled(raw: Batch, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The stored values, with those found where there were none."""
    whole = {}
    for name, values in raw.x.items():
        mask = raw.mask_of(name)
        whole[name] = values if mask is None else torch.where(mask, values, found[name].to(values.dtype))
    return whole


def joined(parts: Sequence[Imputed]) -> Imputed:
    """Some rows after others, as arrays; a variable alone without its name."""
    draws = tuple(_columns([part.draws[number] for part in parts]) for number in range(len(parts[0].draws)))
    ess, khat = (torch.cat([getattr(part, name) for part in parts]).cpu().numpy() for name in ("ess", "khat"))
    return Imputed(_columns([part.values for part in parts]), draws, ess, khat)


def _columns(parts: Sequence[Mapping[str, Tensor]]) -> Any:
    whole = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}
    return next(iter(whole.values())) if len(whole) == 1 else whole
