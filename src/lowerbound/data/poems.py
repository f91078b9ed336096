"""Classical Chinese quatrains: four lines of five or of seven characters, of the Tang and of the Song."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lowerbound.data.fetch import npm, then
from lowerbound.data.raw import Raw
from lowerbound.files import write_text

FILE = "quatrains.txt"
DIGESTS = {FILE: "d59a27b0c929d295f996481681ccf98a0cafe93ef6275b2f08f39099c9cddc24"}
DYNASTIES = ("tang", "song")
FORMS = (5, 7)
LINES = 4
"""Of a quatrain."""

KINDS = tuple(f"{dynasty}-{form}" for dynasty in DYNASTIES for form in FORMS)
"""What a poem is labelled: its dynasty, and the characters of its lines."""

BY_HAND = (
    "run npm pack chinese-poetry@2.0.1, and see lowerbound.data.poems.prepare for what is made of its quantangshi; "
    "make it so"
)
RUN = 5
"""Characters in a row that put two poems into one group."""

_LAST = {"tang": 57, "song": 254}
_PARTS = sorted(f"poet.{dynasty}.{1000 * number}.json" for dynasty in DYNASTIES for number in range(_LAST[dynasty] + 1))
_MARKS = re.compile("[，。！？；、：]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af]+")


def decode(folder: Path) -> Raw:
    """A poem a row, without punctuation; its kind is the label, and those with nearly a line in common are a group."""
    rows = [line.split("\t") for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]
    kinds, groups, texts = (np.array(column) for column in zip(*rows))
    labels = np.array([KINDS.index(kind) for kind in kinds])
    told = {"label_names": KINDS, "forms": {"x": "characters"}}
    return Raw("quatrains", "quatrains", {"x": texts}, labels, groups=groups.astype(np.int64), **told)  # type: ignore[arg-type]


def only(raw: Raw, name: str, kinds: Sequence[str]) -> Raw:
    """The quatrains of some kinds alone, under a name of their own."""
    assert raw.labels is not None
    assert raw.groups is not None
    chosen = np.flatnonzero(np.isin(raw.labels, [KINDS.index(kind) for kind in kinds]))
    labels = np.array([kinds.index(KINDS[label]) for label in raw.labels[chosen]])
    x, groups = {"x": raw.arrays["x"][chosen]}, raw.groups[chosen]
    return replace(raw, name=name, place=name, arrays=x, labels=labels, groups=groups, label_names=tuple(kinds))


def lines_of(poem: str) -> tuple[str, ...]:
    """The four lines of a quatrain.

    >>> lines_of("白日依山盡黃河入海流欲窮千里目更上一層樓")
    ('白日依山盡', '黃河入海流', '欲窮千里目', '更上一層樓')
    """
    form = len(poem) // LINES
    return tuple(poem[start : start + form] for start in range(0, LINES * form, form))


def prepare(folder: Path) -> None:
    """One file of what the package holds: the kind of each quatrain, the number of its group, its characters."""
    poems = list(_different(folder))
    groups = kin([poem for _, poem in poems])
    rows = (f"{kind}\t{group}\t{poem}\n" for (kind, poem), group in zip(poems, groups))
    write_text(folder / FILE, "".join(rows))


def _different(folder: Path) -> Iterator[tuple[str, str]]:
    """Each quatrain of a dynasty once, in the order of the collection."""
    for dynasty in DYNASTIES:
        seen: dict[str, None] = {}
        for number in range(_LAST[dynasty] + 1):
            entries = json.loads((folder / f"poet.{dynasty}.{1000 * number}.json").read_text(encoding="utf-8"))
            seen |= dict.fromkeys(filter(None, map(quatrain, entries)))
        yield from ((f"{dynasty}-{len(poem) // LINES}", poem) for poem in seen)


def quatrain(entry: Mapping[str, Sequence[str]]) -> str | None:
    """The characters of an entry of the collection if it is a quatrain with none missing, else None.

    >>> quatrain({"paragraphs": ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層樓。"]})
    '白日依山盡黃河入海流欲窮千里目更上一層樓'
    >>> quatrain({"paragraphs": ["白日依山盡，黃河入海□。", "欲窮千里目，更上一層樓。"]}) is None
    True
    """
    lines = [line for line in _MARKS.split("".join(entry["paragraphs"])) if line]
    even = len(lines) == LINES and {len(line) for line in lines} <= set(FORMS) and len(set(map(len, lines))) == 1
    poem = "".join(lines)
    return poem if even and _HAN.fullmatch(poem) else None


def kin(poems: Iterable[str]) -> list[int]:
    """The group of each poem, named by the number of its first.

    Poems are in one group if lines of theirs are the same but for a character at most, or have five characters in a row
    in common; and if both are in one with a third.

    >>> kin(["白日依山盡黃河入海流欲窮千里目更上一層樓", "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少"])
    [0, 1]
    """
    parents: list[int] = []
    first: dict[str, int] = {}
    for number, poem in enumerate(poems):
        parents.append(number)
        for mark in _marks(poem):
            one, other = _root(parents, number), _root(parents, first.setdefault(mark, number))
            parents[max(one, other)] = min(one, other)
    return [_root(parents, number) for number in range(len(parents))]


def _marks(poem: str) -> Iterator[str]:
    """What a poem has in common with its kin: its lines with a character left out, and runs within them."""
    for line in lines_of(poem):
        yield from (f"{line[:place]} {line[place + 1 :]}" for place in range(len(line)))
        yield from (line[start : start + RUN] for start in range(len(line) - RUN + 1))


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = number = parents[parents[number]]
    return number


WAY = then(npm("chinese-poetry@2.0.1", *(f"package/dist/quantangshi/{part}" for part in _PARTS)), prepare)
"""The poems are old and free; the collection is that of the project chinese-poetry (MIT)."""
