"""A checked data set with its description and its splits, and `load_data`, which makes one from anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from lowerbound.data.arrays import as_array, read_arrays, read_map_style
from lowerbound.data.checks import checked_count, checked_values, refuse_constant, refuse_unseen
from lowerbound.data.condition import captions_of, condition_of, told_in_words, vectors_beside
from lowerbound.data.describe import describe, kept
from lowerbound.data.files import has_named_parts, read_path
from lowerbound.data.fingerprint import fingerprint
from lowerbound.data.raw import Raw, shown
from lowerbound.data.rows import Rows
from lowerbound.data.sources import SOURCES
from lowerbound.data.spec import SPLITS, TEXT_FORMS, DataSpec, Kind, Said, Variable
from lowerbound.data.splits import draw_splits, draw_splits_of_groups
from lowerbound.data.text import Captions
from lowerbound.data.texts import holds_texts, text_variable
from lowerbound.errors import InputError, UnlabelledError


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Checked arrays, one row a datum, in the type in which they came (or files mapped into memory).

    `splits` holds the row numbers of `train`, `validation` and `test`. `condition` holds what `spec.condition`
    describes: codes, or vectors. `captions` holds the texts whose vectors they are, and which of their words the text
    encoder makes nothing of.

    Example:
        >>> digits = load_data("digits")
        >>> digits.arrays["x"].shape, digits.arrays["x"].dtype.name, digits.spec.likelihood
        ((1797, 8, 8), 'uint8', 'bernoulli')
    """

    spec: DataSpec
    arrays: Mapping[str, np.ndarray]
    condition: np.ndarray | None
    splits: Mapping[str, np.ndarray]
    captions: Captions | None = None

    def split(self, name: str) -> Rows:
        """The rows of `train`, `validation` or `test`."""
        if name not in self.splits:
            raise InputError(f"there is no split {name!r}; choose one of: {', '.join(SPLITS)}")
        return Rows(self.spec, self.arrays, self.condition, self.splits[name])

    def unconditional(self) -> Dataset:
        """The same rows without the condition, for a model that takes none."""
        return replace(self, spec=replace(self.spec, condition=None), condition=None, captions=None)


def load_data(
    source: Any,
    *,
    seed: int = 0,
    kind: Said | None = None,
    labels: Any = None,
    missing: bool = False,
    text: str | None = None,
    alike: DataSpec | None = None,
) -> Dataset:
    """Load, check and describe data.

    Args:
        source: the name of a source (`digits`, `mnist`, `fashion-mnist`, `cifar10`, `shapes`, …); a path to a `.npy`,
            `.npz`, `.csv` or `.parquet` file, to a `.txt` file of a text a line, to a folder of pictures, or to one of
            `.npy` or `.safetensors` shards, whose rows are read as they are needed; an array or tensor, one row a
            datum, or texts; a mapping of names to arrays (several observed variables); or a `torch` Dataset with
            `__len__` and `__getitem__`.
        seed: fixes, with the number of rows, which row is in which split.
        kind: what the values are, where the guess from type and range is wrong; of texts, whether their symbols are
            characters or words.
        labels: what to condition on: a column of a table, a name in a mapping or `.npz`, of demonstrations the column
            of a camera, whose pictures are then told beside the state; or an array of N labels
            (whole numbers or text) or (N, d) vectors; or a mapping of names to several labels of each row. A folder of
            pictures takes the names of its subfolders.
        missing: whether values may be missing: NaN, and the empty cells of a table. They are kept, and a model is shown
            and asked to explain the others alone. Otherwise they are refused. Of an array x that was not observed of
            some rows at all, an array x_present of 0 and 1 beside it, in a mapping or `.npz`, may say of which it was.
        text: the text encoder under which captions, or labels that are text, become vectors to condition on:
            `minilm` for English, `words-zh` for Chinese, `minilm+words-zh` for both, `hash`, which needs nothing, or
            a folder with a model of the sentence-transformers form.
        alike: the description of data that these are to be like: texts become codes of its vocabulary, and not of one
            of their own.

    Raises:
        InputError: one sentence that names file, row and column, and the remedy.

    Example:
        >>> data = load_data(np.random.default_rng(0).normal(size=(100, 3)))
        >>> data.spec.variables[0].kind, dict(data.spec.splits)
        ('real', {'train': 80, 'validation': 10, 'test': 10})
    """
    return assemble(read(source, labels), seed, kind, missing, text, alike)


def read(source: Any, labels: Any = None) -> Raw:
    """Decode a source of any form (see `load_data`) without describing it."""
    if isinstance(labels, str):
        return _read_labelled(source, labels)
    raw = _read(source)
    if labels is None:
        return raw
    own = replace(raw, label_columns=None, label_names=None, captions=None)
    if isinstance(labels, Mapping):
        return replace(own, labels=_side_by_side(labels), label_columns=tuple(map(str, labels)))
    return replace(own, labels=as_array(labels, "labels"))


def _side_by_side(labels: Mapping[str, Any]) -> np.ndarray:
    """Several labels of each row, (N, D)."""
    columns = [as_array(each, f"labels, {shown(name)!r}") for name, each in labels.items()]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise InputError("several labels must be arrays of one label a row, all of one length")
    return np.stack(columns, axis=1)


def assemble(
    raw: Raw,
    seed: int,
    kind: Said | None,
    missing: bool = False,
    text: str | None = None,
    alike: DataSpec | None = None,
) -> Dataset:
    """Check, describe, split and fingerprint decoded data."""
    splits = _splits(raw, seed)
    arrays, variables = {}, []
    for name in raw.arrays:
        if holds_texts(raw.arrays[name]):
            arrays[name], variable = text_variable(raw, name, kind, splits, alike and alike.variable(name))
        else:
            arrays[name], variable = _variable(raw, name, kind, splits["train"], missing)
        variables.append(variable)
    captions = captions_of(raw, text)
    if captions is None:
        about, condition = condition_of(raw, splits["train"])
    else:
        about, condition = told_in_words(raw, captions, splits["train"])
    beside = None if captions is None else vectors_beside(raw)
    told = {"(condition)": condition if captions is None else captions.identity, "(beside)": beside}
    stored = {**arrays, **{name: values for name, values in told.items() if values is not None}}
    counts = {name: len(rows) for name, rows in splits.items()}
    count, name = sum(counts.values()), shown(raw.name)
    spec = DataSpec(name, tuple(variables), about, count, fingerprint(stored), counts, seed)
    return Dataset(spec, arrays, condition, splits, captions)


def _splits(raw: Raw, seed: int) -> dict[str, np.ndarray]:
    count = checked_count(raw)
    return draw_splits(count, seed, raw.test) if raw.groups is None else draw_splits_of_groups(raw.groups, seed)


def _read(source: Any) -> Raw:
    if isinstance(source, str) and source in SOURCES:
        return SOURCES[source].read()
    if isinstance(source, str | Path):
        return read_path(Path(source).expanduser())
    if isinstance(source, Mapping):
        return read_arrays(source)
    if isinstance(source, list | tuple) or hasattr(source, "__array__"):
        return read_arrays({"x": source}, place="array")
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return read_map_style(source)
    raise InputError(
        f"data of type {type(source).__name__} cannot be read; give a path, an array, a mapping of arrays, or a "
        f"Dataset with __len__ and __getitem__"
    )


def _read_labelled(source: Any, label: str) -> Raw:
    if isinstance(source, Mapping):
        return read_arrays(source, label)
    if isinstance(source, str | Path) and has_named_parts(path := Path(source).expanduser()):
        return read_path(path, label)
    raise UnlabelledError(
        f"labels={shown(label)!r} names a column of a table or an array of a mapping, of which this source has none; "
        f"give the labels as an array"
    )


def _variable(raw: Raw, name: str, kind: Said | None, train: np.ndarray, missing: bool) -> tuple[np.ndarray, Variable]:
    said, gaps = _of_numbers(raw, name, kind) or raw.kinds.get(name), missing or name in raw.gaps
    kind, found = checked_values(raw, name, said, gaps)
    if found.missing:
        refuse_unseen(raw, name, train)
    refuse_constant(raw, name, kind, train)
    values = kept(raw.arrays[name], kind, found)
    variable = describe(name, kind, values, train, found, raw.levels, raw.columns, raw.near_binary)
    return values, replace(variable, form=raw.forms.get(name))


def _of_numbers(raw: Raw, name: str, said: Said | None) -> Kind | None:
    """What was said of values that are numbers."""
    if said in TEXT_FORMS:
        raise InputError(f"{raw.place}: {name!r} holds numbers and no {said}; give texts, or say no kind")
    return said  # type: ignore[return-value]  # what is left of what may be said
