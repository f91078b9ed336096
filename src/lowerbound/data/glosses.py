"""Glosses: what the senses of English words mean, a definition each, out of WordNet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lowerbound.data.fetch import Way, debian, system, then
from lowerbound.data.raw import Raw
from lowerbound.data.text.vocabulary import Vocabulary
from lowerbound.files import write_text

FOLDER = "usr/share/wordnet"
FILE = "glosses.txt"
DIGESTS = {FILE: "41860536a83f1014acc6c29225b9e3b502119fe2dc5a1b95be76410e2dd2d90b"}
KINDS = ("noun", "verb", "adjective", "adverb")
LONGEST = 16
"""Words of a gloss, punctuation marks among them; the 16 % that have more are left out."""

BY_HAND = (
    "on Debian and its kin, apt-get install wordnet-base; elsewhere, download that package from "
    "https://packages.debian.org/wordnet-base, unpack it, make of its files what lowerbound.data.glosses.prepare makes,"
)

_FILES = {"data.noun": "noun", "data.verb": "verb", "data.adj": "adjective", "data.adv": "adverb"}
_WORDS = Vocabulary.of((), "words")
_NOTICE = "  "
"""What the lines of the licence begin with, which are no entries."""


def decode(folder: Path) -> Raw:
    """A gloss a row, its part of speech as the label; 98 815 of them, the 18 844 long ones left out.

    Senses that are defined by the same words are in one split, so that no gloss of the test rows was seen in training.
    """
    senses = [line.split("\t") for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]
    kinds, texts = np.array([sense for sense in senses if len(_WORDS.split(sense[1])) <= LONGEST]).T
    return Raw(
        "glosses",
        "glosses",
        {"x": texts},
        labels=np.array([KINDS.index(kind) for kind in kinds]),
        label_names=KINDS,
        groups=np.unique(texts, return_inverse=True)[1],
        forms={"x": "words"},
    )


def definition(gloss: str) -> str:
    """What a gloss says, in lower case, without the examples of use that follow in quotes.

    >>> definition('large flying squirrel;  chiefly of Canada; "it glides"')
    'large flying squirrel; chiefly of canada'
    """
    return " ".join(gloss.partition('"')[0].lower().split()).rstrip(" ;:,-")


def prepare(folder: Path) -> None:
    """One file of WordNet's four: a line a sense, with its part of speech, a tab, and its definition."""
    write_text(folder / FILE, "".join(f"{kind}\t{definition(gloss)}\n" for kind, gloss in _glosses(folder)))


def _glosses(folder: Path) -> Iterator[tuple[str, str]]:
    for name, kind in _FILES.items():
        for line in (folder / name).read_text(encoding="ascii").splitlines():
            if not line.startswith(_NOTICE):
                yield kind, line.partition(" | ")[2]


WAYS: tuple[Way, ...] = (
    then(system(f"/{FOLDER}"), prepare),
    then(debian("wordnet-base", *(f"./{FOLDER}/{name}" for name in _FILES)), prepare),
)
"""WordNet 3.0, copyright 2006 by Princeton University, free to use, copy, modify and distribute under its own licence.

George A. Miller, "WordNet: a lexical database for English", 1995.
"""
