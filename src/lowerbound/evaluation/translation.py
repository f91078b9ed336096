"""One variable of a datum told from others: draws of p(y|x) under a model of several variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch.distributions import Distribution

from lowerbound.core import Batch
from lowerbound.data.arrays import as_array
from lowerbound.errors import InputError
from lowerbound.evaluation import rawdata
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.imputation import tolerant
from lowerbound.evaluation.rawdata import Array
from lowerbound.recipes.registry import Setup


def translated(
    asking: Asking, x: Mapping[str, object], given: Sequence[str], to: str, count: int, seed: int, mean: bool
) -> Array:
    """The variable `to` of each row told from the variables given: `count` of it, (N, count, *shape).

    For each z ~ q(z | what is given), and E[x_to | z] or, with mean=False, a draw of p(x_to | z).

    Raises:
        InputError: nothing is given, or there is no such variable, or x lacks its values.
    """
    setup, wanted = asking.setup, replace(asking.spec, variables=(asking.spec.variable(to),))
    show = rawdata.means if mean else rawdata.draws
    with asking.drawing(seed, "translate"):
        parts = [show(setup, wanted, decoded(setup, raw, count))[to] for raw in shown_alone(asking, x, given)]
    return np.concatenate([part.swapaxes(0, 1) for part in parts])


def decoded(setup: Setup, raw: Batch, count: int) -> dict[str, Distribution]:
    """p(x|z) of every variable at `count` draws z ~ q(z | what was observed of each row), batch shape (count, B)."""
    seen = setup.steady(raw)
    q = setup.model.infer(seen)
    z = {name: each.sample((count,)) for name, each in q.items()} if isinstance(q, Mapping) else q.sample((count,))
    return setup.model.decode(z, seen.c)


def shown_alone(asking: Asking, x: Mapping[str, object], given: Sequence[str]) -> list[Batch]:
    """Rows, checked and in batches, of which only the variables given were observed."""
    spec = asking.spec
    if not given:
        raise InputError(f"say which variables to go by; choose from: {', '.join(v.name for v in spec.variables)}")
    shown = {spec.variable(name).name: _values(x, name) for name in given}
    rows = len(next(iter(shown.values())))
    gaps = {v.name: np.full((rows, *v.shape), np.nan, np.float32) for v in spec.variables}
    found = rawdata.batches(tolerant(spec), {**gaps, **shown}, asking.c)
    return [batch.to(asking.device) for batch in found]


def _values(x: Mapping[str, object], name: str) -> Array:
    if name not in x:
        raise InputError(f"there are no values of {name!r} to go by; give them under that name")
    return as_array(x[name], f"the array {name!r}")
