"""Captions and their vectors, encoded once and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lowerbound.data.store import cache
from lowerbound.data.text.encoder import TextEncoder
from lowerbound.files import replacing

SHOWN = 10
"""Unknown words that are named."""


@final
@dataclass(frozen=True)
class Unknown:
    """Of so many captions how many have words that the encoder does not know, and the commonest of these.

    Example:
        >>> print(Unknown("minilm", 3, 100, (("旗", 2), ("狗", 1))))
        the text encoder minilm does not know all words of 3 of 100 captions, such as 旗 (2), 狗 (1)
    """

    encoder: str
    captions: int
    of: int
    words: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        some = ", ".join(f"{word} ({count})" for word, count in self.words[:SHOWN])
        return (
            f"the text encoder {self.encoder} does not know all words of {self.captions:,} of {self.of:,} captions, "
            f"such as {some}"
        )


@final
@dataclass(frozen=True, eq=False)
class Captions:
    """A text for each row, (N,), its vectors (N, D) float32 under an encoder, and what the encoder makes nothing of."""

    texts: np.ndarray
    vectors: np.ndarray
    encoder: str
    digest: str
    unknown: Unknown

    @property
    def identity(self) -> np.ndarray:
        """Bytes that are the same wherever the texts and the encoder are, though its vectors may differ in last bits.

        >>> from lowerbound.data.text import encoder
        >>> bytes(read_captions(encoder("hash"), np.array(["a", "b"])).identity)[-3:]
        b'a\\x00b'
        """
        return np.frombuffer("\0".join([self.digest, *self.texts.tolist()]).encode(), np.uint8)


def read_captions(encoder: TextEncoder, texts: np.ndarray) -> Captions:
    """The vectors of texts (N,), each different text encoded once, and kept in the cache for the next time.

    >>> from lowerbound.data.text import encoder
    >>> read_captions(encoder("hash"), np.array(["a", "b", "a"])).vectors.shape
    (3, 256)
    """
    different, where, times = np.unique(texts, return_inverse=True, return_counts=True)
    vectors, unknown = _kept(encoder, different.tolist())
    return Captions(texts, vectors[where], encoder.name, encoder.digest, _counted(encoder.name, unknown, times))


def _counted(name: str, unknown: Sequence[Sequence[str]], times: np.ndarray) -> Unknown:
    words: Counter[str] = Counter()
    for each, count in zip(unknown, times.tolist()):
        words.update(dict.fromkeys(each, count))
    some = np.array([bool(each) for each in unknown])
    return Unknown(name, int(times[some].sum()), int(times.sum()), tuple(words.most_common(SHOWN)))


def _kept(encoder: TextEncoder, texts: list[str]) -> tuple[np.ndarray, list[list[str]]]:
    """Vectors and unknown words of each text, from the cache where they are."""
    path = _place(encoder, texts)
    with contextlib.suppress(OSError, SafetensorError, ValueError, KeyError):
        return _read(path, len(texts))
    vectors, unknown = encoder.encode(texts), [list(encoder.unknown(text)) for text in texts]
    with contextlib.suppress(OSError), replacing(path) as scratch:  # a cache that cannot be written only costs time
        save_file({"vectors": np.ascontiguousarray(vectors)}, scratch, {"unknown": json.dumps(unknown)})
    return vectors, unknown


def _read(path: Path, count: int) -> tuple[np.ndarray, list[list[str]]]:
    with safe_open(path, "np") as file:
        vectors, unknown = file.get_tensor("vectors"), json.loads(file.metadata()["unknown"])
    if vectors.ndim != 2 or len(vectors) != count or len(unknown) != count:
        raise ValueError("other captions")
    return vectors, [list(map(str, each)) for each in unknown]


def _place(encoder: TextEncoder, texts: list[str]) -> Path:
    """Named by all that the vectors depend on."""
    digest = hashlib.sha256(json.dumps([encoder.digest, *texts]).encode()).hexdigest()
    readable = re.sub(r"\W+", "-", encoder.name)[-40:]
    return cache() / "text" / f"{readable}-{digest[:32]}.safetensors"
