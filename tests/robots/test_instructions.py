"""Instructions: what is held out is held out, and what is said to share no word shares none."""

from __future__ import annotations

from collections import Counter

import pytest

from lowerbound.robots.instructions import INSTRUCTIONS, content
from lowerbound.robots.metaworld import TASKS


def test_every_task_has_its_words() -> None:
    assert set(INSTRUCTIONS) == set(TASKS)


def test_no_phrase_is_said_twice() -> None:
    said = Counter(
        phrase for each in INSTRUCTIONS.values() for phrase in (*each.train, *each.validation, *each.near, *each.far)
    )
    assert max(said.values()) == 1


@pytest.mark.parametrize("task", TASKS)
def test_far_phrases_share_no_word_of_content_with_training_and_near_ones_do(task: str) -> None:
    each = INSTRUCTIONS[task]
    known = frozenset().union(*map(content, each.train))
    assert len(each.train) >= 10
    assert not any(content(phrase) & known for phrase in each.far)
    assert all(content(phrase) & known for phrase in each.near)


@pytest.mark.parametrize(
    ("one", "other"),
    [("opening the drawers", "open a drawer"), ("pushed it shut", "push to shut"), ("slides", "slide")],
)
def test_endings_make_no_new_words(one: str, other: str) -> None:
    assert content(one) == content(other)
