"""What a model of quatrains knows: of which form and label its poems are, and a user's characters in its own."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple, final

from lowerbound.data.chinese import families, script
from lowerbound.data.poems import DYNASTIES, FORMS, LINES
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.recipes.registry import Setup

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")


@final
class Reading(NamedTuple):
    """What a user wrote in a model's characters, and which of the user's were taken for which."""

    text: str
    mapped: dict[str, str]


def of_quatrains(spec: DataSpec) -> Variable:
    """The variable that is a quatrain.

    Raises:
        InputError: the data are no such poems.
    """
    x = spec.variables[0]
    if x.form != "characters" or not forms(x):
        raise InputError(
            f"the model is of {spec.name}, whose rows are no quatrains; train one on those, such as text-vae on "
            "quatrains-tang"
        )
    return x


def forms(variable: Variable) -> tuple[int, ...]:
    """Characters a line that poems of this variable may have: one form fills its rows, of two the shorter one ends.

    >>> forms(Variable("x", "category", (28,), 0, 2, 3))
    (7,)
    """
    length, ends = variable.shape[0], variable.missing
    return FORMS if ends and length == LINES * FORMS[-1] + 1 else tuple(f for f in FORMS if length == LINES * f)


def chosen_form(variable: Variable, form: int | None) -> int:
    """The form asked for, or the first that there is; refused if the model has no such."""
    known = forms(variable)
    if form is not None and form not in known:
        raise InputError(f"the model's poems have lines of {' or '.join(map(str, known))} characters, not {form}")
    return form or known[0]


def chosen_kind(setup: Setup, form: int, dynasty: str | None) -> str | None:
    """The label under which poems of a form, and of a dynasty if one is said, are written; None if none is told.

    Raises:
        InputError: a dynasty that the model is not told, or labels that are none of poems.
    """
    labels = (setup.condition.variable.labels or ()) if setup.condition else ()
    told = [f"{each}-{form}" for each in DYNASTIES if dynasty in (None, each)]
    found = next((kind for kind in told if kind in labels), None)
    if found is None and (dynasty is not None or setup.condition is not None):
        knows = f"is told {', '.join(labels)}" if labels else "is told no labels"
        raise InputError(f"there is no label {' or '.join(told) or dynasty!r} for the model, which {knows}")
    return found


def form_of(text: str) -> int | None:
    """Characters a line of a text that is a quatrain or a line of one; None of any other.

    >>> form_of("白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"), form_of("朝辭白帝彩雲間"), form_of("白日")
    (5, 7, None)
    """
    count = len(_HAN.findall(text))
    return next((form for form in FORMS if count in (form, LINES * form)), None)


def read(text: str, symbols: Collection[str], simplified: bool = False) -> Reading:
    """A text without its punctuation, in a model's characters.

    simplified: whether it is written in simplified characters throughout; it is also taken for so if it has some that
    the model does not know and that traditional script writes otherwise. What is unknown then is written as a variant
    that the model knows: one of the same simplified form.

    Raises:
        InputError: the model has no character for some, which are named.

    >>> read("白日, 依山盡。", "白日依山盡")
    Reading(text='白日依山盡', mapped={})
    """
    bare, known = "".join(_HAN.findall(text)), set(symbols)
    found = bare if not simplified and known.issuperset(bare) else in_traditional(bare, known, simplified)
    unknown = dict.fromkeys(character for character in found if character not in known)
    if unknown:
        raise InputError(f"the model has no character for {', '.join(unknown)}; write others")
    return Reading(found, {one: other for one, other in zip(bare, found) if one != other})


def in_traditional(text: str, known: Collection[str], simplified: bool) -> str:
    """A text in traditional characters, where it is simplified, and in those variants that are known."""
    traditional, shorter = script("traditional"), script("simplified").table
    is_so = simplified or any(each not in known and each in traditional.table for each in text)
    variants = families(known)
    found = traditional.of(text) if is_so else text
    alike = (variants.get(shorter.get(each, each), [each]) for each in found)
    return "".join(each if each in known else best[0] for each, best in zip(found, alike))
