"""Glosses: what is made of WordNet's files, and which of its rows stay together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data import glosses
from lowerbound.data.dataset import load_data
from lowerbound.data.sources import SOURCES

NOTICE = "  1 This software and database is being provided | to you\n"
NOUN = "00001 03 n 01 thing 0 001 @ 00002 n 0000 | {}  \n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """WordNet in small."""
    entries = {
        "data.noun": ['a Thing; "it is one"', "(law) one's due: ", " ".join(["long"] * 17), " ".join(["long"] * 16)],
        "data.verb": ["come to be, slowly;"],
        "data.adj": ["reddish-brown  (1896-1975)"],
        "data.adv": ["come to be, slowly"],
    }
    for name, found in entries.items():
        (tmp_path / name).write_text(NOTICE + "".join(map(NOUN.format, found)))
    glosses.prepare(tmp_path)
    return tmp_path


def test_a_definition_is_its_words_without_examples(folder: Path) -> None:
    assert (folder / glosses.FILE).read_text().splitlines() == [
        "noun\ta thing",
        "noun\t(law) one's due",
        "noun\t" + " ".join(["long"] * 17),
        "noun\t" + " ".join(["long"] * 16),
        "verb\tcome to be, slowly",
        "adjective\treddish-brown (1896-1975)",
        "adverb\tcome to be, slowly",
    ]


def test_long_ones_are_left_out_and_like_ones_belong_together(folder: Path) -> None:
    raw = glosses.decode(folder)
    assert raw.arrays["x"].tolist()[2] == " ".join(["long"] * 16)
    assert raw.labels is not None
    assert raw.groups is not None
    assert raw.labels.tolist() == [0, 0, 0, 1, 2, 3]
    assert raw.groups[3] == raw.groups[5]
    assert len(set(raw.groups)) == 5
    assert raw.forms == {"x": "words"}


@pytest.mark.fetch
def test_the_set_is_what_it_is_known_to_be() -> None:
    raw = SOURCES["glosses"].read()
    assert (len(raw.arrays["x"]), len(set(raw.arrays["x"]))) == (98_815, 97_857)
    assert Counter(np.asarray(raw.labels).tolist()) == {0: 64_327, 1: 13_436, 2: 17_465, 3: 3_587}
    assert load_data("glosses").spec.variables[0].shape == (glosses.LONGEST + 1,)


@pytest.mark.fetch
def test_no_gloss_is_in_two_splits() -> None:
    data, texts = load_data("glosses"), SOURCES["glosses"].read().arrays["x"]
    parts = [set(texts[rows]) for rows in data.splits.values()]
    assert sum(map(len, parts)) == len(set(texts))
