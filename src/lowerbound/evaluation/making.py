"""Data that a model makes: from codes, from data, under labels, of its clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lowerbound.core import Batch
from lowerbound.core.controls import no_control
from lowerbound.core.estimators import Score
from lowerbound.data.arrays import as_array
from lowerbound.data.checks import checked_array
from lowerbound.errors import InputError
from lowerbound.evaluation import codes, rawdata
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.clustering import responsibilities, restricted
from lowerbound.evaluation.paths import Kind, path
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE, Array, Values


def sampled(asking: Asking, n: int, seed: int, mean: bool) -> Values:
    """n new data, (n, ...)."""
    with asking.drawing(seed, "sample"):
        return asking.generated(asking.setup.model, n, mean)


def sampled_each(asking: Asking, n: int, seed: int, mean: bool) -> Values:
    """n new data under each of the labels, (C, n, ...), the draws of z the same for all labels."""
    return stacked([sampled(asking.told(name), n, seed, mean) for name in labels_of(asking)])


def labels_of(asking: Asking) -> tuple[str, ...]:
    """What the labels are called that the model is told."""
    if asking.variable.labels is None:
        raise InputError("the model is told no labels, of which there would be one after another; give a condition")
    return asking.variable.labels


def sampled_clusters(asking: Asking, n: int, seed: int, mean: bool) -> Values:
    """n new data of each of the model's clusters, (C, n, ...)."""
    model = asking.setup.model
    with asking.drawing(seed, "clusters"):
        count = responsibilities(model, next(asking.steady(asking.lowest())), 1).shape[1]
    with asking.drawing(seed, "sample"):
        return stacked([asking.generated(restricted(model, number), n, mean) for number in range(count)])


def encoded(asking: Asking, x: Values) -> Array:
    """E[z|x] of each row, (N, D)."""
    with torch.no_grad():
        parts = [codes.matrix(codes.means(q)) for q in asking.posteriors(x)]
    return rawdata.to_array(torch.cat(parts))


def decoded(asking: Asking, z: object) -> Values:
    """E[x|z] of codes (N, D)."""
    layout = asking.layout()
    parts = _codes(asking, z, layout.width).split(ROWS_AT_ONCE)
    with torch.no_grad():
        told = zip(parts, asking.shown([len(part) for part in parts]))
        px = (asking.setup.model.decode(layout.latents(part), c) for part, c in told)
        return rawdata.joined([rawdata.means(asking.setup, asking.spec, part) for part in px])


def decoded_each(asking: Asking, z: object) -> Values:
    """E[x|z] of codes (N, D) under each of the labels, (C, N, ...)."""
    return stacked([decoded(asking.told(name), z) for name in labels_of(asking)])


def variations(asking: Asking, x: Values, n: int, seed: int, mean: bool) -> Values:
    """n data like each row, (N, n, ...): of z ~ q(z|x,c)."""
    with asking.drawing(seed, "variations"):
        parts = [_like(asking, seen, n, mean) for seen in asking.steady(x)]
    return rawdata.joined(parts)


def _like(asking: Asking, seen: Batch, n: int, mean: bool) -> dict[str, Array]:
    show = rawdata.means if mean else rawdata.draws
    px = asking.setup.model.trace(seen, n, Score(no_control)).px
    return {name: values.swapaxes(0, 1) for name, values in show(asking.setup, asking.spec, dict(px)).items()}


def between(asking: Asking, a: Values, b: Values | None, steps: int, kind: Kind) -> Values:
    """Data along a path from the code of one datum to that of another, and from the one's condition to the other's.

    Without b the code stays as it is, and the condition alone moves.
    """
    start, end = torch.from_numpy(encoded(asking, stacked([a, a if b is None else b])))
    return decoded(_moving(asking, steps), path(start, start if b is None else end, steps, kind).numpy())


def _moving(asking: Asking, steps: int) -> Asking:
    """Telling of the first step the first of two conditions, of the last the second, and between what lies between."""
    if asking.c is None or len(asking.c) != 2:
        return asking
    first, last = asking.c
    return replace(asking, c=path(first, last, steps, "linear"))


def stacked(each: Sequence[Values]) -> Values:
    """Several side by side along a new first dimension.

    >>> stacked([np.zeros(3), np.ones(3)]).shape
    (2, 3)
    """
    if isinstance(each[0], Mapping):
        return {name: np.stack([np.asarray(values[name]) for values in each]) for name in each[0]}
    return np.stack([as_array(values, "the datum") for values in each])


def changed(values: Values, change: Callable[[Array], Array]) -> Values:
    """The same change made to the values of every variable."""
    if isinstance(values, Mapping):
        return {name: change(array) for name, array in values.items()}
    return change(values)


def _codes(asking: Asking, z: object, width: int) -> Tensor:
    found = checked_array("the codes", "z", as_array(z, "the codes")).astype(np.float64)
    if math.prod(found.shape[1:]) != width:  # latents in their own shape are as good as laid out in rows
        raise InputError(f"the codes have rows of shape {found.shape[1:]}, but the model's codes are {(width,)}")
    if not np.isfinite(found).all():
        raise InputError("the codes hold NaN or infinite values; give finite ones")
    return torch.from_numpy(found.reshape(-1, width)).to(asking.device, torch.get_default_dtype())
