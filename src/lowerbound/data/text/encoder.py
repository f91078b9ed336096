"""What every text encoder offers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

WORD = re.compile(r"[^\W_]+")
"""A run of letters and digits of any script."""


class TextEncoder(ABC):
    """Texts to vectors, and the words that it makes nothing of.

    A word that an encoder does not know is no error: it counts for nothing, and `unknown` names it.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What `encoder` takes to make it again."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """A number that changes whenever its vectors may."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """A vector for each text, (N, D) float32: of unit length, or zeros where there is nothing it knows."""

    @abstractmethod
    def words(self, text: str) -> tuple[str, ...]:
        """The words it sees in a text."""

    @abstractmethod
    def unknown(self, text: str) -> tuple[str, ...]:
        """Those of them that it does not know."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each row divided by its length; rows of zeros stay as they are.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
