"""Which component of a mixture each datum of a trace is of."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution

from lowerbound.core.latent import Trace
from lowerbound.core.meters import Meter
from lowerbound.core.mixtures import log_joint
from lowerbound.core.relaxations import base_of


def memberships(trace: Trace) -> Tensor | None:
    """p(k|x) of each datum, (B, C): q itself of a categorical latent, of a mixture prior the mean of p(k|z) under q.

    Of several latents it is by the first that has either; None where none has.
    """
    each = (_by(trace, name, q, p) for name, (q, p) in trace.pairs.items())
    return next((found for found in each if found is not None), None)


def _by(trace: Trace, name: str, q: Distribution, p: Distribution) -> Tensor | None:
    base = base_of(q)
    if isinstance(base, D.OneHotCategorical) and q.event_shape.numel() == base.event_shape.numel():
        return base.probs.reshape(trace.batch.size, -1)
    try:
        given_z = log_joint(p, trace.named_z[name]).softmax(-1)
    except ValueError:
        return None
    return (trace.log_measure.exp().unsqueeze(-1) * given_z).sum(0)


@final
class Occupancy(Meter):
    """How many clusters the data are spread over, and how surely each datum is of one.

    Under the name "clusters": used, the exponential of the entropy of the mean p(k|x), at most C; certainty, the mean
    over the data of the probability of the likeliest.
    """

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def add(self, trace: Trace) -> None:
        each = memberships(trace)
        if each is not None:
            self.found.append(each)

    def figures(self) -> dict[str, Any]:
        if not self.found:
            return {}
        each = torch.cat(self.found).double()
        used = torch.special.entr(each.mean(0)).sum().exp()
        return {"clusters": {"used": used.item(), "certainty": each.max(1).values.mean().item()}}
