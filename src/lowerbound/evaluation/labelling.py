"""Which label each row is likeliest to have under a model that is told labels, and log p(x) whatever its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lowerbound.errors import InputError
from lowerbound.evaluation.rawdata import Array


class Labelled(NamedTuple):
    """p(c|x) ∝ p(c) p(x|c) of N rows and C labels.

    names: (C,). labels: (N,), each row's likeliest. probabilities: (N, C). log_p: (N,), log Σ_c p(c) p(x|c), nats of
    the data as given.
    """

    names: tuple[str, ...]
    labels: Array
    probabilities: Array
    log_p: Array


def labelled_by(names: Sequence[str], log_p: Array, shares: Sequence[float] | None = None) -> Labelled:
    """What log p(x|c) of N rows under each of C labels, (N, C), says of the labels.

    shares: p(c), (C,) in the order of the names; by default each label is as likely as any other.

    Raises:
        InputError: shares that are not the probabilities of these labels.

    >>> found = labelled_by(("cat", "dog"), np.log([[0.2, 0.6]]), shares=[0.5, 0.5])
    >>> found.labels.item(), found.probabilities.round(2).tolist(), np.exp(found.log_p).round(2).item()
    ('dog', [[0.25, 0.75]], 0.4)
    """
    joint = log_p.astype(np.float64) + _log_shares(names, shares)
    most = joint.max(1, keepdims=True)
    whole = most + np.log(np.exp(joint - most).sum(1, keepdims=True))
    return Labelled(tuple(names), np.array(names)[joint.argmax(1)], np.exp(joint - whole), whole[:, 0])


def _log_shares(names: Sequence[str], shares: Sequence[float] | None) -> Array:
    found = np.full(len(names), 1 / len(names)) if shares is None else np.asarray(shares, np.float64)
    if found.shape != (len(names),) or not (found > 0).all() or not np.isclose(found.sum(), 1):
        raise InputError(f"the shares of the {len(names)} labels must be above 0, one for each, and 1 together")
    return np.log(found)
