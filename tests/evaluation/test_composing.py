"""The likeliest poem under the rules: that it keeps them, and that none is likelier."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.data.chinese import Readings
from lowerbound.errors import InputError
from lowerbound.evaluation.composing import LEAST, InOrder, Rules, assigned, composed, kept_to, only, plans
from lowerbound.evaluation.prosody import keeps_order, rhymes

SYMBOLS = ("<end>", "<unknown>", *(chr(0x4E00 + number) for number in range(60)))
READINGS = Readings(
    {
        symbol: frozenset({("上平聲一東", "上平聲二冬", "去聲一送")[number % 3]})
        for number, symbol in enumerate(SYMBOLS[2:])
    }
)
RULES = Rules.of(SYMBOLS, READINGS)


def random_log_p(seed: int, places: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(scale=2, size=(places, len(SYMBOLS)))
    found: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return found


@pytest.mark.parametrize("places", [20, 28])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_composed_poem_keeps_the_rules(seed: int, places: int) -> None:
    log_p = random_log_p(seed, places)
    found = composed(log_p, RULES)
    text = "".join(SYMBOLS[code] for code in found.codes)
    assert len(text) == places == len(set(text))
    assert keeps_order(text, READINGS)
    assert rhymes(text, READINGS)
    assert found.log_p == pytest.approx(log_p[np.arange(places), found.codes].sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_plan_has_a_likelier_one(seed: int) -> None:
    log_p = random_log_p(seed, 20)
    allowed = only(log_p, RULES, {})
    best = LEAST
    for plan in plans(allowed, RULES):  # without the bound by which most are left out
        kept = kept_to(allowed, RULES, plan)
        codes = assigned(kept, {})
        best = max(best, float(kept[np.arange(20), codes].sum()))
        assert plan.bound >= kept[np.arange(20), codes].sum() - 1e-9
    assert composed(log_p, RULES).log_p == pytest.approx(best)


def test_an_assignment_is_that_of_brute_force() -> None:
    from itertools import permutations

    log_p = random_log_p(5, 4)[:, :7]
    best = max(permutations(range(7), 4), key=lambda codes: log_p[range(4), codes].sum())
    assert assigned(log_p, {}).tolist() == list(best)


def test_given_characters_stand_where_they_are_and_nowhere_else() -> None:
    heads = {0: 4, 5: 4, 10: 10, 15: 12}  # one of them twice
    found = composed(random_log_p(3, 20), RULES, heads)
    assert {place: found.codes[place] for place in heads} == heads
    others = [code for place, code in enumerate(found.codes) if place not in heads]
    assert len(set(others)) == 16
    assert not set(others) & set(heads.values())


@pytest.mark.parametrize("form", [5, 7])
@pytest.mark.parametrize("seed", range(10))
def test_any_poem_written_in_order_keeps_the_rules(form: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    heads = {0: 4, form: 4} if seed % 2 else {}
    poem, codes = InOrder(form, RULES, heads), []
    for place in range(4 * form):
        codes.append(int(chance.choice(np.flatnonzero(poem.allowed(place)))))
        poem.take(place, codes[-1])
    text = "".join(SYMBOLS[code] for code in codes)
    assert keeps_order(text, READINGS)
    assert rhymes(text, READINGS)
    assert len(set(text)) == 4 * form - len(heads) // 2
    assert all(codes[place] == code for place, code in heads.items())


def test_what_no_pattern_allows_is_refused() -> None:
    oblique = next(code for code in range(2, 62) if RULES.tones["仄"][code] and not RULES.tones["平"][code])
    fixed = dict.fromkeys(range(5, 10), oblique)
    with pytest.raises(InputError, match="no pattern of tones can be kept"):
        composed(random_log_p(0, 20), RULES, fixed)
    with pytest.raises(InputError, match="no pattern of tones can be kept"):
        InOrder(5, RULES, fixed)


def test_an_end_or_an_unknown_is_never_composed() -> None:
    log_p = random_log_p(4, 20)
    log_p[:, :2] = 0.0
    assert composed(log_p, RULES).codes.min() >= 2
