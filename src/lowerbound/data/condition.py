"""Labels, vectors and texts to condition on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowerbound.data.checks import MOST_CATEGORIES, checked_array
from lowerbound.data.describe import scales
from lowerbound.data.raw import Raw, shown
from lowerbound.data.spec import Variable
from lowerbound.data.survey import survey
from lowerbound.data.text import Captions, encoder, read_captions
from lowerbound.errors import InputError, UnlabelledError


def condition_of(raw: Raw, train: np.ndarray) -> tuple[Variable | None, np.ndarray | None]:
    """The condition of a data set and its stored values: codes (N,) or (N, d) of labels, vectors (N, d), pictures.

    Whole numbers and text are labels; floats, and arrays of two dimensions, are vectors; bytes of three dimensions or
    four are pictures. Several named labels to a row are as many codes, and `levels` is that of the one with the most.
    The statistics of vectors are of the rows `train`.

    >>> raw = Raw("toy", "toy", {}, labels=np.array(["cat", "ant", "cat"]))
    >>> variable, codes = condition_of(raw, np.arange(3))
    >>> variable.labels, codes
    (('ant', 'cat'), array([1, 0, 1]))
    """
    if raw.labels is None:
        return None, None
    labels = np.asarray(raw.labels)
    if raw.label_columns is not None:
        return _several(raw, labels, raw.label_columns)
    if labels.ndim == 1 and labels.dtype.kind in "biuUSO":
        return _categories(raw, labels)
    checked = checked_array(raw.place, "labels", labels)
    if checked.ndim > 2 and checked.dtype == np.uint8:
        return Variable("condition", "byte", checked.shape[1:], 0, 255, levels=256), checked
    return _vectors(raw, checked, train)


def captions_of(raw: Raw, text: str | None) -> Captions | None:
    """The captions of the rows, or else their labels, under the text encoder of this name; None where none is named.

    Raises:
        InputError: there is no such encoder, or a row has no text.

    >>> captions_of(Raw("toy", "toy", {}, labels=np.array(["a red car", "a cat"])), "hash").vectors.shape
    (2, 256)
    """
    if text is None:
        return None
    texts = raw.labels if raw.captions is None else raw.captions
    if texts is None or np.ndim(texts) != 1 or np.asarray(texts).dtype.kind not in "SUO":
        raise UnlabelledError(
            f"{raw.place} has no texts for the text encoder {shown(text)!r}; say where they are with labels"
        )
    return read_captions(encoder(text), _texts(raw, texts))


def told_in_words(raw: Raw, captions: Captions, train: np.ndarray) -> tuple[Variable, np.ndarray]:
    """The condition that captions are, and its stored values: their vectors (N, D), after the labels' that are vectors.

    >>> from lowerbound.data.text import encoder
    >>> raw = Raw("toy", "toy", {}, labels=np.ones((2, 3), np.float32), captions=np.array(["stop", "go"]))
    >>> told_in_words(raw, read_captions(encoder("hash"), raw.captions), np.arange(2))[1].shape
    (2, 259)
    """
    before = vectors_beside(raw)
    whole = captions.vectors if before is None else np.concatenate([before, captions.vectors], axis=1)
    variable, vectors = _vectors(raw, whole, train)
    return replace(variable, encoder=captions.encoder), vectors


def vectors_beside(raw: Raw) -> np.ndarray | None:
    """The labels (N, S) that are vectors, such as the state of a robot, and so are told beside captions; else None."""
    labels = raw.labels
    told = raw.captions is not None and labels is not None and labels.ndim == 2 and labels.dtype.kind == "f"
    return labels if told else None


def _texts(raw: Raw, labels: np.ndarray) -> np.ndarray:
    return np.array([_text(raw, row, label) for row, label in enumerate(labels)])


def _categories(raw: Raw, labels: np.ndarray) -> tuple[Variable, np.ndarray]:
    if labels.dtype.kind in "SO":
        labels = _texts(raw, labels)
    names, codes = np.unique(labels, return_inverse=True)
    if len(names) > MOST_CATEGORIES:
        raise InputError(
            f"{raw.place}: the labels have {len(names):,} different values, too many to condition on; "
            f"give {MOST_CATEGORIES:,} or fewer, vectors of floats, or a text encoder for what is text"
        )
    given = raw.label_names or tuple(_label(raw, name) for name in names.tolist())
    top = len(given) - 1
    return Variable("condition", "category", (), 0, top, top + 1, labels=given), codes.astype(np.int64)


def _several(raw: Raw, labels: np.ndarray, columns: tuple[str, ...]) -> tuple[Variable, np.ndarray]:
    each = [_categories(replace(raw, label_names=None), column) for column in labels.T]
    top = max(variable.high for variable, _ in each)
    codes = np.stack([codes for _, codes in each], axis=1)
    return Variable("condition", "category", (len(columns),), 0, top, int(top) + 1, columns=columns), codes


def _vectors(raw: Raw, vectors: np.ndarray, train: np.ndarray) -> tuple[Variable, np.ndarray]:
    found = survey(vectors)
    if found.bad:
        raise InputError(
            f"{raw.place}, row {found.bad[0]} (from 0): the condition is NaN or infinite; give finite numbers"
        )
    kept = vectors.astype(np.float32).reshape(len(vectors), -1)
    low, high, mean, std = scales(kept, train)
    form = raw.forms.get("condition")
    return Variable("condition", "real", kept.shape[1:], low, high, mean=mean, std=std, form=form), kept


def _text(raw: Raw, row: int, label: object) -> str:
    if isinstance(label, bytes):
        label = label.decode("utf-8", "replace")
    if not isinstance(label, str):
        raise InputError(
            f"{raw.place}, row {row} (from 0): label {shown(label)!r} is no text; label every row, all in one way"
        )
    return label


def _label(raw: Raw, name: object) -> str:
    words = str(name)
    if not words.isprintable() or len(words) > 200:
        raise InputError(f"{raw.place}: label '{shown(words)}' has control characters or over 200 letters; rename it")
    return words
