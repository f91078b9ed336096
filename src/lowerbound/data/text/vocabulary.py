"""Texts as rows of codes: the symbols that there are, and the way from texts to codes and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from lowerbound.data.spec import TEXT_FORMS, TextForm, Variable

END, UNKNOWN = "<end>", "<unknown>"
"""The symbols of codes 0 and 1: what closes a text shorter than the longest, and all symbols that have no code."""

MOST_SYMBOLS = 8_000
"""Codes that there are at most, the two above among them."""

SEEN = 2
"""A symbol is given a code if the training rows have it so often; with rarer ones the model learns to meet unknowns."""

_WORD = re.compile(r"\w+(?:['’\-]\w+)*|[^\w\s]")
_NO_SPACE_BEFORE = re.compile(r" (?=[,.;:!?)\]}%])|(?<=[(\[{]) ")


@final
@dataclass(frozen=True)
class Vocabulary:
    """Symbols in the order of their codes, and whether they are characters or words.

    A text of n symbols is n codes. Where texts differ in length, code 0 then stands for its end, and NaN beyond for no
    observation. A word is a run of letters and digits, or a sign by itself.

    Example:
        >>> vocabulary = Vocabulary.of(["a red cat", "a red dog", "a cat"], "words")
        >>> vocabulary.symbols
        ('<end>', '<unknown>', 'a', 'cat', 'red')
        >>> vocabulary.encode(["a cat", "a dog"], 4)
        array([[ 2.,  3.,  0., nan],
               [ 2.,  1.,  0., nan]], dtype=float32)
        >>> vocabulary.decode(np.array([2, 4, 0, 3]))
        array('a red', dtype='<U5')
    """

    symbols: tuple[str, ...]
    form: TextForm

    @classmethod
    def of(cls, texts: Iterable[str], form: TextForm, most: int = MOST_SYMBOLS, seen: int = SEEN) -> Vocabulary:
        """The commonest symbols of texts, in an order that does not depend on that of the texts."""
        counts = Counter(symbol for text in texts for symbol in _SPLIT[form](text))
        often = sorted((symbol for symbol, count in counts.items() if count >= seen), key=lambda s: (-counts[s], s))
        return cls((END, UNKNOWN, *sorted(often[: most - 2])), form)

    @classmethod
    def by(cls, variable: Variable) -> Vocabulary:
        """That of a text variable."""
        assert variable.labels is not None
        assert is_text(variable)
        return cls(variable.labels, variable.form)  # type: ignore[arg-type]  # it is one of the forms

    @property
    def codes(self) -> Mapping[str, int]:
        """Symbol -> code."""
        return {symbol: code for code, symbol in enumerate(self.symbols)}

    def split(self, text: str) -> Sequence[str]:
        """The symbols of a text, known or not."""
        return _SPLIT[self.form](text)

    def encode(self, texts: Iterable[str], length: int) -> np.ndarray:
        """Codes (N, length): whole numbers where every text fills its row, else floats with NaN beyond the ends.

        Raises:
            ValueError: a text does not fit its row.
        """
        codes, rows = self.codes, [self.split(text) for text in texts]
        found = np.full((len(rows), length), np.nan, np.float32)
        for row, symbols in enumerate(rows):
            each = [codes.get(symbol, 1) for symbol in symbols] + [0] * (len(symbols) < length)
            found[row, : len(each)] = each
        return found if np.isnan(found).any() or not len(rows) else found.astype(np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Texts (...) of codes (..., L), each up to its end."""
        flat = np.nan_to_num(np.asarray(codes, np.float64)).astype(np.int64).reshape(-1, np.shape(codes)[-1])
        return np.array([self.text(row) for row in flat.tolist()]).reshape(np.shape(codes)[:-1])

    def text(self, codes: Sequence[int]) -> str:
        """One text."""
        until = codes.index(0) if 0 in codes else len(codes)
        return _JOIN[self.form](self.symbols[code] for code in codes[:until])

    def unknown(self, texts: Iterable[str]) -> float:
        """The share of the symbols of texts that have no code of their own."""
        codes, each = self.codes, [symbol for text in texts for symbol in self.split(text)]
        return sum(symbol not in codes for symbol in each) / max(1, len(each))


def is_text(variable: Variable) -> bool:
    """Whether the values of a variable are the symbols of texts."""
    return variable.form in TEXT_FORMS


def usual_form(texts: Sequence[str]) -> TextForm:
    """Words where most texts have spaces in them, else characters.

    >>> usual_form(["a cat", "two dogs"]), usual_form(["天地玄黄"])
    ('words', 'characters')
    """
    spaced = sum(" " in text.strip() for text in texts)
    return "words" if 2 * spaced > len(texts) else "characters"


def _spaced(words: Iterable[str]) -> str:
    return _NO_SPACE_BEFORE.sub("", " ".join(words))


_SPLIT: dict[TextForm, Callable[[str], Sequence[str]]] = {"characters": tuple, "words": _WORD.findall}
_JOIN: dict[TextForm, Callable[[Iterable[str]], str]] = {"characters": "".join, "words": _spaced}
