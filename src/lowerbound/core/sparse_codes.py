"""Sparse codes: a model whose z is a few units out of very many, kept as their values and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, cast, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from lowerbound.core.batch import Batch
from lowerbound.core.certain import Certain, Flat, PointMass
from lowerbound.core.conditionals import Conditional, Parametric
from lowerbound.core.estimators import Estimator, Pathwise, summed
from lowerbound.core.latent import Model, Trace
from lowerbound.core.meters import Meter
from lowerbound.core.objectives import Objective
from lowerbound.core.observation import observed_log_prob

REMEMBERED = 4096
"""Codes of the training data that are kept to draw samples from."""


@final
class SparsePoint(Certain):
    """All mass on the values (B, k) of the units that a datum uses, and what else a step is to know of its code.

    used: how many units each datum uses, (B,); its gradient is that of thresholds, where there are any. beside:
    variable name -> p(x | this code and the dead units), through which gradients reach the dead units alone; None
    outside of training.
    """

    support = constraints.real_vector
    singular: ClassVar[bool] = True

    def __init__(self, value: Tensor, used: Tensor, beside: Mapping[str, Distribution] | None) -> None:
        self.value, self.used, self.beside = value, used, beside
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value[..., 0])


@final
class SparseCoding(Model):
    """An autoencoder of sparse codes.

    encoder: x -> (code, dead units' responses or None, units used), as `nets.SparseEncoder` gives them. likelihood: by
    variable; its network takes codes, sparse or dense, and has a `bias`, as `nets.Dictionary` does.

    In a trace z is {"value": (K, B, k), "index": (K, B, k)}: nothing of the size of (B, width). The verbs work on dense
    codes (B, width), which is what `infer` speaks of. There is no p(z): `generate` decodes codes of training data, of
    which `settle` keeps some, so a sample is the reconstruction of a datum drawn at random, and before that it is
    what an empty code gives.
    """

    values: Tensor
    indices: Tensor
    count: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        likelihood: Mapping[str, Conditional],
        width: int,
        slots: int,
        reads: Callable[[Batch], tuple[Any, ...]],
    ) -> None:
        super().__init__()
        self.encoder, self.reads, self.width = encoder, reads, width
        self.likelihood = nn.ModuleDict(dict(likelihood))
        self.register_buffer("values", torch.zeros(REMEMBERED, slots))
        self.register_buffer("indices", torch.zeros(REMEMBERED, slots, dtype=torch.int64))
        self.register_buffer("count", torch.ones((), dtype=torch.int64))

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        """As every point posterior does, all particles say the same."""
        code, spare, used = self.encoder(self.reads(batch)[0])
        both = code if spare is None else {name: torch.stack([code[name], spare[name]]) for name in code}
        out = {name: net(both) for name, net in self._nets()}
        main = out if spare is None else {name: h[0] for name, h in out.items()}
        beside = None if spare is None else {name: self._beside(name, h) for name, h in out.items()}
        px = {name: self._part(name).at(h.expand(particles, *h.shape)) for name, h in main.items()}
        q = {"value": SparsePoint(code["value"], used, beside), "index": point(code["index"])}
        z = {name: each.expand(particles, *each.shape) for name, each in code.items()}
        return Trace(z, q, {name: flat(each) for name, each in code.items()}, px, batch, estimator or Pathwise())

    def infer(self, batch: Batch) -> Distribution:
        """All mass on the dense code, (B, width)."""
        code, _, _ = self.encoder(self.reads(batch)[0])
        return point(dense(code, self.width))

    def decode(self, z: Tensor | Mapping[str, Tensor], c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z); z a code {"value", "index"}, each (..., k), or dense (..., width)."""
        return {name: part(z) for name, part in self.likelihood.items()}

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, Distribution]:
        """p(x|z) at the codes of n training data drawn at random."""
        rows = (torch.rand(n, device=self.values.device, dtype=torch.float64) * self.count).long()
        return self.decode({"value": self.values[rows], "index": self.indices[rows]})

    @torch.no_grad()
    def settle(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Keep the codes of the first training data, whose order says nothing."""
        kept = 0
        for batch in batches():
            code, _, _ = self.encoder(self.reads(batch)[0])
            rows = slice(kept, min(kept + batch.size, REMEMBERED))
            self.values[rows], self.indices[rows] = (code[each][: rows.stop - kept] for each in ("value", "index"))
            kept = rows.stop
            if kept == REMEMBERED:
                break
        self.count.fill_(kept)

    def _beside(self, name: str, out: Tensor) -> Distribution:
        """p(x | what the code gives, cut from the graph, and what the dead units add to it)."""
        part = self._part(name)
        return part.at(out[0].detach() + out[1] - cast(Tensor, part.net.bias))

    def _nets(self) -> Iterator[tuple[str, nn.Module]]:
        return ((name, self._part(name).net) for name in self.likelihood)

    def _part(self, name: str) -> Parametric:
        return cast(Parametric, self.likelihood[name])


@final
class Revival(Objective):
    """What dead units would save of the distortion if they were used beside the code: minus that, in nats.

    With g the decoder's output, −log p(x | g(code) + g(dead units)) + log p(x | g(code)), where g(code) is cut from the
    graph: under a Gaussian of fixed variance this is the squared error with which dead units tell the residual. So the
    dead learn what the living miss, and the living learn nothing from it. 0 where no unit is dead, and in evaluation.

    Leo Gao et al., "Scaling and evaluating sparse autoencoders", 2024.
    """

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        beside = sparse_point(trace).beside
        if beside is None:
            return {"revival": torch.zeros_like(trace.log_px[0])}
        x, mask_of = trace.batch.x, trace.batch.mask_of
        helped = summed([observed_log_prob(d, x[name], mask_of(name)) for name, d in beside.items() if name in x])
        return {"revival": trace.log_px[0].detach() - helped}


@final
class UnitsUsed(Objective):
    """(L/k − 1)² where L is the mean number of units that a datum of the batch uses: no nats, but a pull towards k.

    Its gradient is that of the thresholds of a JumpReLU. Senthooran Rajamanoharan et al., "Jumping ahead: improving
    reconstruction fidelity with JumpReLU sparse autoencoders", 2024, on training to a given sparsity.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        used = sparse_point(trace).used
        return {"units_used": (used.mean() / self.k - 1).square().expand(used.shape)}


@final
class UnitUse(Meter):
    """How many units a datum uses, and how often each unit is used.

    units_used: mean, least and most a datum. dead_units: the share of units that none of the data used. density: of
    the units that some did, the median and the largest share of the data that used one.
    """

    def __init__(self, width: int) -> None:
        self.uses = torch.zeros(width, dtype=torch.int64)
        self.used: list[Tensor] = []

    def add(self, trace: Trace) -> None:
        value, index = trace.named_z["value"][0], trace.named_z["index"][0]
        kept = value != 0
        self.uses += torch.bincount(index[kept], minlength=len(self.uses)).cpu()
        self.used.append(kept.sum(-1).cpu())

    def figures(self) -> dict[str, Any]:
        used = torch.cat(self.used).double()
        alive = self.uses[self.uses > 0].double() / len(used)
        most = {"median": alive.median().item(), "max": alive.max().item()} if len(alive) else None
        return {
            "units_used": {"mean": used.mean().item(), "min": int(used.min()), "max": int(used.max())},
            "dead_units": 1 - len(alive) / len(self.uses),
            "density": most,
        }


def sparse_point(trace: Trace) -> SparsePoint:
    """The posterior of a trace that `SparseCoding` made."""
    q = trace.q["value"] if isinstance(trace.q, Mapping) else trace.q
    if not isinstance(q, SparsePoint):
        raise ValueError(f"this objective is of sparse codes, and the model's posterior is {type(q).__name__}")
    return q


def dense(code: Mapping[str, Tensor], width: int) -> Tensor:
    """A code {"value", "index"}, each (..., k), laid out in (..., width).

    >>> dense({"value": torch.tensor([5.0, 7.0]), "index": torch.tensor([2, 0])}, 3)
    tensor([7., 0., 5.])
    """
    value, index = code["value"], code["index"]
    return value.new_zeros(*value.shape[:-1], width).scatter_add(-1, index, value)


def point(value: Tensor) -> Distribution:
    """All mass on a vector."""
    return Independent(PointMass(value), 1, validate_args=False)


def flat(like: Tensor) -> Distribution:
    """The improper flat prior over a vector of this size."""
    return Independent(Flat(like[0]), 1, validate_args=False)
