"""Arrays of texts: refused or made into the codes of a vocabulary, and read from files of lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lowerbound.data.raw import Raw, named, shown
from lowerbound.data.spec import TEXT_FORMS, TextForm, Variable
from lowerbound.data.text.vocabulary import Vocabulary, usual_form
from lowerbound.errors import InputError

LONGEST = 1_000
"""Symbols that a text has at most."""


def read_lines(path: Path, label: str | None = None) -> Raw:
    """A text a line, in UTF-8; lines with nothing in them are none."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{named(path)}, line {line} is no UTF-8; save the file in that encoding") from None
    kept = [(number, text) for number, line in enumerate(lines, 1) if (text := line.strip())]
    if not kept:
        raise InputError(f"{named(path)} has no text in it; write a text a line")
    numbers, texts = zip(*kept)
    return Raw(
        named(path), named(path), {"x": np.array(texts)}, where=lambda row: f"{named(path)}, line {numbers[row]}"
    )


def holds_texts(values: np.ndarray) -> bool:
    """Whether an array is of texts, one a row."""
    return values.ndim == 1 and (values.dtype.kind == "U" or _all_text(values))


def text_variable(
    raw: Raw, name: str, said: str | None, splits: Mapping[str, np.ndarray], like: Variable | None = None
) -> tuple[np.ndarray, Variable]:
    """Codes (N, L) and their description; the vocabulary is of the training rows, or that of `like`.

    Texts of one length are whole rows. Others are closed by an end, and rows are of the longest one and its end.
    """
    texts = _checked(raw, name)
    form = _form(raw, name, said, texts[splits["train"]].tolist())
    vocabulary = Vocabulary.of(texts[splits["train"]].tolist(), form) if like is None else Vocabulary.by(like)
    if like is not None:
        return coded(texts, like, lambda row: raw.at(name, (row,))), like
    length, missing = _length(raw, name, [len(vocabulary.split(text)) for text in texts.tolist()])
    shares = {split: vocabulary.unknown(texts[rows].tolist()) for split, rows in splits.items()}
    top = len(vocabulary.symbols) - 1
    facts = {"labels": vocabulary.symbols, "missing": missing, "form": form, "likelihood": "categorical"}
    variable = Variable(name, "category", (length,), 0, top, top + 1, why=_why(vocabulary, shares), **facts)  # type: ignore[arg-type]
    return vocabulary.encode(texts.tolist(), length), variable


def coded(texts: np.ndarray, variable: Variable, place: object = None) -> np.ndarray:
    """Codes (N, L) of texts under a text variable's vocabulary; refused if one does not fit.

    >>> greeting = Variable("x", "category", (2,), 0, 2, 3, labels=("<end>", "<unknown>", "h"), form="characters")
    >>> coded(np.array(["hi"]), greeting)
    array([[2, 1]])
    """
    vocabulary, (length,) = Vocabulary.by(variable), variable.shape
    most = length - variable.missing
    for row, text in enumerate(texts.tolist()):
        count = len(vocabulary.split(text))
        if not count or count > most or (count < most and not variable.missing):
            at = place(row) if callable(place) else f"text {row} (from 0)"
            takes = f"1 to {most}" if variable.missing else f"{most}"
            raise InputError(f"{at} has {count:,} {variable.form}, and the model takes {takes}; cut or lengthen it")
    return vocabulary.encode(texts.tolist(), length)


def _all_text(values: np.ndarray) -> bool:
    return values.dtype == object and bool(len(values)) and all(isinstance(each, str) for each in values.tolist())


def _checked(raw: Raw, name: str) -> np.ndarray:
    texts = np.array([str(each) for each in raw.arrays[name].tolist()])
    for row, text in enumerate(texts.tolist()):
        if not text.strip():
            raise InputError(f"{raw.at(name, (row,))} is an empty text; leave the row out")
    return texts


def _form(raw: Raw, name: str, said: str | None, texts: Sequence[str]) -> TextForm:
    if said is not None and said not in TEXT_FORMS:
        raise InputError(f"{raw.place}: {name!r} holds texts, of kind {' or '.join(TEXT_FORMS)} and not {shown(said)}")
    return said or raw.forms.get(name) or usual_form(texts)  # type: ignore[return-value]  # it is one of the forms


def _length(raw: Raw, name: str, counts: Sequence[int]) -> tuple[int, bool]:
    """Codes in a row, and whether some of them may be beyond a text's end."""
    longest, row = max(counts), int(np.argmax(counts))
    if longest > LONGEST:
        raise InputError(f"{raw.at(name, (row,))} has {longest:,} symbols; cut texts to {LONGEST:,} or fewer")
    if min(counts) == 0:
        raise InputError(f"{raw.at(name, (int(np.argmin(counts)),))} has no symbol in it; leave the row out")
    return (longest, False) if min(counts) == longest else (longest + 1, True)


def _why(vocabulary: Vocabulary, shares: Mapping[str, float]) -> str:
    each = ", ".join(f"{share:.2%} in {split}" for split, share in shares.items())
    return (
        f"categorical because the values are {vocabulary.form}: {len(vocabulary.symbols):,} symbols, one of them for "
        f"all others ({each})"
    )
