"""The rules of verse on poems that are known to keep them and not to."""

from __future__ import annotations

import pytest

from lowerbound.data.chinese import Readings
from lowerbound.data.poems import lines_of
from lowerbound.evaluation.prosody import (
    ORDERS,
    PATTERNS,
    distinct,
    fits,
    is_whole,
    keeps_order,
    kinds,
    patterns_of,
    rhymes,
    verse_figures,
)

STORKS = "白日依山盡黃河入海流欲窮千里目更上一層樓"
LEVEL, OBLIQUE = "依山黃河流窮千層樓", "白日盡入海欲里目更上一"
READINGS = Readings(
    {
        **{character: frozenset({"下平聲一先"}) for character in LEVEL},
        **{character: frozenset({"入聲一屋"}) for character in OBLIQUE},
        **{character: frozenset({"下平聲十一尤"}) for character in "流樓"},
        "中": frozenset({"上平聲一東", "去聲一送"}),
    }
)


def test_a_poem_that_keeps_every_rule_is_said_to() -> None:
    assert [kinds(line, READINGS) for line in lines_of(STORKS)] == [{"A"}, {"B"}, {"C"}, {"D"}]
    assert keeps_order(STORKS, READINGS)
    assert rhymes(STORKS, READINGS)


def test_lines_in_another_order_keep_no_order_and_other_ends_no_rhyme() -> None:
    a, b, c, d = lines_of(STORKS)
    assert not keeps_order(a + c + b + d, READINGS)
    assert not rhymes(a + c + b + d, READINGS)
    assert keeps_order(d + b + c + d, READINGS)


def test_a_line_of_seven_is_one_of_five_after_two_of_the_other_tone() -> None:
    assert kinds("千里" + "更上一層樓", READINGS) == set()
    assert kinds("更層" + "更上一層樓", READINGS) == {"D"}
    assert kinds("層樓" + "更上一層樓", READINGS) == {"D"}  # the first is free


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("千千目千目", {"C"}),  # 平平仄平仄, the licensed form
        ("目千目千目", set()),  # but not after an oblique first
        ("目千目目千", set()),  # a single level tone among oblique ones
        ("中中中中中", {"A", "B", "C", "D"}),  # read in both tones
        ("？？？？？", {"A", "B", "C", "D"}),  # unknown
        ("千千", set()),
    ],
)
def test_free_places_are_free_and_no_others(line: str, found: set[str]) -> None:
    assert kinds(line, READINGS) == found


def test_patterns_are_of_the_length_of_their_form_and_alternate() -> None:
    for form, of_form in PATTERNS.items():
        assert all(len(each) == form for patterns in of_form.values() for each in patterns)
    assert len(list(patterns_of(5))) == sum(2 ** order.count("C") for order in ORDERS) == len(list(patterns_of(7)))
    for pattern, first in patterns_of(7):
        lines = lines_of(pattern)
        assert [line[-1] for line in (lines[1], lines[3])] == ["平", "平"]
        assert (lines[0][-1] == "平") == first
        assert lines[1][1] == lines[2][1] != lines[0][1]  # the second line opposes the first, the third sticks to it


def test_pattern_and_line_must_be_of_one_length() -> None:
    assert fits("千里", "·仄", READINGS)
    assert not fits("千里目", "·仄", READINGS)


def test_figures_are_shares_of_what_they_say() -> None:
    twice = "黃河入海流" * 2 + "欲窮千里目更上一層樓"
    found = verse_figures([STORKS, twice, "白日"], READINGS)
    assert found["whole"] == pytest.approx(2 / 3)
    assert found["lines_in_tone"] == 1
    assert found["in_order"] == 0.5
    assert found["no_line_twice"] == 0.5
    assert found["distinct_1"] == pytest.approx(20 / 40)
    assert verse_figures([], READINGS)["lines_in_tone"] == 0


def test_runs_are_counted_within_lines() -> None:
    assert distinct(["天地", "天地"], 2) == 0.5
    assert distinct(["天"], 2) == 0


def test_a_text_with_a_blank_is_not_whole() -> None:
    assert is_whole(STORKS)
    assert not is_whole(STORKS[:-1] + "□")
    assert not is_whole(STORKS[:-1])
