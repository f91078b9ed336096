"""Several text encoders side by side, for texts in several languages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import final

import numpy as np

from lowerbound.data.text.encoder import TextEncoder


@final
class Joined(TextEncoder):
    """The vectors of several encoders one after the other; each reads the texts of which it knows half the words.

    What an encoder does not read is zeros in its place, so that one that knows English says nothing of Chinese, and
    one model can be told either.

    Example:
        >>> from lowerbound.data.text import encoder
        >>> encoder("hash+hash").encode(["a car", "een auto"]).shape
        (2, 512)
    """

    def __init__(self, parts: Sequence[TextEncoder]) -> None:
        self.parts = tuple(parts)

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts)

    @property
    def digest(self) -> str:
        return hashlib.sha256(" ".join(part.digest for part in self.parts).encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.concatenate([_read(part, texts) for part in self.parts], axis=1)

    def words(self, text: str) -> tuple[str, ...]:
        return self._best(text).words(text)

    def unknown(self, text: str) -> tuple[str, ...]:
        return self._best(text).unknown(text)

    def _best(self, text: str) -> TextEncoder:
        """The one that knows most of the words; of several the first."""
        return max(self.parts, key=lambda part: share_known(part, text))


def share_known(encoder: TextEncoder, text: str) -> float:
    """The share of a text's words that the encoder knows; 0 of a text without words.

    >>> from lowerbound.data.text import encoder
    >>> share_known(encoder("hash"), "a car"), share_known(encoder("hash"), "?")
    (1.0, 0.0)
    """
    words = encoder.words(text)
    return 1 - len(encoder.unknown(text)) / len(words) if words else 0.0


def _read(part: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    reads = np.array([share_known(part, text) >= 0.5 for text in texts])
    return np.where(reads[:, None], part.encode(texts), np.float32(0))
