"""The verb poem: quatrains that a model writes, by chance or like what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from lowerbound.cli.verb import Answer, OfRun, Switch
from lowerbound.errors import InputError

if TYPE_CHECKING:
    from lowerbound.evaluation.poems import Poem as Written
    from lowerbound.evaluation.poems import Poet


@final
@dataclass(frozen=True, kw_only=True)
class Poem(OfRun):
    """Write Chinese quatrains by a run of them (--data quatrains, quatrains-tang, quatrains-5 or quatrains-7).

    Without more, poems of z ~ p(z). Poems are given and written in traditional characters; what is given in simplified
    ones is written in the others first, and the answer says which were taken for which.
    """

    between: tuple[str, str] | None = None
    """Two poems: write what lies on the way from the one to the other."""
    near: str | None = None
    """A poem, or a line: write poems like it, of z given that poem, or given that first line."""
    acrostic: str | None = None
    """Four characters with which the four lines are to begin: of z given those."""
    form: Literal[5, 7] | None = None
    """Characters a line; by default that of the poem given, else the first that the model knows."""
    dynasty: Literal["tang", "song"] | None = None
    """Whose poems to write like, where the model is told it; by default the first it knows."""
    count: int = 5
    """How many."""
    steps: int = 7
    """Of --between, poems on the way, its ends included."""
    seed: int = 0
    """Fixes which."""
    temperature: float = 0.0
    """0 for the likeliest characters, 1 for draws from p(x|z); between them, draws of the likelier ones."""
    constrained: Switch = False
    """Keep a pattern of tones and the rhyme, and write no character twice."""
    judge: Switch = False
    """Say of each poem which lines keep a pattern of tones, and whether the whole keeps an order and rhymes."""
    script: Literal["traditional", "simplified"] = "traditional"
    """In which to write the answer; simplified also takes what is given for that throughout."""

    def answer(self) -> Answer:
        from lowerbound.evaluation.poems import Manner, Poet

        given = [*(self.between or ()), *filter(None, (self.near, self.acrostic))]
        if sum(each is not None for each in (self.between, self.near, self.acrostic)) > 1:
            raise InputError("a poem is written --between two, --near one or as an --acrostic; say one of them")
        poet = Poet(self.open(), self.form or self._form(), self.dynasty, Manner(self.temperature, self.constrained))
        read = {text: poet.read(text, self.script == "simplified") for text in given}
        poems = self._written(poet, [read[text].text for text in given])
        mapped = {one: other for each in read.values() for one, other in each.mapped.items()}
        facts = {"form": poet.form, "kind": poet.kind, "temperature": self.temperature, "constrained": self.constrained}
        told = [self._told(poem) for poem in poems]
        return Answer({**facts, "mapped": mapped, "poems": told}, "\n\n".join([*_taken(mapped), *map(_shown, told)]))

    def _form(self) -> int | None:
        """That of what is given, where it is a poem or a line."""
        from lowerbound.evaluation.quatrains import form_of

        text = self.near or (self.between or (None,))[0]
        return None if text is None else form_of(text)

    def _written(self, poet: Poet, given: list[str]) -> list[Written]:
        if self.between:
            return poet.between(given[0], given[1], self.steps, self.seed)
        if self.acrostic:
            return poet.acrostic(given[0], self.count, self.seed)
        if not self.near:
            return poet.random(self.count, self.seed)
        one = poet.like if len(given[0]) == poet.form else poet.near
        return one(given[0], self.count, self.seed)

    def _told(self, poem: Written) -> dict[str, Any]:
        """A poem in plain values, in the script asked for."""
        from lowerbound.data.chinese import readings, script

        judged = poem.judged(readings()) if self.judge else {}
        lines = [script("simplified").of(line) if self.script == "simplified" else line for line in poem.lines]
        return {"text": "".join(lines), "lines": lines, **judged}


def _taken(mapped: dict[str, str]) -> list[str]:
    """Which characters were taken for which, in words."""
    return [f"taken for: {', '.join(f'{one} {other}' for one, other in mapped.items())}"] if mapped else []


def _shown(poem: dict[str, Any]) -> str:
    """A poem as it is printed, two lines in one, and what was found of it.

    >>> print(_shown({"lines": ["白日依山盡", "黃河入海流", "欲窮千里目", "更上一層樓"]}))
    白日依山盡，黃河入海流。
    欲窮千里目，更上一層樓。
    """
    lines = [line + "，。"[number % 2] for number, line in enumerate(poem["lines"])]
    text = "".join(line + "\n" * (number % 2) for number, line in enumerate(lines)).rstrip()
    if "in_order" not in poem:
        return text
    found = f"{sum(poem['lines_in_tone'])} of {len(lines)} lines in tone"
    return f"{text}\n({found}{', in order' * poem['in_order']}{', rhymed' * poem['rhymed']})"
