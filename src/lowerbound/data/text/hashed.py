"""A text encoder that needs nothing: its letters, hashed."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import final

import numpy as np

from lowerbound.data.text.encoder import WORD, TextEncoder, unit

WIDTH = 256
LENGTHS = (2, 3, 4)
"""Letters in the pieces of a word."""


@final
class Hashed(TextEncoder):
    """Words and their pieces of 2 to 4 letters, each added to one of 256 places, or taken from it, as its hash says.

    Texts are alike where their spelling is, whatever they mean; any script will do. Kilian Weinberger, Anirban
    Dasgupta, John Langford, Alex Smola and Josh Attenberg, "Feature hashing for large scale multitask learning", 2009.

    >>> red, reddish, blue = Hashed().encode(["a red car", "a reddish car", "das blaue Meer"])
    >>> float(red @ reddish) > 0.5 > float(red @ blue)
    True
    """

    @property
    def name(self) -> str:
        return "hash"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{WIDTH} {LENGTHS} 1".encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), WIDTH), np.float32)
        for vector, text in zip(vectors, texts):
            for word in self.words(text):
                for piece in _pieces(word):
                    _add(vector, piece)
        return unit(vectors)

    def words(self, text: str) -> tuple[str, ...]:
        return tuple(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))

    def unknown(self, text: str) -> tuple[str, ...]:
        return ()


def _pieces(word: str) -> Iterator[str]:
    """The word, and its pieces; its ends count as letters."""
    ended = f"<{word}>"
    yield ended
    for length in LENGTHS:
        yield from (ended[start : start + length] for start in range(len(ended) - length + 1))


def _add(vector: np.ndarray, piece: str) -> None:
    number = int.from_bytes(hashlib.blake2b(piece.encode(), digest_size=8).digest(), "little")
    vector[number % WIDTH] += 1 if number >> 63 else -1
