"""Directions in the space of codes: from one group of data to another, and along them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np

from lowerbound.errors import InputError
from lowerbound.evaluation.anomaly import detection
from lowerbound.files import write_json

Array = np.ndarray


@final
@dataclass(frozen=True)
class Direction:
    """The difference of two groups' mean codes; added once to a code of the first group it leads to the second.

    vector: (D,) numbers. origin, target: what the groups are called. counts: rows in each.
    """

    vector: tuple[float, ...]
    origin: str
    target: str
    counts: tuple[int, int]

    def shifted(self, codes: Array, strength: float) -> Array:
        """codes (N, D) + strength · vector.

        >>> Direction((1.0, 0.0), "calm", "smiling", (5, 5)).shifted(np.zeros((1, 2)), 0.5)
        array([[0.5, 0. ]])
        """
        if codes.shape[1:] != (len(self.vector),):
            raise InputError(
                f"the direction has {len(self.vector)} dimensions and the codes {codes.shape[1]}; "
                "use one that was found with the same model"
            )
        return codes + strength * np.asarray(self.vector, codes.dtype)

    def separation(self, here: Array, there: Array) -> float:
        """How well a code's place along the direction alone tells two groups apart: the area under the ROC curve.

        >>> Direction((1.0,), "calm", "smiling", (2, 2)).separation(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]]))
        1.0
        """
        places = np.concatenate([here, there]) @ np.asarray(self.vector, here.dtype)
        return detection(places, np.arange(len(places)) >= len(here))["auroc"]

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: a file that is not there, or is no direction.
        """
        try:
            return cls._of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"there is no file {path}; save a direction there first") from None
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path} holds no direction; find one anew and save it") from None

    @classmethod
    def _of(cls, found: Any) -> Self:
        vector = np.asarray(found["vector"], np.float64)
        first, second = (int(count) for count in found["counts"])
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise ValueError("a direction is a list of finite numbers")
        return cls(tuple(vector.tolist()), str(found["origin"]), str(found["target"]), (first, second))


def direction(codes: Array, labels: Array, target: object, origin: object = None) -> Direction:
    """From the rows labelled `origin`, or from all others, to those labelled `target`: the difference of mean codes.

    Anders Boesen Lindbo Larsen, Søren Kaae Sønderby, Hugo Larochelle and Ole Winther, "Autoencoding beyond pixels using
    a learned similarity metric", 2016; Tom White, "Sampling generative networks", 2016.

    Raises:
        InputError: labels that are not one to a row, or a group without rows.

    >>> direction(np.array([[0.0], [2.0], [4.0]]), np.array(["a", "b", "b"]), "b").vector
    (3.0,)
    """
    labels = np.asarray(labels)
    if labels.shape != (len(codes),):
        raise InputError(f"{len(codes)} rows need as many labels, one each, and were given {labels.shape}")
    there, here = labels == target, labels != target if origin is None else labels == origin
    for group, rows in ((target, there), (origin, here)):
        if not rows.any():
            raise InputError(f"no row is labelled {group!r}; the labels are: {_some(labels)}")
    vector = codes[there].mean(0, dtype=np.float64) - codes[here].mean(0, dtype=np.float64)
    counts = (int(here.sum()), int(there.sum()))
    return Direction(tuple(vector.tolist()), "the rest" if origin is None else str(origin), str(target), counts)


def _some(labels: Array, most: int = 20) -> str:
    names = [str(name) for name in np.unique(labels)]
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
