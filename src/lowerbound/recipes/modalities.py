"""What recipes share whose data have several variables: an encoder and a decoder for each, and what each counts for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from torch import Tensor, nn

from lowerbound.core import Batch, Conditional, Distortion, Encoders, Objective, WeighedDistortion
from lowerbound.core.experts import observed_at_all
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import View
from lowerbound.recipes import parts

Weights = Literal["equal", "size"]
"""What each variable's likelihood counts for in training: 1, or the more the fewer values the variable has."""


@final
@dataclass(frozen=True, eq=False)
class Sides:
    """The data's side of a model of several variables."""

    ends: tuple[parts.Ends, ...]

    def encoders(self, dims: int) -> Encoders:
        """An encoder for each variable, to (μ, log σ²) of so many dimensions."""
        pairs = nn.Unflatten(-1, (dims, 2))
        return Encoders({each.variable.name: nn.Sequential(each.encoder, pairs) for each in self.ends})

    def reads(self, batch: Batch) -> tuple[Any, ...]:
        """What the encoders are given: each its variable, and which variables were observed at all."""
        x = {each.variable.name: each.reads(batch)[0] for each in self.ends}
        return x, observed_at_all(batch, list(x)), batch.c

    def start(self, means: Mapping[str, Tensor]) -> None:
        """Tell every decoder where its variable's mean is."""
        for each in self.ends:
            each.start(means)

    @property
    def likelihood(self) -> dict[str, Conditional]:
        """By variable."""
        return {name: part for each in self.ends for name, part in each.likelihood.items()}

    @property
    def views(self) -> dict[str, View]:
        """By variable."""
        return {name: view for each in self.ends for name, view in each.views.items()}

    def distortion(self, weights: Weights) -> Objective:
        """The distortion; weighed by size, the variables count inversely to their number of values, the greatest 1."""
        if weights == "equal":
            return Distortion()
        sizes = {each.variable.name: each.variable.size for each in self.ends}
        return WeighedDistortion({name: max(sizes.values()) / size for name, size in sizes.items()})


def sides(spec: DataSpec, outputs: int, inputs: int, *, net: parts.NetName, **chosen: Any) -> Sides:
    """Networks and likelihoods for data of any variables; what is no picture gets a perceptron, whatever `net` is."""
    kind: Callable[[Variable], parts.NetName] = lambda v: net if len(v.shape) in (2, 3) else "mlp"  # noqa: E731
    alone = [replace(spec, variables=(variable,)) for variable in spec.variables]
    return Sides(
        tuple(parts.observing_ends(one, outputs, inputs, net=kind(one.variables[0]), **chosen) for one in alone)
    )
