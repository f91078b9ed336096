"""Poems written by small models: of which form, like what, and by which rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import lowerbound
from agree import LIMIT
from lowerbound.data import chinese
from lowerbound.data.chinese import Readings, Script
from lowerbound.errors import InputError
from lowerbound.evaluation import poems, quatrains
from lowerbound.evaluation.infill import gapped_texts
from lowerbound.evaluation.poems import Manner, Poem, Poet, explaining, hot
from lowerbound.evaluation.prosody import keeps_order, rhymes
from lowerbound.evaluation.quatrains import form_of, read
from lowerbound.fitted import Fitted

CHARACTERS = [chr(0x4E00 + number) for number in range(40)]
READINGS = Readings(
    {each: frozenset({("上平聲一東", "去聲一送")[number % 2]}) for number, each in enumerate(CHARACTERS)}
)
TINY: dict[str, Any] = {"latent": 2, "width": 8, "layers": 1, "embedding": 4, "epochs": 1}


def some_texts(length: int, count: int = 60) -> list[str]:
    random = np.random.default_rng(length)
    return ["".join(random.choice(CHARACTERS, length)) for _ in range(count)]


@pytest.fixture(scope="module")
def told() -> Fitted:
    """A model of both forms that is told which."""
    texts = some_texts(20) + some_texts(28)
    labels = ["tang-5"] * 60 + ["song-7"] * 60
    return lowerbound.train("text-vae", np.array(texts), labels=labels, told="condition", **TINY)


@pytest.fixture(scope="module")
def untold() -> Fitted:
    return lowerbound.train("text-vae", np.array(some_texts(20) + some_texts(28)), **TINY)


@pytest.fixture(scope="module")
def in_order() -> Fitted:
    """One that writes symbol by symbol, of one form."""
    return lowerbound.train("text-vae", np.array(some_texts(28)), decoder="gru", **TINY)


@pytest.fixture
def known_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poems, "readings", lambda: READINGS)


def test_a_model_is_told_the_form_and_its_dynasty(told: Fitted) -> None:
    assert (Poet(told).form, Poet(told).kind) == (5, "tang-5")
    assert Poet(told, 7).kind == "song-7"
    assert len(Poet(told, 7).random(3)) == 3
    with pytest.raises(InputError, match="there is no label 'tang-7' for the model, which is told song-7, tang-5"):
        Poet(told, 7, "tang")


def test_the_same_seed_writes_the_same(told: Fitted) -> None:
    manner = Manner(1.0)
    one, same, other = (Poet(told, manner=manner).random(2, seed) for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.usefixtures("known_readings")
@pytest.mark.parametrize("form", [5, 7])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_constrained_poems_keep_the_rules(told: Fitted, form: int, temperature: float) -> None:
    for poem in Poet(told, form, manner=Manner(temperature, constrained=True)).random(3):
        assert len(poem.text) == 4 * form == len(set(poem.text))
        assert poem.judged(READINGS) == {"lines_in_tone": [True] * 4, "in_order": True, "rhymed": True}
        assert keeps_order(poem.text, READINGS)
        assert rhymes(poem.text, READINGS)


@pytest.mark.usefixtures("known_readings")
@pytest.mark.parametrize("constrained", [False, True])
def test_heads_stand_where_they_are_asked_for(told: Fitted, constrained: bool) -> None:
    heads = "".join(CHARACTERS[number] for number in (0, 4, 0, 6))
    for poem in Poet(told, 7, manner=Manner(constrained=constrained)).acrostic(heads, 3):
        assert poem.text[:28:7] == heads
    with pytest.raises(InputError, match="takes 4 characters, one for each line, not 2"):
        Poet(told).acrostic(heads[:2])


@pytest.mark.usefixtures("known_readings")
@pytest.mark.parametrize("constrained", [False, True])
def test_heads_are_read_by_what_is_written_after_them(in_order: Fitted, constrained: bool) -> None:
    heads = "".join(CHARACTERS[0:8:2])
    found = Poet(in_order, manner=Manner(1.0, constrained)).acrostic(heads, 3)
    assert {poem.text[::7] for poem in found} == {heads}
    assert not constrained or all(poem.judged(READINGS)["in_order"] for poem in found)


@pytest.mark.usefixtures("known_readings")
def test_constrained_poems_written_in_order_keep_the_rules(in_order: Fitted) -> None:
    for poem in Poet(in_order, manner=Manner(1.0, constrained=True)).random(5):
        assert len(set(poem.text)) == 28
        assert poem.judged(READINGS) == {"lines_in_tone": [True] * 4, "in_order": True, "rhymed": True}


def test_without_heat_and_rules_a_poem_is_the_likeliest_in_order(in_order: Fitted) -> None:
    assert [poem.text for poem in Poet(in_order).random(3)] == [
        text.replace("<unknown>", "□") for text in _modes(Poet(in_order), 3)
    ]


def _modes(poet: Poet, count: int) -> list[str]:
    with poet.asking.drawing(0, "poems"):
        px = poet.model.generate(count, None)["x"]
    found: list[str] = poet.vocabulary.decode(px.mode.numpy()).tolist()
    return found


def test_draws_at_temperature_one_are_draws() -> None:
    """It fails by chance once in 50 000 seeds; the seed is fixed."""
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(30_000, 3)
    share, p = torch.bincount(hot(logits, 1.0).argmax(-1), minlength=3) / 30_000, logits[0].softmax(0)
    assert ((share - p).abs() < LIMIT * (p * (1 - p) / 30_000).sqrt()).all()
    assert (hot(logits, 0.0) == logits).all()


def test_a_way_goes_from_one_poem_to_another(told: Fitted) -> None:
    poet = Poet(told, 5)
    a, b = some_texts(20)[:2]
    way, back = poet.between(a, b, 4), poet.between(b, a, 4)
    assert [poem.text for poem in way] == [poem.text for poem in reversed(back)]
    made = told.given("tang-5").reconstruct(np.array([a, b]))
    assert [way[0].text, way[-1].text] == [text.replace("<unknown>", "□") for text in made]
    with pytest.raises(InputError, match="a poem of this form has 20 characters, not 28"):
        poet.between(a, some_texts(28)[0])


def test_poems_near_one_are_drawn_from_its_posterior(told: Fitted) -> None:
    poet = Poet(told, 5)
    poem = some_texts(20)[0]
    assert len(poet.near(poem, 3)) == len(poet.like(poem[:5], 3)) == 3
    with pytest.raises(InputError, match="number of poems must be a whole number of at least 1, not 0"):
        poet.near(poem, 0)


def test_one_that_is_told_nothing_is_asked_until_it_writes_the_form(
    untold: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    poet = Poet(untold, 5)
    written = iter([["一" * 28, "丁" * 20], ["七" * 20, "万" * 20]])
    monkeypatch.setattr(Poet, "_written", lambda *_: [Poem(text, None) for text in next(written)])
    assert [poem.text[0] for poem in poet.random(2)] == ["丁", "七"]
    monkeypatch.setattr(Poet, "_written", lambda *_: [Poem("一" * 28, None)])
    with pytest.raises(InputError, match="fewer than 2 have lines of 5 characters"):
        poet.random(2)


def test_other_models_are_refused() -> None:
    words = lowerbound.train("text-vae", np.array(["天地", "玄黃宇"] * 30), kind="characters", **TINY)
    with pytest.raises(InputError, match="whose rows are no quatrains"):
        Poet(words)
    numbers = lowerbound.train("vae", "digits", epochs=1, latent=2, hidden=[4])
    with pytest.raises(InputError, match="the model is of digits, whose rows are no quatrains"):
        Poet(numbers)


def test_a_model_of_one_form_has_no_other(in_order: Fitted) -> None:
    assert Poet(in_order).form == 7
    with pytest.raises(InputError, match="have lines of 7 characters, not 5"):
        Poet(in_order, 5)
    with pytest.raises(InputError, match="is told no labels"):
        Poet(in_order, 7, "tang")


def test_simplified_characters_are_read_as_traditional_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = {
        "traditional": Script({"云": "雲", "发": "發", "白发": "白髮", "黄": "黃"}),
        "simplified": Script({"雲": "云", "髮": "发", "發": "发", "黃": "黄"}),
    }
    for module in (quatrains, chinese):
        monkeypatch.setattr(module, "script", scripts.get)
    known = "白髮云雲想黃"
    assert read("白发，想云", known) == ("白髮想雲", {"发": "髮", "云": "雲"})
    assert read("想云", known) == ("想云", {})  # both are characters of old: taken as it is written
    assert read("想云", known, simplified=True).mapped == {"云": "雲"}
    assert read("黃", "黄").text == "黄"  # a variant that is known
    with pytest.raises(InputError, match="the model has no character for 囧, 槑; write others"):
        read("囧想槑囧", known)


@pytest.mark.parametrize(("text", "form"), [("天" * 5, 5), ("天，" * 28, 7), ("天" * 6, None)])
def test_a_form_is_seen_in_what_is_given(text: str, form: int | None) -> None:
    assert form_of(text) == form


@pytest.mark.fetch
def test_the_tables_read_what_is_known_and_write_either_script() -> None:
    found = chinese.readings()
    assert found.level("東") == frozenset({"上平聲一東"})
    assert found.tones("白") == frozenset("仄")  # an entering tone, level in today's speech
    assert found.tones("爲") == frozenset("平仄")  # a variant of what is listed
    assert len({rhyme for each in found.rhymes.values() for rhyme in each}) == 106
    poem = "床前明月光疑是地上霜举头望明月低头思故乡"
    assert chinese.script("traditional").of(poem) == "牀前明月光疑是地上霜舉頭望明月低頭思故鄉"
    assert chinese.script("simplified").of(chinese.script("traditional").of(poem)) == poem


def test_z_is_sought_among_what_explains_the_characters(told: Fitted) -> None:
    """The mean of the weights is p of what is told, whichever draws they are of."""
    poet = Poet(told, 5)
    (text,) = gapped_texts(poet.asking, [CHARACTERS[0] + "_" * 19])
    with poet.asking.drawing(0, "z"):
        found = explaining(text)
        z = poet.model.prior(None).sample((4_000,))
        px: Any = poet.model.decode(z, text.batch.c)["x"]
    p, head = px.base_dist.probs, poet.vocabulary.codes[CHARACTERS[0]]
    expected = (p[:, 0, head] * (1 - p[:, 1:20, 0]).prod(-1) * p[:, 20, 0]).mean().log()  # the end is told as well
    assert float(found.log_w.logsumexp(0)) - np.log(len(found.log_w)) == pytest.approx(float(expected), abs=0.1)
    assert found.z.shape[1:] == (1, 2)
