"""The rules of regulated verse, and how far poems keep them: level and oblique tones, rhyme, no line twice.

A line of five or seven characters alternates level (平) and oblique (仄) tones in one of four ways; in three of them
the first character of five is free, and of seven the first is free always and the third as the first of five:

    A  (仄)仄平平仄    B  平平仄仄平    C  (平)平平仄仄, or 平平仄平仄    D  (仄)仄仄平平

Seven characters are these five after two of the opposite tones. A quatrain goes through them in one of four orders, and
its second and fourth line rhyme in a level tone. Wang Li, "Chinese versification" (漢語詩律學), 1958.

Many real poems keep to none of this: the older style is free of it, and some poems play with it. What real poems and
shuffled ones score is the ceiling and the floor of any model's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from lowerbound.data.chinese import Readings
from lowerbound.data.poems import FORMS, LINES, lines_of

FREE = "·"
"""A place where either tone may stand."""

FIVE: Mapping[str, tuple[str, ...]] = {
    "A": ("·仄平平仄",),
    "B": ("平平仄仄平",),
    "C": ("·平平仄仄", "平平仄平仄"),
    "D": ("·仄仄平平",),
}
BEFORE: Mapping[str, str] = {"A": "·平", "B": "·仄", "C": "·仄", "D": "·平"}
"""What a line of seven characters has in front of one of five."""

PATTERNS: Mapping[int, Mapping[str, tuple[str, ...]]] = {
    5: FIVE,
    7: {name: tuple(BEFORE[name] + each for each in patterns) for name, patterns in FIVE.items()},
}
"""Characters of a line -> kind of line -> its patterns of tones."""

ORDERS = ("ABCD", "CDAB", "DBCD", "BDAB")
"""The kinds of the four lines of a quatrain; in the last two, the first line rhymes as well."""

RHYMING = "BD"
"""The kinds that end in a level tone."""


def fits(line: str, pattern: str, readings: Readings) -> bool:
    """Whether a line can be read in a pattern of tones; of what is read in both tones, or is unknown, either will do.

    >>> fits("東中東", "平仄·", Readings({"東": frozenset({"上平聲一東"}), "中": frozenset({"去聲一送"})}))
    True
    """
    return len(line) == len(pattern) and all(
        place == FREE or place in readings.tones(character) for character, place in zip(line, pattern)
    )


def kinds(line: str, readings: Readings) -> set[str]:
    """The kinds of line, A to D, as which a line can be read; none if it keeps no pattern."""
    of_length = PATTERNS.get(len(line), {})
    return {name for name, each in of_length.items() if any(fits(line, pattern, readings) for pattern in each)}


def keeps_order(poem: str, readings: Readings) -> bool:
    """Whether the lines of a quatrain are of kinds that follow one another in one of the four orders."""
    found = [kinds(line, readings) for line in lines_of(poem)]
    return any(all(kind in each for kind, each in zip(order, found)) for order in ORDERS)


def rhymes(poem: str, readings: Readings) -> bool:
    """Whether the second and the fourth line end in one rhyme of the level tone; the unknown rhyme with nothing."""
    second, fourth = (readings.level(lines_of(poem)[line][-1]) for line in (1, 3))
    return bool(second & fourth)


def patterns_of(form: int) -> Iterator[tuple[str, bool]]:
    """Every pattern of a whole quatrain of lines of this length, and whether its first line rhymes too."""
    for order in ORDERS:
        for lines in product(*(PATTERNS[form][kind] for kind in order)):
            yield "".join(lines), order[0] in RHYMING


def verse_figures(texts: Sequence[str], readings: Readings) -> dict[str, float]:
    """Shares of texts, from 0 to 1, that are as verse should be.

    whole: of texts that are quatrains of five or seven known characters a line; all else is of those. lines_in_tone: of
    lines that keep a pattern. in_order: of poems whose lines do so in one of the four orders. rhymed: of poems.
    no_line_twice: of poems of four different lines. no_character_thrice: of poems with no character three times or more
    often. distinct_1, distinct_2: different characters, and different pairs within a line, over all of them; they fall
    as texts become more, so compare like numbers of poems (Jiwei Li, Michel Galley, Chris Brockett, Jianfeng Gao and
    Bill Dolan, "A diversity-promoting objective function for neural conversation models", 2016).
    """
    poems = [text for text in texts if is_whole(text)]
    lines = [line for poem in poems for line in lines_of(poem)]
    return {
        "whole": share([is_whole(text) for text in texts]),
        "lines_in_tone": share([bool(kinds(line, readings)) for line in lines]),
        "in_order": share([keeps_order(poem, readings) for poem in poems]),
        "rhymed": share([rhymes(poem, readings) for poem in poems]),
        "no_line_twice": share([len(set(lines_of(poem))) == LINES for poem in poems]),
        "no_character_thrice": share([max(Counter(poem).values()) < 3 for poem in poems]),
        "distinct_1": distinct(lines, 1),
        "distinct_2": distinct(lines, 2),
    }


def is_whole(text: str) -> bool:
    """Whether a text is as long as a quatrain, and all of it known characters.

    >>> is_whole("白日依山盡黃河入海流欲窮千里目更上一層樓"), is_whole("白日依山盡")
    (True, False)
    """
    return len(text) in {LINES * form for form in FORMS} and text.isalpha()


def distinct(lines: Sequence[str], length: int) -> float:
    """Different runs of so many characters over all such runs; 0 where there are none.

    >>> distinct(["天地", "天玄"], 1)
    0.75
    """
    runs = [line[start : start + length] for line in lines for start in range(len(line) - length + 1)]
    return len(set(runs)) / max(1, len(runs))


def share(found: Sequence[bool]) -> float:
    """How many of so many, 0 of none."""
    return sum(found) / max(1, len(found))
